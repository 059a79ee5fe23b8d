//! The outcome of a run, from the end of its process and what is found after it.

use backend_core::{Loss, LossCause, Outcome, RunResult, Signal};
use rustix::process::Pid;

use crate::process::End;
use crate::processes;
use crate::pump::Pumped;
use crate::remains::Remains;

/// What is to be seen when a run is over.
#[derive(Debug, Default)]
pub(crate) struct After {
    /// Someone else removed the instance, so the end was their doing.
    taken_away: bool,
    /// Something in the instance ran out of memory.
    out_of_memory: bool,
    leftovers: Vec<String>,
}

impl After {
    /// Looks. Blocks.
    pub(crate) fn look(remains: &Remains, leader: Option<Pid>, end: End) -> Self {
        if end == End::Stopped {
            return Self::default();
        }
        let killed = matches!(
            end,
            End::Signaled {
                signal: Signal::KILL,
                by_us: false
            }
        );
        Self {
            // A script may remove its own marks and go on; who is killed as
            // they go was most likely killed by who removed them.
            taken_away: remains.announced() || (killed && remains.gone()),
            out_of_memory: remains.containment.oom_kills() > 0,
            leftovers: processes::lines(&remains.containment.members(leader)),
        }
    }

    /// The result of the run.
    pub(crate) fn result(self, pumped: Pumped) -> RunResult {
        let outcome = self.outcome(pumped.end);
        let mut result = RunResult::new(outcome, pumped.bytes);
        result.output_complete = pumped.complete && result.completed();
        result.oom_seen = self.out_of_memory;
        result.leftovers = self.leftovers;
        result
    }

    fn outcome(&self, end: End) -> Outcome {
        let lost = |cause, detail: &str| Outcome::Lost(Loss::new(cause, detail));
        match end {
            _ if self.taken_away => lost(
                LossCause::InstanceGone,
                "the instance was removed by someone else while the script ran",
            ),
            End::Exited(code) => Outcome::Exited {
                code,
                maybe_signal: None,
            },
            End::Signaled { signal, by_us } => Outcome::Signaled {
                signal,
                oom: signal == Signal::KILL && !by_us && self.out_of_memory,
            },
            End::Stopped => Outcome::Lost(Loss::stopped()),
            End::Unknown => lost(
                LossCause::StatusMissing,
                "the script ended, and something else in this program took its status",
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_named_only_for_a_kill_that_was_not_ours() {
        let after = After {
            out_of_memory: true,
            ..After::default()
        };
        for (signal, by_us, expected) in [
            (Signal::KILL, false, true),
            (Signal::KILL, true, false),
            (Signal::TERM, false, false),
        ] {
            let outcome = after.outcome(End::Signaled { signal, by_us });
            assert_eq!(
                outcome,
                Outcome::Signaled {
                    signal,
                    oom: expected
                }
            );
        }
    }

    #[test]
    fn what_was_not_seen_is_lost_whatever_the_code() {
        let taken = After {
            taken_away: true,
            ..After::default()
        };
        for (after, end) in [
            (taken, End::Exited(0)),
            (After::default(), End::Unknown),
            (After::default(), End::Stopped),
        ] {
            let result = after.result(Pumped {
                end,
                bytes: 3,
                complete: true,
            });
            assert!(!result.completed() && !result.output_complete);
            assert_eq!((result.exit_code(), result.output_bytes), (None, 3));
        }
    }
}
