//! What a start tells while it is under way, and why its tries failed.

use std::error::Error as _;
use std::sync::{Arc, Mutex, PoisonError};

use backend_core::{Chain, Error, Phase, Progress, ProgressSink};

use crate::{EventKind, EventLog};

/// Hands the progress of a start to the events, and keeps the last failure
/// that was followed by another try.
#[derive(Clone)]
pub(crate) struct Tries {
    events: EventLog,
    last_failure: Arc<Mutex<Option<Error>>>,
}

impl Tries {
    pub(crate) fn new(events: &EventLog) -> Self {
        Self {
            events: events.clone(),
            last_failure: Arc::default(),
        }
    }

    pub(crate) fn last_failure(&self) -> Option<Error> {
        let last = self.last_failure.lock();
        last.unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl ProgressSink for Tries {
    fn report(&self, progress: Progress) {
        self.events.emit(EventKind::Progress(progress));
    }

    /// The same reason is not told a second time: a person would read it every
    /// ten seconds until the limit.
    fn retrying(&self, error: &Error) {
        let last = self.last_failure.lock();
        let last = last
            .unwrap_or_else(PoisonError::into_inner)
            .replace(error.clone());
        let again = last.is_some_and(|last| reason(&last) == reason(error));
        let detail = if again {
            "the same once more; trying again".to_owned()
        } else {
            format!("{}; trying again until the startup limit", Chain(error))
        };
        self.report(Progress::new(Phase::Notice, detail));
    }
}

/// Without the outermost level, which names the instance: each try has its own.
fn reason(error: &Error) -> String {
    error
        .source()
        .map_or_else(|| error.to_string(), |reason| Chain(reason).to_string())
}
