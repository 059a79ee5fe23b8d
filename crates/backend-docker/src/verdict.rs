//! How a run ended, from all that was observed: pure.

use backend_core::{Loss, LossCause, Outcome, RunResult, Signal};

use crate::container::NOISE;
use crate::gate::NEVER_BEGAN;
use crate::reports::Report;

/// What the engine says of the container's end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum EngineEnd {
    /// It has ended.
    Ended {
        /// The exit code of its first process, if the engine has one.
        code: Option<i64>,
        /// Whether anything in it was killed for lack of memory.
        oom: bool,
        /// Whether somebody is removing it.
        removing: bool,
        /// Whether the engine could not be reached for some time before.
        was_away: bool,
    },
    /// It does not exist any more.
    Gone,
    /// It cannot be known: the engine did not come back in time, for example.
    Lost(Loss),
}

/// What was observed of a run.
#[derive(Debug, Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is one independent observation"
)]
pub(crate) struct Observed {
    /// Whether the gate's shell says so when a child dies of a signal.
    tells_deaths: bool,
    /// Whether the gate said that the script begins.
    began: bool,
    /// The status that the gate read.
    end: Option<i32>,
    /// Whether the gate saw a lack of memory.
    oom: bool,
    /// What else was said on the gate's stream while the script ran.
    told: String,
    /// What the engine says.
    pub(crate) engine: Option<EngineEnd>,
    /// Whether the marker behind the output has come.
    pub(crate) marker_seen: bool,
    /// Whether the stream of output was cut, or had to be opened anew.
    pub(crate) cut: bool,
    /// How often it was opened anew.
    pub(crate) reconnects: u32,
    /// Whether the instance was stopped from this side.
    pub(crate) stopped: bool,
}

/// Deaths of which shells say nothing (dash, ash: INT and PIPE), and what they
/// say of the others, in the words of glibc and musl.
const DEATHS: [(&str, &[&str]); 16] = [
    ("HUP", &["Hangup"]),
    ("QUIT", &["Quit"]),
    ("ILL", &["Illegal instruction"]),
    ("TRAP", &["Trace/breakpoint trap"]),
    ("ABRT", &["Aborted"]),
    ("BUS", &["Bus error"]),
    ("FPE", &["Floating point exception", "Arithmetic exception"]),
    ("KILL", &["Killed"]),
    ("USR1", &["User defined signal 1"]),
    ("SEGV", &["Segmentation fault"]),
    ("USR2", &["User defined signal 2"]),
    ("ALRM", &["Alarm clock"]),
    ("TERM", &["Terminated"]),
    ("XCPU", &["CPU time limit exceeded"]),
    ("XFSZ", &["File size limit exceeded"]),
    ("SYS", &["Bad system call"]),
];

impl Observed {
    /// Nothing yet, beside a gate whose shell tells of deaths, or does not.
    pub(crate) fn new(tells_deaths: bool) -> Self {
        Self {
            tells_deaths,
            ..Self::default()
        }
    }

    /// Takes a report of the gate's.
    pub(crate) fn hear(&mut self, report: Report) {
        /// More than a shell has to say of one child.
        const MOST: usize = 4096;
        match report {
            Report::Began => self.began = true,
            Report::Oom => self.oom = true,
            Report::End(status) => self.end = Some(status),
            Report::Text(text) if text == NOISE => {}
            Report::Text(text) if self.end.is_none() && self.told.len() < MOST => {
                self.told.push_str(&text);
                self.told.push('\n');
            }
            _ => {}
        }
    }

    /// Whether the gate has said how the script ended.
    pub(crate) fn has_status(&self) -> bool {
        self.end.is_some()
    }

    /// The result, with so many bytes delivered; `intact` is whether the sink
    /// took all of them.
    pub(crate) fn result(self, output_bytes: u64, intact: bool) -> RunResult {
        let (oom, was_away) = match self.engine {
            Some(EngineEnd::Ended { oom, was_away, .. }) => (oom || self.oom, was_away),
            _ => (self.oom, false),
        };
        let outcome = self.outcome(oom);
        let code = match outcome {
            Outcome::Exited { code, .. } => Some(code),
            Outcome::Signaled { signal, .. } => Some(signal.exit_code()),
            Outcome::Lost(_) => None,
        };
        let killed = code == Some(Signal::KILL.exit_code());
        // Without the marker, a clean end of the stream proves nothing, unless
        // the gate was killed before it could write one.
        let whole = self.marker_seen || (killed && self.end.is_none());
        let mut result = RunResult::new(outcome, output_bytes);
        result.output_complete = code.is_some() && whole && !self.cut && intact;
        result.oom_seen = oom;
        result.ended_by_engine = was_away && self.end.is_none() && killed;
        result.reconnects = self.reconnects;
        result
    }

    fn outcome(&self, oom: bool) -> Outcome {
        let lost = |cause, detail: &str| Outcome::Lost(Loss::new(cause, detail));
        if let Some(status) = self.end {
            return self.refine(status, oom);
        }
        match &self.engine {
            None if self.stopped => Outcome::Lost(Loss::stopped()),
            None => lost(
                LossCause::StatusMissing,
                "neither the container nor its engine said how the script ended",
            ),
            Some(EngineEnd::Lost(why)) => Outcome::Lost(why.clone()),
            Some(EngineEnd::Gone | EngineEnd::Ended { removing: true, .. }) => {
                if self.stopped {
                    return Outcome::Lost(Loss::stopped());
                }
                lost(
                    LossCause::InstanceGone,
                    "the container was removed while the script ran",
                )
            }
            Some(EngineEnd::Ended { code: None, .. }) => lost(
                LossCause::StatusMissing,
                "the engine has no exit code of the container",
            ),
            Some(EngineEnd::Ended {
                code: Some(code),
                was_away,
                ..
            }) => self.by_engine(*code, *was_away, oom),
        }
    }

    /// The outcome by the engine's word alone.
    fn by_engine(&self, code: i64, was_away: bool, oom: bool) -> Outcome {
        let lost = |detail: &str| Outcome::Lost(Loss::new(LossCause::StatusMissing, detail));
        let code = match i32::try_from(code) {
            Ok(code) if (0..=255).contains(&code) => code,
            _ => return lost("the engine says an exit code that no process can have"),
        };
        if code == NEVER_BEGAN && !self.began {
            return lost("the connection broke before it was known whether the script began");
        }
        // 255 and 128 are also what an engine makes up for a container whose
        // end it has not seen, because it was down itself.
        if was_away && (code == 255 || code == 128) {
            return lost("the engine was down, and does not know how the container ended");
        }
        let killed = Signal::from_exit_code(code) == Some(Signal::KILL);
        if killed && oom {
            return Outcome::Signaled {
                signal: Signal::KILL,
                oom,
            };
        }
        Outcome::Exited {
            code,
            maybe_signal: Signal::from_exit_code(code),
        }
    }

    /// What a shell's status means, by what the shell said besides.
    fn refine(&self, status: i32, oom: bool) -> Outcome {
        let exited = |maybe_signal| Outcome::Exited {
            code: status,
            maybe_signal,
        };
        let Some(signal) = Signal::from_exit_code(status) else {
            return exited(None);
        };
        let texts = signal
            .name()
            .and_then(|name| DEATHS.iter().find(|(known, _)| *known == name))
            .map(|(_, texts)| *texts);
        match texts {
            Some(texts) if texts.iter().any(|text| self.told.contains(text)) => Outcome::Signaled {
                signal,
                oom: oom && signal == Signal::KILL,
            },
            // This shell would have said so.
            Some(_) if self.tells_deaths => exited(None),
            _ => exited(Some(signal)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(code: i64) -> EngineEnd {
        EngineEnd::Ended {
            code: Some(code),
            oom: false,
            removing: false,
            was_away: false,
        }
    }

    fn observed(reports: &[Report], engine: Option<EngineEnd>) -> Observed {
        let mut observed = Observed {
            tells_deaths: true,
            engine,
            marker_seen: true,
            ..Observed::default()
        };
        for report in reports {
            observed.hear(report.clone());
        }
        observed
    }

    fn text(text: &str) -> Report {
        Report::Text(text.into())
    }

    #[test]
    fn the_gates_status_is_the_verdict() {
        let result = observed(&[Report::Began, Report::End(43)], Some(ended(43))).result(5, true);
        assert_eq!(result.exit_code(), Some(43));
        assert!(result.output_complete && result.output_bytes == 5);
    }

    #[test]
    fn a_death_is_told_from_an_exit_by_what_the_shell_says() {
        let outcome =
            |reports: &[Report]| observed(reports, Some(ended(137))).result(0, true).outcome;
        let killed = Outcome::Signaled {
            signal: Signal::KILL,
            oom: false,
        };
        assert_eq!(
            outcome(&[Report::Began, text("Killed"), Report::End(137)]),
            killed
        );
        let exited = |maybe_signal| Outcome::Exited {
            code: 137,
            maybe_signal,
        };
        assert_eq!(outcome(&[Report::Began, Report::End(137)]), exited(None));
        assert_eq!(
            outcome(&[Report::Began, text("out of paper"), Report::End(137)]),
            exited(None)
        );
        let mut silent = observed(&[Report::Began, Report::End(137)], Some(ended(137)));
        silent.tells_deaths = false;
        assert_eq!(silent.result(0, true).outcome, exited(Some(Signal::KILL)));
        let interrupted = observed(&[Report::Began, Report::End(130)], Some(ended(130)));
        let expected = Outcome::Exited {
            code: 130,
            maybe_signal: Some(Signal::INT),
        };
        assert_eq!(interrupted.result(0, true).outcome, expected);
    }

    #[test]
    fn what_the_engine_cannot_know_is_lost() {
        let lost = |engine, cause| {
            let result = observed(&[Report::Began], engine).result(0, true);
            let Outcome::Lost(loss) = &result.outcome else {
                panic!("{result:?}");
            };
            assert_eq!(loss.cause, cause, "{result:?}");
            assert!(!result.output_complete);
        };
        let away = |code| EngineEnd::Ended {
            code: Some(code),
            oom: false,
            removing: false,
            was_away: true,
        };
        lost(None, LossCause::StatusMissing);
        lost(Some(EngineEnd::Gone), LossCause::InstanceGone);
        let away_for_good = Loss::new(LossCause::BackendGone, "x");
        lost(Some(EngineEnd::Lost(away_for_good)), LossCause::BackendGone);
        lost(Some(away(255)), LossCause::StatusMissing);
        lost(Some(ended(-1)), LossCause::StatusMissing);
        lost(Some(ended(256)), LossCause::StatusMissing);
        let removing = EngineEnd::Ended {
            code: Some(137),
            oom: false,
            removing: true,
            was_away: false,
        };
        lost(Some(removing), LossCause::InstanceGone);
        assert_eq!(
            observed(&[Report::Began], Some(away(43)))
                .result(0, true)
                .exit_code(),
            Some(43)
        );
    }

    #[test]
    fn the_gates_own_code_is_no_verdict_unless_the_script_began() {
        let code = i64::from(NEVER_BEGAN);
        let never = observed(&[], Some(ended(code))).result(0, true);
        assert!(!never.completed());
        let began = observed(&[Report::Began], Some(ended(code))).result(0, true);
        assert_eq!(began.exit_code(), Some(NEVER_BEGAN));
    }

    #[test]
    fn output_is_complete_only_by_the_marker() {
        let complete = |change: fn(&mut Observed), intact| {
            let mut observed = observed(&[Report::Began, Report::End(0)], Some(ended(0)));
            change(&mut observed);
            observed.result(0, intact).output_complete
        };
        assert!(complete(|_| {}, true));
        assert!(!complete(|_| {}, false));
        assert!(!complete(|observed| observed.marker_seen = false, true));
        assert!(!complete(|observed| observed.cut = true, true));
        let mut killed = observed(&[Report::Began], Some(ended(137)));
        killed.marker_seen = false;
        assert!(killed.result(0, true).output_complete);
    }

    #[test]
    fn lack_of_memory_is_told_of_the_script_and_of_a_child() {
        let oom = |code| EngineEnd::Ended {
            code: Some(code),
            oom: true,
            removing: false,
            was_away: false,
        };
        let child = observed(&[Report::Began, Report::End(7)], Some(oom(7))).result(0, true);
        assert_eq!((child.exit_code(), child.oom_seen), (Some(7), true));
        let all = observed(&[Report::Began], Some(oom(137))).result(0, true);
        let killed = Outcome::Signaled {
            signal: Signal::KILL,
            oom: true,
        };
        assert_eq!(all.outcome, killed);
    }
}
