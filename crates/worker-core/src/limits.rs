//! How long and how much: the limits of a job.

use std::time::Duration;

use backend_core::{ByteSize, DEFAULT_DRAIN_WINDOW, DEFAULT_LIFETIME};

use crate::Limit;

/// The limits of a job. Durations are measured on the monotonic clock.
///
/// By default a start may take 4 minutes and an upload 3.5, and there is no
/// hard, silence or output limit; [`Limits::ci`] has all of them.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// How long the start may take. Default: 4 min.
    pub startup: Duration,
    /// How long the upload may take. Default: 3 min 30 s.
    pub upload: Duration,
    /// How long the script may run. Default: no limit.
    pub hard: Option<Duration>,
    /// How long the script may be silent; any byte begins it anew, and time
    /// spent in a slow sink does not count. Default: no limit.
    pub silence: Option<Duration>,
    /// How much it may write. Default: no limit.
    pub output: Option<OutputLimit>,
    /// How long a script has between TERM and KILL. Default: 10 s.
    pub grace: Duration,
    /// How long to wait for the end of the output once the script has ended.
    /// Default: 5 s.
    pub drain: Duration,
}

/// How much a script may write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutputLimit {
    /// The most bytes that are delivered.
    pub size: ByteSize,
    /// What happens at the limit.
    pub on_exceed: OnMaxOutput,
}

/// What happens when a script writes more than it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnMaxOutput {
    /// The job is ended.
    #[default]
    Stop,
    /// The rest of the output is dropped, and the script goes on.
    Truncate,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            startup: Duration::from_mins(4),
            upload: Duration::from_secs(210),
            hard: None,
            silence: None,
            output: None,
            grace: Duration::from_secs(10),
            drain: DEFAULT_DRAIN_WINDOW,
        }
    }
}

/// Limits that cannot hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidLimits {
    /// A limit of nothing.
    #[error("the {0} limit is zero: leave it out for no limit")]
    Zero(Limit),
    /// A limit beyond any sense.
    #[error("the {0} limit is over a year")]
    Absurd(Limit),
    /// A wait beyond any sense.
    #[error("the {0} is over a year")]
    AbsurdWait(&'static str),
    /// The silence limit could never be reached.
    #[error(
        "the silence limit ({}) is not below the hard limit ({}): it could never be reached",
        humantime::format_duration(*.silence),
        humantime::format_duration(*.hard)
    )]
    SilenceAboveHard {
        /// The silence limit.
        silence: Duration,
        /// The hard limit.
        hard: Duration,
    },
}

const YEAR: Duration = Duration::from_hours(24 * 365);

impl Limits {
    /// The limits that are usual in CI: 50 min hard, 10 min of silence,
    /// 4,500,000 bytes of output.
    pub fn ci() -> Self {
        Self {
            hard: Some(Duration::from_mins(50)),
            silence: Some(Duration::from_mins(10)),
            output: Some(OutputLimit {
                size: ByteSize(4_500_000),
                on_exceed: OnMaxOutput::Stop,
            }),
            ..Self::default()
        }
    }

    /// Checks that the limits can hold, each and together.
    ///
    /// # Errors
    ///
    /// The first that cannot.
    pub fn check(&self) -> Result<(), InvalidLimits> {
        let durations = [
            (Limit::Startup, Some(self.startup)),
            (Limit::Upload, Some(self.upload)),
            (Limit::Hard, self.hard),
            (Limit::Silence, self.silence),
        ];
        for (limit, duration) in durations {
            match duration {
                Some(Duration::ZERO) => return Err(InvalidLimits::Zero(limit)),
                Some(duration) if duration > YEAR => return Err(InvalidLimits::Absurd(limit)),
                _ => {}
            }
        }
        let waits = [("grace period", self.grace), ("drain window", self.drain)];
        if let Some((wait, _)) = waits.into_iter().find(|(_, duration)| *duration > YEAR) {
            return Err(InvalidLimits::AbsurdWait(wait));
        }
        if self.output.is_some_and(|output| output.size.0 == 0) {
            return Err(InvalidLimits::Zero(Limit::Output));
        }
        match (self.silence, self.hard) {
            (Some(silence), Some(hard)) if silence >= hard => {
                Err(InvalidLimits::SilenceAboveHard { silence, hard })
            }
            _ => Ok(()),
        }
    }

    /// How long the instance may live: all limits and 10 minutes, or 24 hours
    /// where there is no hard limit.
    pub fn lifetime(&self) -> Duration {
        let Some(hard) = self.hard else {
            return DEFAULT_LIFETIME;
        };
        self.startup + self.upload + hard + self.grace + self.drain + Duration::from_mins(10)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_limit_that_holds_has_a_lifetime() {
        let longest = Limits {
            startup: YEAR,
            upload: YEAR,
            hard: Some(YEAR),
            grace: YEAR,
            drain: YEAR,
            ..Limits::default()
        };
        assert_eq!(longest.check(), Ok(()));
        assert!(longest.lifetime() > 5 * YEAR);
        let longer = Limits {
            grace: Duration::MAX,
            ..longest
        };
        assert_eq!(
            longer.check(),
            Err(InvalidLimits::AbsurdWait("grace period"))
        );
    }

    #[test]
    fn limits_that_cannot_hold_are_refused_by_name() {
        assert_eq!(Limits::default().check(), Ok(()));
        assert_eq!(Limits::ci().check(), Ok(()));
        let zero = Limits {
            hard: Some(Duration::ZERO),
            ..Limits::default()
        };
        assert_eq!(zero.check(), Err(InvalidLimits::Zero(Limit::Hard)));
        let absurd = Limits {
            silence: Some(Duration::MAX),
            ..Limits::default()
        };
        assert_eq!(absurd.check(), Err(InvalidLimits::Absurd(Limit::Silence)));
        let silent = Limits {
            silence: Some(Duration::from_hours(1)),
            ..Limits::ci()
        };
        assert_eq!(
            silent.check().unwrap_err().to_string(),
            "the silence limit (1h) is not below the hard limit (50m): it could never be reached"
        );
        let output = OutputLimit {
            size: ByteSize(0),
            on_exceed: OnMaxOutput::Stop,
        };
        let none = Limits {
            output: Some(output),
            ..Limits::default()
        };
        assert_eq!(none.check(), Err(InvalidLimits::Zero(Limit::Output)));
    }

    #[test]
    fn an_instance_may_live_as_long_as_all_limits_and_some_more() {
        assert_eq!(Limits::default().lifetime(), Duration::from_hours(24));
        assert!(Limits::ci().lifetime() > Duration::from_mins(67));
    }
}
