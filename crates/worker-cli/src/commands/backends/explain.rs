//! What each option is set to, and where that comes from.

use std::path::Path;

use backend_core::{Kind, OptionSpec, Origin, ProviderConfig};

use crate::table;

/// A table of all options: key, value, origin. A secret is hidden.
pub(super) fn text(
    heading: &str,
    file: Option<&Path>,
    specs: &[OptionSpec],
    config: &ProviderConfig,
) -> String {
    let file = match file {
        Some(path) => format!(
            "from the command line, the environment, {} and defaults",
            path.display()
        ),
        None => {
            "from the command line, the environment and defaults; there is no worker.toml".into()
        }
    };
    let mut rows = vec![["OPTION", "VALUE", "FROM"].map(str::to_owned).to_vec()];
    for spec in specs {
        rows.extend(settings(spec, specs, config));
    }
    format!("{heading}, {file}:\n\n{}", table::render(&rows))
}

/// The same of what is set at all, without a heading.
pub(in super::super) fn set(specs: &[OptionSpec], config: &ProviderConfig) -> Vec<Vec<String>> {
    let is_set = |spec: &&OptionSpec| !spec.keys_in(specs, config).is_empty();
    let rows = specs.iter().filter(is_set);
    rows.flat_map(|spec| settings(spec, specs, config))
        .collect()
}

fn settings(spec: &OptionSpec, specs: &[OptionSpec], config: &ProviderConfig) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    for key in spec.keys_in(specs, config) {
        let Some(entry) = config.entry(key) else {
            continue;
        };
        let value = match (spec.kind, entry.values.last()) {
            (Kind::Secret, _) => "(hidden)".to_owned(),
            _ if spec.list => entry.values.join(","),
            (_, last) => last.cloned().unwrap_or_default(),
        };
        rows.push(vec![
            key.to_owned(),
            one_line(&value),
            entry.origin.to_string(),
        ]);
    }
    if rows.is_empty() && !spec.family {
        let (value, origin) = match spec.default {
            Some(default) => (one_line(default), Origin::Default.to_string()),
            None => ("-".to_owned(), "not set".to_owned()),
        };
        rows.push(vec![spec.key.clone(), value, origin]);
    }
    rows
}

/// A value as a cell of a table: an empty one can be seen, and what would break
/// the line is escaped.
fn one_line(value: &str) -> String {
    if value.is_empty() || value.chars().any(char::is_control) {
        return format!("{value:?}");
    }
    value.to_owned()
}

#[cfg(test)]
mod tests {
    use backend_core::{Options as _, SecretString};

    use super::*;

    backend_core::options! {
        struct TestOptions {
            /// How many.
            count: u8 = "2";
            /// Where.
            endpoint: Option<String>, also "host";
            /// Several.
            binds: Vec<String>;
            /// By name.
            image: backend_core::Family;
            /// The secret one.
            token: Option<SecretString>;
            /// What.
            text: Option<String>;
        }
    }

    #[test]
    fn each_value_has_its_origin_and_no_secret_is_shown() {
        let mut config = ProviderConfig::new();
        let file = Origin::File {
            path: "worker.toml".into(),
            line: 4,
        };
        config.add("host", "unix:///x", file.clone());
        config.add("binds", "/a:/b", file.clone());
        config.add("binds", "/c:/d", file);
        config.add("image-os", "linux", Origin::Flag);
        config.add(
            "token",
            "hunter2",
            Origin::Environment("WORKER_TEST_TOKEN".into()),
        );
        config.add("text", "a\nb", Origin::Flag);
        let text = text(
            "Options of `test`",
            Some(Path::new("worker.toml")),
            TestOptions::specs(),
            &config,
        );
        insta::assert_snapshot!(text, @r#"
        Options of `test`, from the command line, the environment, worker.toml and defaults:

        OPTION    VALUE        FROM
        count     2            default
        host      unix:///x    worker.toml, line 4
        binds     /a:/b,/c:/d  worker.toml, line 4
        image-os  linux        command line
        token     (hidden)     environment variable WORKER_TEST_TOKEN
        text      "a\nb"       command line
        "#);
    }
}
