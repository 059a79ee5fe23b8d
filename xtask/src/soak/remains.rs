//! That nothing is left of a soak: by `worker reap`, and then with our own eyes.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use serde_json::Value;

use super::Soak;
use super::rigs::{Rig, entries};

/// Leases, windows and the age at which an instance is reaped are shorter.
const PATIENCE: Duration = Duration::from_mins(3);

/// Reaps on all backends until nothing is left; says what is left in the end.
pub(crate) fn look(
    soak: &Soak,
    rigs: &[Rig],
    instances: &BTreeSet<String>,
) -> anyhow::Result<Vec<String>> {
    let began = Instant::now();
    loop {
        let mut left = entries(&soak.local_directory());
        for rig in rigs {
            reap(soak, rig)?;
            left.extend(listed(soak, rig)?);
            left.extend(rig.remains()?);
        }
        left.extend(processes(&soak.mark()));
        left.extend(cgroups(instances));
        if left.is_empty() || began.elapsed() > PATIENCE {
            return Ok(left);
        }
        sleep(Duration::from_secs(1));
    }
}

/// The instances that the events of a job name.
pub(crate) fn instances(events: &[u8]) -> BTreeSet<String> {
    let text = String::from_utf8_lossy(events);
    let lines = text
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines
        .filter_map(|event| Some(event.get("instance")?.as_str()?.to_owned()))
        .collect()
}

/// `worker reap` as it will be tomorrow, where the clock can be told so.
fn reap(soak: &Soak, rig: &Rig) -> anyhow::Result<()> {
    let reap = soak.worker(rig, "reap", None);
    // Beyond the age at which they are looked at, short of every expiry.
    let mut command = match testbed::at_another_time("+5m") {
        Some(words) => under(&words, &reap),
        None => reap,
    };
    let output = command.stdin(Stdio::null()).output()?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "worker reap failed: {errors}");
    Ok(())
}

/// The same command with these words before it.
fn under(words: &[String], command: &Command) -> Command {
    let mut words = words.iter();
    let mut later = Command::new(words.next().map_or("env", String::as_str));
    later
        .args(words)
        .arg(command.get_program())
        .args(command.get_args())
        .env_clear();
    for (key, value) in command.get_envs() {
        later.env(key, value.unwrap_or_default());
    }
    later
}

/// What `worker ps` still has.
fn listed(soak: &Soak, rig: &Rig) -> anyhow::Result<Vec<String>> {
    let output = soak
        .worker(rig, "ps", None)
        .arg("--json")
        .stdin(Stdio::null())
        .output()?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "worker ps failed: {errors}");
    let all: Vec<Value> = serde_json::from_slice(&output.stdout).context("worker ps --json")?;
    let owner = soak.owner()?;
    let ours = |entry: &&Value| entry.pointer("/instance/marks/owner") == Some(&owner);
    Ok(all
        .iter()
        .filter(ours)
        .map(|entry| format!("instance {entry}"))
        .collect())
}

/// The processes of this machine, in whatever namespace, that were begun by
/// one of our scripts.
fn processes(mark: &str) -> Vec<String> {
    let Ok(all) = std::fs::read_dir("/proc") else {
        return Vec::new();
    };
    let has_mark = |process: &PathBuf| {
        let environment = std::fs::read(process.join("environ")).unwrap_or_default();
        environment
            .split(|byte| *byte == 0)
            .any(|it| it == mark.as_bytes())
    };
    let processes = all.flatten().map(|entry| entry.path()).filter(has_mark);
    processes
        .map(|process| {
            let line = std::fs::read(process.join("cmdline")).unwrap_or_default();
            let line = String::from_utf8_lossy(&line).replace('\0', " ");
            format!("process {}: {line}", process.display())
        })
        .collect()
}

/// The cgroups that have the name of an instance in theirs.
fn cgroups(instances: &BTreeSet<String>) -> Vec<String> {
    let mut left = Vec::new();
    let mut places = vec![PathBuf::from("/sys/fs/cgroup")];
    while let Some(place) = places.pop() {
        let Ok(listing) = std::fs::read_dir(&place) else {
            continue;
        };
        for entry in listing.flatten() {
            if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                continue;
            }
            let name = entry.file_name().to_string_lossy().into_owned();
            if instances.iter().any(|instance| name.contains(instance)) {
                left.push(format!("cgroup {}", entry.path().display()));
            }
            places.push(entry.path());
        }
    }
    left
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[test]
    fn instances_are_read_from_whole_lines_only() {
        let events = b"{\"instance\":\"w-1\"}\n{\"event\":\"x\"}\n{\"instance\":\"w-2\"}\n{\"inst";
        let ids: Vec<_> = instances(events).into_iter().collect();
        assert_eq!(ids, ["w-1", "w-2"]);
    }

    #[test]
    fn a_process_is_found_by_its_mark() {
        let mark = format!("WORKER_SOAK=test-{}", std::process::id());
        let (key, value) = mark.split_once('=').unwrap();
        let mut child = Command::new("/bin/sh")
            .args(["-c", "echo begun; read line"])
            .env(key, value)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut begun = [0; 6];
        child
            .stdout
            .as_mut()
            .unwrap()
            .read_exact(&mut begun)
            .unwrap();
        let found = processes(&mark);
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(processes(&mark), Vec::<String>::new());
    }
}
