//! What `/proc` says about a process. Source: `proc(5)`.

use std::ffi::OsStr;
use std::fs;
use std::io::Read;

use rustix::process::Pid;

/// The fields of `/proc/PID/stat` that are of use here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stat {
    pub(crate) command: String,
    pub(crate) state: char,
    pub(crate) parent: i32,
    pub(crate) group: i32,
    pub(crate) session: i32,
    /// When it began, in clock ticks since boot.
    pub(crate) started: u64,
    exiting: bool,
}

impl Stat {
    /// Reads it; `None` if the process is gone.
    pub(crate) fn read(pid: Pid) -> Option<Self> {
        let bytes = fs::read(path(pid, "stat")).ok()?;
        Self::parse(&String::from_utf8_lossy(&bytes))
    }

    /// The second field is the command in parentheses, and may itself hold
    /// blanks and parentheses; what follows the last one is plain.
    fn parse(text: &str) -> Option<Self> {
        /// `PF_EXITING` in the kernel's `include/linux/sched.h`.
        const EXITING: u32 = 4;
        let (before, after) = text.rsplit_once(')')?;
        let (_, command) = before.split_once('(')?;
        let mut fields = after.split_ascii_whitespace();
        let mut number = |skipped: usize| fields.nth(skipped);
        let state = number(0)?.chars().next()?;
        let parent = number(0)?.parse().ok()?;
        let group = number(0)?.parse().ok()?;
        let session = number(0)?.parse().ok()?;
        let flags: u32 = number(2)?.parse().ok()?;
        let started = number(12)?.parse().ok()?;
        Some(Self {
            command: command.to_owned(),
            state,
            parent,
            group,
            session,
            started,
            exiting: flags & EXITING != 0,
        })
    }

    /// Whether it still does anything: it is neither dead nor about to be.
    pub(crate) fn lives(&self) -> bool {
        !self.exiting && !matches!(self.state, 'Z' | 'X')
    }
}

/// All processes that there are.
pub(crate) fn all() -> Vec<Pid> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter_map(|entry| Pid::from_raw(entry.file_name().to_str()?.parse().ok()?))
        .collect()
}

/// Whether the process was started with `entry` (`NAME=VALUE`) in its
/// environment, as far as we may look.
pub(crate) fn has_variable(pid: Pid, entry: &str) -> bool {
    environ(pid).is_some_and(|environ| {
        environ
            .split(|byte| *byte == 0)
            .any(|own| own == entry.as_bytes())
    })
}

/// The environment that the process was started with, as the kernel has it, if
/// we may look.
pub(crate) fn environ(pid: Pid) -> Option<Vec<u8>> {
    fs::read(path(pid, "environ")).ok()
}

/// The arguments, separated by blanks; the command in brackets where there are
/// none, as `ps` has it. At most `most` characters, none of them a control.
pub(crate) fn command_line(pid: Pid, stat: &Stat, most: usize) -> String {
    let mut bytes = Vec::new();
    if let Ok(file) = fs::File::open(path(pid, "cmdline")) {
        // Four bytes for a character are enough; an error leaves what was read.
        file.take(4 * most as u64 + 1).read_to_end(&mut bytes).ok();
    }
    while bytes.last() == Some(&0) {
        bytes.pop();
    }
    let text = if bytes.is_empty() {
        format!("[{}]", stat.command)
    } else {
        String::from_utf8_lossy(&bytes).replace('\0', " ")
    };
    let plain = |character: char| {
        if character.is_control() {
            '?'
        } else {
            character
        }
    };
    let mut line: String = text.chars().take(most).map(plain).collect();
    if text.chars().nth(most).is_some() {
        line.push('…');
    }
    line
}

fn path(pid: Pid, file: &str) -> impl AsRef<std::path::Path> + AsRef<OsStr> {
    format!("/proc/{}/{file}", pid.as_raw_nonzero())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_alive_in_its_own_group() {
        let own = rustix::process::getpid();
        let stat = Stat::read(own).unwrap();
        assert!(stat.lives());
        let group = rustix::process::getpgrp().as_raw_nonzero().get();
        assert_eq!(stat.group, group);
        assert!(all().contains(&own));
        assert!(command_line(own, &stat, 500).contains("backend_local"));
    }

    #[test]
    fn commands_with_parentheses_and_flags_are_read() {
        let text = "7 (a) b (c)) S 1 5 6 0 -1 4194308 1 0 0 0 0 0 0 0 20 0 1 0 4242 0 0";
        let stat = Stat::parse(text).unwrap();
        assert_eq!(
            (
                stat.command.as_str(),
                stat.parent,
                stat.group,
                stat.session,
                stat.started
            ),
            ("a) b (c)", 1, 5, 6, 4242)
        );
        assert!(!stat.lives(), "4194308 has PF_EXITING");
        assert_eq!(Stat::parse("7 (x) S 1"), None);
    }
}
