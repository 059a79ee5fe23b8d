//! Holds the documents to the code: what stands in them between
//! `<!-- generated: NAME -->` and `<!-- end -->` is what the code says, and the
//! files that are generated as a whole are too.
//!
//! `WORKER_UPDATE_DOCUMENTS=1 cargo test --package worker-cli --all-features
//! documents` writes them anew.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

use std::path::{Path, PathBuf};

use backend_core::{Kind, OptionSpec, Options as _, backend, backends};
use clap::{CommandFactory as _, Parser as _};

use crate::args::Arguments;
use crate::job_settings::JobSettings;
use crate::{exit_statuses, template};

const BEGIN: &str = "<!-- generated: ";
const END: &str = "<!-- end -->";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn generated(name: &str) -> String {
    match name {
        "exit statuses" => statuses(),
        "settings" => table(JobSettings::specs()),
        "commands" => commands(),
        other => {
            let alias = other
                .strip_prefix("options ")
                .expect("something generates it");
            table((backend(alias).unwrap().options)())
        }
    }
}

fn statuses() -> String {
    let rows = exit_statuses::ROWS.iter();
    let rows = rows.map(|row| format!("| {} | {} |\n", row.status, row.meaning));
    format!(
        "| status | meaning |\n|---|---|\n{}",
        rows.collect::<String>()
    )
}

fn table(specs: &[OptionSpec]) -> String {
    let rows = specs.iter().map(|spec| {
        let kind = match spec.kind {
            Kind::Choice(words) => {
                let words: Vec<_> = words.iter().map(|word| format!("`{word}`")).collect();
                words.join(", ")
            }
            kind => kind.name().to_owned(),
        };
        let kind = if spec.list {
            format!("list of {kind}")
        } else {
            kind
        };
        let default = match spec.default {
            Some("") | None if spec.required => "required".to_owned(),
            Some("") | None => String::new(),
            Some(default) => format!("`{default}`"),
        };
        let key = if spec.family {
            format!("{}-…", spec.key)
        } else {
            spec.key.clone()
        };
        let also = spec
            .also
            .map(|also| format!(" (`{also}`)"))
            .unwrap_or_default();
        let help = spec.help.replace('|', "\\|");
        format!("| `{key}`{also} | {kind} | {default} | {help} |\n")
    });
    format!(
        "| option | kind | default | |\n|---|---|---|---|\n{}",
        rows.collect::<String>()
    )
}

fn commands() -> String {
    let mut program = Arguments::command().term_width(80);
    program.build();
    let mut text = String::new();
    let subcommands = program
        .get_subcommands()
        .filter(|it| it.get_name() != "help");
    let all = std::iter::once(program.clone()).chain(subcommands.cloned());
    for mut command in all {
        let name = command.get_bin_name().unwrap_or("worker").to_owned();
        let help = command.render_long_help().to_string();
        let help: Vec<_> = help.lines().map(str::trim_end).collect();
        let help = help.join("\n");
        text += &["## ", &name, "\n\n```text\n", help.trim_end(), "\n```\n\n"].concat();
    }
    text.trim_end().to_owned() + "\n"
}

/// `text` with each of its generated parts made anew.
fn renewed(text: &str, parts: &mut usize) -> String {
    let mut renewed = String::new();
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once(BEGIN) {
        let (name, behind) = behind.split_once(" -->").expect("the mark has an end");
        let (_, behind) = behind.split_once(END).expect("the part has an end");
        let part = generated(name);
        renewed += &[before, BEGIN, name, " -->\n\n", &part, "\n", END].concat();
        rest = behind;
        *parts += 1;
    }
    renewed + rest
}

/// Compares, or writes where that is asked for.
fn hold(path: &Path, right: &str) {
    if std::env::var_os("WORKER_UPDATE_DOCUMENTS").is_some() {
        return std::fs::write(path, right).unwrap();
    }
    let there = std::fs::read_to_string(path).unwrap_or_default();
    let line = there
        .lines()
        .zip(right.lines())
        .position(|(one, other)| one != other);
    assert!(
        there == right,
        "{} differs from what the code says (line {:?}): see documents.rs for how to write it anew",
        path.display(),
        line.map(|line| line + 1)
    );
}

fn documents(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            documents(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "md") {
            found.push(path);
        }
    }
}

#[test]
fn the_documents_say_what_the_code_says() {
    let mut paths = vec![root().join("README.md")];
    documents(&root().join("docs"), &mut paths);
    let mut parts = 0;
    for path in paths {
        let text = std::fs::read_to_string(&path).unwrap();
        hold(&path, &renewed(&text, &mut parts));
    }
    assert!(parts > 0, "no document has a generated part");
}

#[test]
fn the_template_and_the_schema_are_those_of_the_code() {
    let backends = backends().unwrap();
    hold(
        &root().join("docs/worker.toml"),
        &template::template(&backends),
    );
    let schema = serde_json::to_string_pretty(&template::file_schema(&backends)).unwrap();
    hold(&root().join("docs/worker.schema.json"), &(schema + "\n"));
}

/// The command lines of `worker` in the console blocks of `text`.
fn command_lines(text: &str) -> Vec<String> {
    let blocks = text.split("```console\n").skip(1);
    let lines = blocks.flat_map(|block| block.split("```").next().unwrap_or_default().lines());
    lines
        .filter_map(|line| line.strip_prefix("$ "))
        .flat_map(|line| line.split(" # ").next().unwrap_or_default().split(" | "))
        .map(|part| part.trim().trim_end_matches('&').trim())
        .filter(|part| part.starts_with("worker "))
        .map(str::to_owned)
        .collect()
}

/// Words as a shell takes them: blanks part them, but not in single quotes.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    for (at, part) in line.split('\'').enumerate() {
        let mut pieces = part.split(' ');
        let first = if at % 2 == 1 {
            part
        } else {
            pieces.next().unwrap_or_default()
        };
        words.last_mut().unwrap().push_str(first);
        if at % 2 == 0 {
            words.extend(pieces.map(str::to_owned));
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

#[test]
fn every_command_that_is_shown_can_be_given() {
    let mut paths = vec![root().join("README.md")];
    documents(&root().join("docs"), &mut paths);
    for entry in std::fs::read_dir(root().join("crates")).unwrap() {
        paths.push(entry.unwrap().path().join("README.md"));
    }
    let mut count = 0;
    for path in paths {
        for line in command_lines(&std::fs::read_to_string(&path).unwrap_or_default()) {
            let given = Arguments::try_parse_from(words(&line));
            let given = given.unwrap_or_else(|error| panic!("{}: {line}: {error}", path.display()));
            count += 1;
            let crate::args::Command::Run(run) = given.command else {
                continue;
            };
            let alias = run.backend.backend.unwrap_or("local".into());
            let specs = (backend(&alias).unwrap().options)();
            let config: backend_core::ProviderConfig =
                run.backend.options.options.into_iter().collect();
            assert_eq!(
                backend_core::unknown_keys(specs, &config),
                [],
                "{}: {line}",
                path.display()
            );
        }
    }
    assert!(count > 20, "only {count} commands are shown");
}

#[test]
fn every_backend_has_its_guide() {
    for backend in backends().unwrap() {
        let path = root().join(format!("docs/backends/{}.md", backend.alias));
        let text = std::fs::read_to_string(&path).unwrap();
        for part in [
            "## Set-up",
            "## Options",
            "## Security",
            "## Limits",
            "## Faults",
        ] {
            assert!(text.contains(part), "{} has no {part}", path.display());
        }
    }
}
