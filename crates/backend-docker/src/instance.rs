//! An instance: a container, and the promise that it does not leak.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use backend_core::{
    Chain, Instance, InstanceId, Janitor, Once, Operation, OutputSink, Result, RunOptions,
    RunResult, Signal,
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
    /// Meant to outlive this process: then a drop removes nothing.
    kept: bool,
    reconnect_window: Duration,
    /// What its gate does once the script has ended, unless it is kept.
    then: Then,
    janitor: Janitor,
    stopped: Arc<Once>,
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
        Self {
            image: parts.image,
            startup_duration: parts.startup_duration,
            kept: parts.kept,
            reconnect_window: parts.reconnect_window,
            then: parts.then,
            janitor: parts.janitor,
            stopped: Arc::new(Once::new()),
            job: Arc::new(parts.job),
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
        self.stopped
            .run(&self.janitor, self.job.clone().stop())
            .await
    }
}

impl Drop for DockerInstance {
    fn drop(&mut self) {
        if self.stopped.begun() || self.kept {
            return;
        }
        let id = self.job.id.clone();
        tracing::warn!(instance = %id, "an instance was dropped without stop; it is stopped now");
        let (stopped, janitor) = (self.stopped.clone(), self.janitor.clone());
        let stop = self.job.clone().stop();
        self.janitor.spawn(async move {
            if let Err(error) = stopped.run(&janitor, stop).await {
                let error = Chain(&error);
                tracing::warn!(instance = %id, %error, "cannot remove a dropped instance");
            }
        });
    }
}
