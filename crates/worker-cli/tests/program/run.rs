//! `worker run`: the script's bytes, its verdict as an exit status, and the
//! result file.

use std::io::{Read as _, Write as _};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

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

fn send(child: &std::process::Child, signal: &str) {
    let sent = Command::new("kill")
        .args(["-s", signal, &child.id().to_string()])
        .status()
        .unwrap();
    assert!(sent.success());
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
fn output_goes_into_a_file_too() {
    let place = Place::new();
    let script = "echo one; echo two >&2; exit 3";
    let output = run_script(&place, &["--output", "output.txt"], script);
    assert_eq!(
        (output.stdout.as_slice(), output.status.code()),
        (&b"one\ntwo\n"[..], Some(3))
    );
    assert_eq!(
        std::fs::read(place.path("output.txt")).unwrap(),
        b"one\ntwo\n"
    );
}

#[test]
fn a_file_that_takes_the_output_is_a_reader() {
    let place = Place::new();
    let mut child = place
        .worker()
        .args([
            "run",
            "--output",
            "output.txt",
            "--result",
            "result.json",
            "-c",
        ])
        .arg("echo begun; read -r x; sleep 1; echo more; exit 3")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut word = [0; 6];
    child.stdout.take().unwrap().read_exact(&mut word).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(3));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.contains("standard output could not be written"),
        "{said}"
    );
    assert_eq!(
        std::fs::read(place.path("output.txt")).unwrap(),
        b"begun\nmore\n"
    );
    assert_eq!(result(&place)["output_complete"], true);
}

#[test]
fn a_success_whose_output_is_lost_is_none() {
    let place = Place::new();
    for (script, status) in [("echo hi", 141), ("echo hi; exit 3", 3)] {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full");
        let output = place
            .worker()
            .args(["run", "--result", "result.json", "-c", script])
            .stdout(full.unwrap())
            .output()
            .unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        // The job may have been ended for it before the script exited.
        let ended = output.status.code();
        assert!(
            ended == Some(status) || ended == Some(141),
            "{ended:?}: {said}"
        );
        assert!(said.contains("No space left on device"), "{said}");
        assert_eq!(result(&place)["output_complete"], false);
    }
    place.assert_clean();
}

#[test]
fn there_is_a_result_also_where_nothing_could_be_prepared() {
    let place = Place::new();
    place.file("result.json", "an older result");
    let arguments = ["--result", "result.json", "-b", "no-such", "--job", "seven"];
    let output = run_script(&place, &arguments, "exit 0");
    assert_eq!(output.status.code(), Some(125));
    let result = result(&place);
    assert_eq!(
        (&result["ended_by"], &result["job"]),
        (&"never-started".into(), &"seven".into())
    );
    let error = result["error"].as_str().unwrap();
    assert!(error.contains("unknown backend `no-such`"), "{error}");
}

#[test]
fn devices_pipes_and_links_are_written_and_not_replaced() {
    let place = Place::new();
    let fifo = place.path("fifo");
    let made = Command::new("mkfifo").arg(&fifo).status().unwrap();
    assert!(made.success());
    std::os::unix::fs::symlink("target.json", place.path("link")).unwrap();
    place.file("target.json", "an older result");
    // A reader that is there before, and does not wait for a writer.
    let mut reader = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open(&fifo)
        .unwrap();
    for path in ["fifo", "link", "/dev/stdout"] {
        let output = run_script(&place, &["--quiet", "--result", path], "exit 4");
        assert_eq!(output.status.code(), Some(4), "{output:?}");
        let text = match path {
            "fifo" => {
                let mut text = vec![0; 4096];
                let length = reader.read(&mut text).unwrap();
                text.truncate(length);
                text
            }
            "link" => std::fs::read(place.path("target.json")).unwrap(),
            _ => output.stdout,
        };
        let result: serde_json::Value = serde_json::from_slice(&text).unwrap();
        assert_eq!(result["exit_code"], 4, "{path}");
    }
    let kind = |name: &str| place.path(name).symlink_metadata().unwrap().file_type();
    assert!(kind("link").is_symlink() && !kind("fifo").is_file());
}

#[test]
fn a_full_disk_costs_the_report_and_not_the_verdict() {
    let place = Place::new();
    for option in ["--result", "--events"] {
        let output = run_script(&place, &[option, "/dev/full"], "exit 3");
        assert_eq!(output.status.code(), Some(3), "{option}");
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains("`/dev/full`"), "{said}");
        assert!(said.contains("No space left on device"), "{said}");
    }
    place.assert_clean();
}

#[test]
fn with_json_every_line_on_standard_error_is_json() {
    let place = Place::new();
    let lines = |arguments: &[&str], script: &str| -> Vec<serde_json::Value> {
        let all = [&["--log-format", "json"], arguments].concat();
        let said = run_script(&place, &all, script).stderr;
        let said = String::from_utf8(said).unwrap();
        said.lines()
            .map(|line| serde_json::from_str(line).expect(line))
            .collect()
    };
    let limited = lines(&["-vv", "--hard-timeout", "500ms"], "sleep 60");
    let message = |line: &serde_json::Value| line["fields"]["message"].as_str().map(str::to_owned);
    let says = |text: &str| {
        limited
            .iter()
            .filter_map(message)
            .any(|said| said.contains(text))
    };
    assert!(
        says("the hard limit is reached") && says("sent SIGTERM"),
        "{limited:#?}"
    );
    let last = limited.last().unwrap();
    assert_eq!(last["fields"]["result"]["limit"], "hard", "{last:#}");
    let failed = lines(&["-b", "no-such"], "exit 0");
    let last = failed.last().unwrap();
    assert_eq!(last["level"], "ERROR");
    assert!(
        last["fields"]["hint"].is_string() || message(last).is_some(),
        "{last:#}"
    );
    place.assert_clean();
}

#[test]
fn the_summary_says_how_it_ended_and_what_it_took() {
    let place = Place::new();
    let said = run_script(&place, &[], "printf 12345; exit 9").stderr;
    let said = String::from_utf8(said).unwrap();
    let lines: Vec<_> = said.lines().collect();
    assert!(
        lines[0].starts_with("worker: the script exited with code 9 after "),
        "{said}"
    );
    assert!(lines[1].starts_with("worker: start "), "{said}");
    assert!(lines[1].ends_with("; 5 bytes of output"), "{said}");
    for step in ["run", "stop"] {
        assert!(lines[1].contains(&format!(", {step} ")), "{said}");
    }
}
