//! An instance: a container, and the promise that it does not leak.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use backend_core::{
    Instance, InstanceId, Janitor, Operation, OutputSink, Removal, Result, RunOptions, RunResult,
    Signal,
};

use crate::error::Failure;
use crate::gate::Then;
use crate::job::Job;
use crate::run::{Conditions, run};

/// A container in which one script runs once.
#[derive(Debug)]
pub(crate) struct DockerInstance {
    image: String,
    startup_duration: Duration,
    /// Meant to outlive this process.
    kept: bool,
    reconnect_window: Duration,
    /// What its gate does once the script has ended, unless it is kept.
    then: Then,
    janitor: Janitor,
    removal: Removal,
    job: Arc<Job>,
}

/// What an instance is made of.
pub(crate) struct Parts {
    pub(crate) image: String,
    pub(crate) startup_duration: Duration,
    pub(crate) kept: bool,
    pub(crate) reconnect_window: Duration,
    pub(crate) then: Then,
    pub(crate) janitor: Janitor,
    pub(crate) job: Job,
}

impl DockerInstance {
    pub(crate) fn new(parts: Parts) -> Self {
        let job = Arc::new(parts.job);
        let removed = job.clone();
        let remove = move || removed.clone().stop();
        let mut removal = Removal::new(job.id.clone(), parts.janitor.clone(), remove);
        removal.hand_over(parts.kept);
        Self {
            image: parts.image,
            startup_duration: parts.startup_duration,
            kept: parts.kept,
            reconnect_window: parts.reconnect_window,
            then: parts.then,
            janitor: parts.janitor,
            removal,
            job,
        }
    }

    fn failed(&self, operation: Operation) -> impl Fn(Failure) -> backend_core::Error {
        move |failure| failure.on(&self.job.id, operation)
    }
}

#[async_trait]
impl Instance for DockerInstance {
    fn id(&self) -> &InstanceId {
        &self.job.id
    }

    fn image_name(&self) -> Option<&str> {
        Some(&self.image)
    }

    fn startup_duration(&self) -> Duration {
        self.startup_duration
    }

    async fn upload_script(&self, script: &[u8]) -> Result<()> {
        let uploaded = self.job.upload(&self.janitor, script).await;
        uploaded.map_err(self.failed(Operation::Upload))
    }

    async fn run_script(
        &self,
        options: &RunOptions,
        sink: &mut dyn OutputSink,
    ) -> Result<RunResult> {
        let then = if self.kept { Then::Stay } else { self.then };
        let begun = self.job.begin(&options.environment, then).await;
        let opened = begun.map_err(self.failed(Operation::Run))?;
        let conditions = Conditions {
            container: &self.job.container,
            reconnect_window: self.reconnect_window,
            drain_window: options.drain_window,
            then,
            stopping: &self.job.stopping,
        };
        Ok(run(&conditions, opened, sink).await)
    }

    async fn signal(&self, signal: Signal) -> Result<()> {
        let sent = self.job.signal(signal).await;
        sent.map_err(self.failed(Operation::Signal))
    }

    async fn processes(&self) -> Result<Option<String>> {
        let listed = self.job.processes().await;
        listed.map_err(self.failed(Operation::Processes))
    }

    async fn stop(&self) -> Result<()> {
        self.removal.stop().await
    }
}
