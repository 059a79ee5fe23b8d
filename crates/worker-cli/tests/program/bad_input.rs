//! What is wrong with a command line gets one message, the right status, and
//! creates nothing.

use crate::common::Place;

/// Runs the program and shows its status and what it said.
fn said(place: &Place, arguments: &[&str]) -> String {
    let output = place.worker().args(arguments).output().unwrap();
    assert_eq!(output.stdout, b"", "nothing of ours is on standard output");
    assert!(!place.instances().exists() || place.instances().read_dir().unwrap().next().is_none());
    let text = String::from_utf8(output.stderr).unwrap();
    let text = text.replace(&place.directory.path().display().to_string(), "[PLACE]");
    format!("status {}\n{text}", output.status.code().unwrap())
}

macro_rules! assert_said {
    ($arguments:expr, @$expected:literal) => {{
        let place = Place::new();
        place.file("script.sh", "exit 0\n");
        place.file("program", b"\x7fELF\x02\x01");
        place.file("not-text", b"a\0b\n");
        place.file("bad-variables", "GOOD=1\nBAD\n");
        std::fs::create_dir(place.path("folder")).unwrap();
        insta::assert_snapshot!(said(&place, &$arguments), @$expected);
    }};
}

#[test]
fn unknown_backend() {
    assert_said!(["run", "-b", "locl", "script.sh"], @"");
}

#[test]
fn unknown_option() {
    assert_said!(["run", "-o", "direktory=/x", "script.sh"], @"");
}

#[test]
fn several_problems_with_options() {
    assert_said!(["run", "-b", "fake", "-o", "exit-code=many", "-o", "run-slep=1s", "script.sh"], @"");
}

#[test]
fn option_without_equals_sign() {
    assert_said!(["run", "-o", "directory", "script.sh"], @"");
}

#[test]
fn unknown_attribute() {
    assert_said!(["run", "--langauge", "go", "script.sh"], @"");
}

#[test]
fn two_scripts() {
    assert_said!(["run", "script.sh", "other.sh"], @"");
}

#[test]
fn a_script_and_a_text() {
    assert_said!(["run", "-c", "true", "script.sh"], @"");
}

#[test]
fn no_script() {
    assert_said!(["run"], @"");
}

#[test]
fn missing_script() {
    assert_said!(["run", "missing.sh"], @"");
}

#[test]
fn a_directory_as_script() {
    assert_said!(["run", "folder"], @"");
}

#[test]
fn a_program_as_script() {
    assert_said!(["run", "program"], @"");
}

#[test]
fn a_script_that_is_not_text() {
    assert_said!(["run", "not-text"], @"");
}

#[test]
fn a_variable_that_no_shell_can_hold() {
    assert_said!(["run", "-e", "1A=x", "script.sh"], @"");
}

#[test]
fn a_reserved_variable() {
    assert_said!(["run", "-e", "UID=0", "script.sh"], @"");
}

#[test]
fn a_bad_environment_file() {
    assert_said!(["run", "--env-file", "bad-variables", "script.sh"], @"");
}

#[test]
fn contradicting_limits() {
    assert_said!(["run", "--hard-timeout", "1m", "--silence-timeout", "2m", "script.sh"], @"");
}

#[test]
fn a_limit_of_nothing() {
    assert_said!(["run", "--hard-timeout", "0s", "script.sh"], @"");
}

#[test]
fn a_limit_that_is_no_duration() {
    assert_said!(["run", "--hard-timeout", "soon", "script.sh"], @"");
}

#[test]
fn a_result_that_cannot_be_written() {
    assert_said!(["run", "--result", "missing/result.json", "script.sh"], @"");
}

#[test]
fn a_value_too_long_is_refused_by_name_and_not_shown() {
    let place = Place::new();
    place.file("script.sh", "exit 0\n");
    place.file("variables", format!("LONG={}", "hunter2".repeat(20_000)));
    let text = said(&place, &["run", "--env-file", "variables", "script.sh"]);
    assert!(
        text.starts_with("status 125\n") && text.contains("`LONG`"),
        "{text}"
    );
    assert!(!text.contains("hunter2"), "{text}");
}

#[test]
fn an_unreadable_script() {
    let place = Place::new();
    let script = place.file("script.sh", "exit 0\n");
    let mut permissions = std::fs::metadata(&script).unwrap().permissions();
    std::os::unix::fs::PermissionsExt::set_mode(&mut permissions, 0);
    std::fs::set_permissions(&script, permissions).unwrap();
    if std::fs::read(&script).is_ok() {
        // Nothing is unreadable for root.
        return;
    }
    let text = said(&place, &["run", "script.sh"]);
    assert!(
        text.starts_with("status 125\n") && text.contains("hint: make it readable"),
        "{text}"
    );
}
