//! Signals, by the numbers and names of Linux.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A signal, by its number on Linux (x86-64 and arm64 agree on these).
///
/// The far side of a backend is a Linux machine whatever the worker runs on,
/// so these numbers do not depend on the platform of this program.
/// Source: `signal(7)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Signal(i32);

const NAMES: [&str; 31] = [
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2",
    "PIPE", "ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG",
    "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
];

impl Signal {
    /// Hang-up.
    pub const HUP: Self = Self(1);
    /// Interrupt, as from a keyboard.
    pub const INT: Self = Self(2);
    /// Quit.
    pub const QUIT: Self = Self(3);
    /// Kill; cannot be caught.
    pub const KILL: Self = Self(9);
    /// Invalid memory reference.
    pub const SEGV: Self = Self(11);
    /// Broken pipe.
    pub const PIPE: Self = Self(13);
    /// Termination request.
    pub const TERM: Self = Self(15);
    /// The highest number that Linux has (`SIGRTMAX`).
    const MAX: i32 = 64;

    /// The signal of this number, if Linux has one (1 to 64).
    pub fn from_number(number: i32) -> Option<Self> {
        (1..=Self::MAX).contains(&number).then_some(Self(number))
    }

    /// The signal of this name, with or without `SIG`, in any case.
    pub fn from_name(name: &str) -> Option<Self> {
        let upper = name.to_ascii_uppercase();
        let bare = upper.strip_prefix("SIG").unwrap_or(&upper);
        let number = (1..).zip(NAMES).find(|(_, known)| *known == bare)?.0;
        Some(Self(number))
    }

    /// The signal that a shell reports by this exit code (128+n), if any.
    pub fn from_exit_code(code: i32) -> Option<Self> {
        Self::from_number(code.checked_sub(128)?)
    }

    /// The number on Linux.
    pub fn number(self) -> i32 {
        self.0
    }

    /// The exit code by which a shell reports a death by this signal: 128+n.
    pub fn exit_code(self) -> i32 {
        128 + self.0
    }

    /// The name without `SIG`, such as `TERM`; real-time signals have none.
    pub fn name(self) -> Option<&'static str> {
        let index = usize::try_from(self.0 - 1).ok()?;
        NAMES.get(index).copied()
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => write!(f, "SIG{name}"),
            None => write!(f, "signal {}", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_names_agree() {
        for (number, name) in [
            (1, "HUP"),
            (9, "KILL"),
            (11, "SEGV"),
            (15, "TERM"),
            (31, "SYS"),
        ] {
            let signal = Signal::from_number(number).unwrap();
            assert_eq!(signal.name(), Some(name));
            assert_eq!(Signal::from_name(&format!("sig{name}")), Some(signal));
        }
        assert_eq!(Signal::TERM.to_string(), "SIGTERM");
        assert_eq!(Signal::from_number(40).unwrap().to_string(), "signal 40");
    }

    #[test]
    fn only_codes_above_128_can_be_signals() {
        assert_eq!(Signal::from_exit_code(137), Some(Signal::KILL));
        for code in [0, 127, 128, 193, 255, i32::MIN] {
            assert_eq!(Signal::from_exit_code(code), None, "{code}");
        }
    }
}
