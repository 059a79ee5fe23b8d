//! Exit statuses: what a script in a pipeline learns.

use std::process::ExitCode;

use backend_core::Outcome;
use worker_core::{CancelCause, EndedBy, JobResult};

/// The exit status of the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ExitStatus(u8);

/// All went well.
pub(crate) const SUCCESS: ExitStatus = ExitStatus(0);
/// A command other than `run` could do its work only in part.
pub(crate) const FAILURE: ExitStatus = ExitStatus(1);
/// A limit ended the job.
pub(crate) const LIMIT: ExitStatus = ExitStatus(124);
/// The script never began.
pub(crate) const NEVER_STARTED: ExitStatus = ExitStatus(125);
/// How the script ended is not known.
pub(crate) const LOST: ExitStatus = ExitStatus(75);

impl ExitStatus {
    /// The exit status of `worker run` for this result.
    pub(crate) fn of(result: &JobResult) -> Self {
        // A success whose output is lost is none, as for any other program.
        if result.exit_code == Some(0)
            && result.ended_by == EndedBy::Script
            && result.output_error.is_some()
        {
            return Self::of_cancel(Some(CancelCause::OutputClosed));
        }
        match result.ended_by {
            EndedBy::Timeout | EndedBy::OutputLimit => LIMIT,
            EndedBy::Cancel => Self::of_cancel(result.cancelled_by),
            EndedBy::NeverStarted => NEVER_STARTED,
            _ => result
                .outcome
                .as_ref()
                .map_or(NEVER_STARTED, Self::of_outcome),
        }
    }

    /// The exit status for what ended so.
    pub(crate) fn of_outcome(outcome: &Outcome) -> Self {
        match outcome {
            // A code that does not fit must not turn into another, least of
            // all into 0: codes beyond a byte come only from foreign systems.
            Outcome::Exited { code, .. } => Self(u8::try_from(*code).unwrap_or(u8::MAX)),
            Outcome::Signaled { signal, .. } => {
                Self(u8::try_from(signal.exit_code()).unwrap_or(u8::MAX))
            }
            Outcome::Lost(_) => LOST,
        }
    }

    /// 128+n of the signal that would have ended us.
    pub(crate) fn of_cancel(cause: Option<CancelCause>) -> Self {
        match cause {
            Some(CancelCause::HangUp) => Self(129),
            Some(CancelCause::Terminate) => Self(143),
            Some(CancelCause::OutputClosed) => Self(141),
            _ => Self(130),
        }
    }
}

impl From<ExitStatus> for ExitCode {
    fn from(status: ExitStatus) -> Self {
        Self::from(status.0)
    }
}

#[cfg(test)]
mod tests {
    use backend_core::{Loss, LossCause, Signal};

    use super::*;

    #[test]
    fn outcomes_have_the_documented_statuses() {
        let exited = |code| Outcome::Exited {
            code,
            maybe_signal: None,
        };
        for (outcome, status) in [
            (exited(0), 0),
            (exited(43), 43),
            (exited(255), 255),
            (exited(256), 255),
            (exited(-1), 255),
            (
                Outcome::Signaled {
                    signal: Signal::TERM,
                    oom: false,
                },
                143,
            ),
            (
                Outcome::Signaled {
                    signal: Signal::KILL,
                    oom: true,
                },
                137,
            ),
            (Outcome::Lost(Loss::new(LossCause::Connection, "cut")), 75),
        ] {
            assert_eq!(
                ExitStatus::of_outcome(&outcome),
                ExitStatus(status),
                "{outcome}"
            );
        }
    }
}
