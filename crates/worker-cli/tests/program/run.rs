//! `worker run`: the script's bytes, its verdict as an exit status, and the
//! result file.

use std::io::{Read as _, Write as _};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::common::Place;

fn run_script(place: &Place, arguments: &[&str], script: &str) -> Output {
    let mut child = place
        .worker()
        .arg("run")
        .args(arguments)
        .arg("-")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(script.as_bytes())
        .unwrap();
    child.wait_with_output().unwrap()
}

fn result(place: &Place) -> serde_json::Value {
    serde_json::from_slice(&std::fs::read(place.path("result.json")).unwrap()).unwrap()
}

#[test]
fn standard_output_is_the_scripts_bytes_and_the_status_its_code() {
    let place = Place::new();
    let script = "#!/bin/sh\necho out; echo err >&2; exit 43\n";
    let output = run_script(&place, &["--result", "result.json"], script);
    assert_eq!(output.stdout, b"out\nerr\n");
    assert_eq!(output.status.code(), Some(43));
    let result = result(&place);
    assert_eq!(
        result["outcome"],
        serde_json::json!({"kind": "exited", "code": 43})
    );
    assert_eq!(
        (result["ended_by"].as_str(), result["exit_code"].as_i64()),
        (Some("script"), Some(43))
    );
    assert_eq!(
        (
            result["output_bytes"].as_u64(),
            result["output_complete"].as_bool()
        ),
        (Some(8), Some(true))
    );
    // printf 'out\nerr\n' | sha256sum
    assert_eq!(
        result["output_sha256"],
        "9f345aa1474b011fb7f938c3c12eb48e8b583d94bdbe1235d9e972cfe5b1b4ef"
    );
    assert!(result["durations"]["run_ms"].is_u64());
    place.assert_clean();
}

#[test]
fn every_exit_and_signal_has_its_status() {
    let place = Place::new();
    for code in [0, 1, 2, 43, 75, 124, 125, 126, 127, 128, 137, 255] {
        let output = run_script(&place, &[], &format!("exit {code}\n"));
        assert_eq!(output.status.code(), Some(code));
    }
    for (signal, status) in [
        ("KILL", 137),
        ("TERM", 143),
        ("SEGV", 139),
        ("INT", 130),
        ("PIPE", 141),
    ] {
        let output = run_script(&place, &[], &format!("kill -{signal} $$; sleep 10\n"));
        assert_eq!(output.status.code(), Some(status), "{signal}");
    }
    place.assert_clean();
}

#[test]
fn a_script_is_a_path_or_text_or_standard_input() {
    let place = Place::new();
    place.file("script.sh", "#!/bin/sh\nprintf path");
    let by_path = place.worker().args(["run", "script.sh"]).output().unwrap();
    assert_eq!(by_path.stdout, b"path");
    let by_text = place
        .worker()
        .args(["run", "-c", "printf text"])
        .output()
        .unwrap();
    assert_eq!(by_text.stdout, b"text");
    assert_eq!(run_script(&place, &[], "printf stdin").stdout, b"stdin");
}

#[test]
fn quiet_says_nothing_of_a_script_that_ran() {
    let place = Place::new();
    let output = run_script(&place, &["--quiet"], "echo hi; exit 9");
    assert_eq!(
        (output.stdout.as_slice(), output.stderr.as_slice()),
        (&b"hi\n"[..], &b""[..])
    );
}

#[test]
fn the_environment_is_what_was_asked_for() {
    let place = Place::new();
    place.file("variables", "# comment\nFROM_FILE=a b\nBOTH=file\n");
    let arguments = [
        "--env-file",
        "variables",
        "-e",
        "BOTH=flag",
        "-e",
        "QUOTE='\"$HOME\\",
    ];
    let output = run_script(
        &place,
        &arguments,
        "printf '%s|%s|%s' \"$FROM_FILE\" \"$BOTH\" \"$QUOTE\"",
    );
    assert_eq!(
        String::from_utf8(output.stdout).unwrap(),
        "a b|flag|'\"$HOME\\"
    );
    let output = run_script(&place, &[], "env");
    let environment = String::from_utf8(output.stdout).unwrap();
    assert!(!environment.contains("WORKER_STATE_DIR"), "{environment}");
}

#[test]
fn a_secret_reaches_the_script_and_nobody_else() {
    let place = Place::new();
    let output = place
        .worker()
        .args(["run", "-vv", "--secret-env", "TOKEN", "--result", "result.json"])
        .args(["--events", "events.jsonl", "-c"])
        .arg("printf %s \"$TOKEN\" | wc -c; printf hunt; sleep 1; echo er22; echo \"$TOKEN\" | base64")
        .env("TOKEN", "hunter22")
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "8\n***\n***IK\n");
    let mut said = output.stderr;
    for file in ["result.json", "events.jsonl"] {
        said.extend(std::fs::read(place.path(file)).unwrap());
    }
    let said = String::from_utf8(said).unwrap();
    assert!(
        !said.contains("hunter22") && !said.contains("aHVudGVy"),
        "{said}"
    );
}

#[test]
fn limits_end_with_124_and_say_which() {
    let place = Place::new();
    for (arguments, script, ended_by, limit) in [
        (
            &["--hard-timeout", "500ms"][..],
            "sleep 60",
            "timeout",
            "hard",
        ),
        (
            &["--silence-timeout", "500ms"],
            "sleep 60",
            "timeout",
            "silence",
        ),
        (
            &["--max-output", "1000"],
            "while :; do echo x; done",
            "output-limit",
            "output",
        ),
    ] {
        let mut all = vec!["--result", "result.json"];
        all.extend(arguments);
        let output = run_script(&place, &all, script);
        assert_eq!(output.status.code(), Some(124), "{limit}");
        let result = result(&place);
        assert_eq!(
            (result["ended_by"].as_str(), result["limit"].as_str()),
            (Some(ended_by), Some(limit))
        );
        if limit == "output" {
            assert_eq!(output.stdout.len(), 1000);
        }
    }
    place.assert_clean();
}

#[test]
fn a_truncated_output_keeps_the_scripts_own_verdict() {
    let place = Place::new();
    let arguments = [
        "--max-output",
        "4",
        "--on-max-output",
        "truncate",
        "--result",
        "result.json",
    ];
    let output = run_script(&place, &arguments, "echo 123456789; exit 6");
    assert_eq!(
        (output.stdout.as_slice(), output.status.code()),
        (&b"1234"[..], Some(6))
    );
    let result = result(&place);
    assert_eq!(result["output_truncated"], true);
    assert_eq!(result["output_complete"], true);
}

#[test]
fn events_are_lines_of_json() {
    let place = Place::new();
    run_script(&place, &["--events", "events.jsonl"], "exit 0");
    let text = std::fs::read_to_string(place.path("events.jsonl")).unwrap();
    let events: Vec<serde_json::Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(events[0]["sequence"], 0);
    assert_eq!(events.last().unwrap()["event"], "job-ended");
}

/// Starts a script that says when it has begun, and waits until it has.
fn begun(place: &Place, script: &str) -> std::process::Child {
    let mut child = place
        .worker()
        .args(["run", "--grace", "2s", "--result", "result.json", "-c"])
        .arg(format!("echo begun; {script}"))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut word = [0; 6];
    child
        .stdout
        .as_mut()
        .unwrap()
        .read_exact(&mut word)
        .unwrap();
    assert_eq!(&word, b"begun\n");
    child
}

fn send(child: &std::process::Child, signal: &str) {
    let sent = Command::new("kill")
        .args(["-s", signal, &child.id().to_string()])
        .status()
        .unwrap();
    assert!(sent.success());
}

#[test]
fn signals_cancel_with_grace_and_are_the_status() {
    for (signal, status, cause) in [
        ("INT", 130, "interrupt"),
        ("TERM", 143, "terminate"),
        ("HUP", 129, "hang-up"),
    ] {
        let place = Place::new();
        let mut child = begun(
            &place,
            "trap 'echo bye; exit 99' TERM; while :; do sleep 0.1; done",
        );
        send(&child, signal);
        let mut rest = String::new();
        child
            .stdout
            .take()
            .unwrap()
            .read_to_string(&mut rest)
            .unwrap();
        // A shell may report on its own child before it comes to the trap.
        assert!(rest.ends_with("bye\n"), "{rest}");
        assert_eq!(child.wait().unwrap().code(), Some(status));
        let result = result(&place);
        assert_eq!(result["cancelled_by"], cause);
        assert_eq!(result["exit_code"], 99);
        place.assert_clean();
    }
}

#[test]
fn an_interrupt_is_heard_while_the_script_is_still_read() {
    let place = Place::new();
    let mut child = place
        .worker()
        .args(["run", "-"])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(b"echo never").unwrap();
    // The handler is there once INT is caught; until then it would just die.
    let caught = |status: &str| {
        let mask = status
            .lines()
            .find_map(|line| line.strip_prefix("SigCgt:"))
            .unwrap();
        u64::from_str_radix(mask.trim(), 16).unwrap() & 2 != 0
    };
    while !caught(&std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap()) {
        std::thread::sleep(Duration::from_millis(5));
    }
    send(&child, "INT");
    assert_eq!(child.wait().unwrap().code(), Some(130));
    place.assert_clean();
}

#[test]
fn a_second_interrupt_ends_at_once_and_still_removes() {
    let place = Place::new();
    let mut child = place
        .worker()
        .args([
            "run",
            "--grace",
            "1h",
            "-c",
            "trap '' TERM; echo begun; while :; do sleep 0.1; done",
        ])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut word = [0; 6];
    child
        .stdout
        .as_mut()
        .unwrap()
        .read_exact(&mut word)
        .unwrap();
    send(&child, "INT");
    // The first is heard once TERM was sent; the second must not wait an hour.
    let mut said = String::new();
    let mut errors = child.stderr.take().unwrap();
    let mut byte = [0];
    while !said.contains("sent SIGTERM") {
        assert_eq!(errors.read(&mut byte).unwrap(), 1, "{said}");
        said.push(char::from(byte[0]));
    }
    send(&child, "INT");
    assert_eq!(child.wait().unwrap().code(), Some(130));
    place.assert_clean();
}

#[test]
fn a_reader_that_goes_away_ends_the_script() {
    let place = Place::new();
    let mut child = begun(&place, "while :; do echo more; sleep 0.01; done");
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(141));
    assert_eq!(result(&place)["cancelled_by"], "output-closed");
    place.assert_clean();
}

#[test]
fn a_killed_worker_leaves_what_reap_finds_and_nothing_more() {
    let place = Place::new();
    // A sleep that can be told from all others.
    let seconds = format!("3{:05}", std::process::id());
    let mut child = begun(
        &place,
        &format!("sleep {seconds} & setsid sleep {seconds} & sleep {seconds}"),
    );
    child.kill().unwrap();
    child.wait().unwrap();
    let reap = |arguments: &[&str]| {
        let output = place.worker().arg("reap").args(arguments).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    // Too young: nothing is touched.
    assert!(reap(&["--dry-run"]).contains("younger than a minute"));
    // Grow it old.
    let instance = std::fs::read_dir(place.instances())
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    let marks = instance.join("marks.json");
    let mut old: serde_json::Value =
        serde_json::from_slice(&std::fs::read(&marks).unwrap()).unwrap();
    let created = &mut old["marks"]["created"];
    *created = (created.as_u64().unwrap() - 3600).into();
    std::fs::write(&marks, old.to_string()).unwrap();

    assert!(reap(&["--dry-run"]).contains("would be removed: its worker is dead"));
    assert!(instance.exists() && processes(&seconds) > 0);
    assert!(reap(&["--owner", "someone-else"]).contains("belongs to another owner"));
    assert!(instance.exists());
    assert!(reap(&[]).contains("removed: its worker is dead"));
    place.assert_clean();
    let patience = Instant::now() + Duration::from_secs(10);
    while processes(&seconds) > 0 {
        assert!(Instant::now() < patience, "processes are left");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(reap(&[]), "nothing was left behind\n");
}

/// How many processes sleep for so many seconds.
fn processes(seconds: &str) -> usize {
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let lines = entries.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
    let wanted = format!("sleep\0{seconds}\0");
    lines.filter(|line| line == wanted.as_bytes()).count()
}
