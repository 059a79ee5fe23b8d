//! Completions in real shells, and manual pages.

use std::path::Path;
use std::process::Command;

use crate::common::Place;

/// A shell in which `worker` is the program of this test; `None` where there is
/// no such shell.
fn shell(place: &Place, shell: &str) -> Option<Command> {
    let found = Command::new(shell).arg("--version").output();
    if found.is_err() {
        testbed::missing("shells", &format!("there is no {shell}"));
        return None;
    }
    let programs = Path::new(env!("CARGO_BIN_EXE_worker")).parent().unwrap();
    let path = std::env::var("PATH").unwrap_or_default();
    let mut command = Command::new(shell);
    command
        .env_clear()
        .env("HOME", place.directory.path())
        .env("PATH", format!("{}:{path}", programs.display()))
        .current_dir(place.directory.path());
    Some(command)
}

fn output(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    assert_eq!(errors, "");
    String::from_utf8(output.stdout).unwrap()
}

/// What bash offers at the end of `line`, asked as readline asks.
fn in_bash(line: &str) -> String {
    in_bash_at(&Place::new(), line)
}

fn in_bash_at(place: &Place, line: &str) -> String {
    let script = r#"
        source <(worker completions bash)
        complete -p worker >/dev/null || exit 1
        compopt() { echo "compopt $1 $2"; }
        COMP_LINE=$1 COMP_POINT=${#1}
        # As readline splits it: at blanks, and before and after each `=`.
        IFS=' ' read -ra COMP_WORDS <<<"${1//=/ = }"
        [[ $1 == *' ' ]] && COMP_WORDS+=('')
        COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
        COMP_WORDBREAKS=$' \t\n"\'><=;|&(:'
        _worker_complete worker "${COMP_WORDS[COMP_CWORD]}" ''
        printf '%s\n' "${COMPREPLY[@]}"
    "#;
    let mut bash = shell(place, "bash").unwrap();
    output(bash.args(["-c", script, "bash", line]))
}

#[test]
fn bash_completes_commands_backends_options_and_their_words() {
    let commands = in_bash("worker re");
    assert_eq!(commands.trim(), "reap");
    let backends = in_bash("worker run -b ");
    let backends: Vec<_> = backends.lines().collect();
    assert!(
        backends.contains(&"fake") && backends.contains(&"local"),
        "{backends:?}"
    );
    assert_eq!(
        in_bash("worker run -b fake -o exit-c"),
        "compopt -o nospace\nexit-code=\n"
    );
    assert_eq!(in_bash("worker run --on-max-output t").trim(), "truncate");
    assert_eq!(in_bash("worker completions f").trim(), "fish");
}

#[test]
fn bash_completes_behind_an_equals_sign() {
    assert_eq!(in_bash("worker run -b fake -o oom="), "true\nfalse\n");
    assert_eq!(in_bash("worker run -b fake -o oom=f"), "false\n");
    assert_eq!(
        in_bash("worker run --backend=fake --option=oom=t"),
        "true\n"
    );
    assert_eq!(in_bash("worker run --profile=c"), "ci\n");
    let next = in_bash("worker run -e A= --on-max-output=s");
    assert_eq!(next, "stop\n");
}

#[test]
fn bash_takes_the_backend_of_the_configuration() {
    let local = in_bash("worker run -o dir");
    assert_eq!(local, "compopt -o nospace\ndirectory=\n");
}

#[test]
fn bash_completes_the_instances_that_were_kept() {
    let place = Place::new();
    let state = place.path(".local/state/worker");
    let mut run = place.worker();
    run.env("WORKER_STATE_DIR", &state);
    let kept = run
        .args(["run", "-q", "--keep", "always", "-c", "true"])
        .output();
    assert!(kept.unwrap().status.success());
    let offered = in_bash_at(&place, "worker shell w");
    let id = offered.trim();
    assert!(
        place.instances().join(id).is_dir() && id.len() > 5,
        "{offered}"
    );
    let mut reap = place.worker();
    reap.env("WORKER_STATE_DIR", &state);
    let reaped = reap.args(["reap", "-b", "local", id]).output().unwrap();
    assert!(reaped.status.success(), "{reaped:?}");
    assert_eq!(in_bash_at(&place, "worker shell w").trim(), "");
}

#[test]
fn fish_completes_options() {
    let place = Place::new();
    let Some(mut fish) = shell(&place, "fish") else {
        return;
    };
    let script = "worker completions fish | source; complete -C 'worker run -b fake -o exit-c'";
    let offered = output(fish.args(["-c", script]));
    assert!(offered.starts_with("exit-code="), "{offered}");
}

#[test]
fn zsh_understands_its_script() {
    let place = Place::new();
    let Some(mut zsh) = shell(&place, "zsh") else {
        return;
    };
    let script = "autoload -Uz compinit && compinit -u && source <(worker completions zsh) && echo ${_comps[worker]}";
    let function = output(zsh.args(["-f", "-c", script]));
    assert!(function.contains("worker"), "{function}");
}

#[test]
fn each_command_has_a_manual_page() {
    let place = Place::new();
    std::fs::create_dir(place.path("man1")).unwrap();
    let written = place
        .worker()
        .args(["man", "--directory", "man1"])
        .output()
        .unwrap();
    assert!(written.status.success() && written.stdout.is_empty());
    let mut names: Vec<_> = std::fs::read_dir(place.path("man1"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    for name in [
        "worker.1",
        "worker-run.1",
        "worker-backends.1",
        "worker-man.1",
    ] {
        assert!(names.iter().any(|there| there == name), "{names:?}");
    }
    let page = place.worker().args(["man", "run"]).output().unwrap().stdout;
    assert_eq!(
        page,
        std::fs::read(place.path("man1/worker-run.1")).unwrap()
    );
    let page = String::from_utf8(page).unwrap();
    for part in [".SH NAME", "worker\\-run", "hard\\-timeout", "Examples:"] {
        assert!(page.contains(part), "{part}: {page}");
    }
}

#[test]
fn a_manual_page_of_no_command() {
    let place = Place::new();
    let output = place.worker().args(["man", "rum"]).output().unwrap();
    assert_eq!(output.status.code(), Some(125));
    insta::assert_snapshot!(String::from_utf8(output.stderr).unwrap(), @"
    error: there is no command `rum`: did you mean `run`?
    hint: `worker --help` lists the commands
    ");
}
