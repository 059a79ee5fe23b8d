//! An instance: a job, and the promise that it does not leak.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use backend_core::{
    Instance, InstanceId, Janitor, Operation, OutputSink, Removal, Result, RunOptions, RunResult,
    Signal,
};
use tokio_util::sync::CancellationToken;

use crate::account::Account;
use crate::error::Failure;
use crate::job::Job;
use crate::options::LocalOptions;
use crate::pump::pump;
use crate::remains::Remains;
use crate::stage::Stages;

/// A private directory in which one script runs once.
#[derive(Debug)]
pub(crate) struct LocalInstance {
    startup_duration: Duration,
    removal: Removal,
    job: Arc<Job>,
}

/// What an instance is made of.
pub(crate) struct Parts {
    pub(crate) id: InstanceId,
    pub(crate) kept: bool,
    pub(crate) began: Instant,
    pub(crate) janitor: Janitor,
    pub(crate) options: Arc<LocalOptions>,
    pub(crate) account: Arc<Account>,
    pub(crate) remains: Remains,
}

impl LocalInstance {
    pub(crate) fn new(parts: Parts) -> Self {
        let job = Arc::new(Job {
            id: parts.id,
            options: parts.options,
            account: parts.account,
            remains: parts.remains,
            stages: Stages::new(),
            kept: parts.kept,
            stopping: CancellationToken::new(),
        });
        let removed = job.clone();
        let remove = move || removed.clone().stop();
        let mut removal = Removal::new(job.id.clone(), parts.janitor, remove);
        removal.hand_over(parts.kept);
        Self {
            startup_duration: parts.began.elapsed(),
            removal,
            job,
        }
    }

    fn failed(&self, operation: Operation) -> impl Fn(Failure) -> backend_core::Error {
        move |failure| failure.on(&self.job.id, operation)
    }
}

#[async_trait]
impl Instance for LocalInstance {
    fn id(&self) -> &InstanceId {
        &self.job.id
    }

    fn image_name(&self) -> Option<&str> {
        None
    }

    fn startup_duration(&self) -> Duration {
        self.startup_duration
    }

    async fn upload_script(&self, script: &[u8]) -> Result<()> {
        match self.job.upload(script).await {
            Ok(()) => Ok(()),
            Err(failure) => Err(self.failed(Operation::Upload)(
                self.job.explain(failure).await,
            )),
        }
    }

    async fn run_script(
        &self,
        options: &RunOptions,
        sink: &mut dyn OutputSink,
    ) -> Result<RunResult> {
        let process = match self.job.begin(options).await {
            Ok(process) => process,
            Err(failure) => {
                return Err(self.failed(Operation::Run)(self.job.explain(failure).await));
            }
        };
        let pumped = pump(&process, options.drain_window, &self.job.stopping, sink).await;
        Ok(self.job.conclude(&process, pumped).await)
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
