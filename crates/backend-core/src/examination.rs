//! What a provider would use, and how its set-up goes, step by step: what
//! `worker doctor` tells.

use std::fmt;
use std::time::{Duration, Instant, SystemTime};

use crate::{Error, ErrorKind, Result};

/// How far the clock of a far side may be off. `reap` leaves alone what is
/// younger than this, so that such a difference removes nothing too early.
pub const MOST_CLOCK_SKEW: Duration = Duration::from_mins(1);

/// What [`Provider::examine`](crate::Provider::examine) finds.
///
/// Steps are begun one after the other; to begin one is to say that the one
/// before went well.
///
/// ```
/// use backend_core::{Candidate, Error, ErrorKind, Examination, Verdict};
///
/// let mut examination = Examination::default();
/// examination.candidates.push(Candidate {
///     what: "endpoint",
///     name: "unix:///run/docker.sock".into(),
///     origin: "a well-known place".into(),
///     verdict: Verdict::Used,
/// });
/// examination.begin("connect");
/// examination.begin("version");
/// examination.end(Err(Error::new(ErrorKind::Unsuitable, "it is too old")));
/// assert!(examination.steps[0].result.is_ok());
/// assert!(!examination.went_well());
/// ```
#[derive(Debug, Default)]
pub struct Examination {
    /// What it would use, and what it passes over, in the order of preference.
    pub candidates: Vec<Candidate>,
    /// The steps that were tried, in their order.
    pub steps: Vec<Examined>,
    /// The step that is under way, since when, and what is known of it.
    under_way: Option<(&'static str, Instant, String)>,
}

/// One thing that a provider would use: an endpoint, a host, a key, a file.
/// Nothing of it is secret: of a secret it says only that there is one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// What it is, such as `endpoint` or `identity`.
    pub what: &'static str,
    /// Its name, address or path.
    pub name: String,
    /// Who named it, such as ``the option `endpoint` ``.
    pub origin: String,
    /// What is made of it.
    pub verdict: Verdict,
}

/// What is made of a candidate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is used.
    Used,
    /// It is not used, for this reason, and need not be.
    PassedOver(String),
    /// It was meant to be used and cannot be, for this reason.
    Unusable(String),
}

/// One step that was tried.
#[derive(Debug)]
pub struct Examined {
    /// Its name: `connect`, `version`, `credentials`, …
    pub step: &'static str,
    /// What it found, or what it is about; may be empty.
    pub detail: String,
    /// How long it took.
    pub took: Duration,
    /// What came of it.
    pub result: Result<()>,
}

impl Examination {
    /// Begins a step. The one that was under way went well.
    pub fn begin(&mut self, step: &'static str) {
        self.end(Ok(()));
        self.under_way = Some((step, Instant::now(), String::new()));
    }

    /// Says what the step under way found.
    pub fn detail(&mut self, text: impl Into<String>) {
        if let Some((.., detail)) = &mut self.under_way {
            *detail = text.into();
        }
    }

    /// Ends the step under way, if there is one.
    pub fn end(&mut self, result: Result<()>) {
        if let Some((step, began, detail)) = self.under_way.take() {
            self.steps.push(Examined {
                step,
                detail,
                took: began.elapsed(),
                result,
            });
        }
    }

    /// Ends the step under way with this error; a step `otherwise` if none is.
    pub fn fail(&mut self, otherwise: &'static str, error: Error) {
        if self.under_way.is_none() {
            self.begin(otherwise);
        }
        self.end(Err(error));
    }

    /// The same for a clock that showed so many seconds of Unix time, which may
    /// be more than this machine can count.
    pub fn unix_clock(&mut self, seconds: u64) {
        // Source: RFC 3339, the last second of its last year.
        const LAST: u64 = 253_402_300_799;
        self.clock(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds.min(LAST)));
    }

    /// A step of its own: whether the clock of the far side, which showed
    /// `far` a moment ago, is like this machine's.
    pub fn clock(&mut self, far: SystemTime) {
        self.begin("clock");
        let (difference, direction) = match far.duration_since(SystemTime::now()) {
            Ok(ahead) => (ahead, "ahead of"),
            Err(behind) => (behind.duration(), "behind"),
        };
        if difference <= MOST_CLOCK_SKEW {
            self.detail(format!(
                "within {} s of this machine's",
                difference.as_secs() + 1
            ));
            return self.end(Ok(()));
        }
        let minutes = match (difference.as_secs() + 30) / 60 {
            1 => "a minute".to_owned(),
            minutes => format!("{minutes} minutes"),
        };
        let what = format!("its clock is {minutes} {direction} this machine's");
        let hint = "set both clocks (`timedatectl set-ntp true`): certificates, and the age by which others remove what was left, go by them";
        self.end(Err(Error::new(ErrorKind::Unsuitable, what).with_hint(hint)));
    }

    /// That what the steps were about is used, if they all went well.
    pub fn verdict(&self) -> Verdict {
        if self.went_well() {
            Verdict::Used
        } else {
            Verdict::Unusable("see the steps".into())
        }
    }

    /// Adds what was found of one of several: `subject`, where it is named.
    pub fn absorb(&mut self, mut other: Self, subject: Option<&str>) {
        self.end(Ok(()));
        other.end(Ok(()));
        if let Some(subject) = subject {
            for step in &mut other.steps {
                let text = format!("{subject} {}", step.detail);
                text.trim_end().clone_into(&mut step.detail);
            }
        }
        self.candidates.append(&mut other.candidates);
        self.steps.append(&mut other.steps);
    }

    /// Whether no step has failed.
    pub fn went_well(&self) -> bool {
        self.steps.iter().all(|step| step.result.is_ok())
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Used => f.write_str("used"),
            Self::PassedOver(reason) => write!(f, "not used: {reason}"),
            Self::Unusable(reason) => write!(f, "cannot be used: {reason}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_off_is_a_failure_from_a_minute_on() {
        for (seconds, good) in [(0, true), (50, true), (70, false), (86_400, false)] {
            let difference = Duration::from_secs(seconds);
            for far in [
                SystemTime::now() + difference,
                SystemTime::now() - difference,
            ] {
                let mut examination = Examination::default();
                examination.clock(far);
                assert_eq!(examination.went_well(), good, "{seconds}");
            }
        }
    }

    #[test]
    fn a_clock_that_makes_no_sense_is_a_failure_and_no_panic() {
        for seconds in [0, u64::MAX] {
            let mut examination = Examination::default();
            examination.unix_clock(seconds);
            assert!(!examination.went_well(), "{seconds}");
        }
    }

    #[test]
    fn what_is_under_way_is_not_lost_when_it_is_absorbed() {
        let mut one = Examination::default();
        one.begin("connect");
        one.detail("over TLS");
        let mut all = Examination::default();
        all.absorb(one, Some("ci@build1"));
        assert_eq!(all.steps[0].detail, "ci@build1 over TLS");
    }
}
