//! Backends and options, for people.

use backend_core::{Backend, OptionSpec};

use crate::option_facts::facts;
use crate::table::{self, wrapped};

/// A line for each backend.
pub(super) fn backends(backends: &[&Backend]) -> String {
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

/// The options of `backend`, in lines of at most `width` characters.
pub(super) fn options(backend: &Backend, width: usize) -> String {
    let mut lines = vec![format!(
        "Options of `{}` ({})",
        backend.alias, backend.human_readable_name
    )];
    for spec in (backend.options)() {
        lines.push(String::new());
        lines.extend(option(spec, width));
    }
    lines.push(String::new());
    let variable = backend.alias.to_ascii_uppercase().replace('-', "_");
    let how = format!(
        "Set one with `-o KEY=VALUE`, the environment variable WORKER_{variable}_KEY, or under \
         `[backends.{}]` in worker.toml. `worker backends {} --explain` shows what is set.",
        backend.alias, backend.alias
    );
    lines.extend(wrapped(&how, width));
    lines.join("\n") + "\n"
}

fn option(spec: &OptionSpec, width: usize) -> Vec<String> {
    let key = if spec.family {
        format!("{}-…", spec.key)
    } else {
        spec.key.clone()
    };
    let facts = format!("[{}]", facts(spec).join("; "));
    let heading = format!("  {key}  {facts}");
    let mut lines = if heading.chars().count() <= width {
        vec![heading]
    } else {
        let facts = wrapped(&facts, width.saturating_sub(6));
        let facts = facts.into_iter().map(|line| format!("      {line}"));
        std::iter::once(format!("  {key}")).chain(facts).collect()
    };
    let help = wrapped(&spec.help, width.saturating_sub(6));
    lines.extend(help.into_iter().map(|line| format!("      {line}")));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_wider_than_the_terminal() {
        for backend in backend_core::backends().unwrap() {
            for width in [60, 80, 100] {
                let text = options(backend, width);
                // Only a word that is longer by itself is longer.
                let long = text
                    .lines()
                    .find(|line| line.chars().count() > width && line.trim().contains(' '));
                assert_eq!(long, None, "{} at {width}", backend.alias);
            }
        }
    }
}
