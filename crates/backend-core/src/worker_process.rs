//! Which worker made an instance, and whether it still lives.

use std::fs;

use serde::{Deserialize, Serialize};

/// A process on a machine, told apart from every other one, also from a later
/// one with the same number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerProcess {
    /// The boot of the machine (`/proc/sys/kernel/random/boot_id`); empty
    /// where there is none.
    pub boot_id: String,
    /// The pid namespace, as `/proc/self/ns/pid` names it; a pid means
    /// something only in its own.
    pub pid_namespace: String,
    /// The process id.
    pub pid: u32,
    /// When the process began, in clock ticks since boot (field 22 of
    /// `/proc/PID/stat`); 0 where it cannot be known.
    pub started: u64,
}

/// Whether the worker that made an instance lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Liveness {
    /// The same process still runs.
    Alive,
    /// It does not, for certain.
    Dead,
    /// It ran on another boot, machine or pid namespace: not to be known here.
    Elsewhere,
}

impl WorkerProcess {
    /// This process.
    pub fn current() -> Self {
        let pid = std::process::id();
        Self {
            boot_id: boot_id(),
            pid_namespace: pid_namespace(),
            pid,
            started: started(pid).unwrap_or(0),
        }
    }

    /// Whether that process still lives, as far as this machine can tell.
    pub fn liveness(&self) -> Liveness {
        let (boot_id, pid_namespace) = (boot_id(), pid_namespace());
        let known = !boot_id.is_empty() && !pid_namespace.is_empty() && self.started != 0;
        if !known || self.boot_id != boot_id || self.pid_namespace != pid_namespace {
            return Liveness::Elsewhere;
        }
        match started(self.pid) {
            Some(started) if started == self.started => Liveness::Alive,
            _ => Liveness::Dead,
        }
    }
}

fn boot_id() -> String {
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    text.trim().to_owned()
}

fn pid_namespace() -> String {
    let link = fs::read_link("/proc/self/ns/pid").unwrap_or_default();
    link.to_string_lossy().into_owned()
}

fn started(pid: u32) -> Option<u64> {
    start_time(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// The start time in the text of a `/proc/PID/stat`, unless it is a zombie's.
///
/// The second field is the command in parentheses and may itself hold blanks
/// and parentheses; the fields after the last one are plain.
fn start_time(stat: &str) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace();
    let state = fields.next()?;
    if matches!(state, "Z" | "X") {
        return None;
    }
    // The state is field 3; the start time is field 22.
    fields.nth(18)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_alive_and_its_pid_with_another_start_is_dead() {
        let current = WorkerProcess::current();
        assert_eq!(current.liveness(), Liveness::Alive);
        let reused = WorkerProcess {
            started: current.started + 1,
            ..current.clone()
        };
        assert_eq!(reused.liveness(), Liveness::Dead);
        let elsewhere = WorkerProcess {
            boot_id: "other".into(),
            ..current.clone()
        };
        assert_eq!(elsewhere.liveness(), Liveness::Elsewhere);
        let unknown = WorkerProcess {
            started: 0,
            ..current
        };
        assert_eq!(unknown.liveness(), Liveness::Elsewhere);
    }

    #[test]
    fn commands_with_parentheses_do_not_confuse() {
        let stat = "7 (a) b (c)) S 1 7 7 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 4242 0 0";
        assert_eq!(start_time(stat), Some(4242));
        assert_eq!(start_time(&stat.replace(") S", ") Z")), None);
        assert_eq!(start_time("garbage"), None);
    }
}
