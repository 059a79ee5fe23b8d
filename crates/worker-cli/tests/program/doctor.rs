//! `worker doctor`: each broken set-up has its explanation, and a remedy that
//! is applied here and works.

use std::process::Command;

use crate::common::Place;

/// The report on one backend, and the status; times and ids replaced.
fn report(place: &Place, command: &mut Command) -> String {
    let output = command.output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8(text).unwrap();
    let text = text.replace(&place.directory.path().display().to_string(), "[PLACE]");
    let mut lines = vec![format!("status {}", output.status.code().unwrap())];
    for line in text.lines() {
        let line = match line.split_once(" (") {
            Some((step, _)) if line.starts_with("  ok ") => step.to_owned(),
            _ => line.to_owned(),
        };
        let words = line.split(' ').map(|word| match word.find("w-") {
            Some(at) if word.len() >= at + 18 => format!("{}[ID]{}", &word[..at], &word[at + 18..]),
            _ => word.to_owned(),
        });
        lines.push(words.collect::<Vec<_>>().join(" "));
    }
    // The first says what machine this is, after an empty line.
    lines.remove(1);
    lines.join("\n")
}

fn doctor(place: &Place, arguments: &[&str]) -> Command {
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
      directory = [PLACE]/instances (environment variable WORKER_LOCAL_DIRECTORY)
      ok      configuration
      ok      setup
      ok      start
      ok      upload
      ok      run
      ok      stop
      ok      cancel
      ok      leftovers none
    ");
    place.assert_clean();
}

#[test]
fn unknown_option() {
    assert_explained!(["-b", "local", "-o", "direktory=/x"], ["-b", "local"], @"
    status 1

    local (Process group on this machine)
      directory = [PLACE]/instances (environment variable WORKER_LOCAL_DIRECTORY)
      FAILED  configuration
          error: 1 problem with the options of backend `local`
          caused by: unknown option `direktory`: did you mean
          `directory`?
          hint: `worker backends local` lists its options
      skipped setup, start, upload, run, stop, cancel, leftovers
    ");
}

#[test]
fn a_directory_that_is_a_file() {
    assert_explained!(
        ["-b", "local", "-o", "directory=a-file"], ["-b", "local", "-o", "directory=here"], @"
        status 1

        local (Process group on this machine)
          directory = a-file (command line)
          ok      configuration
          FAILED  setup
              error: failed to set up the backend on backend `local`
              caused by: [PLACE]/a-file is not a directory
              of its own, but a link or a file
              hint: name a directory that does not exist yet with
              the option `directory`; it is made with the right mode
          skipped start, upload, run, stop, cancel, leftovers
        "
    );
}

#[test]
fn a_service_that_cannot_be_reached() {
    assert_explained!(
        ["-b", "fake", "-o", "setup-error=cannot be reached"], ["-b", "fake"], @"
        status 1

        fake (Fake (simulated))
          setup-error = cannot be reached (command line)
          ok      configuration
          FAILED  setup
              error: failed to set up the backend on backend `fake`
              caused by: cannot be reached
              hint: is it running, and does a firewall or proxy
              stand between?
          skipped start, upload, run, stop, cancel, leftovers
        "
    );
}

#[test]
fn no_machines() {
    assert_explained!(["-b", "fake", "-o", "error=no machines today"], ["-b", "fake"], @"
    status 1

    fake (Fake (simulated))
      error = no machines today (command line)
      ok      configuration
      ok      setup
      FAILED  start
          error: failed to start an instance
          `[ID]` on backend `fake`
          caused by: no machines today
          hint: use a newer version of what is named, or another
          backend
      skipped upload, run, stop, cancel
      ok      leftovers none
    ");
}

#[test]
fn a_full_disk() {
    assert_explained!(["-b", "fake", "-o", "upload-error=disk full"], ["-b", "fake"], @"
    status 1

    fake (Fake (simulated))
      upload-error = disk full (command line)
      ok      configuration
      ok      setup
      ok      start
      FAILED  upload
          error: failed to upload the script
          `[ID]` on backend `fake`
          caused by: disk full
          hint: make room: disk, memory, processes or places
      skipped run
      ok      stop
      skipped cancel
      ok      leftovers none
    ");
}

#[test]
fn an_earlier_jobs_leftovers_on_the_instance() {
    assert_explained!(["-b", "fake", "-o", "stale=true"], ["-b", "fake"], @"
    status 1

    fake (Fake (simulated))
      stale = true (command line)
      ok      configuration
      ok      setup
      ok      start
      FAILED  upload
          error: failed to upload the script
          `[ID]` on backend `fake`
          caused by: previous build artifacts found on stale vm
          hint: `worker reap` removes what may be left
      skipped run
      ok      stop
      skipped cancel
      ok      leftovers none
    ");
}

#[test]
fn a_lost_connection() {
    assert_explained!(
        ["-b", "fake", "-o", "log-output=hello", "-o", "lost-after=2"], ["-b", "fake"], @"
        status 1

        fake (Fake (simulated))
          log-output = hello (command line)
          lost-after = 2 (command line)
          ok      configuration
          ok      setup
          ok      start
          ok      upload
          FAILED  run
              error: how the script ended is not known: connection
              lost: the connection was lost, as configured by
              `lost-after`
              hint: is it running, and does a firewall or proxy
              stand between?
          ok      stop
          skipped cancel
          ok      leftovers none
        "
    );
}

#[test]
fn an_instance_that_does_not_go() {
    assert_explained!(["-b", "fake", "-o", "stop-failures=9"], ["-b", "fake"], @"
    status 1

    fake (Fake (simulated))
      stop-failures = 9 (command line)
      ok      configuration
      ok      setup
      ok      start
      ok      upload
      ok      run
      FAILED  stop
          error: failed to stop the instance
          `[ID]` on backend `fake`
          caused by: the instance is left behind, as configured
          by `stop-failures`
          hint: `worker reap` removes what may be left
      skipped cancel
      ok      leftovers none
     WARN an instance was dropped without stop; it is removed instance=[ID]
     WARN an instance is left behind error=failed to stop the instance `[ID]` on backend `fake`: the instance is left behind, as configured by `stop-failures`
    ");
}

#[test]
#[cfg(feature = "docker")]
fn no_engine() {
    let place = Place::new();
    let text = report(
        &place,
        &mut doctor(
            &place,
            &["-b", "docker", "-o", "endpoint=unix:///no/such.sock"],
        ),
    );
    insta::assert_snapshot!(text, @"
    status 1

    docker (Container on a Docker or Podman engine)
      endpoint = unix:///no/such.sock (command line)
      ok      configuration
      FAILED  setup
          error: failed to set up the backend on backend
          `docker`
          caused by: the engine at the endpoint
          unix:///no/such.sock, which the option `endpoint`
          names, cannot be used
          caused by: there is no such socket
          hint: check that the engine runs, and the endpoint's
          address
      skipped start, upload, run, stop, cancel, leftovers
    ");
}

#[test]
#[cfg(feature = "http")]
fn no_server() {
    let place = Place::new();
    let arguments = ["-b", "http", "-o", "endpoint=http://127.0.0.1:1"];
    let mut command = doctor(&place, &arguments);
    command.env("WORKER_HTTP_TOKEN", "a-secret-that-is-hidden");
    let text = report(&place, &mut command);
    assert!(!text.contains("a-secret"), "{text}");
    insta::assert_snapshot!(text, @"
    status 1

    http (HTTP (worker/1))
      endpoint = http://127.0.0.1:1 (command line)
      token = (hidden) (environment variable WORKER_HTTP_TOKEN)
      ok      configuration
      FAILED  setup
          error: failed to set up the backend on backend `http`
          caused by: the server at http://127.0.0.1:1 cannot be
          used
          caused by: cannot connect: client error (Connect): tcp
          connect error: Connection refused (os error 111)
          hint: is the server running, and `endpoint` right?
      skipped start, upload, run, stop, cancel, leftovers
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
      directory = [PLACE]/instances (environment variable WORKER_LOCAL_DIRECTORY)
      ok      configuration
      ok      setup
      ok      start
      ok      upload
      ok      run
      ok      stop
      ok      cancel
      FAILED  leftovers
          error: left behind by earlier workers:
          [ID]
          hint: `worker reap -b local` removes them
    ");
    let reap = place.worker().args(["reap", "-b", "local"]).output();
    assert!(reap.unwrap().status.success());
    let mended = report(&place, &mut doctor(&place, &["-b", "local"]));
    assert!(mended.starts_with("status 0\n"), "{mended}");
    place.assert_clean();
}
