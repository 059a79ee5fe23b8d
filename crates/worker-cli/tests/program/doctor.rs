//! `worker doctor`: each broken set-up has its explanation, and a remedy that
//! is applied here and works.

#[cfg(feature = "docker")]
mod docker;
pub(crate) mod files;
#[cfg(feature = "http")]
mod http;
#[cfg(feature = "ssh")]
mod ssh;

use std::process::{Command, Output};

use crate::common::Place;

/// A report, and the exit status before it, as it reads on one line for each
/// thing: without times, ids and what `names` gives another name.
pub(crate) fn readable(output: &Output, names: &[(&str, &str)]) -> String {
    let text = [&output.stdout[..], &output.stderr].concat();
    let text = String::from_utf8(text).unwrap();
    let own = |line: &&str| !line.trim_start().starts_with("WARN");
    for line in text.lines().filter(own) {
        // A path or address is not broken.
        let is_word = !line.trim().contains(' ');
        assert!(line.chars().count() <= 60 || is_word, "{line:?} is long");
    }
    let mut lines: Vec<String> = Vec::new();
    for line in text.lines() {
        let words = line.trim_start();
        let indent = line.len() - words.len();
        let is_labelled = ["error: ", "caused by: ", "hint: "]
            .iter()
            .any(|label| words.starts_with(label));
        match lines.last_mut() {
            Some(last) if indent >= 6 && !is_labelled => {
                last.push(' ');
                last.push_str(words);
            }
            _ => lines.push(line.to_owned()),
        }
    }
    // The first says what machine this is, after an empty line.
    lines.splice(0..2, [format!("status {}", output.status.code().unwrap())]);
    let lines = lines.iter().map(|line| {
        let mut line = line.clone();
        let is_timed = ["    ok ", "All would work", "Would not work"]
            .iter()
            .any(|start| line.starts_with(start));
        if is_timed && line.ends_with(')') {
            line.truncate(line.rfind(" (").unwrap());
        }
        for (text, name) in names {
            line = line.replace(text, name);
        }
        // On a slow machine.
        for seconds in 2..10 {
            line = line.replace(&format!("within {seconds} s of"), "within 1 s of");
        }
        // On a machine where no cgroup can be made.
        line = line.replace("containment marker", "containment cgroup");
        for (mark, length, name) in [("w-", 18, "[ID]"), ("SHA256:", 50, "[FINGERPRINT]")] {
            while let Some(at) = line.find(mark).filter(|at| line.len() >= at + length) {
                let end = at + length;
                let is_one = !line[at..end].contains([' ', '`']);
                let name = if is_one { name } else { "[PART]" };
                line.replace_range(at..end, name);
            }
        }
        line
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// The report on one backend.
pub(crate) fn report(place: &Place, command: &mut Command) -> String {
    let own = place.directory.path().display().to_string();
    readable(&command.output().unwrap(), &[(&own, "[PLACE]")])
}

/// The command in the hint of a report, between backticks.
#[cfg(any(feature = "http", feature = "ssh"))]
pub(crate) fn remedy(output: &Output) -> String {
    let text = readable(output, &[]);
    let hint = text.lines().find(|line| line.contains("hint: ")).unwrap();
    hint.split('`').nth(1).unwrap().to_owned()
}

/// Does what a hint says, as its reader would.
pub(crate) fn apply(command: &str) {
    let done = Command::new("/bin/sh").args(["-c", command]).output();
    let done = done.unwrap();
    assert!(done.status.success(), "{command}: {done:?}");
}

pub(crate) fn doctor(place: &Place, arguments: &[&str]) -> Command {
    let mut command = place.worker();
    command.arg("doctor").args(arguments);
    command
}

/// Asserts what is said of a set-up, and that the remedy mends it.
macro_rules! assert_explained {
    ($broken:expr, $mended:expr, @$expected:literal) => {{
        let place = Place::new();
        place.file("a-file", "");
        insta::assert_snapshot!(report(&place, &mut doctor(&place, &$broken)), @$expected);
        let mended = report(&place, &mut doctor(&place, &$mended));
        assert!(mended.starts_with("status 0\n"), "{mended}");
        place.assert_clean();
    }};
}

#[test]
fn all_is_well() {
    let place = Place::new();
    let text = report(&place, &mut doctor(&place, &["-b", "local"]));
    insta::assert_snapshot!(text, @"
    status 0
    local (Process group on this machine)
      Configuration:
        directory = [PLACE]/instances (environment variable WORKER_LOCAL_DIRECTORY)
        defaults for 5 more (`worker backends local --explain`)
      It would use:
        directory [PLACE]/instances (the option `directory`): used
        containment cgroup (default): used
      Steps:
        ok      configuration
        ok      directory
        ok      start
        ok      upload
        ok      run
        ok      stop
        ok      cancel
        ok      leftovers none

    All would work
    ");
    place.assert_clean();
}

#[test]
fn unknown_option() {
    assert_explained!(["-b", "local", "-o", "direktory=/x"], ["-b", "local"], @"
    status 1
    local (Process group on this machine)
      Configuration:
        directory = [PLACE]/instances (environment variable WORKER_LOCAL_DIRECTORY)
        defaults for 5 more (`worker backends local --explain`)
      Steps:
        FAILED  configuration
            error: 1 problem with the options of backend `local`
            caused by: unknown option `direktory`: did you mean `directory`?
            hint: `worker backends local` lists its options
        skipped connect, start, upload, run, stop, cancel, leftovers

    Would not work: local
    ");
}

#[test]
fn a_directory_that_is_a_file() {
    assert_explained!(
        ["-b", "local", "-o", "directory=a-file"], ["-b", "local", "-o", "directory=here"], @"
        status 1
        local (Process group on this machine)
          Configuration:
            directory = a-file (command line)
            defaults for 5 more (`worker backends local --explain`)
          It would use:
            directory [PLACE]/a-file (the option `directory`): used
            containment cgroup (default): used
          Steps:
            ok      configuration
            FAILED  directory
                error: failed to set up the backend on backend `local`
                caused by: [PLACE]/a-file is not a directory of its own, but a link or a file
                hint: name a directory that does not exist yet with the option `directory`; it is made with the right mode
            skipped start, upload, run, stop, cancel, leftovers

        Would not work: local
        "
    );
}

#[test]
fn a_service_that_cannot_be_reached() {
    assert_explained!(
        ["-b", "fake", "-o", "setup-error=cannot be reached"], ["-b", "fake"], @"
        status 1
        fake (Fake (simulated))
          Configuration:
            setup-error = cannot be reached (command line)
            defaults for 37 more (`worker backends fake --explain`)
          Steps:
            ok      configuration
            FAILED  setup
                error: failed to set up the backend on backend `fake`
                caused by: cannot be reached
                hint: is it running, and does a firewall or proxy stand between?
            skipped start, upload, run, stop, cancel, leftovers

        Would not work: fake
        "
    );
}

#[test]
fn no_machines() {
    assert_explained!(["-b", "fake", "-o", "error=no machines today"], ["-b", "fake"], @"
    status 1
    fake (Fake (simulated))
      Configuration:
        error = no machines today (command line)
        defaults for 37 more (`worker backends fake --explain`)
      Steps:
        ok      configuration
        ok      setup
        FAILED  start
            error: failed to start an instance `[ID]` on backend `fake`
            caused by: no machines today
            hint: use a newer version of what is named, or another backend
        skipped upload, run, stop, cancel
        ok      leftovers none

    Would not work: fake
    ");
}

#[test]
fn a_full_disk() {
    assert_explained!(["-b", "fake", "-o", "upload-error=disk full"], ["-b", "fake"], @"
    status 1
    fake (Fake (simulated))
      Configuration:
        upload-error = disk full (command line)
        defaults for 37 more (`worker backends fake --explain`)
      Steps:
        ok      configuration
        ok      setup
        ok      start
        FAILED  upload
            error: failed to upload the script `[ID]` on backend `fake`
            caused by: disk full
            hint: make room: disk, memory, processes or places
        skipped run
        ok      stop
        skipped cancel
        ok      leftovers none

    Would not work: fake
    ");
}

#[test]
fn an_earlier_jobs_leftovers_on_the_instance() {
    assert_explained!(["-b", "fake", "-o", "stale=true"], ["-b", "fake"], @"
    status 1
    fake (Fake (simulated))
      Configuration:
        stale = true (command line)
        defaults for 37 more (`worker backends fake --explain`)
      Steps:
        ok      configuration
        ok      setup
        ok      start
        FAILED  upload
            error: failed to upload the script `[ID]` on backend `fake`
            caused by: the instance already has a script, so it is stale
            hint: `worker reap` removes what may be left
        skipped run
        ok      stop
        skipped cancel
        ok      leftovers none

    Would not work: fake
    ");
}

#[test]
fn a_lost_connection() {
    assert_explained!(
        ["-b", "fake", "-o", "log-output=hello", "-o", "lost-after=2"], ["-b", "fake"], @"
        status 1
        fake (Fake (simulated))
          Configuration:
            log-output = hello (command line)
            lost-after = 2 (command line)
            defaults for 36 more (`worker backends fake --explain`)
          Steps:
            ok      configuration
            ok      setup
            ok      start
            ok      upload
            FAILED  run
                error: how the script ended is not known: connection lost: the connection was lost, as configured by `lost-after`
                hint: is it running, and does a firewall or proxy stand between?
            ok      stop
            skipped cancel
            ok      leftovers none

        Would not work: fake
        "
    );
}

#[test]
fn an_instance_that_does_not_go() {
    assert_explained!(["-b", "fake", "-o", "stop-failures=9"], ["-b", "fake"], @"
    status 1
    fake (Fake (simulated))
      Configuration:
        stop-failures = 9 (command line)
        defaults for 37 more (`worker backends fake --explain`)
      Steps:
        ok      configuration
        ok      setup
        ok      start
        ok      upload
        ok      run
        FAILED  stop
            error: failed to stop the instance `[ID]` on backend `fake`
            caused by: the instance is left behind, as configured by `stop-failures`
            hint: `worker reap` removes what may be left
        skipped cancel
        ok      leftovers none

    Would not work: fake
     WARN an instance was dropped without stop; it is removed instance=[ID]
     WARN cannot remove a dropped instance instance=[ID] error=failed to stop the instance `[ID]` on backend `fake`: the instance is left behind, as configured by `stop-failures`
    ");
}

/// What a dead worker left behind: told, removed by the remedy, and gone.
#[test]
fn leftover_instances() {
    let place = Place::new();
    let kept = place
        .worker()
        .args(["run", "--keep", "always", "-c", "true"])
        .output()
        .unwrap();
    assert!(kept.status.success(), "{kept:?}");
    // As a worker that died an hour ago would have left it.
    let instance = std::fs::read_dir(place.instances()).unwrap().next();
    let marks = instance.unwrap().unwrap().path().join("marks.json");
    let mut record: serde_json::Value =
        serde_json::from_slice(&std::fs::read(&marks).unwrap()).unwrap();
    let created = record["marks"]["created"].as_u64().unwrap();
    record["marks"]["created"] = (created - 3600).into();
    record["marks"]["kept"] = false.into();
    std::fs::write(&marks, record.to_string()).unwrap();
    insta::assert_snapshot!(report(&place, &mut doctor(&place, &["-b", "local"])), @"
    status 1
    local (Process group on this machine)
      Configuration:
        directory = [PLACE]/instances (environment variable WORKER_LOCAL_DIRECTORY)
        defaults for 5 more (`worker backends local --explain`)
      It would use:
        directory [PLACE]/instances (the option `directory`): used
        containment cgroup (default): used
      Steps:
        ok      configuration
        ok      directory
        ok      start
        ok      upload
        ok      run
        ok      stop
        ok      cancel
        FAILED  leftovers
            error: left behind by earlier workers: [ID]
            hint: `worker reap -b local` removes them

    Would not work: local
    ");
    let reap = place.worker().args(["reap", "-b", "local"]).output();
    assert!(reap.unwrap().status.success());
    let mended = report(&place, &mut doctor(&place, &["-b", "local"]));
    assert!(mended.starts_with("status 0\n"), "{mended}");
    place.assert_clean();
}
