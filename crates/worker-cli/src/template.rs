//! A `worker.toml` to begin with, and its schema for editors: both made from the
//! structs of options.

use backend_core::{Backend, Kind, OptionSpec, Options as _, schema};
use serde_json::{Value, json};

use crate::job_settings::{JobSettings, SECTION};
use crate::option_facts::facts;
use crate::table::wrapped;

const WIDTH: usize = 76;

const HEAD: &str = "\
# The configuration of `worker`: ./worker.toml, else worker/worker.toml in the
# user's configuration directory (~/.config), or the file that --config names.
# A flag wins over the environment (WORKER_JOB_<KEY>, WORKER_<BACKEND>_<KEY>),
# and that over this file. Each setting is shown with its default, else with an
# example. A secret may stand here only if nobody else can read the file
# (mode 0600).
";

/// A commented file with every setting of the job and of `backends`.
pub(crate) fn template(backends: &[&Backend]) -> String {
    let mut text = HEAD.to_owned();
    section(&mut text, SECTION, "The job", JobSettings::specs());
    for backend in backends {
        let name = format!("backends.{}", backend.alias);
        section(
            &mut text,
            &name,
            backend.human_readable_name,
            (backend.options)(),
        );
    }
    text
}

/// The JSON schema (draft 2020-12) of the file.
pub(crate) fn file_schema(backends: &[&Backend]) -> Value {
    let sections: serde_json::Map<_, _> = backends
        .iter()
        .map(|backend| {
            let title = format!("Options of the backend `{}`", backend.alias);
            let part = part(&title, schema(backend.alias, (backend.options)()));
            (backend.alias.to_owned(), part)
        })
        .collect();
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "worker.toml",
        "type": "object",
        "properties": {
            "job": part("Settings of the job", schema(SECTION, JobSettings::specs())),
            "backends": {
                "type": "object",
                "properties": sections,
                "additionalProperties": false,
            },
        },
        "additionalProperties": false,
    })
}

/// A schema as a part of another. What an option cannot do without may come from
/// the environment, so the file need not have it.
fn part(title: &str, mut schema: Value) -> Value {
    if let Some(object) = schema.as_object_mut() {
        object.remove("$schema");
        object.remove("required");
        object.insert("title".into(), title.into());
    }
    schema
}

fn section(text: &mut String, name: &str, title: &str, specs: &[OptionSpec]) {
    let mut lines = vec![String::new(), format!("# {title}"), format!("[{name}]")];
    for spec in specs {
        lines.push(String::new());
        let facts = format!("[{}]", facts(spec).join("; "));
        let told = [wrapped(&spec.help, WIDTH), wrapped(&facts, WIDTH)].concat();
        lines.extend(told.into_iter().map(|line| format!("# {line}")));
        let key = if spec.family {
            format!("{}-default", spec.key)
        } else {
            spec.key.clone()
        };
        lines.push(format!("#{key} = {}", value(spec)));
    }
    text.push_str(&lines.join("\n"));
    text.push('\n');
}

/// The default, else the example, else something of the right kind, as TOML.
fn value(spec: &OptionSpec) -> String {
    let default = spec.default.filter(|default| !default.is_empty());
    let text = default.or(spec.example).unwrap_or(match spec.kind {
        Kind::Choice(words) => words.first().copied().unwrap_or_default(),
        Kind::Bool => "true",
        Kind::Integer { .. } | Kind::Number => "1",
        Kind::Duration => "1m",
        Kind::Size => "64M",
        Kind::Path => "/path",
        _ => "…",
    });
    let bare = match spec.kind {
        Kind::Bool => text.parse::<bool>().is_ok(),
        Kind::Integer { .. } => text.parse::<i64>().is_ok(),
        _ => false,
    };
    if spec.list {
        let items: Vec<_> = text
            .split(',')
            .map(|item| json!(item.trim()).to_string())
            .collect();
        return format!("[{}]", items.join(", "));
    }
    // A JSON string is a basic string of TOML.
    if bare {
        text.to_owned()
    } else {
        json!(text).to_string()
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use backend_core::{ErrorKind, backends};

    use super::*;
    use crate::config_file::ConfigFile;

    /// The template with every setting in force.
    fn in_force(template: &str) -> String {
        fn setting(line: &str) -> Option<&str> {
            let text = line.strip_prefix('#')?;
            let key = text.split(" = ").next()?;
            (!key.contains(' ') && text.contains(" = ")).then_some(text)
        }
        let lines: Vec<_> = template
            .lines()
            .map(|line| setting(line).unwrap_or(line))
            .collect();
        lines.join("\n")
    }

    #[test]
    fn every_setting_of_the_template_is_right() {
        let backends = backends().unwrap();
        let text = in_force(&template(&backends));
        let file = ConfigFile::understand(Path::new("worker.toml"), text.as_bytes(), 0o600);
        let file = file.unwrap();
        assert_eq!(file.problems(), Vec::<String>::new(), "{text}");
        let settings = JobSettings::read(SECTION, file.job()).unwrap();
        assert_eq!(settings.backend.as_deref(), Some("docker"));
        for backend in backends {
            let config = file.backend(backend.alias);
            let set = config.keys().count();
            assert_eq!(
                set,
                (backend.options)().len(),
                "{} in {text}",
                backend.alias
            );
            // A file or a host of an example may not be there; its form is right.
            if let Err(error) = (backend.provider)(&config) {
                let text = backend_core::Chain(&error).to_string();
                assert!(
                    error.kind() != ErrorKind::InvalidOption || !text.contains(" is not "),
                    "{text}"
                );
            }
        }
    }

    #[test]
    fn the_template_as_it_is_sets_nothing() {
        let text = template(&backends().unwrap());
        let file = ConfigFile::understand(Path::new("worker.toml"), text.as_bytes(), 0o644);
        let file = file.unwrap();
        assert_eq!(file.problems(), Vec::<String>::new());
        assert_eq!(file.job().keys().count(), 0);
    }
}
