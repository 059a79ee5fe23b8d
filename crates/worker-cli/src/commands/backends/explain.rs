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
            cell(&without_credentials(&value)),
            entry.origin.to_string(),
        ]);
    }
    if rows.is_empty() && !spec.family {
        let (value, origin) = match spec.default {
            Some(default) => (cell(default), Origin::Default.to_string()),
            None => ("-".to_owned(), "not set".to_owned()),
        };
        rows.push(vec![spec.key.clone(), value, origin]);
    }
    rows
}

/// The value without what may be a secret in the URLs in it, though none has its
/// place there: the user with a password, any user of the web's schemes, and
/// what stands behind a `?`.
fn without_credentials(value: &str) -> String {
    let mut shown = String::new();
    let mut rest = value;
    while let Some(at) = rest.find("://") {
        let (before, behind) = rest.split_at(at + "://".len());
        shown.push_str(before);
        let is_web = before.ends_with("http://") || before.ends_with("https://");
        let end = behind.find([',', ' ']).unwrap_or(behind.len());
        let (url, next) = behind.split_at(end);
        let authority = url.find(['/', '?', '#']).unwrap_or(url.len());
        // A password may have any of these in it.
        let url = match url.rsplit_once('@') {
            Some((user, host)) if is_web || (user.len() < authority && user.contains(':')) => {
                format!("…@{host}")
            }
            _ => url.to_owned(),
        };
        match url.split_once('?') {
            Some((path, _)) if is_web => shown.extend([path, "?…"]),
            _ => shown.push_str(&url),
        }
        rest = next;
    }
    shown + rest
}

/// A value as a cell of a table, in which an empty one can be seen.
fn cell(value: &str) -> String {
    if value.is_empty() {
        return format!("{value:?}");
    }
    table::one_line(value).into_owned()
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
    fn secrets_in_urls_are_hidden_and_users_of_machines_are_not() {
        for (value, shown) in [
            ("unix:///run/docker.sock", "unix:///run/docker.sock"),
            ("ssh://me@engine:22", "ssh://me@engine:22"),
            ("ssh://me:hunter2@engine", "ssh://…@engine"),
            ("tcp://me:hunter2@engine:2375", "tcp://…@engine:2375"),
            ("https://hunter2@host/x?key=hunter2", "https://…@host/x?…"),
            (
                "http://a:1,https://ann:hun/ter2@b/x",
                "http://a:1,https://…@b/x",
            ),
            ("ci@build1?slots=2", "ci@build1?slots=2"),
        ] {
            assert_eq!(without_credentials(value), shown, "{value}");
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
