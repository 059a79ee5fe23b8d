//! An instance behind a server, and the promise that it does not leak.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use backend_core::{
    Capabilities, Capability, Chain, Error, Instance, InstanceId, Janitor, Once, Operation,
    OutputSink, Result, RunOptions, RunResult, Signal,
};
use bytes::Bytes;
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;
use worker_api::{Code, CreateRun, InstanceDocument, ProcessesDocument, RunId};

use crate::call::Call;
use crate::error::{CallError, HttpError};
use crate::output::Follow;
use crate::remote::Remote;
use crate::stage::Stages;
use crate::start;

/// How long what is on a machine may take to be ended, before the service is
/// asked to delete the machine.
const PLANE_STOPS: Duration = Duration::from_secs(20);

/// The handle of one instance behind a server.
#[derive(Debug)]
pub(crate) struct HttpInstance {
    id: InstanceId,
    remote: Arc<Remote>,
    capabilities: Capabilities,
    lease: Duration,
    stages: Arc<Stages>,
    stopped: Arc<Once>,
    janitor: Janitor,
    /// Renews the lease until it is taken away.
    renewal: Arc<Mutex<Option<AbortOnDropHandle<()>>>>,
    /// Where script and run go, if not to the server.
    plane: Option<Arc<dyn Instance>>,
    image: Option<String>,
    startup_duration: Duration,
    /// Whether it was handed over: one that never was is no loss to warn of.
    ready: bool,
    /// Meant to outlive this process: then a drop removes nothing.
    kept: bool,
}

impl HttpInstance {
    /// One that the server has begun with. From here on it is removed when it
    /// is dropped.
    pub(crate) fn new(
        id: InstanceId,
        remote: Arc<Remote>,
        capabilities: Capabilities,
        lease: Duration,
        janitor: Janitor,
    ) -> Self {
        let renewal = crate::lease::keep(remote.clone(), id.clone(), lease);
        Self {
            id,
            remote,
            capabilities,
            lease,
            stages: Arc::default(),
            stopped: Arc::new(Once::new()),
            janitor,
            renewal: Arc::new(Mutex::new(Some(renewal))),
            plane: None,
            image: None,
            startup_duration: Duration::ZERO,
            ready: false,
            kept: false,
        }
    }

    /// It can take a script.
    pub(crate) fn is_ready(&mut self, document: InstanceDocument, took: Duration, kept: bool) {
        let said = document.timings.startup_ms.map(Duration::from_millis);
        self.startup_duration = said.map_or(took, |said| said.min(took));
        self.image = document.image;
        self.ready = true;
        self.kept = kept;
    }

    /// Script and run go to a machine that the service has handed out.
    pub(crate) fn goes_over(&mut self, plane: Arc<dyn Instance>) {
        self.plane = Some(plane);
    }

    fn failed(&self, operation: Operation) -> impl Fn(HttpError) -> Error {
        move |error| error.into_error(operation, Some(&self.id))
    }

    /// Begins the run.
    ///
    /// # Errors
    ///
    /// `Err` if it surely never began; `Ok(Err(_))` if nobody can say.
    async fn begin(
        &self,
        run: &RunId,
        options: &RunOptions,
    ) -> Result<Result<(), CallError>, HttpError> {
        let environment = options.environment.iter();
        let body = CreateRun {
            environment: environment
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
            drain_ms: Some(u32::try_from(options.drain_window.as_millis()).unwrap_or(u32::MAX)),
            ..CreateRun::default()
        };
        let call = Call::begin(&self.id, run, &body);
        let mut patience = self.remote.patience();
        // Once one attempt may have had its effect, a later one that surely
        // had none proves nothing.
        let mut doubt = false;
        loop {
            let Err(error) = self.remote.call(&call).await else {
                return Ok(Ok(()));
            };
            doubt |= !error.had_no_effect();
            if let Err(error) = patience.after(error).await {
                return if never_began(&error) || !doubt {
                    Err(error.into())
                } else {
                    Ok(Err(error))
                };
            }
        }
    }

    /// What is done to remove it, once.
    fn removal(&self) -> impl Future<Output = Result<()>> + Send + use<> {
        let (remote, id, lease) = (self.remote.clone(), self.id.clone(), self.lease);
        let (renewal, stages) = (self.renewal.clone(), self.stages.clone());
        let plane = self.plane.clone();
        async move {
            stages.stop();
            if let Some(plane) = plane {
                // The service deletes the machine, whatever is left on it.
                if let Ok(Err(error)) = timeout(PLANE_STOPS, plane.stop()).await {
                    tracing::debug!(instance = %id, error = %Chain(&error), "the machine is not tidy");
                }
            }
            let removed = start::remove(&remote, &id).await;
            // Without it the lease ends what could not be removed.
            renewal
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take();
            removed.map_err(|source| {
                let endpoint = remote.endpoint.to_string();
                let left = HttpError::Left {
                    endpoint,
                    lease,
                    source,
                };
                left.into_error(Operation::Stop, Some(&id))
            })
        }
    }
}

/// Whether a refusal says that there is no run of this id, whatever became of
/// earlier attempts. "Gone" does not: it may have begun, and ended so.
fn never_began(error: &CallError) -> bool {
    matches!(
        error.code(),
        Some(Code::InvalidState | Code::Invalid | Code::Malformed | Code::TooLarge)
    )
}

#[async_trait]
impl Instance for HttpInstance {
    fn id(&self) -> &InstanceId {
        &self.id
    }

    fn image_name(&self) -> Option<&str> {
        self.image.as_deref()
    }

    fn startup_duration(&self) -> Duration {
        self.startup_duration
    }

    async fn upload_script(&self, script: &[u8]) -> Result<()> {
        if let Some(plane) = &self.plane {
            return plane.upload_script(script).await;
        }
        let failed = self.failed(Operation::Upload);
        let upload = self.stages.upload().map_err(&failed)?;
        let key = RunId::random();
        let call = Call::upload(&self.id, Bytes::copy_from_slice(script), key.as_str());
        match self.remote.persist(&call).await {
            Ok(_) => {
                upload.settle(true);
                Ok(())
            }
            Err(error) => {
                if error.had_no_effect() {
                    upload.settle(false);
                }
                Err(failed(error.into()))
            }
        }
    }

    async fn run_script(
        &self,
        options: &RunOptions,
        sink: &mut dyn OutputSink,
    ) -> Result<RunResult> {
        if let Some(plane) = &self.plane {
            return plane.run_script(options, sink).await;
        }
        let failed = self.failed(Operation::Run);
        let run = RunId::random();
        self.stages.begin(&run).map_err(&failed)?;
        let follow = Follow::new(&self.remote, &self.id, &run);
        let asked = || self.stages.is_stopped();
        let result = match self.begin(&run, options).await {
            Ok(Ok(())) => follow.to_the_end(sink, asked).await,
            Ok(Err(error)) => Ok(Follow::lost(&error, asked())),
            Err(error) => {
                self.stages.never_began();
                return Err(failed(error));
            }
        };
        self.stages.ended();
        result.map_err(|problem| failed(CallError::Problem(Box::new(problem)).into()))
    }

    async fn signal(&self, signal: Signal) -> Result<()> {
        if !self.capabilities.has(Capability::Signals) {
            return Err(Error::unsupported(Capability::Signals));
        }
        if let Some(plane) = &self.plane {
            return plane.signal(signal).await;
        }
        let failed = self.failed(Operation::Signal);
        let Some(run) = self.stages.running().map_err(&failed)? else {
            return Ok(());
        };
        let call = Call::signal(&self.id, &run, signal);
        match self.remote.persist(&call).await {
            Ok(_) => Ok(()),
            Err(error) => Err(failed(error.into())),
        }
    }

    async fn processes(&self) -> Result<Option<String>> {
        if !self.capabilities.has(Capability::ListsProcesses) {
            return Err(Error::unsupported(Capability::ListsProcesses));
        }
        if let Some(plane) = &self.plane {
            return plane.processes().await;
        }
        // Within seconds, or not at all.
        let listed = self.remote.call(&Call::processes(&self.id)).await;
        let listed = listed.and_then(|reply| reply.json::<ProcessesDocument>());
        match listed {
            Ok(document) => Ok(document.processes),
            Err(error) => Err(self.failed(Operation::Processes)(error.into())),
        }
    }

    async fn stop(&self) -> Result<()> {
        self.stopped.run(&self.janitor, self.removal()).await
    }
}

impl Drop for HttpInstance {
    fn drop(&mut self) {
        if self.stopped.begun() || self.kept {
            return;
        }
        if self.ready {
            tracing::warn!(instance = %self.id, "an instance was dropped without stop; it is removed");
        }
        let (stopped, janitor, removal) =
            (self.stopped.clone(), self.janitor.clone(), self.removal());
        let id = self.id.clone();
        self.janitor.spawn(async move {
            if let Err(error) = stopped.run(&janitor, removal).await {
                tracing::warn!(instance = %id, error = %Chain(&error), "cannot remove a dropped instance");
            }
        });
    }
}
