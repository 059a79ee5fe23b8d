//! What holds the processes of an instance together: its cgroups, or else its
//! marker, its session and its process group.
//!
//! Everything here blocks, shortly: it reads `/proc` and the files of cgroups.

use std::thread;
use std::time::{Duration, Instant};

use backend_core::InstanceId;
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open, pidfd_send_signal};

use crate::environment::INSTANCE_VARIABLE;
use crate::group::Group;
use crate::hierarchy::Version;
use crate::proc_files::{Stat, all, has_variable};
use crate::processes::lines;

/// The processes of one instance, however they can be found.
#[derive(Debug, Clone)]
pub(crate) struct Containment {
    id: InstanceId,
    groups: Vec<Group>,
}

impl Containment {
    pub(crate) fn new(id: InstanceId, groups: Vec<Group>) -> Self {
        Self { id, groups }
    }

    pub(crate) fn groups(&self) -> &[Group] {
        &self.groups
    }

    /// The processes of the instance. `leader` is the script's own process,
    /// which must not have been reaped: then its session and group count too.
    pub(crate) fn members(&self, leader: Option<Pid>) -> Vec<Pid> {
        let mut members: Vec<_> = self.groups.iter().flat_map(Group::members).collect();
        if !self.by_cgroup() {
            members.extend(all().into_iter().filter(|pid| self.is_marked(*pid, leader)));
        }
        members.sort_unstable_by_key(|pid| pid.as_raw_nonzero());
        members.dedup();
        members
    }

    /// How many processes were killed for lack of memory.
    pub(crate) fn oom_kills(&self) -> u64 {
        self.groups.iter().map(Group::oom_kills).sum()
    }

    /// Sends a signal to the processes of the instance for which `chosen` says
    /// so.
    pub(crate) fn signal(&self, leader: Option<Pid>, signal: Signal, chosen: impl Fn(Pid) -> bool) {
        // Opened first and looked at again after that: a pid that was given to
        // a stranger in between is then seen, or its descriptor is stale.
        let opened: Vec<_> = self
            .members(leader)
            .into_iter()
            .filter(|pid| chosen(*pid))
            .filter_map(|pid| Some((pid, Handle::of(pid)?)))
            .collect();
        if opened.is_empty() {
            return;
        }
        let still = self.members(leader);
        for (pid, process) in opened.iter().filter(|(pid, _)| still.contains(pid)) {
            match process.signal(signal) {
                Ok(()) | Err(Errno::SRCH) => {}
                Err(error) => {
                    tracing::debug!(pid = pid.as_raw_nonzero(), %error, "cannot signal a process");
                }
            }
        }
    }

    /// Kills everything at once, where the kernel can; else one by one.
    pub(crate) fn kill(&self, leader: Option<Pid>) {
        let mut at_once = false;
        for group in &self.groups {
            if group.kill() {
                at_once = true;
            } else if !at_once {
                group.freeze_population();
            }
        }
        if !at_once {
            self.signal(leader, Signal::KILL, |_| true);
        }
    }

    /// Ends everything and removes the cgroups, before `deadline`. The error
    /// is what may be left, in words.
    pub(crate) fn clear(&self, leader: Option<Pid>, deadline: Instant) -> Result<(), Vec<String>> {
        let mut pause = Duration::from_millis(1);
        // One empty look at /proc is no proof: a process that forked and
        // ended while we read may have been missed on both sides.
        let mut empty_looks = 0;
        loop {
            let (left, errors) = self.remove_groups();
            let quiet = self.by_cgroup() || self.alive(leader).is_empty();
            empty_looks = if quiet { empty_looks + 1 } else { 0 };
            if !left && errors.is_empty() && (self.by_cgroup() || empty_looks >= 2) {
                return Ok(());
            }
            if Instant::now() >= deadline {
                return Err(self.leftovers(leader, errors));
            }
            if left || !quiet {
                self.kill(leader);
                thread::sleep(pause);
                pause = (pause * 2).min(Duration::from_millis(20));
            }
            if !errors.is_empty() {
                thread::sleep(pause);
            }
        }
    }

    /// Whether one cgroup holds everything.
    pub(crate) fn by_cgroup(&self) -> bool {
        self.groups.iter().any(|group| group.version == Version::V2)
    }

    /// The members that still do something.
    pub(crate) fn alive(&self, leader: Option<Pid>) -> Vec<Pid> {
        let mut members = self.members(leader);
        members.retain(|pid| Stat::read(*pid).is_some_and(|stat| stat.lives()));
        members
    }

    fn is_marked(&self, pid: Pid, leader: Option<Pid>) -> bool {
        if pid == rustix::process::getpid() {
            return false;
        }
        let related = leader.is_some_and(|leader| {
            let leader = leader.as_raw_nonzero().get();
            Stat::read(pid).is_some_and(|stat| stat.group == leader || stat.session == leader)
        });
        related || has_variable(pid, &format!("{INSTANCE_VARIABLE}={}", self.id))
    }

    /// Whether any cgroup is left, and what went wrong.
    fn remove_groups(&self) -> (bool, Vec<String>) {
        let mut left = false;
        let mut errors = Vec::new();
        for group in &self.groups {
            match group.remove() {
                Ok(gone) => left |= !gone,
                Err(error) => errors.push(format!("cgroup {}: {error}", group.path.display())),
            }
        }
        (left, errors)
    }

    fn leftovers(&self, leader: Option<Pid>, errors: Vec<String>) -> Vec<String> {
        let mut left = errors;
        left.extend(
            lines(&self.members(leader))
                .into_iter()
                .map(|line| format!("process {line}")),
        );
        let groups = self.groups.iter().filter(|group| group.path.exists());
        left.extend(groups.map(|group| format!("cgroup {}", group.path.display())));
        left
    }
}

/// A process that cannot be mistaken for a later one of the same number.
enum Handle {
    Descriptor(OwnedFd),
    /// Where the kernel has no such descriptors (before 5.3).
    Number(Pid),
}

impl Handle {
    /// `None` if the process is gone.
    fn of(pid: Pid) -> Option<Self> {
        match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(descriptor) => Some(Self::Descriptor(descriptor)),
            Err(Errno::SRCH) => None,
            Err(_) => Some(Self::Number(pid)),
        }
    }

    fn signal(&self, signal: Signal) -> rustix::io::Result<()> {
        match self {
            Self::Descriptor(descriptor) => pidfd_send_signal(descriptor, signal),
            Self::Number(pid) => kill_process(*pid, signal),
        }
    }
}
