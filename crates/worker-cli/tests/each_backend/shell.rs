//! `worker shell`, by the line that a run prints which keeps its instance; and
//! its refusal where there are no shells.

use std::process::Command;

use crate::Case;
use crate::place::{Begun, Place, Script};
use crate::terminal::Terminal;

pub(crate) const CASES: &[Case] = &[
    ("shell_as_printed", shell_as_printed),
    ("shell_of_a_removed_instance", shell_of_a_removed_instance),
    ("shell_in_a_running_instance", shell_in_a_running_instance),
];

const LEAVES_SOMETHING: Script = Script {
    text: "echo evidence >found",
    fake: &[],
};

const RUNS: Script = Script {
    text: "trap 'exit 0' TERM; echo evidence >found; echo begun; while :; do sleep 0.1; done",
    fake: &[("log-output", "begun\n"), ("run-hang", "true")],
};

/// Keeps an instance, and gives its id and the line that enters it; `None`
/// where none can be kept.
fn keep(place: &Place) -> Option<(String, String)> {
    let output = place.output(
        &LEAVES_SOMETHING,
        &["--keep", "always", "-e", "GREETING=hello"],
    );
    let said = String::from_utf8(output.stderr).unwrap();
    if said.contains("does not have the capability `keeps`") {
        place.assert_clean();
        return None;
    }
    let id = place.result()["instance"].as_str().unwrap().to_owned();
    let line = said
        .lines()
        .find_map(|line| line.strip_prefix("worker: enter it: worker "));
    let line = line.unwrap_or_else(|| panic!("{said}")).to_owned();
    assert!(line.ends_with(&id), "{line}");
    Some((id, line))
}

fn remove(place: &Place, id: &str) {
    let removed = place.worker("reap").arg(id).output().unwrap();
    assert!(removed.status.success(), "{removed:?}");
    place.assert_clean();
}

/// The program by a line of shell, as a person would paste it.
fn pasted(place: &Place, line: &str) -> Command {
    let worker = env!("CARGO_BIN_EXE_worker");
    let mut shell = Command::new("/bin/sh");
    shell.arg("-c").arg(format!("exec {worker} {line}"));
    let template = place.worker("shell");
    shell.env_clear();
    for (name, value) in template.get_envs() {
        if let Some(value) = value {
            shell.env(name, value);
        }
    }
    shell.current_dir(template.get_current_dir().unwrap());
    shell
}

fn shell_as_printed(place: &Place) {
    let Some((id, line)) = keep(place) else {
        return;
    };
    let mut terminal = Terminal::run(&pasted(place, &line), 200, None);
    terminal.wait_for_text("worker: in ");
    terminal.type_text("cat found; echo $GREETING$TERM; stty size\n");
    terminal.wait_for_text("evidence\nhelloxterm\n24 200");
    terminal.type_text("until test \"$(stty size)\" = '24 161'; do sleep 0.1; done; exit 7\n");
    terminal.wait_for_text("exit 7");
    terminal.resize(161);
    let (status, screen) = terminal.end();
    assert_eq!(status, 7, "{screen}");
    assert!(!terminal.is_raw());
    // Without a terminal.
    let output = pasted(place, &format!("{line} -- sh -c 'cat found; exit 9'"));
    let output = { output }.output().unwrap();
    assert_eq!(output.stdout, b"evidence\n", "{output:?}");
    assert_eq!(output.status.code(), Some(9), "{output:?}");
    remove(place, &id);
}

fn shell_of_a_removed_instance(place: &Place) {
    let Some((id, line)) = keep(place) else {
        return;
    };
    let mut terminal = Terminal::run(&pasted(place, &line), 200, None);
    terminal.wait_for_text("worker: in ");
    terminal.type_text("echo o''pen; sleep 1000\n");
    terminal.wait_for_text("\nopen");
    remove(place, &id);
    let (status, screen) = terminal.end();
    assert_eq!(status, 75, "{screen}");
    let told = "error: the instance was removed while the shell was open\n";
    assert!(screen.contains(told), "{screen}");
    assert!(!terminal.is_raw());
}

fn shell_in_a_running_instance(place: &Place) {
    let mut run = Begun::of(&mut place.run(&RUNS, &[]));
    let found = place.instances();
    // What is simulated is seen by its own worker only.
    if let [found] = &found[..] {
        let id = found["instance"]["marks"]["instance"].as_str().unwrap();
        let mut shell = place.worker("shell");
        let output = shell.args([id, "--", "cat", "found"]).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        if said.contains("does not have the capability `shell`") {
            assert_eq!(output.status.code(), Some(125));
            assert!(said.starts_with("error: cannot open a shell in "), "{said}");
            assert!(said.contains("hint: "), "{said}");
        } else {
            assert_eq!((&*output.stdout, &*said), (&b"evidence\n"[..], ""));
        }
    }
    run.send("TERM");
    assert_eq!(run.ended().0, Some(143), "{}", run.said());
    place.assert_clean();
}
