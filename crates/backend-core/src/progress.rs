//! What a start tells while it is under way.

use std::fmt;
use std::sync::Arc;

use serde::Serialize;

use crate::{Chain, Error};

/// One piece of news from a start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Progress {
    /// The phase that the start is in.
    pub phase: Phase,
    /// A short text for a person, such as the name of an image or a host.
    pub detail: String,
    /// How much of the phase is done, in the phase's own unit (bytes of a pull).
    pub done: Option<u64>,
    /// How much there is to do, if known.
    pub total: Option<u64>,
}

impl Progress {
    /// News of a phase without numbers.
    pub fn new(phase: Phase, detail: impl Into<String>) -> Self {
        Self {
            phase,
            detail: detail.into(),
            done: None,
            total: None,
        }
    }
}

/// The phases of a start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Phase {
    /// Waiting for a free place.
    Queued,
    /// Connecting to the engine, host or server.
    Connecting,
    /// Pulling or importing an image; the numbers are bytes.
    Pulling,
    /// Creating the instance.
    Creating,
    /// Waiting until the instance is ready.
    Waiting,
    /// The instance is ready.
    Ready,
    /// Something the user should know; the start goes on.
    Notice,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Queued => "queued",
            Self::Connecting => "connecting",
            Self::Pulling => "pulling",
            Self::Creating => "creating",
            Self::Waiting => "waiting",
            Self::Ready => "ready",
            Self::Notice => "notice",
        })
    }
}

/// Takes the progress of a start. Called from the start's own task: it must
/// return at once, and must not block.
pub trait ProgressSink: Send + Sync {
    /// Takes one piece of news.
    fn report(&self, progress: Progress);

    /// Takes why a try failed that is followed by another.
    ///
    /// A [`Phase::Notice`] by default.
    fn retrying(&self, error: &Error) {
        let detail = format!("{}; trying again", Chain(error));
        self.report(Progress::new(Phase::Notice, detail));
    }
}

impl<F: Fn(Progress) + Send + Sync> ProgressSink for F {
    fn report(&self, progress: Progress) {
        self(progress);
    }
}

/// A shared [`ProgressSink`] that may be none.
#[derive(Clone, Default)]
pub struct ProgressReporter(Option<Arc<dyn ProgressSink>>);

impl ProgressReporter {
    /// Reports to `sink`.
    pub fn new(sink: impl ProgressSink + 'static) -> Self {
        Self(Some(Arc::new(sink)))
    }

    /// Hands one piece of news to the sink, if there is one.
    pub fn report(&self, progress: Progress) {
        if let Some(sink) = &self.0 {
            sink.report(progress);
        }
    }

    /// Tells the sink, if there is one, why a try failed that is followed by
    /// another.
    pub fn retrying(&self, error: &Error) {
        if let Some(sink) = &self.0 {
            sink.retrying(error);
        }
    }
}

impl fmt::Debug for ProgressReporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "ProgressReporter({})",
            if self.0.is_some() { "set" } else { "none" }
        )
    }
}
