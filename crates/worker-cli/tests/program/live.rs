//! The live line of `worker run`: there on a terminal while it lasts, gone
//! afterwards, and never anywhere else.

use std::process::{Command, Stdio};

use crate::common::Place;
use crate::terminal::Terminal;

/// A run on `fake` whose start takes a second and a half, as its options add.
fn run(place: &Place, options: &[&str]) -> Command {
    let mut command = place.worker();
    command.args(["run", "-b", "fake", "-o", "startup-duration=1500ms"]);
    for option in options {
        command.args(["-o", option]);
    }
    command.args(["-c", "true"]);
    command
}

/// The screen with what differs from run to run replaced.
fn steady(screen: &str) -> String {
    let lines = screen.lines().map(|line| {
        let words = line.split(' ').map(|word| {
            let (bare, rest) = match word.strip_suffix([',', ';']) {
                Some(bare) => (bare, &word[bare.len()..]),
                None => (word, ""),
            };
            if bare.starts_with("`w-") {
                return "`[ID]`".to_owned();
            }
            match humantime::parse_duration(bare) {
                Ok(_) if bare.ends_with('s') => format!("[TIME]{rest}"),
                _ => word.to_owned(),
            }
        });
        let line = words.collect::<Vec<_>>().join(" ");
        line.replace("[TIME] [TIME]", "[TIME]")
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn a_start_is_seen_and_gone_when_the_script_succeeds() {
    let place = Place::new();
    let command = run(&place, &["log-output=hello\n"]);
    let mut terminal = Terminal::run(&command, 60, None);
    terminal.wait_for_text("waiting 1s until it is ready");
    let (status, screen) = terminal.end();
    assert_eq!(status, 0);
    insta::assert_snapshot!(steady(&screen), @"
    hello
    worker: the script exited with code 0 after [TIME]
    worker: start [TIME], upload [TIME], run [TIME], stop [TIME]; 6 bytes of output
    ");
}

#[test]
fn a_failed_start_leaves_its_message_only() {
    let place = Place::new();
    let mut terminal = Terminal::run(&run(&place, &["error=no machines today"]), 60, None);
    terminal.wait_for_text("waiting 1s");
    let (status, screen) = terminal.end();
    assert_eq!(status, 125);
    insta::assert_snapshot!(steady(&screen), @"
    error: failed to start an instance `[ID]` on backend `fake`
    caused by: no machines today
    worker: the script never began
    ");
}

#[test]
fn a_cancel_takes_the_line_away() {
    let place = Place::new();
    let mut terminal = Terminal::run(&run(&place, &["start-hang=true"]), 60, None);
    terminal.wait_for_text("waiting");
    terminal.type_text("\x03");
    let (status, screen) = terminal.end();
    assert_eq!(status, 130);
    insta::assert_snapshot!(steady(&screen), @"
    worker: interrupted: ending the job
    worker: interrupted before the script began
    ");
}

#[test]
fn a_terminal_that_becomes_narrower_is_left_clean() {
    let place = Place::new();
    let mut terminal = Terminal::run(&run(&place, &["startup-duration=4s"]), 100, None);
    terminal.wait_for_text("waiting 1s until it is ready");
    terminal.resize(20);
    terminal.wait_for_text("waiting 3s until it");
    terminal.resize(60);
    let (status, screen) = terminal.end();
    assert_eq!(status, 0);
    assert!(!screen.contains("waiting"), "{screen}");
    assert!(screen.starts_with("worker: the script exited"), "{screen}");
}

#[test]
fn while_the_output_goes_elsewhere_the_run_is_seen_too() {
    let place = Place::new();
    let command = run(&place, &["run-sleep=1500ms", "log-output=hello"]);
    let mut terminal = Terminal::run(&command, 60, Some(Stdio::null()));
    terminal.wait_for_text("running 1s");
    let (status, screen) = terminal.end();
    assert_eq!(status, 0);
    assert!(screen.starts_with("worker: the script exited"), "{screen}");
}

#[test]
fn nothing_is_drawn_elsewhere() {
    let place = Place::new();
    let output = run(&place, &[]).env("TERM", "xterm").output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!said.contains(['\x1b', '\r']), "{said:?}");
    for (argument, variables) in [("-q", [("TERM", "xterm")]), ("-v", [("TERM", "dumb")])] {
        let mut command = run(&place, &[]);
        command.arg(argument).envs(variables).env("NO_COLOR", "1");
        let mut terminal = Terminal::run(&command, 60, None);
        assert_eq!(terminal.end().0, 0);
        let written = terminal.written();
        assert!(!written.contains('\x1b'), "{written:?}");
    }
}

#[test]
fn no_message_needs_colour() {
    let place = Place::new();
    let mut command = run(&place, &["signal-error=cannot be reached", "run-hang=true"]);
    command.args(["-v", "--hard-timeout", "200ms", "--grace", "100ms"]);
    command.env("NO_COLOR", "1");
    let mut terminal = Terminal::run(&command, 60, None);
    let written = {
        terminal.wait_for_text("limit ended the script");
        terminal.written()
    };
    // Erasing the line is all that is drawn.
    let plain = written.replace("\r\x1b[J", "");
    assert!(!plain.contains('\x1b'), "{plain:?}");
    assert_eq!(terminal.end().0, 124);
}
