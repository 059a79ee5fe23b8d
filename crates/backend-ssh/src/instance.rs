//! An instance: a job, and the promise that it does not leak.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use backend_core::{
    Instance, InstanceId, Janitor, Operation, OutputSink, Removal, Result, RunOptions, RunResult,
    Signal,
};

use crate::error::Failure;
use crate::job::Job;

/// A leased slot on a machine, in which one script runs once.
#[derive(Debug)]
pub(crate) struct SshInstance {
    startup_duration: Duration,
    removal: Removal,
    job: Arc<Job>,
}

impl SshInstance {
    pub(crate) fn new(job: Job, kept: bool, began: Instant, janitor: Janitor) -> Self {
        let job = Arc::new(job);
        let removed = job.clone();
        let remove = move || removed.clone().stop();
        let mut removal = Removal::new(job.id.clone(), janitor, remove);
        removal.hand_over(kept);
        Self {
            startup_duration: began.elapsed(),
            removal,
            job,
        }
    }

    fn failed(&self, operation: Operation) -> impl Fn(Failure) -> backend_core::Error {
        move |failure| failure.on(&self.job.id, operation)
    }
}

#[async_trait]
impl Instance for SshInstance {
    fn id(&self) -> &InstanceId {
        &self.job.id
    }

    fn startup_duration(&self) -> Duration {
        self.startup_duration
    }

    async fn upload_script(&self, script: &[u8]) -> Result<()> {
        let uploaded = self.job.upload(script).await;
        uploaded.map_err(self.failed(Operation::Upload))
    }

    async fn run_script(
        &self,
        options: &RunOptions,
        sink: &mut dyn OutputSink,
    ) -> Result<RunResult> {
        let run = self.job.run(options, sink).await;
        run.map_err(self.failed(Operation::Run))
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
