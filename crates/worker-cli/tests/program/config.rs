//! `worker.toml`: what it sets, what wins over it, and what is said of a wrong
//! one.

use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Output};

use crate::common::Place;

fn text(bytes: &[u8], place: &Place) -> String {
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    text.replace(&place.directory.path().display().to_string(), "[PLACE]")
}

/// Status, standard output and standard error.
fn shown(place: &Place, command: &mut Command) -> String {
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().unwrap();
    format!(
        "status {}\n{}{}",
        status.code().unwrap(),
        text(&stdout, place),
        text(&stderr, place)
    )
}

/// `worker run` of a script that is never begun, with this configuration.
fn refused(config: &str) -> String {
    let place = Place::new();
    place.file("worker.toml", config);
    let said = shown(&place, place.worker().args(["run", "-c", "echo began"]));
    place.assert_clean();
    assert!(!said.contains("began"), "{said}");
    said
}

#[test]
fn the_file_chooses_backend_options_and_limits() {
    let place = Place::new();
    place.file(
        "worker.toml",
        "[job]\nbackend = \"fake\"\nmax-output = 2\n[backends.fake]\nlog_output = \"hello\"\nexit-code = 7\n",
    );
    let output = place
        .worker()
        .args(["run", "-q", "-c", "true"])
        .output()
        .unwrap();
    assert_eq!(output.stdout, b"he");
    assert_eq!(output.status.code(), Some(124), "the output limit ends it");
    let truncated = ["run", "-q", "--on-max-output", "truncate", "-c", "true"];
    let output = place.worker().args(truncated).output().unwrap();
    assert_eq!(output.status.code(), Some(7), "a flag goes with the file");
}

#[test]
fn a_flag_wins_over_a_variable_and_that_over_the_file() {
    let place = Place::new();
    place.file(
        "worker.toml",
        "[job]\nbackend = \"fake\"\n[backends.fake]\nexit-code = 7\n",
    );
    let status = |command: &mut Command| command.output().unwrap().status.code();
    let run = ["run", "-q", "-c", "true"];
    assert_eq!(status(place.worker().args(run)), Some(7));
    let with_variable = || {
        let mut command = place.worker();
        command.env("WORKER_FAKE_EXIT_CODE", "8");
        command
    };
    assert_eq!(status(with_variable().args(run)), Some(8));
    let flag = ["run", "-q", "-o", "exit-code=9", "-c", "true"];
    assert_eq!(status(with_variable().args(flag)), Some(9));
    let mut elsewhere = place.worker();
    elsewhere.env("WORKER_BACKEND", "local");
    assert_eq!(status(elsewhere.args(run)), Some(0));
    let mut elsewhere = place.worker();
    elsewhere.env("WORKER_JOB_BACKEND", "local");
    assert_eq!(status(elsewhere.args(run)), Some(0));
}

#[test]
fn the_file_is_the_named_one_else_the_one_here_else_the_users() {
    let place = Place::new();
    let config =
        |code: u8| format!("[job]\nbackend = 'fake'\n[backends.fake]\nexit-code = {code}\n");
    std::fs::create_dir_all(place.path("config/worker")).unwrap();
    place.file("config/worker/worker.toml", config(1));
    let worker = || {
        let mut command = place.worker();
        command.env("XDG_CONFIG_HOME", place.path("config"));
        command.args(["run", "-q", "-c", "true"]);
        command
    };
    let status = |command: &mut Command| command.output().unwrap().status.code();
    assert_eq!(status(&mut worker()), Some(1));
    place.file("worker.toml", config(2));
    assert_eq!(status(&mut worker()), Some(2));
    place.file("other.toml", config(3));
    assert_eq!(status(worker().env("WORKER_CONFIG", "other.toml")), Some(3));
    assert_eq!(status(worker().args(["--config", "other.toml"])), Some(3));
    assert_eq!(status(worker().args(["--config", "/dev/null"])), Some(0));
}

#[test]
fn all_problems_come_in_one_message() {
    insta::assert_snapshot!(refused("\
[job]
backend = \"fake\"
hard-timeout = \"soon\"
langauge = \"go\"

[backends.fake]
exit-code = \"many\"
run-slep = \"1s\"

[backends.lcoal]
directory = [\"/a\"]
"), @"
status 125
error: 5 problems with the configuration
caused by: unknown option `langauge` (worker.toml, line 4): did you mean `language`?; unknown option `run-slep` (worker.toml, line 8): did you mean `run-sleep`?; unknown backend `lcoal` (worker.toml, line 10): did you mean `local`?; option `hard-timeout` (worker.toml, line 3): `soon` is not a duration such as `90s`, `10m` or `1h30m` (expected number at 0); option `exit-code` (worker.toml, line 7): `many` is not an integer from 0 to 255, such as `43`
hint: `worker backends --template` shows every setting, `worker backends ALIAS` the options of one backend
");
}

#[test]
fn a_broken_file_is_told_with_line_and_column() {
    insta::assert_snapshot!(refused("[job]\nimage = debian\n"), @"
    status 125
    error: cannot read the configuration file `worker.toml`
    caused by: line 2, column 9: string values must be quoted, expected literal string
    hint: `worker backends --template` prints a file to begin with
    ");
}

#[test]
fn what_stands_in_the_wrong_place() {
    insta::assert_snapshot!(refused("backend = \"local\"\n[jobs]\n[backends]\nlocal = true\n[backends.fake]\nexit-code = [1, 2]\nrun-sleep = {}\n"), @"
    status 125
    error: 5 problems with the configuration
    caused by: worker.toml, line 1: unknown key `backend`: it stands under `[job]`; worker.toml, line 2: unknown key `jobs`: did you mean `[job]`?; worker.toml, line 4: `backends.local` is not a table: write `[backends.local]`; option `exit-code` (worker.toml, line 6): it takes one value, not a list; worker.toml, line 7: `run-sleep` is a table, which no option takes
    hint: `worker backends --template` shows every setting, `worker backends ALIAS` the options of one backend
    ");
}

#[test]
fn a_wrong_variable_of_the_job_is_named() {
    let place = Place::new();
    let mut command = place.worker();
    command.env("WORKER_JOB_GRACE", "long");
    command.env("WORKER_JOB_IMGAE", "x");
    insta::assert_snapshot!(shown(&place, command.args(["run", "-c", "true"])), @"
    status 125
    error: 2 problems with the configuration
    caused by: unknown option `imgae` (WORKER_JOB_IMGAE): did you mean `image`?; option `grace` (WORKER_JOB_GRACE): `long` is not a duration such as `90s`, `10m` or `1h30m` (expected number at 0)
    hint: `worker backends --template` shows every setting, `worker backends ALIAS` the options of one backend
    ");
}

#[test]
fn a_named_file_that_is_not_there() {
    let place = Place::new();
    let said = shown(
        &place,
        place
            .worker()
            .args(["--config", "no.toml", "run", "-c", "true"]),
    );
    insta::assert_snapshot!(said, @"
    status 125
    error: cannot read the configuration file `no.toml`
    caused by: No such file or directory (os error 2)
    hint: give --config the path of a file that exists; `worker backends --template` prints one to begin with
    ");
}

#[test]
fn a_directory_in_place_of_the_file() {
    let place = Place::new();
    std::fs::create_dir(place.path("worker.toml")).unwrap();
    insta::assert_snapshot!(shown(&place, place.worker().args(["ps"])), @"
    status 125
    error: cannot read the configuration file `worker.toml`
    caused by: Is a directory (os error 21)
    hint: name another file with --config
    ");
}

#[test]
fn a_file_that_cannot_be_read_is_told_with_its_mode() {
    let place = Place::new();
    let path = place.file("worker.toml", "");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o000)).unwrap();
    if std::fs::read(&path).is_ok() {
        // Nothing is unreadable for root.
        return;
    }
    insta::assert_snapshot!(shown(&place, place.worker().args(["run", "-c", "true"])), @"
    status 125
    error: cannot read the configuration file `worker.toml`
    caused by: Permission denied (os error 13)
    hint: its mode is 0000: make it readable for this user, or name another file with --config
    ");
}

#[cfg(feature = "http")]
#[test]
fn a_secret_stands_only_in_a_file_that_nobody_else_can_read() {
    let place = Place::new();
    let config = "[backends.http]\nendpoint = 'unix:///nowhere'\ntoken = 'hunter2hunter2'\n";
    let path = place.file("worker.toml", config);
    let set =
        |mode| std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
    set(0o644);
    insta::assert_snapshot!(shown(&place, place.worker().args(["run", "-b", "http", "-c", "true"])), @"
    status 125
    error: 1 problem with the configuration
    caused by: option `token` (worker.toml, line 3) is a secret, and others can read the file (mode 0644): `chmod 600 worker.toml`, or set WORKER_HTTP_TOKEN instead
    hint: `worker backends --template` shows every setting, `worker backends ALIAS` the options of one backend
    ");
    set(0o600);
    let said = shown(
        &place,
        place.worker().args(["backends", "http", "--explain"]),
    );
    assert!(
        said.starts_with("status 0\n") && said.contains("(hidden)"),
        "{said}"
    );
    assert!(!said.contains("hunter2"), "{said}");
}

#[test]
fn what_is_wrong_with_the_file_is_told_once_by_commands_for_all_backends() {
    let place = Place::new();
    place.file("worker.toml", "[job]\nimag = 'x'\n");
    insta::assert_snapshot!(shown(&place, place.worker().args(["ps"])), @"
    status 125
    error: 1 problem with the configuration
    caused by: unknown option `imag` (worker.toml, line 2): did you mean `image`?
    hint: `worker backends --template` shows every setting, `worker backends ALIAS` the options of one backend
    ");
}

#[test]
fn the_result_tells_of_a_wrong_configuration_too() {
    let place = Place::new();
    place.file("worker.toml", "[job]\nimag = 'x'\n");
    let arguments = ["run", "--result", "result.json", "-c", "true"];
    let output = place.worker().args(arguments).output().unwrap();
    assert_eq!(output.status.code(), Some(125));
    let result = std::fs::read_to_string(place.path("result.json")).unwrap();
    assert!(
        result.contains("never-started") && result.contains("imag"),
        "{result}"
    );
}

#[test]
fn explanations_name_the_origin_of_each_value() {
    let place = Place::new();
    place.file(
        "worker.toml",
        "[job]\nprofile = 'ci'\n[backends.fake]\nexit-code = 7\nlog-output = \"two\\nlines\"\n",
    );
    let explain = ["backends", "fake", "--explain", "-o", "run-sleep=1s"];
    let mut command = place.worker();
    command.env("WORKER_FAKE_STARTUP_DURATION", "2s");
    let said = shown(&place, command.args(explain));
    assert!(said.starts_with("status 0\n"), "{said}");
    for row in [
        "exit-code         7             worker.toml, line 4",
        "run-sleep         1s            command line",
        "startup-duration  2s            environment variable WORKER_FAKE_STARTUP_DURATION",
    ] {
        let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(
            said.lines().any(|line| words(line) == words(row)),
            "{row}: {said}"
        );
    }
    insta::assert_snapshot!(shown(&place, place.worker().args(["backends", "--explain"])), @"
    status 0
    Settings of the job, from the command line, the environment, worker.toml and defaults:

    OPTION           VALUE  FROM
    backend          -      not set
    profile          ci     worker.toml, line 2
    startup-timeout  -      not set
    upload-timeout   -      not set
    hard-timeout     -      not set
    silence-timeout  -      not set
    grace            -      not set
    max-output       -      not set
    on-max-output    -      not set
    image            -      not set
    language         -      not set
    dist             -      not set
    arch             -      not set
    group            -      not set
    os               -      not set
    osx-image        -      not set
    vm-type          -      not set
    ");
}
