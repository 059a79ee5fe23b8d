//! `worker backends`: what is compiled in, and what it can be told.

use backend_core::{Backend, Kind, OptionSpec, backend, backends as registered, schema};
use serde_json::json;

use crate::args::BackendsArguments;
use crate::exit::{ExitStatus, SUCCESS};
use crate::table;

/// Runs the command.
pub(super) fn backends(arguments: &BackendsArguments) -> anyhow::Result<ExitStatus> {
    let text = match (&arguments.alias, arguments.json) {
        (None, false) => list(&registered()?),
        (None, true) => pretty(&registered()?.iter().map(|backend| entry(backend)).collect())?,
        (Some(alias), false) => options(backend(alias)?),
        (Some(alias), true) => {
            let backend = backend(alias)?;
            let mut entry = entry(backend);
            if let Some(object) = entry.as_object_mut() {
                object.insert("options".into(), json!((backend.options)()));
                object.insert("schema".into(), schema(backend.alias, (backend.options)()));
            }
            pretty(&entry)?
        }
    };
    super::print(&text)?;
    Ok(SUCCESS)
}

fn entry(backend: &Backend) -> serde_json::Value {
    json!({"alias": backend.alias, "human_readable_name": backend.human_readable_name})
}

fn pretty(value: &serde_json::Value) -> anyhow::Result<String> {
    Ok(serde_json::to_string_pretty(value)? + "\n")
}

fn list(backends: &[&Backend]) -> String {
    if backends.is_empty() {
        return "This program was built without backends: choose some by Cargo features.\n".into();
    }
    let mut rows = vec![vec!["ALIAS".to_owned(), "NAME".to_owned()]];
    for backend in backends {
        rows.push(vec![
            backend.alias.to_owned(),
            backend.human_readable_name.to_owned(),
        ]);
    }
    table::render(&rows)
}

fn options(backend: &Backend) -> String {
    let mut lines = vec![format!(
        "Options of `{}` ({})",
        backend.alias, backend.human_readable_name
    )];
    for spec in (backend.options)() {
        lines.push(String::new());
        let key = if spec.family {
            format!("{}-…", spec.key)
        } else {
            spec.key.clone()
        };
        lines.push(format!("  {key}  [{}]", facts(spec).join("; ")));
        lines.extend(
            wrapped(&spec.help, 74)
                .into_iter()
                .map(|line| format!("      {line}")),
        );
    }
    lines.push(format!(
        "\nSet one with `-o KEY=VALUE` or the environment variable WORKER_{}_KEY.\n",
        backend.alias.to_ascii_uppercase().replace('-', "_")
    ));
    lines.join("\n")
}

/// What there is to say about an option beside its help.
fn facts(spec: &OptionSpec) -> Vec<String> {
    let kind = match spec.kind {
        Kind::Choice(words) => words.join(" | "),
        kind => kind.name().to_owned(),
    };
    let default = spec.default.filter(|default| !default.is_empty());
    let more = [
        spec.list.then(|| "list".to_owned()),
        spec.required.then(|| "required".to_owned()),
        default.map(|default| format!("default: {default}")),
        spec.example.map(|example| format!("example: {example}")),
        spec.also.map(|also| format!("also: {also}")),
    ];
    std::iter::once(kind)
        .chain(more.into_iter().flatten())
        .collect()
}

/// `text` in lines of at most `width` characters, broken between words.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in text.split_whitespace() {
        if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > width {
            lines.push(std::mem::take(&mut line));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    lines.push(line);
    lines
}

#[cfg(test)]
mod tests {
    #[test]
    fn lines_are_broken_between_words() {
        assert_eq!(super::wrapped("one two  three", 7), ["one two", "three"]);
        assert_eq!(super::wrapped("unbreakable", 3), ["unbreakable"]);
    }
}
