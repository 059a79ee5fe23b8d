//! The verdict on a run, from what was seen of it.

use backend_core::{ErrorKind, Loss, LossCause, Outcome, RunResult, Signal};

use crate::error::Failure;
use crate::pump::Pumped;

/// The result of a run whose output was pumped; `stopped` says whether the
/// instance was being stopped meanwhile.
pub(crate) fn result(pumped: &Pumped, stopped: bool, leftovers: Vec<String>) -> RunResult {
    let mut result = RunResult::new(outcome(pumped, stopped), pumped.bytes);
    result.output_complete = pumped.complete && result.completed();
    result.leftovers = leftovers;
    result.reconnects = pumped.reconnects;
    result
}

/// A run of which it is not even known whether it began.
pub(crate) fn lost(failure: &Failure) -> RunResult {
    RunResult::lost(loss(failure), 0)
}

fn outcome(pumped: &Pumped, stopped: bool) -> Outcome {
    match (pumped.exit.map(|exit| exit.code), &pumped.dead) {
        // An exit that was seen wins over whatever came after it.
        (Some(Some(code)), _) => Outcome::Exited {
            code,
            // A shell is between the script and its status.
            maybe_signal: Signal::from_exit_code(code),
        },
        _ if stopped => Outcome::Lost(Loss::stopped()),
        (None, Some(failure)) => Outcome::Lost(loss(failure)),
        (Some(None), _) => Outcome::Lost(Loss::new(
            LossCause::StatusMissing,
            "what waits for the script was ended before it, and left no status",
        )),
        (None, None) => Outcome::Lost(Loss::new(
            LossCause::Protocol,
            "the output did not come to where the far side says that it ends",
        )),
    }
}

fn loss(failure: &Failure) -> Loss {
    let cause = match failure.kind() {
        ErrorKind::Gone => LossCause::InstanceGone,
        ErrorKind::Protocol => LossCause::Protocol,
        _ => LossCause::Connection,
    };
    Loss::new(cause, backend_core::Chain(failure).to_string())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use backend_core::OutOfOrder;

    use super::*;
    use crate::flow::Exit;

    fn pumped(exit: Option<Exit>, dead: bool) -> Pumped {
        Pumped {
            exit,
            dead: dead.then(|| Arc::new(OutOfOrder::Stopped.into())),
            bytes: 3,
            complete: true,
            reconnects: 1,
        }
    }

    fn exited(code: i32) -> Exit {
        let code = Some(code);
        Exit { code, size: 0 }
    }

    #[test]
    fn only_a_status_that_was_read_is_an_exit() {
        let without_status = Exit {
            code: None,
            size: 0,
        };
        for exit in [None, Some(without_status)] {
            for dead in [false, true] {
                for stopped in [false, true] {
                    let result = result(&pumped(exit, dead), stopped, Vec::new());
                    assert!(
                        !result.completed() && !result.output_complete,
                        "{exit:?} {dead} {stopped}"
                    );
                }
            }
        }
    }

    #[test]
    fn an_exit_that_was_seen_wins() {
        for dead in [false, true] {
            for stopped in [false, true] {
                let seen = result(&pumped(Some(exited(7)), dead), stopped, Vec::new());
                assert_eq!((seen.exit_code(), seen.reconnects), (Some(7), 1));
            }
        }
        let killed = result(&pumped(Some(exited(137)), false), false, Vec::new());
        let expected = Outcome::Exited {
            code: 137,
            maybe_signal: Some(Signal::KILL),
        };
        assert_eq!(killed.outcome, expected);
    }
}
