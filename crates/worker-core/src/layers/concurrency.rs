//! A limit on how many instances there are at a time.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use backend_core::{
    Capabilities, Error, ErrorKind, Examination, Found, Instance, InstanceId, Listing, Outcome,
    OutputSink, Phase, Progress, Provider, Result, RunOptions, RunResult, ShellOptions,
    ShellStreams, Signal, StartAttributes, StartContext,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Lets only so many instances exist at a time; further starts wait, in order.
///
/// A place is free again when its instance is stopped, or dropped.
#[derive(Debug, Clone)]
pub struct LimitConcurrency {
    provider: Arc<dyn Provider>,
    // One permit for each instance that may still be started.
    places: Arc<Semaphore>,
}

impl LimitConcurrency {
    /// Wraps `provider`; at most `instances` at a time, and at least one.
    pub fn new(provider: Arc<dyn Provider>, instances: usize) -> Self {
        let places = Arc::new(Semaphore::new(instances.clamp(1, Semaphore::MAX_PERMITS)));
        Self { provider, places }
    }
}

#[async_trait]
impl Provider for LimitConcurrency {
    fn capabilities(&self) -> Capabilities {
        self.provider.capabilities()
    }

    async fn setup(&self) -> Result<()> {
        self.provider.setup().await
    }

    async fn examine(&self, examination: &mut Examination) {
        self.provider.examine(examination).await;
    }

    async fn start(
        &self,
        attributes: &StartAttributes,
        context: &StartContext,
    ) -> Result<Box<dyn Instance>> {
        if self.places.available_permits() == 0 {
            context
                .progress
                .report(Progress::new(Phase::Queued, "for a free place"));
        }
        let place = self.places.clone().acquire_owned().await;
        let place = place.map_err(|_| Error::new(ErrorKind::Exhausted, "there are no places"))?;
        let instance = self.provider.start(attributes, context).await?;
        Ok(Box::new(Placed {
            instance,
            place: Mutex::new(Some(place)),
        }))
    }

    async fn list(&self) -> Result<Vec<Found>> {
        self.provider.list().await
    }

    async fn list_reachable(&self) -> Listing {
        self.provider.list_reachable().await
    }

    async fn remove(&self, found: &Found) -> Result<()> {
        self.provider.remove(found).await
    }

    async fn shell(
        &self,
        found: &Found,
        options: &ShellOptions,
        streams: ShellStreams<'_>,
    ) -> Result<Outcome> {
        self.provider.shell(found, options, streams).await
    }

    async fn settle(&self) {
        self.provider.settle().await;
    }
}

/// An instance with the place that it takes.
#[derive(Debug)]
struct Placed {
    // Dropped first: the place is free only when the instance is gone.
    instance: Box<dyn Instance>,
    // Given back by the first stop that succeeds.
    place: Mutex<Option<OwnedSemaphorePermit>>,
}

#[async_trait]
impl Instance for Placed {
    fn id(&self) -> &InstanceId {
        self.instance.id()
    }

    fn image_name(&self) -> Option<&str> {
        self.instance.image_name()
    }

    fn startup_duration(&self) -> Duration {
        self.instance.startup_duration()
    }

    async fn upload_script(&self, script: &[u8]) -> Result<()> {
        self.instance.upload_script(script).await
    }

    async fn run_script(
        &self,
        options: &RunOptions,
        sink: &mut dyn OutputSink,
    ) -> Result<RunResult> {
        self.instance.run_script(options, sink).await
    }

    async fn signal(&self, signal: Signal) -> Result<()> {
        self.instance.signal(signal).await
    }

    async fn processes(&self) -> Result<Option<String>> {
        self.instance.processes().await
    }

    async fn stop(&self) -> Result<()> {
        self.instance.stop().await?;
        let mut place = self.place.lock().unwrap_or_else(PoisonError::into_inner);
        drop(place.take());
        Ok(())
    }
}
