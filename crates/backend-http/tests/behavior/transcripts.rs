//! The commands of the document, run as they stand there.

use std::path::Path;
use std::process::Command;

use crate::support::Plan;

const TOKEN: &str = "full-token-0123456789";
const READS: &str = "read-token-0123456789";

/// A command, and what it prints; `…` stands for anything.
struct Step {
    command: String,
    expected: String,
}

fn steps(document: &str) -> Vec<Step> {
    let blocks = document.split("```console\n").skip(1);
    let lines = blocks.flat_map(|block| block.split("```").next().unwrap_or_default().lines());
    let mut steps: Vec<Step> = Vec::new();
    for line in lines {
        if let Some(command) = line.strip_prefix("$ ") {
            steps.push(Step {
                command: command.into(),
                expected: String::new(),
            });
        } else if let Some(step) = steps.last_mut() {
            step.expected.push_str(line);
            step.expected.push('\n');
        }
    }
    steps
}

/// Whether `text` has the parts of `pattern` between its `…`, in their order,
/// and nothing else at its ends.
fn matches(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.trim_end().split('…');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.trim_end().strip_prefix(first) else {
        return false;
    };
    let mut parts = parts.peekable();
    if parts.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        let Some(at) = rest.find(part) else {
            return false;
        };
        rest = &rest[at + part.len()..];
    }
    true
}

#[test]
fn what_the_document_shows_is_what_happens() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .unwrap();
    let document = std::fs::read_to_string(root.join("docs/http.md")).unwrap();
    let steps = steps(&document);
    assert!(steps.len() > 20, "{} steps", steps.len());
    if testbed::find_program("curl").is_none() {
        return testbed::missing("http", "there is no curl");
    }
    let mut plan = Plan::new("local");
    plan.tokens = Some(format!("demo full {TOKEN}\ndemo read {READS}\n"));
    let serving = plan.start();
    // One shell for all of them, which says where the next begins.
    let lines = steps.iter().enumerate();
    let lines = lines.map(|(number, step)| format!("{}\necho; echo '@@@ {number}'", step.command));
    let script = lines.collect::<Vec<_>>().join("\n");
    let directory = tempfile::tempdir().unwrap();
    let output = Command::new("bash")
        .args(["-c", &script])
        .current_dir(directory.path())
        .env("SERVER", &serving.endpoint)
        .env("TOKEN", TOKEN)
        .env("TOKEN_READS", READS)
        .output()
        .unwrap();
    let printed = String::from_utf8(output.stdout).unwrap().replace('\r', "");
    let mut rest = printed.as_str();
    for (number, step) in steps.iter().enumerate() {
        let (got, after) = rest.split_once(&format!("\n@@@ {number}\n")).unwrap();
        assert!(
            matches(&step.expected, got),
            "$ {}\n{got}\nis not\n{}",
            step.command,
            step.expected
        );
        rest = after;
    }
}

#[test]
fn a_pattern_matches_from_end_to_end() {
    for (pattern, text, fits) in [
        ("abc", "abc\n", true),
        ("abc", "abcd", false),
        ("a…c", "a b c", true),
        ("a…", "abc", true),
        ("…c", "abc", true),
        ("a…b…c", "a1b2c", true),
        ("a…b…c", "a1c", false),
        ("a…c", "a b d", false),
        ("", "", true),
        ("", "x", false),
    ] {
        assert_eq!(matches(pattern, text), fits, "{pattern} {text}");
    }
}
