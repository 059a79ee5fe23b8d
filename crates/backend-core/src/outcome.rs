//! How a run ended, and how sure that is.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Signal;

/// How a script ended.
///
/// There is no value of this type that says "exit 0" without an exit status
/// having been read: a lost connection, an unread status or a cut stream is
/// [`Outcome::Lost`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
#[must_use = "the outcome is the verdict on the script"]
pub enum Outcome {
    /// The script exited by itself with this code.
    Exited {
        /// The exit code; 0 to 255 on Linux.
        code: i32,
        /// Set where the far side reports a death by signal as code 128+n and
        /// the two cannot be told apart: the signal that it may have been.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        maybe_signal: Option<Signal>,
    },
    /// The script was ended by this signal.
    Signaled {
        /// The signal.
        signal: Signal,
        /// Whether it was sent because memory ran out.
        oom: bool,
    },
    /// The script may have begun, and how it ended is not known.
    Lost(Loss),
}

impl Outcome {
    /// The exit code; `None` unless an exit was observed.
    pub fn exit_code(&self) -> Option<i32> {
        match self {
            Self::Exited { code, .. } => Some(*code),
            Self::Signaled { .. } | Self::Lost(_) => None,
        }
    }
}

/// Why the end of a script is not known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Loss {
    /// The kind of reason.
    pub cause: LossCause,
    /// One sentence for a person, lower case, without a full stop.
    pub detail: String,
}

impl Loss {
    /// A loss for this cause, told in one sentence.
    pub fn new(cause: LossCause, detail: impl Into<String>) -> Self {
        Self {
            cause,
            detail: detail.into(),
        }
    }

    /// That of a run whose instance was stopped from this side.
    pub fn stopped() -> Self {
        Self::new(
            LossCause::Stopped,
            "the instance was stopped while the script ran",
        )
    }

    /// That of a shell whose instance went away.
    pub fn removed_under_a_shell() -> Self {
        Self::new(
            LossCause::InstanceGone,
            "the instance was removed while the shell was open",
        )
    }
}

/// The kinds of reasons for which the end of a script is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum LossCause {
    /// The connection broke, and did not come back in time.
    Connection,
    /// The instance was removed by someone else.
    InstanceGone,
    /// The script ended, and its status could not be had.
    StatusMissing,
    /// The engine, server or machine went down.
    BackendGone,
    /// The far side ended the run for a reason of its own (a lease, a drain).
    EndedElsewhere,
    /// The instance was stopped from this side while the script ran.
    Stopped,
    /// The far side said something that makes no sense.
    Protocol,
}

#[cfg(unix)]
impl From<std::process::ExitStatus> for Outcome {
    /// What the system says of a process of this machine that has ended.
    fn from(status: std::process::ExitStatus) -> Self {
        use std::os::unix::process::ExitStatusExt as _;

        let signal = status.signal().and_then(Signal::from_number);
        match (status.code(), signal) {
            (Some(code), _) => Self::Exited {
                code,
                maybe_signal: None,
            },
            (None, Some(signal)) => Self::Signaled { signal, oom: false },
            (None, None) => Self::Lost(Loss::new(
                LossCause::StatusMissing,
                format!("the system says neither code nor signal: {status}"),
            )),
        }
    }
}

impl fmt::Display for LossCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connection => "connection lost",
            Self::InstanceGone => "instance gone",
            Self::StatusMissing => "status missing",
            Self::BackendGone => "backend gone",
            Self::EndedElsewhere => "ended elsewhere",
            Self::Stopped => "instance stopped",
            Self::Protocol => "protocol violated",
        })
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exited {
                code,
                maybe_signal: None,
            } => write!(f, "exited with code {code}"),
            Self::Exited {
                code,
                maybe_signal: Some(signal),
            } => {
                write!(f, "exited with code {code} (or ended by {signal})")
            }
            Self::Signaled { signal, oom: false } => write!(f, "ended by {signal}"),
            Self::Signaled { signal, oom: true } => write!(f, "ended by {signal}, out of memory"),
            Self::Lost(loss) => write!(f, "lost: {}: {}", loss.cause, loss.detail),
        }
    }
}

/// What a run gave: its outcome and what is known beside it.
///
/// Published only after the last byte of output was handed to the sink.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[must_use = "the outcome is the verdict on the script"]
#[non_exhaustive]
pub struct RunResult {
    /// How the script ended.
    pub outcome: Outcome,
    /// Whether every byte that the script wrote until it ended was taken by
    /// the sink. `false` after a cut, after a sink that failed, and where a
    /// child still held the output open when the drain window closed.
    pub output_complete: bool,
    /// Bytes handed to the sink.
    pub output_bytes: u64,
    /// Whether anything in the instance ran out of memory, the script or not.
    pub oom_seen: bool,
    /// Whether the engine or machine ended the script as it was itself shut
    /// down in an orderly way.
    pub ended_by_engine: bool,
    /// What was still running when the run returned, one line each, as far as
    /// it can be known ([`Capability::ReportsLeftovers`](crate::Capability)).
    pub leftovers: Vec<String>,
    /// How often a lost connection was re-made during the run.
    pub reconnects: u32,
}

impl RunResult {
    /// A result with this outcome, complete output of `output_bytes` bytes,
    /// and nothing else to tell.
    pub fn new(outcome: Outcome, output_bytes: u64) -> Self {
        Self {
            outcome,
            output_complete: true,
            output_bytes,
            oom_seen: false,
            ended_by_engine: false,
            leftovers: Vec::new(),
            reconnects: 0,
        }
    }

    /// A run that was lost after `output_bytes` bytes: its output is not complete.
    pub fn lost(loss: Loss, output_bytes: u64) -> Self {
        Self {
            output_complete: false,
            ..Self::new(Outcome::Lost(loss), output_bytes)
        }
    }

    /// The script's exit code, if it exited by itself and that is known.
    ///
    /// `None` for a death by signal and for a run that was lost; never a
    /// stand-in such as 0 or -1.
    pub fn exit_code(&self) -> Option<i32> {
        self.outcome.exit_code()
    }

    /// Whether the script came to an end that is known: by exit or by signal.
    pub fn completed(&self) -> bool {
        !matches!(self.outcome, Outcome::Lost(_))
    }

    /// Whether the script exited with code 0.
    pub fn success(&self) -> bool {
        self.exit_code() == Some(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn what_the_system_says_is_taken_as_it_is() {
        use std::os::unix::process::ExitStatusExt as _;

        let outcome = |raw| Outcome::from(std::process::ExitStatus::from_raw(raw));
        let exited = |code| Outcome::Exited {
            code,
            maybe_signal: None,
        };
        assert_eq!(outcome(0), exited(0));
        assert_eq!(outcome(43 << 8), exited(43));
        let killed = Outcome::Signaled {
            signal: Signal::KILL,
            oom: false,
        };
        assert_eq!(outcome(9), killed);
        // Stopped, which is no end at all.
        assert!(matches!(outcome(0x137f), Outcome::Lost(_)));
    }

    #[test]
    fn only_an_exit_has_a_code() {
        let exited = RunResult::new(
            Outcome::Exited {
                code: 43,
                maybe_signal: None,
            },
            0,
        );
        assert_eq!((exited.exit_code(), exited.completed()), (Some(43), true));
        let killed = RunResult::new(
            Outcome::Signaled {
                signal: Signal::KILL,
                oom: false,
            },
            0,
        );
        assert_eq!((killed.exit_code(), killed.completed()), (None, true));
        let lost = RunResult::lost(Loss::new(LossCause::Connection, "reset by peer"), 7);
        assert_eq!(
            (lost.exit_code(), lost.completed(), lost.success()),
            (None, false, false)
        );
        assert!(!lost.output_complete);
    }
}
