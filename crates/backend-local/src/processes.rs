//! Processes as text: a table for a person, and lines for what is left over.

use std::fmt::Write as _;

use rustix::process::Pid;

use crate::proc_files::{Stat, command_line};

/// Bounds on what is shown.
const MOST_LINES: usize = 200;
const MOST_CHARACTERS: usize = 200;

/// A table of the processes that live; `None` if none does.
pub(crate) fn table(members: &[Pid]) -> Option<String> {
    let rows = rows(members);
    if rows.is_empty() {
        return None;
    }
    let uptime = uptime();
    let ticks = rustix::param::clock_ticks_per_second().max(1);
    let mut text = String::from("    PID    PPID S  ELAPSED COMMAND\n");
    for (pid, stat) in rows.iter().take(MOST_LINES) {
        let elapsed = uptime.saturating_sub(stat.started / ticks);
        let command = command_line(*pid, stat, MOST_CHARACTERS);
        let (pid, parent, state) = (pid.as_raw_nonzero(), stat.parent, stat.state);
        // Writing into a string cannot fail.
        writeln!(text, "{pid:>7} {parent:>7} {state} {elapsed:>7}s {command}").ok();
    }
    if rows.len() > MOST_LINES {
        writeln!(text, "… and {} more", rows.len() - MOST_LINES).ok();
    }
    Some(text)
}

/// One line for each process that lives: pid, command, arguments.
pub(crate) fn lines(members: &[Pid]) -> Vec<String> {
    let rows = rows(members);
    let mut lines: Vec<_> = rows
        .iter()
        .take(MOST_LINES)
        .map(|(pid, stat)| {
            let arguments = command_line(*pid, stat, MOST_CHARACTERS);
            format!("{} {} {arguments}", pid.as_raw_nonzero(), stat.command)
        })
        .collect();
    if rows.len() > MOST_LINES {
        lines.push(format!("… and {} more", rows.len() - MOST_LINES));
    }
    lines
}

fn rows(members: &[Pid]) -> Vec<(Pid, Stat)> {
    members
        .iter()
        .filter_map(|pid| Some((*pid, Stat::read(*pid)?)))
        .filter(|(_, stat)| stat.lives())
        .collect()
}

/// Seconds since boot.
fn uptime() -> u64 {
    let text = std::fs::read_to_string("/proc/uptime").unwrap_or_default();
    text.split('.')
        .next()
        .and_then(|seconds| seconds.parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_a_line_for_each_and_is_none_for_nobody() {
        let own = rustix::process::getpid();
        let text = table(&[own]).unwrap();
        assert_eq!(text.lines().count(), 2, "{text}");
        assert_eq!(table(&[]), None);
        let many = vec![own; MOST_LINES + 7];
        assert_eq!(lines(&many).len(), MOST_LINES + 1);
        assert_eq!(table(&many).unwrap().lines().last(), Some("… and 7 more"));
    }
}
