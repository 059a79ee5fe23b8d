//! How long a file may be: one that does more than one thing shows by it.

use std::path::Path;

use anyhow::{Context as _, bail};

use crate::command::{root, say};

/// A longer file has to say why.
const MOST_LINES: usize = 500;

/// How a line begins that says why.
const REASON: &str = "// Long because ";

/// Looks at every source file of ours.
pub(crate) fn check() -> anyhow::Result<()> {
    let mut problems = Vec::new();
    for place in ["crates", "xtask"] {
        look(&root().join(place), &mut problems)?;
    }
    if !problems.is_empty() {
        bail!(
            "files of more than {MOST_LINES} lines, without a line `{REASON}…`:\n  {}",
            problems.join("\n  ")
        );
    }
    say(&format!(
        "no file has more than {MOST_LINES} lines without a reason"
    ));
    Ok(())
}

fn look(directory: &Path, problems: &mut Vec<String>) -> anyhow::Result<()> {
    let listing = std::fs::read_dir(directory);
    for entry in listing.with_context(|| format!("cannot read {}", directory.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            look(&path, problems)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path)?;
            if is_too_long(&text) {
                problems.push(format!("{}: {}", path.display(), text.lines().count()));
            }
        }
    }
    Ok(())
}

fn is_too_long(text: &str) -> bool {
    text.lines().count() > MOST_LINES && !text.lines().any(|line| line.starts_with(REASON))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_file_needs_a_reason() {
        let long = "fn f() {}\n".repeat(MOST_LINES);
        assert!(!is_too_long(&long));
        let longer = format!("{long}\n");
        assert!(is_too_long(&longer));
        assert!(!is_too_long(&format!("{longer}{REASON}it is a table.\n")));
    }
}
