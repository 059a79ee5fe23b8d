//! What is done to jobs and to what they run on, and the endings that it may
//! bring about: pure.

use std::time::Duration;

use backend_core::testkit::{Action, Direction};

use super::plan::Backend;
use super::scripts::{End, Script};

/// When something happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum When {
    /// So long after the worker was begun.
    Begun(Duration),
    /// So long after the first byte of output.
    Output(Duration),
}

/// What somebody does to a job, or a limit of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Interruption {
    Nothing,
    HardTimeout(Duration),
    SilenceTimeout(Duration),
    OutputLimit {
        bytes: usize,
        truncate: bool,
    },
    /// A signal to the worker that cancels, maybe a second one after a moment.
    Cancel {
        signal: i32,
        when: When,
        twice: bool,
    },
    /// The worker is killed.
    Kill(When),
    /// The reader of the output goes away.
    ReaderLeaves {
        after: usize,
    },
}

/// What happens to the way to an instance, or to what it is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trouble {
    Nothing,
    /// The connection is cut, or goes silent for good, after so many bytes.
    Cut {
        direction: Direction,
        after: u64,
        action: Action,
    },
    /// Nothing passes for a while.
    Stall {
        when: When,
        lasts: Duration,
    },
    /// Each piece is late.
    Delay(Duration),
    /// Connections are reset, and refused for a while.
    Refuse {
        when: When,
        lasts: Duration,
    },
    /// The daemon is stopped for a while.
    Pause {
        when: When,
        lasts: Duration,
    },
    /// The daemon is killed, and started again.
    Kill(When),
    /// The daemon is ended in good order, and started again.
    Restart(When),
    /// The file system of the instances has this much room.
    FullDisk {
        room: u64,
    },
    /// `fake` loses its connection after so many bytes.
    Scripted {
        after: usize,
    },
}

/// How a job ended, as far as that matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Ending {
    /// The script ended by itself.
    Own,
    Limit,
    OutputLimit,
    Cancelled,
    ReaderGone,
    Engine,
    Lost,
    NeverStarted,
    /// A signal ended the worker.
    WorkerKilled,
}

impl Interruption {
    /// Its kind, for the report.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Nothing => "undisturbed",
            Self::HardTimeout(_) => "hard timeout",
            Self::SilenceTimeout(_) => "silence timeout",
            Self::OutputLimit { .. } => "output limit",
            Self::Cancel { .. } => "cancel",
            Self::Kill(_) => "worker killed",
            Self::ReaderLeaves { .. } => "reader leaves",
        }
    }

    /// The endings that it may bring about, beside those that there are without.
    pub(crate) fn allows(self, script: &Script, ending: Ending) -> bool {
        match self {
            Self::Nothing => false,
            Self::HardTimeout(_) | Self::SilenceTimeout(_) => ending == Ending::Limit,
            Self::OutputLimit { bytes, truncate } => {
                ending == Ending::OutputLimit && !truncate && script.output.len() > bytes
            }
            // A signal that comes before the worker listens ends it.
            Self::Cancel { .. } => matches!(ending, Ending::Cancelled | Ending::WorkerKilled),
            Self::Kill(_) => ending == Ending::WorkerKilled,
            Self::ReaderLeaves { .. } => ending == Ending::ReaderGone,
        }
    }

    /// Whether the script can end by itself in spite of it.
    pub(crate) fn spares(self, script: &Script) -> bool {
        // One that prints too much is ended by that, whichever comes first.
        let too_much = matches!(self, Self::OutputLimit { bytes, truncate: false }
            if script.output.len() > bytes);
        script.end != End::Never && !too_much
    }

    /// The same of a script of whose output some is lost on the way.
    pub(crate) fn spares_what_is_not_seen(self, script: &Script) -> bool {
        matches!(self, Self::OutputLimit { .. }) && script.end != End::Never
    }
}

impl Trouble {
    /// Its kind, for the report.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Nothing => "no trouble",
            Self::Cut {
                action: Action::Freeze,
                ..
            } => "connection frozen",
            Self::Cut { .. } => "connection cut",
            Self::Stall { .. } => "connection stalled",
            Self::Delay(_) => "connection slow",
            Self::Refuse { .. } => "connections refused",
            Self::Pause { .. } => "daemon stopped",
            Self::Kill(_) => "daemon killed",
            Self::Restart(_) => "daemon restarted",
            Self::FullDisk { .. } => "disk full",
            Self::Scripted { .. } => "scripted loss",
        }
    }

    /// Whether it befalls the connection, which then has to be a detour.
    pub(crate) fn is_of_connection(self) -> bool {
        matches!(
            self,
            Self::Cut { .. } | Self::Stall { .. } | Self::Delay(_) | Self::Refuse { .. }
        )
    }

    /// Whether it befalls the daemon, and so all jobs that are there.
    pub(crate) fn is_of_daemon(self) -> bool {
        matches!(self, Self::Pause { .. } | Self::Kill(_) | Self::Restart(_))
    }

    /// The endings that it may bring about, beside those that there are without.
    pub(crate) fn allows(self, backend: Backend, ending: Ending) -> bool {
        match self {
            Self::Nothing | Self::Delay(_) => false,
            // The run goes on, and is found again; only a start may fail.
            Self::Cut { .. } | Self::Stall { .. } | Self::Refuse { .. } | Self::Pause { .. } => {
                ending == Ending::NeverStarted
            }
            // Sessions outlive the daemon that they came from.
            Self::Kill(_) | Self::Restart(_) if backend == Backend::Ssh => {
                ending == Ending::NeverStarted
            }
            Self::Kill(_) | Self::Restart(_) => {
                matches!(ending, Ending::NeverStarted | Ending::Lost | Ending::Engine)
            }
            Self::FullDisk { .. } => ending == Ending::NeverStarted,
            Self::Scripted { .. } => ending == Ending::Lost,
        }
    }

    /// Whether output may be missing of a script whose end was seen.
    pub(crate) fn costs_output(self, backend: Backend) -> bool {
        match self {
            Self::Nothing | Self::Delay(_) | Self::FullDisk { .. } | Self::Scripted { .. } => false,
            // What an engine streamed is not kept; the others continue.
            _ => backend == Backend::Docker,
        }
    }

    /// Whether the script may stand still with its output: an engine gives a
    /// container no more room than its buffers have while a reader that it
    /// believes in takes nothing.
    pub(crate) fn stops_script(self, backend: Backend, script: &Script) -> bool {
        /// Less than any engine has of them.
        const BUFFERS: u64 = 64 << 10;
        let Self::Cut {
            direction: Direction::FromTarget,
            after,
            action: Action::Freeze,
        } = self
        else {
            return false;
        };
        backend == Backend::Docker && script.output.len() as u64 > after + BUFFERS
    }

    /// Whether it may keep an instance from being removed by its own worker.
    pub(crate) fn hinders_stop(self) -> bool {
        !matches!(self, Self::Nothing | Self::Delay(_) | Self::Scripted { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::soak::scripts::Recipe;

    #[test]
    fn a_cut_connection_is_no_loss() {
        let cut = Trouble::Cut {
            direction: Direction::FromTarget,
            after: 1,
            action: Action::Reset,
        };
        for backend in Backend::ALL {
            assert!(!cut.allows(backend, Ending::Lost));
            assert!(!cut.allows(backend, Ending::Own));
            assert_eq!(cut.costs_output(backend), backend == Backend::Docker);
        }
    }

    #[test]
    fn what_prints_too_much_has_no_end_of_its_own() {
        let script = Recipe::Lines {
            count: 100,
            code: 0,
        }
        .script();
        let limit = |bytes, truncate| Interruption::OutputLimit { bytes, truncate };
        assert!(!limit(10, false).spares(&script));
        assert!(limit(10, false).allows(&script, Ending::OutputLimit));
        assert!(limit(10, true).spares(&script));
        assert!(!limit(10, true).allows(&script, Ending::OutputLimit));
        assert!(limit(10_000, false).spares(&script));
        assert!(!limit(10_000, false).allows(&script, Ending::OutputLimit));
    }

    #[test]
    fn only_a_silent_connection_in_much_output_of_a_container_stops_a_script() {
        let script = |count| Recipe::Lines { count, code: 0 }.script();
        let cut = |action, after| Trouble::Cut {
            direction: Direction::FromTarget,
            after,
            action,
        };
        let much = script(20_000);
        assert!(much.output.len() > 100_000);
        let frozen = cut(Action::Freeze, 4096);
        assert!(frozen.stops_script(Backend::Docker, &much));
        assert!(!frozen.stops_script(Backend::Docker, &script(10)));
        assert!(!frozen.stops_script(Backend::Ssh, &much));
        assert!(!cut(Action::Reset, 4096).stops_script(Backend::Docker, &much));
        let other_way = Trouble::Cut {
            direction: Direction::ToTarget,
            after: 4096,
            action: Action::Freeze,
        };
        assert!(!other_way.stops_script(Backend::Docker, &much));
        assert!(!cut(Action::Freeze, 1 << 22).stops_script(Backend::Docker, &much));
    }
}
