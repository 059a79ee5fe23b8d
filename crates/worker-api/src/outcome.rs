//! How a run ended, on the wire and in the contract.

use backend_core::{Loss, LossCause, Outcome, Signal};
use serde::{Deserialize, Serialize};

use crate::Problem;

/// How a run ended. Published strictly after the last byte of its output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum WireOutcome {
    /// The script exited by itself.
    Exit {
        /// With this code.
        code: i32,
        /// The signal that it may have been, where code 128+n and a death by
        /// signal n cannot be told apart.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        maybe_signal: Option<i32>,
    },
    /// A signal ended the script.
    Signal {
        /// Its number on Linux.
        signal: i32,
        /// Whether it was sent for lack of memory.
        #[serde(default)]
        oom: bool,
    },
    /// The server ended the run.
    Stopped {
        /// Why.
        by: StoppedBy,
        /// One sentence for a person.
        #[serde(default)]
        detail: String,
    },
    /// It may have begun, and how it ended is not known.
    Lost {
        /// Why.
        by: LostBy,
        /// One sentence for a person.
        #[serde(default)]
        detail: String,
    },
    /// It never began.
    NotStarted {
        /// Why.
        problem: Problem,
    },
}

/// Why a server ended a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum StoppedBy {
    /// The client deleted the instance.
    Cancel,
    /// The run took longer than its limit, or the instance lived longer.
    Timeout,
    /// It was silent for longer than its limit.
    Silence,
    /// The lease was not renewed.
    Lease,
    /// It wrote more than its limit, or than there is room for.
    OutputLimit,
    /// The server was shut down.
    Drain,
    /// Something that this reader does not know.
    #[serde(other)]
    Other,
}

/// Why the end of a run is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum LostBy {
    /// A connection behind the server broke.
    Connection,
    /// The instance was removed by someone else.
    InstanceGone,
    /// The status could not be had.
    StatusMissing,
    /// The engine, host or machine behind the server went down.
    BackendGone,
    /// Something behind the server ended it for a reason of its own.
    EndedElsewhere,
    /// Something behind the server said what makes no sense.
    Protocol,
    /// The server was started anew in mid-run.
    Restart,
    /// Something that this reader does not know.
    #[serde(other)]
    Other,
}

impl WireOutcome {
    /// What a backend's outcome is on the wire, unless the server ended the
    /// run (`stopped` then says why): a signal or a loss is then its work. An
    /// exit that was seen is the script's own, unless `overrules` says that the
    /// server had begun to end it.
    pub fn new(outcome: &Outcome, stopped: Option<(StoppedBy, &str)>, overrules: bool) -> Self {
        let ours = match outcome {
            Outcome::Exited { .. } | Outcome::Signaled { .. } => overrules,
            Outcome::Lost(loss) => overrules || loss.cause == LossCause::Stopped,
        };
        if let (true, Some((by, detail))) = (ours, stopped) {
            return Self::Stopped {
                by,
                detail: detail.to_owned(),
            };
        }
        match outcome {
            Outcome::Exited { code, maybe_signal } => Self::Exit {
                code: *code,
                maybe_signal: maybe_signal.map(Signal::number),
            },
            Outcome::Signaled { signal, oom } => Self::Signal {
                signal: signal.number(),
                oom: *oom,
            },
            Outcome::Lost(loss) => Self::Lost {
                by: LostBy::of(loss.cause),
                detail: loss.detail.clone(),
            },
        }
    }

    /// The outcome in the contract, for a client; `asked` says whether it has
    /// itself asked for the end of the run.
    ///
    /// # Errors
    ///
    /// The problem of a run that never began.
    pub fn into_outcome(self, asked: bool) -> Result<Outcome, Problem> {
        let lost = |cause, detail: String| Ok(Outcome::Lost(Loss::new(cause, detail)));
        match self {
            Self::Exit { code, maybe_signal } => Ok(Outcome::Exited {
                code,
                maybe_signal: maybe_signal.and_then(Signal::from_number),
            }),
            Self::Signal { signal, oom } => match Signal::from_number(signal) {
                Some(signal) => Ok(Outcome::Signaled { signal, oom }),
                None => lost(
                    LossCause::Protocol,
                    format!("the server speaks of a signal {signal}, which there is not"),
                ),
            },
            Self::Stopped { by, detail } => {
                let cause = match by {
                    StoppedBy::Cancel if asked => LossCause::Stopped,
                    _ => LossCause::EndedElsewhere,
                };
                lost(cause, or_else(detail, by.describe()))
            }
            Self::Lost { by, detail } => lost(by.cause(), or_else(detail, by.describe())),
            Self::NotStarted { problem } => Err(problem),
        }
    }
}

impl StoppedBy {
    /// The reason as a sentence.
    pub fn describe(self) -> &'static str {
        match self {
            Self::Cancel => "the instance was deleted",
            Self::Timeout => "the server ended the run at its limit on time",
            Self::Silence => "the server ended the run after a silence",
            Self::Lease => "the lease was not renewed, and the server ended the run",
            Self::OutputLimit => "the server ended the run at its limit on output",
            Self::Drain => "the server was shut down, and ended the run",
            Self::Other => "the server ended the run",
        }
    }
}

impl LostBy {
    fn of(cause: LossCause) -> Self {
        match cause {
            LossCause::Connection => Self::Connection,
            LossCause::InstanceGone => Self::InstanceGone,
            LossCause::StatusMissing => Self::StatusMissing,
            LossCause::BackendGone => Self::BackendGone,
            LossCause::Protocol => Self::Protocol,
            _ => Self::EndedElsewhere,
        }
    }

    fn cause(self) -> LossCause {
        match self {
            Self::Connection => LossCause::Connection,
            Self::InstanceGone => LossCause::InstanceGone,
            Self::StatusMissing => LossCause::StatusMissing,
            Self::BackendGone | Self::Restart => LossCause::BackendGone,
            Self::Protocol => LossCause::Protocol,
            Self::EndedElsewhere | Self::Other => LossCause::EndedElsewhere,
        }
    }

    fn describe(self) -> &'static str {
        match self {
            Self::Restart => "the server was started anew in mid-run",
            _ => "the server does not know how the run ended",
        }
    }
}

fn or_else(detail: String, otherwise: &str) -> String {
    if detail.is_empty() {
        otherwise.to_owned()
    } else {
        detail
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn outcomes() -> impl Strategy<Value = Outcome> {
        let signal = || (1..=64).prop_map(|number| Signal::from_number(number).unwrap());
        let causes = prop::sample::select(vec![
            LossCause::Connection,
            LossCause::InstanceGone,
            LossCause::StatusMissing,
            LossCause::BackendGone,
            LossCause::EndedElsewhere,
            LossCause::Protocol,
        ]);
        prop_oneof![
            (any::<i32>(), prop::option::of(signal()))
                .prop_map(|(code, maybe_signal)| Outcome::Exited { code, maybe_signal }),
            (signal(), any::<bool>()).prop_map(|(signal, oom)| Outcome::Signaled { signal, oom }),
            (causes, "[a-z]{1,9}").prop_map(|(cause, text)| Outcome::Lost(Loss::new(cause, text))),
        ]
    }

    proptest! {
        #[test]
        fn an_outcome_passes_the_wire_unchanged(outcome in outcomes()) {
            let json = serde_json::to_string(&WireOutcome::new(&outcome, None, false)).unwrap();
            let read: WireOutcome = serde_json::from_str(&json).unwrap();
            prop_assert_eq!(read.into_outcome(false).unwrap(), outcome);
        }

        #[test]
        fn what_the_server_ended_is_never_an_exit(outcome in outcomes()) {
            let stopped = Some((StoppedBy::Lease, "why"));
            let read = WireOutcome::new(&outcome, stopped, true).into_outcome(false).unwrap();
            prop_assert_eq!(read, Outcome::Lost(Loss::new(LossCause::EndedElsewhere, "why")));
        }

        #[test]
        fn any_bytes_are_an_outcome_or_are_not(bytes: Vec<u8>) {
            let _ = serde_json::from_slice::<WireOutcome>(&bytes);
        }
    }

    #[test]
    fn an_unknown_reason_is_still_no_exit() {
        let read: WireOutcome =
            serde_json::from_str(r#"{"kind":"stopped","by":"meteor","since":3}"#).unwrap();
        assert!(matches!(read.into_outcome(true), Ok(Outcome::Lost(_))));
        let signal: WireOutcome = serde_json::from_str(r#"{"kind":"signal","signal":0}"#).unwrap();
        assert!(matches!(signal.into_outcome(false), Ok(Outcome::Lost(_))));
        assert!(serde_json::from_str::<WireOutcome>(r#"{"kind":"exit"}"#).is_err());
    }
}
