//! What the fuzz targets of this crate check. Each takes any bytes, and panics
//! where a property does not hold; its seeds are in `tests/seeds`.

#![expect(
    clippy::unwrap_used,
    reason = "a property that does not hold is a panic"
)]

use std::path::Path;

use backend_core::{
    Backend, Environment, Error, ErrorKind, Found, FoundState, Marks, Origin, ProviderConfig,
};

use crate::commands::ps::as_table;
use crate::config_file::ConfigFile;
use crate::config_text::Document;
use crate::{environment_file, job_settings, kept};

/// All targets of this crate.
#[cfg(test)]
const TARGETS: &[testbed::FuzzTarget] = &[
    ("cli_environment_file", environment_file),
    ("cli_config", config),
    ("cli_found", found),
];

/// A file of variables: what is read and written is read as the same, and no
/// error has a value in it.
pub fn environment_file(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let mut environment = Environment::new();
    if let Err(error) = environment_file::read(&text, &mut environment) {
        let line = error
            .strip_prefix("line ")
            .and_then(|rest| rest.split_once(':'));
        let number: usize = line.unwrap().0.parse().unwrap();
        let line = text.lines().nth(number - 1).unwrap();
        let name = line.split_once('=').map_or("", |(name, _)| name);
        assert!(
            !error.contains("hunter2") || name.contains("hunter2"),
            "{error}"
        );
        return;
    }
    let mut written = String::new();
    for (name, value) in environment.iter() {
        let there = format!("{name}={value}");
        assert!(text.lines().any(|line| line == there), "{there:?}");
        // A carriage return before the end of a line is one of the line's end.
        written.extend([&there, "\r\n"]);
    }
    let mut again = Environment::new();
    environment_file::read(&written, &mut again).unwrap();
    assert!(again == environment);
}

/// A `worker.toml`: what is taken from it and written as one is taken from that
/// too, and every problem has a line of the file.
pub fn config(bytes: &[u8]) {
    let lines = bytes.split(|byte| *byte == b'\n').count();
    let path = Path::new("worker.toml");
    let Ok(document) = Document::parse(bytes) else {
        let error = ConfigFile::understand(path, bytes, 0o600).unwrap_err();
        let said = backend_core::Chain(&error).to_string();
        assert!(said.contains("line "), "{said}");
        return;
    };
    let of_sections = document.sections.iter().flat_map(|section| {
        let entries = section.entries.iter().map(|entry| entry.line);
        entries.chain([section.line])
    });
    let of_problems = document.problems.iter().map(|(line, _)| *line);
    let mut all = of_sections.chain(of_problems);
    assert!(all.all(|line| (1..=lines).contains(&line)));

    let written = write(&document);
    let again = Document::parse(written.as_bytes()).unwrap();
    assert_eq!(again.problems, []);
    assert_eq!(contents(&again), contents(&document), "{written}");

    let file = ConfigFile::understand(path, bytes, 0o644).unwrap();
    assert!(file.problems().len() >= document.problems.len());
    for section in &document.sections {
        let config = match &section.backend {
            Some(alias) => file.backend(alias),
            None => file.job().clone(),
        };
        for entry in section
            .entries
            .iter()
            .filter(|entry| !entry.values.is_empty())
        {
            let there = config.entry(&entry.key).unwrap();
            assert_eq!(there.values, entry.values);
            assert!(matches!(&there.origin, Origin::File { line, .. } if *line == entry.line));
        }
    }
    job(file.job());
}

/// What a backend found, with whatever marks: a line of a table for each, which
/// a terminal takes for nothing else.
pub fn found(bytes: &[u8]) {
    let Ok(marks) = serde_json::from_slice::<Vec<Marks>>(bytes) else {
        return;
    };
    let mut found = Vec::new();
    for marks in marks {
        assert!(!kept::minute(marks.expires).is_empty());
        found.push((&BACKEND, Found::new(marks, FoundState::Running, "here")));
    }
    let owner = "somebody".parse().unwrap();
    // Under a heading, unless there is nothing.
    let table = as_table(&found, &owner, None);
    assert_eq!(table.lines().count(), found.len() + 1);
    for columns in [None, Some(40)] {
        let table = as_table(&found, &owner, columns);
        assert!(
            !table.contains(|c: char| c.is_control() && c != '\n'),
            "{table}"
        );
    }
}

static BACKEND: Backend = Backend {
    alias: "any",
    human_readable_name: "Any backend",
    options: || &[],
    provider: |_| Err(Error::new(ErrorKind::Unsupported, "it is for a table only")),
};

/// Keys and values by section, in the order of the alphabet.
fn contents(document: &Document) -> Vec<(Option<&str>, &str, bool, &[String])> {
    let mut all = Vec::new();
    for section in &document.sections {
        for entry in &section.entries {
            all.push((
                section.backend.as_deref(),
                entry.key.as_str(),
                entry.list,
                entry.values.as_slice(),
            ));
        }
    }
    all.sort_unstable();
    all
}

fn write(document: &Document) -> String {
    let mut text = String::new();
    for section in &document.sections {
        match &section.backend {
            Some(alias) => text.extend(["[backends.", &quoted(alias), "]\n"]),
            None => text.push_str("[job]\n"),
        }
        for entry in &section.entries {
            let value = match (entry.list, entry.values.as_slice()) {
                (false, [value]) => quoted(value),
                (_, values) => {
                    let items = values.iter().map(|item| quoted(&item.replace(r"\,", ",")));
                    format!("[{}]", items.collect::<Vec<_>>().join(", "))
                }
            };
            text.extend([&quoted(&entry.key), " = ", &value, "\n"]);
        }
    }
    text
}

/// As a basic string of TOML.
fn quoted(text: &str) -> String {
    let mut quoted = String::from('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            control if control.is_control() => {
                quoted.extend([format!("\\u{:04X}", u32::from(control))]);
            }
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}

/// The settings of the job: read or refused, with a text for each problem.
fn job(config: &ProviderConfig) {
    use backend_core::Options as _;

    if let Err(problems) = job_settings::JobSettings::read(job_settings::SECTION, config) {
        assert!(
            problems
                .iter()
                .all(|problem| !problem.to_string().is_empty())
        );
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_seed_holds() {
        testbed::replay_seeds(env!("CARGO_MANIFEST_DIR"), super::TARGETS).unwrap();
    }
}
