//! What is wrong with a command line gets one message, the right status, and
//! creates nothing.

use crate::common::Place;
use crate::doctor::apply;
use crate::doctor::files::{NOBODY, as_nobody, open_place};

/// Runs the program and shows its status and what it said.
fn said(place: &Place, arguments: &[&str]) -> String {
    let output = place.worker().args(arguments).output().unwrap();
    assert_eq!(output.stdout, b"", "nothing of ours is on standard output");
    assert!(!place.instances().exists() || place.instances().read_dir().unwrap().next().is_none());
    let text = String::from_utf8(output.stderr).unwrap();
    let text = text.replace(&place.directory.path().display().to_string(), "[PLACE]");
    // Which there are depends on the features.
    let text = match text.split_once("this program has ") {
        Some((head, list)) => {
            let (_, rest) = list.split_once('\n').unwrap();
            format!("{head}this program has [BACKENDS]\n{rest}")
        }
        None => text,
    };
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
    assert_said!(["run", "-b", "locl", "script.sh"], @"
    status 125
    error: unknown backend `locl`: this program has [BACKENDS]
    hint: did you mean `local`?
    ");
}

#[test]
fn unknown_option() {
    assert_said!(["run", "-o", "direktory=/x", "script.sh"], @"
    status 125
    error: 1 problem with the options of backend `local`
    caused by: unknown option `direktory`: did you mean `directory`?
    hint: `worker backends local` lists its options
    ");
}

#[test]
fn several_problems_with_options() {
    assert_said!(["run", "-b", "fake", "-o", "exit-code=many", "-o", "run-slep=1s", "script.sh"], @"
    status 125
    error: 2 problems with the options of backend `fake`
    caused by: unknown option `run-slep`: did you mean `run-sleep`?; option `exit-code`: `many` is not an integer from 0 to 255, such as `43`
    hint: `worker backends fake` lists its options
    ");
}

#[test]
fn option_without_equals_sign() {
    assert_said!(["run", "-o", "directory", "script.sh"], @"
    status 2
    error: invalid value 'directory' for '--option <KEY=VALUE>': expected KEY=VALUE

    For more information, try '--help'.
    ");
}

#[test]
fn unknown_attribute() {
    assert_said!(["run", "--langauge", "go", "script.sh"], @"
    status 2
    error: unexpected argument '--langauge' found

      tip: a similar argument exists: '--language'

    Usage: worker run --language <LANGUAGE> <SCRIPT|--command <TEXT>>

    For more information, try '--help'.
    ");
}

#[test]
fn two_scripts() {
    assert_said!(["run", "script.sh", "other.sh"], @"
    status 2
    error: unexpected argument 'other.sh' found

    Usage: worker run [OPTIONS] <SCRIPT|--command <TEXT>>

    For more information, try '--help'.
    ");
}

#[test]
fn a_script_and_a_text() {
    assert_said!(["run", "-c", "true", "script.sh"], @"
    status 2
    error: the argument '--command <TEXT>' cannot be used with '[SCRIPT]'

    Usage: worker run <SCRIPT|--command <TEXT>>

    For more information, try '--help'.
    ");
}

#[test]
fn no_script() {
    assert_said!(["run"], @"
    status 2
    error: the following required arguments were not provided:
      <SCRIPT|--command <TEXT>>

    Usage: worker run <SCRIPT|--command <TEXT>>

    For more information, try '--help'.
    ");
}

#[test]
fn missing_script() {
    assert_said!(["run", "missing.sh"], @"
    status 125
    error: cannot read the script `missing.sh`
    caused by: No such file or directory (os error 2)
    hint: give the path of a script, `-` for standard input, or -c 'TEXT'
    ");
}

#[test]
fn a_directory_as_script() {
    assert_said!(["run", "folder"], @"
    status 125
    error: the script `folder` is a directory
    hint: give the path of a file inside of it
    ");
}

#[test]
fn a_program_as_script() {
    assert_said!(["run", "program"], @"
    status 125
    error: the script `program` is an ELF program, not a script
    hint: give a script; to run a program, call it from one: -c './program'
    ");
}

#[test]
fn a_script_that_is_not_text() {
    assert_said!(["run", "not-text"], @"
    status 125
    error: the script `not-text` is not text, and has no `#!` line
    hint: give a script; to run a program, call it from one: -c './program'
    ");
}

#[test]
fn a_variable_that_no_shell_can_hold() {
    assert_said!(["run", "-e", "1A=x", "script.sh"], @r#"
    status 125
    error: cannot set a variable of --env
    caused by: environment variable name "1A" cannot be used: it may have letters, digits and _, and no digit first
    hint: give it another name, or a shorter value
    "#);
}

#[test]
fn a_secret_is_not_shown_with_a_bad_name() {
    let place = Place::new();
    place.file("script.sh", "exit 0\n");
    let text = said(&place, &["run", "-e", "BAD-NAME=hunter2", "script.sh"]);
    assert!(
        text.starts_with("status 125\n") && text.contains("BAD-NAME"),
        "{text}"
    );
    assert!(!text.contains("hunter2"), "{text}");
}

#[test]
fn a_secret_that_is_not_there() {
    assert_said!(["run", "--secret-env", "NO_SUCH_SECRET", "script.sh"], @"
    status 125
    error: cannot pass on the secret `NO_SUCH_SECRET` of --secret-env
    caused by: environment variable not found
    hint: set the variable in the environment of `worker` itself
    ");
}

#[test]
fn a_secret_too_short_to_mask() {
    let place = Place::new();
    place.file("script.sh", "exit 0\n");
    let output = place
        .worker()
        .args(["run", "--secret-env", "SHORT", "script.sh"])
        .env("SHORT", "abc")
        .output()
        .unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(125));
    assert!(
        text.contains("`SHORT` is too short") && text.contains("hint: "),
        "{text}"
    );
    place.assert_clean();
}

#[test]
fn a_reserved_variable() {
    assert_said!(["run", "-e", "UID=0", "script.sh"], @"
    status 125
    error: cannot set a variable of --env
    caused by: environment variable `UID` cannot be set: shells reserve it for themselves
    hint: give it another name, or a shorter value
    ");
}

#[test]
fn a_bad_environment_file() {
    assert_said!(["run", "--env-file", "bad-variables", "script.sh"], @"
    status 125
    error: cannot use the environment file `bad-variables`
    caused by: line 2: expected KEY=VALUE
    hint: each line is KEY=VALUE, empty, or a comment that begins with `#`
    ");
}

#[test]
fn contradicting_limits() {
    assert_said!(["run", "--hard-timeout", "1m", "--silence-timeout", "2m", "script.sh"], @"
    status 125
    error: these limits cannot hold
    caused by: the silence limit (2m) is not below the hard limit (1m): it could never be reached
    hint: `worker run --help` says what each limit is about
    ");
}

#[test]
fn a_limit_of_nothing() {
    assert_said!(["run", "--hard-timeout", "0s", "script.sh"], @"
    status 125
    error: these limits cannot hold
    caused by: the hard limit is zero: leave it out for no limit
    hint: `worker run --help` says what each limit is about
    ");
}

#[test]
fn a_limit_that_is_no_duration() {
    assert_said!(["run", "--hard-timeout", "soon", "script.sh"], @"
    status 2
    error: invalid value 'soon' for '--hard-timeout <DURATION>': expected a duration such as 90s, 10m or 1h30m

    For more information, try '--help'.
    ");
}

#[test]
fn a_result_that_cannot_be_written() {
    assert_said!(["run", "--result", "missing/result.json", "script.sh"], @"
    status 125
    error: cannot write the result to `missing/result.json`
    caused by: No such file or directory (os error 2)
    hint: give the path of a file, in a directory that exists and can be written
    ");
}

#[test]
fn events_that_cannot_be_written() {
    assert_said!(["run", "--events", "missing/events.jsonl", "script.sh"], @"
    status 125
    error: cannot write the events to `missing/events.jsonl`
    caused by: No such file or directory (os error 2)
    hint: give the path of a file, in a directory that exists and can be written
    ");
}

#[test]
fn an_output_file_that_cannot_be_written() {
    assert_said!(["run", "--output", "folder", "script.sh"], @"
    status 125
    error: cannot write the output to `folder`
    caused by: Is a directory (os error 21)
    hint: give the path of a file, in a directory that exists and can be written
    ");
}

#[test]
fn a_value_with_nul() {
    let place = Place::new();
    place.file("script.sh", "exit 0\n");
    place.file("variables", "GOOD=1\nBAD=hunter2\0\n");
    insta::assert_snapshot!(said(&place, &["run", "--env-file", "variables", "script.sh"]), @"
    status 125
    error: cannot use the environment file `variables`
    caused by: line 2: environment variable `BAD` holds a NUL byte, which no process can be given
    hint: each line is KEY=VALUE, empty, or a comment that begins with `#`
    ");
}

#[test]
fn a_negative_limit() {
    assert_said!(["run", "--hard-timeout=-5s", "script.sh"], @"
    status 2
    error: invalid value '-5s' for '--hard-timeout <DURATION>': expected a duration such as 90s, 10m or 1h30m

    For more information, try '--help'.
    ");
}

#[test]
fn a_limit_beyond_any_sense() {
    assert_said!(["run", "--hard-timeout", "900years", "script.sh"], @"
    status 125
    error: these limits cannot hold
    caused by: the hard limit is over a year
    hint: `worker run --help` says what each limit is about
    ");
}

#[test]
fn a_grace_period_beyond_any_sense() {
    assert_said!(["run", "--grace", "18446744073709551615s", "--hard-timeout", "1m", "script.sh"], @"
    status 125
    error: these limits cannot hold
    caused by: the grace period is over a year
    hint: `worker run --help` says what each limit is about
    ");
}

#[test]
fn an_output_limit_of_nothing() {
    assert_said!(["run", "--max-output", "0", "script.sh"], @"
    status 125
    error: these limits cannot hold
    caused by: the output limit is zero: leave it out for no limit
    hint: `worker run --help` says what each limit is about
    ");
}

#[test]
fn a_secret_in_the_text_of_an_error() {
    let place = Place::new();
    place.file("script.sh", "exit 0\n");
    let output = place
        .worker()
        .args([
            "run",
            "--secret-env",
            "TOKEN",
            "-o",
            "hunter22=1",
            "script.sh",
        ])
        .env("TOKEN", "hunter22")
        .output()
        .unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(125));
    assert!(text.contains("unknown option `***`"), "{text}");
    assert!(!text.contains("hunter22"), "{text}");
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
    let place = open_place();
    let script = place.file("script.sh", "exit 3\n");
    let script = script.to_str().unwrap();
    apply(&format!("chmod 600 '{script}'"));
    let run = || as_nobody("local", &place, &["run", script], NOBODY);
    let Some(mut broken) = run() else { return };
    let output = broken.output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(125), "{text}");
    let own = place.directory.path().display().to_string();
    insta::assert_snapshot!(text.replace(&own, "[PLACE]"), @"
    error: cannot read the script `[PLACE]/script.sh`
    caused by: permission denied: it has mode 0600, user root, group root
    hint: make it readable for this user, or pass it through standard input: `worker run - < FILE`
    ");
    // As the hint says.
    apply(&format!("chmod 644 '{script}'"));
    assert_eq!(run().unwrap().status().unwrap().code(), Some(3));
}
