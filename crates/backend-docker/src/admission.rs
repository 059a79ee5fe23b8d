//! How many starts there are at once.
//!
//! A start is mostly work of the engine's processors. More at once than they
//! can do make each one slower, and all of them later.

use std::sync::Arc;
use std::thread::available_parallelism;

use backend_core::{Phase, Progress, ProgressReporter};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::endpoint::Endpoint;
use crate::options::DockerOptions;

/// The places for starts on one engine. Clones share them.
#[derive(Debug, Clone)]
pub(crate) struct Admission(Option<Arc<Semaphore>>);

impl Admission {
    pub(crate) fn new(options: &DockerOptions, endpoint: &Endpoint) -> Self {
        let limit = match (options.concurrent_starts, endpoint) {
            (Some(limit), _) => Some(limit.count()),
            (None, Endpoint::Unix(_)) => {
                let processors = available_parallelism().map_or(1, usize::from);
                Some((processors * 3).div_ceil(2))
            }
            (None, _) => None,
        };
        Self(limit.map(|limit| Arc::new(Semaphore::new(limit))))
    }

    /// Waits for a place, which is free again when the permit is dropped.
    pub(crate) async fn enter(&self, progress: &ProgressReporter) -> Option<OwnedSemaphorePermit> {
        let places = self.0.clone()?;
        if let Ok(permit) = places.clone().try_acquire_owned() {
            return Some(permit);
        }
        let text = "the engine has as many starts as it should";
        progress.report(Progress::new(Phase::Queued, text));
        // The semaphore is never closed.
        places.acquire_owned().await.ok()
    }
}
