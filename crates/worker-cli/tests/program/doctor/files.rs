//! Files that cannot be read, and a disk that is full.

use std::os::unix::process::CommandExt as _;
use std::process::{Command, Output};

use super::{apply, readable};
use crate::common::Place;

/// The number of the user and the group `nobody`.
pub(crate) const NOBODY: u32 = 65_534;

/// A place that everybody may look at, with the program in it: where that was
/// built, others may not go.
pub(crate) fn open_place() -> Place {
    let place = Place::new();
    let program = env!("CARGO_BIN_EXE_worker");
    let own = place.path("worker");
    if std::fs::hard_link(program, &own).is_err() {
        std::fs::copy(program, &own).unwrap();
    }
    apply(&format!("chmod 755 '{}'", place.path("").display()));
    place
}

/// The program of such a place, as user and group `nobody`, with a directory of
/// its own; `None` where this is not root, and `suite` is not required.
pub(crate) fn as_nobody(
    suite: &str,
    place: &Place,
    arguments: &[&str],
    group: u32,
) -> Option<Command> {
    if !is_root() {
        testbed::missing(suite, "only root can be somebody else");
        return None;
    }
    let own = place.path("of-nobody");
    if !own.exists() {
        std::fs::create_dir(&own).unwrap();
        std::os::unix::fs::chown(&own, Some(NOBODY), Some(NOBODY)).unwrap();
    }
    let mut command = Command::new(place.path("worker"));
    command
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", &own)
        .env("WORKER_STATE_DIR", own.join("state"))
        .env("WORKER_LOCAL_DIRECTORY", own.join("instances"))
        .current_dir(&own)
        .uid(NOBODY)
        .gid(group)
        .args(arguments);
    Some(command)
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// A file system in memory of a megabyte, full but for what the directory
/// itself takes, in a mount namespace of its own; then the remedy: room.
#[test]
fn full_disk() {
    if !is_root() {
        return testbed::missing("local", "only root can mount");
    }
    let place = Place::new();
    std::fs::create_dir(place.path("disk")).unwrap();
    let run = |room: &str| -> Output {
        let script = format!(
            "mount -t tmpfs -o size=1m,mode=0700 tmpfs disk && mkdir -m 0700 disk/instances
             cat /dev/zero >disk/filler 2>/dev/null; {room}
             exec \"$0\" doctor -b local -o directory=disk/instances"
        );
        let mut command = place.worker();
        let program = command.get_program().to_owned();
        let mut shell = Command::new("unshare");
        shell
            .args([
                "--mount",
                "--propagation",
                "private",
                "/bin/sh",
                "-c",
                &script,
            ])
            .arg(program)
            .current_dir(place.directory.path())
            .env_clear();
        for (name, value) in command.arg("doctor").get_envs() {
            shell.env(name, value.unwrap_or_default());
        }
        shell.output().unwrap()
    };
    let own = place.directory.path().display().to_string();
    let names = [(own.as_str(), "[PLACE]")];
    insta::assert_snapshot!(readable(&run(""), &names), @"
    status 1
    local (Process group on this machine)
      Configuration:
        directory = disk/instances (command line)
        defaults for 5 more (`worker backends local --explain`)
      It would use:
        directory [PLACE]/disk/instances (the option `directory`): used
        containment cgroup (default): used
      Steps:
        ok      configuration
        FAILED  directory
            error: failed to set up the backend on backend `local`
            caused by: cannot write [PLACE]/disk/instances/[ID]/marks.json
            caused by: No space left on device (os error 28)
            hint: make room, or choose another place with the option `directory`
        skipped start, upload, run, stop, cancel, leftovers

    Would not work: local
    ");
    let mended = readable(&run("rm disk/filler"), &names);
    assert!(mended.starts_with("status 0\n"), "{mended}");
}
