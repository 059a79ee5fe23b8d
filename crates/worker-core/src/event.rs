//! What happens to a job, as it happens.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use backend_core::{Outcome, Progress, Signal};
use serde::Serialize;
use tokio::time::Instant;

use crate::{CancelCause, EndedBy, Limit, Secrets, Step};

/// The version of the JSON of events and results. Members and events may be
/// added to it; what is there keeps its name and meaning.
pub(crate) const FORMAT_VERSION: u32 = 1;

/// The JSON schema of an [`Event`].
pub const EVENT_SCHEMA: &str = include_str!("../schema/event.json");

/// One thing that happened to a job. Its JSON is a line of `--events FILE`,
/// and is described by [`EVENT_SCHEMA`].
#[derive(Debug, Clone, Serialize)]
pub struct Event {
    /// 0, 1, 2, … within the job.
    pub sequence: u64,
    /// Milliseconds since the job began, on the monotonic clock.
    pub elapsed_ms: u64,
    /// What happened.
    #[serde(flatten)]
    pub kind: EventKind,
}

/// What can happen to a job.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum EventKind {
    /// The job begins: the first of its events.
    JobStarted {
        /// The version of this form: 1.
        version: u32,
        /// The name of the job, if it has one.
        job: Option<String>,
    },
    /// A step begins.
    StepStarted {
        /// The step.
        step: Step,
    },
    /// A step is over and went well.
    StepEnded {
        /// The step.
        step: Step,
        /// How long it took.
        duration_ms: u64,
    },
    /// A step failed.
    StepFailed {
        /// The step.
        step: Step,
        /// Why, on one line.
        error: String,
    },
    /// News from the start.
    Progress(Progress),
    /// The instance is there.
    InstanceReady {
        /// Its id.
        instance: String,
        /// Its image.
        image: Option<String>,
    },
    /// A limit was reached.
    LimitReached {
        /// Which one.
        limit: Limit,
    },
    /// The job is cancelled.
    Cancelled {
        /// By whom.
        cause: CancelCause,
    },
    /// What runs in the instance, before it is ended.
    Processes {
        /// One process a line.
        listing: String,
    },
    /// A signal was sent to the script.
    SignalSent {
        /// The signal's number.
        signal: Signal,
        /// Why it could not be sent, if so.
        #[serde(skip_serializing_if = "Option::is_none")]
        error: Option<String>,
    },
    /// The run has not come back after KILL: the instance is stopped under it.
    RunAbandoned,
    /// The output was cut at its limit.
    OutputTruncated {
        /// The bytes that were delivered.
        output_bytes: u64,
    },
    /// The script has ended.
    RunEnded {
        /// How.
        outcome: Outcome,
    },
    /// The job is over; nothing follows.
    JobEnded {
        /// Who ended it.
        ended_by: EndedBy,
    },
}

impl EventKind {
    /// Masks every text that did not come from us.
    fn mask(&mut self, secrets: &Secrets) {
        let text = match self {
            Self::JobStarted { job: Some(job), .. } => job,
            Self::StepFailed { error, .. }
            | Self::SignalSent {
                error: Some(error), ..
            } => error,
            Self::Progress(progress) => &mut progress.detail,
            Self::InstanceReady {
                image: Some(image), ..
            } => image,
            Self::Processes { listing } => listing,
            Self::RunEnded {
                outcome: Outcome::Lost(loss),
            } => &mut loss.detail,
            // Each by its name, so that a new one with a text is not forgotten.
            Self::JobStarted { job: None, .. }
            | Self::StepStarted { .. }
            | Self::StepEnded { .. }
            | Self::InstanceReady { image: None, .. }
            | Self::LimitReached { .. }
            | Self::Cancelled { .. }
            | Self::SignalSent { error: None, .. }
            | Self::RunAbandoned
            | Self::OutputTruncated { .. }
            | Self::RunEnded { .. }
            | Self::JobEnded { .. } => return,
        };
        *text = secrets.mask_text(text);
    }
}

/// Takes events; called on the job's own path, so it must be quick.
pub type Listener = Box<dyn FnMut(&Event) + Send>;

/// Numbers the events of one job, and hands them to a listener. Clones share
/// the listener and the numbers.
#[derive(Clone)]
pub struct EventLog {
    began: Instant,
    // The listener, and the number of the next event; `None` where nobody listens.
    listener: Option<Arc<Mutex<(u64, Listener)>>>,
    secrets: Secrets,
}

impl EventLog {
    /// Hands every event to `listener`, one at a time, in order. It is called
    /// on the job's own path, so it must be quick.
    pub fn new(listener: impl FnMut(&Event) + Send + 'static) -> Self {
        let listener: Listener = Box::new(listener);
        Self {
            listener: Some(Arc::new(Mutex::new((0, listener)))),
            ..Self::none()
        }
    }

    /// Nobody listens.
    pub fn none() -> Self {
        Self {
            began: Instant::now(),
            listener: None,
            secrets: Secrets::new(),
        }
    }

    /// The same log, in which `secrets` are masked.
    pub(crate) fn masking(&self, secrets: &Secrets) -> Self {
        Self {
            secrets: secrets.clone(),
            ..self.clone()
        }
    }

    pub(crate) fn emit(&self, mut kind: EventKind) {
        if !self.secrets.is_empty() {
            kind.mask(&self.secrets);
        }
        tracing::info!(event = ?kind);
        let Some(listener) = &self.listener else {
            return;
        };
        // Numbered under the lock, so that the order is that of the numbers.
        let mut guard = listener.lock().unwrap_or_else(PoisonError::into_inner);
        let (next, listener) = &mut *guard;
        let event = Event {
            sequence: *next,
            elapsed_ms: milliseconds(self.began),
            kind,
        };
        *next += 1;
        listener(&event);
    }
}

impl fmt::Debug for EventLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventLog")
            .field("began", &self.began)
            .finish_non_exhaustive()
    }
}

fn milliseconds(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}
