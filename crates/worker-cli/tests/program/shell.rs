//! `worker shell`, in instances of `local`: on a terminal and without one.

use std::io::Write as _;
use std::process::{Command, Output, Stdio};

use crate::common::Place;
use crate::terminal::Terminal;

/// Runs a script whose instance is kept, and gives its id and what was said.
fn keep(place: &Place, script: &str) -> (String, String) {
    let mut run = place.worker();
    run.args([
        "run",
        "--keep",
        "always",
        "-e",
        "GREETING=hello",
        "-c",
        script,
    ]);
    let output = run.output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    let (_, id) = said.split_once("worker: kept ").unwrap();
    (id.split(' ').next().unwrap().to_owned(), said)
}

fn shell(place: &Place, arguments: &[&str]) -> Command {
    let mut command = place.worker();
    command.args(["shell", "-b", "local"]).args(arguments);
    command
}

fn remove(place: &Place, id: &str) {
    let reaped = place
        .worker()
        .args(["reap", "-b", "local", id])
        .output()
        .unwrap();
    assert!(reaped.status.success(), "{reaped:?}");
    place.assert_clean();
}

/// What it says without a terminal, its id and place replaced.
fn said(output: &Output, id: &str) -> String {
    let said = String::from_utf8_lossy(&output.stderr);
    format!("{}{said}", output.status.code().unwrap()).replace(id, "[ID]")
}

#[test]
fn a_kept_instance_is_entered_by_the_beginning_of_its_id() {
    let place = Place::new();
    let (id, kept) = keep(&place, "echo evidence >found; exit 3");
    let enter = format!("worker: enter it: worker shell -b local {id}\n");
    assert!(kept.contains(&enter), "{kept}");
    let mut terminal = Terminal::run(&shell(&place, &[&id[..8]]), 200, None);
    terminal.wait_for_text(&format!("worker: in {id} on local, kept until "));
    terminal.type_text("cat found; echo $GREETING$TERM; stty size\n");
    terminal.wait_for_text("evidence\nhelloxterm\n24 200");
    assert!(terminal.is_raw());
    terminal.type_text("tty; exit 7\n");
    let (status, screen) = terminal.end();
    assert_eq!(status, 7, "{screen}");
    assert!(screen.contains("/dev/pts/"), "{screen}");
    assert!(!terminal.is_raw());
    remove(&place, &id);
}

#[test]
fn a_shell_follows_the_size_of_the_terminal() {
    let place = Place::new();
    let (id, _) = keep(&place, "true");
    let mut terminal = Terminal::run(&shell(&place, &[&id]), 200, None);
    terminal.type_text("until test \"$(stty size)\" = '24 161'; do sleep 0.1; done; exit 4\n");
    terminal.wait_for_text("exit 4");
    terminal.resize(161);
    assert_eq!(terminal.end().0, 4);
    remove(&place, &id);
}

#[test]
fn a_shell_whose_instance_is_removed_says_so() {
    let place = Place::new();
    let (id, _) = keep(&place, "true");
    let mut terminal = Terminal::run(&shell(&place, &[&id]), 200, None);
    terminal.type_text("echo o''pen; sleep 1000\n");
    terminal.wait_for_text("\nopen");
    remove(&place, &id);
    let (status, screen) = terminal.end();
    assert_eq!(status, 75, "{screen}");
    let told = "error: the instance was removed while the shell was open\n\
                hint: `worker ps` lists the instances that exist";
    assert!(screen.ends_with(told), "{screen}");
    assert!(!terminal.is_raw());
}

#[test]
fn a_signal_ends_the_shell_and_gives_the_terminal_back() {
    for (signal, status) in [("TERM", 143), ("HUP", 129), ("QUIT", 143), ("INT", 130)] {
        let place = Place::new();
        let (id, _) = keep(&place, "true");
        let mut terminal = Terminal::run(&shell(&place, &[&id]), 200, None);
        terminal.type_text("echo $$ >shell; echo o''pen; sleep 1000\n");
        terminal.wait_for_text("\nopen");
        // `setsid` has become the program.
        let pid = terminal.child.id().to_string();
        let sent = Command::new("kill").args(["-s", signal, &pid]).status();
        assert!(sent.unwrap().success());
        assert_eq!(terminal.end().0, status, "{signal}");
        assert!(!terminal.is_raw(), "{signal}");
        let shell = std::fs::read_to_string(place.instances().join(&id).join("job/work/shell"));
        let process = format!("/proc/{}", shell.unwrap().trim());
        assert!(!std::path::Path::new(&process).exists(), "{signal}");
        remove(&place, &id);
    }
}

#[test]
fn a_command_without_a_terminal_has_pipes() {
    let place = Place::new();
    let (id, _) = keep(&place, "printf evidence >found");
    let program = "cat found -; echo \"to $1\" >&2; test -t 0 || exit 9";
    let mut command = shell(&place, &[&id, "--", "sh", "-c", program, "sh", "a  b"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(b" \0\xff\r\n")
        .unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.stdout, b"evidence \0\xff\r\n");
    assert_eq!(said(&output, &id), "9to a  b\n");
    // Its death by signal is told as by a shell.
    let killed = shell(&place, &[&id, "--", "sh", "-c", "kill -9 $$"]).output();
    assert_eq!(said(&killed.unwrap(), &id), "137");
    // A reader that goes away ends it, without a word.
    let mut endless = shell(&place, &[&id, "--", "yes"]);
    endless.stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = endless.stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(said(&output, &id), "141");
    remove(&place, &id);
}

#[test]
fn what_cannot_be_entered_is_told() {
    let place = Place::new();
    let refused = |arguments: &[&str], id: &str| {
        let mut command = shell(&place, arguments);
        said(&command.stdin(Stdio::null()).output().unwrap(), id)
    };
    insta::assert_snapshot!(refused(&["w-none"], "w-none"), @"
    125error: a shell needs a terminal, and standard input is none
    hint: give it a command to run: `worker shell ID -- COMMAND`
    ");
    insta::assert_snapshot!(refused(&["w-none", "--", "true"], "w-none"), @"
    125error: there is no instance `[ID]`
    hint: `worker ps` lists those that exist
    ");
    let (one, _) = keep(&place, "true");
    let (other, _) = keep(&place, "true");
    let told = refused(&["w-", "--", "true"], &one).replace(&other, "[ID]");
    insta::assert_snapshot!(told, @"
    125error: `w-` may be any of [ID] on local, [ID] on local
    hint: give more of the id
    ");
    assert_eq!(
        refused(&[&one, "--", "no-such-program"], &one),
        "127sh: 1: exec: no-such-program: not found\n"
    );
    for id in [one, other] {
        let reaped = place
            .worker()
            .args(["reap", "-b", "local", &id])
            .output()
            .unwrap();
        assert!(reaped.status.success(), "{reaped:?}");
    }
    place.assert_clean();
}
