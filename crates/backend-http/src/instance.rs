//! An instance behind a server, and the promise that it does not leak.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use backend_core::{
    Capabilities, Capability, Chain, Error, Instance, InstanceId, Janitor, Operation, OutputSink,
    Removal, Result, RunOptions, RunResult, Signal,
};
use bytes::Bytes;
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;
use worker_api::{Code, CreateRun, InstanceDocument, ProcessesDocument, RunId};

use crate::call::Call;
use crate::error::{CallError, Failure};
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
    held: Arc<Held>,
    capabilities: Capabilities,
    removal: Removal,
    image: Option<String>,
    startup_duration: Duration,
}

/// What the removal needs as well.
#[derive(Debug)]
struct Held {
    id: InstanceId,
    remote: Arc<Remote>,
    lease: Duration,
    stages: Stages,
    /// Renews the lease until it is taken away.
    renewal: Mutex<Option<AbortOnDropHandle<()>>>,
    /// Where script and run go, if not to the server.
    plane: OnceLock<Arc<dyn Instance>>,
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
        let held = Arc::new(Held {
            id,
            remote,
            lease,
            stages: Stages::default(),
            renewal: Mutex::new(Some(renewal)),
            plane: OnceLock::new(),
        });
        let removed = held.clone();
        let removal = move || removed.clone().remove();
        Self {
            removal: Removal::new(held.id.clone(), janitor, removal),
            held,
            capabilities,
            image: None,
            startup_duration: Duration::ZERO,
        }
    }

    /// It can take a script.
    pub(crate) fn is_ready(&mut self, document: InstanceDocument, took: Duration, kept: bool) {
        let said = document.timings.startup_ms.map(Duration::from_millis);
        self.startup_duration = said.map_or(took, |said| said.min(took));
        self.image = document.image;
        self.removal.hand_over(kept);
    }

    /// Script and run go to a machine that the service has handed out.
    pub(crate) fn goes_over(&self, plane: Arc<dyn Instance>) {
        self.held.plane.set(plane).ok();
    }

    fn plane(&self) -> Option<&Arc<dyn Instance>> {
        self.held.plane.get()
    }

    fn failed(&self, operation: Operation) -> impl Fn(Failure) -> Error {
        move |error| error.on(&self.held.id, operation)
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
    ) -> Result<Result<(), CallError>, Failure> {
        let environment = options.environment.iter();
        let body = CreateRun {
            environment: environment
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
            drain_ms: Some(u32::try_from(options.drain_window.as_millis()).unwrap_or(u32::MAX)),
            ..CreateRun::default()
        };
        let call = Call::begin(&self.held.id, run, &body);
        let mut patience = self.held.remote.patience();
        // Once one attempt may have had its effect, a later one that surely
        // had none proves nothing.
        let mut doubt = false;
        loop {
            let Err(error) = self.held.remote.call(&call).await else {
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
}

impl Held {
    /// What is done to remove it.
    async fn remove(self: Arc<Self>) -> Result<()> {
        let Self { id, remote, .. } = &*self;
        self.stages.stop();
        if let Some(plane) = self.plane.get() {
            // The service deletes the machine, whatever is left on it.
            if let Ok(Err(error)) = timeout(PLANE_STOPS, plane.stop()).await {
                tracing::debug!(instance = %id, error = %Chain(&error), "the machine is not tidy");
            }
        }
        let removed = start::remove(remote, id).await;
        // Without it the lease ends what could not be removed.
        self.renewal
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        removed.map_err(|source| {
            let left = Failure::Left {
                endpoint: remote.endpoint.to_string(),
                lease: self.lease,
                source,
            };
            left.on(id, Operation::Stop)
        })
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
        &self.held.id
    }

    fn image_name(&self) -> Option<&str> {
        self.image.as_deref()
    }

    fn startup_duration(&self) -> Duration {
        self.startup_duration
    }

    async fn upload_script(&self, script: &[u8]) -> Result<()> {
        if let Some(plane) = self.plane() {
            return plane.upload_script(script).await;
        }
        let failed = self.failed(Operation::Upload);
        let upload = self.held.stages.upload().map_err(&failed)?;
        let key = RunId::random();
        let call = Call::upload(&self.held.id, Bytes::copy_from_slice(script), key.as_str());
        match self.held.remote.persist(&call).await {
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
        if let Some(plane) = self.plane() {
            return plane.run_script(options, sink).await;
        }
        let failed = self.failed(Operation::Run);
        let run = RunId::random();
        self.held.stages.begin(&run).map_err(&failed)?;
        let follow = Follow::new(&self.held.remote, &self.held.id, &run);
        let asked = || self.held.stages.is_stopped();
        let result = match self.begin(&run, options).await {
            Ok(Ok(())) => follow.to_the_end(sink, asked).await,
            Ok(Err(error)) => Ok(Follow::lost(&error, asked())),
            Err(error) => {
                self.held.stages.never_began();
                return Err(failed(error));
            }
        };
        self.held.stages.ended();
        result.map_err(|problem| failed(CallError::Problem(Box::new(problem)).into()))
    }

    async fn signal(&self, signal: Signal) -> Result<()> {
        if !self.capabilities.has(Capability::Signals) {
            return Err(Error::unsupported(Capability::Signals));
        }
        if let Some(plane) = self.plane() {
            return plane.signal(signal).await;
        }
        let failed = self.failed(Operation::Signal);
        let Some(run) = self.held.stages.running().map_err(&failed)? else {
            return Ok(());
        };
        let call = Call::signal(&self.held.id, &run, signal);
        match self.held.remote.persist(&call).await {
            Ok(_) => Ok(()),
            Err(error) => Err(failed(error.into())),
        }
    }

    async fn processes(&self) -> Result<Option<String>> {
        if !self.capabilities.has(Capability::ListsProcesses) {
            return Err(Error::unsupported(Capability::ListsProcesses));
        }
        if let Some(plane) = self.plane() {
            return plane.processes().await;
        }
        // Within seconds, or not at all.
        let listed = self.held.remote.call(&Call::processes(&self.held.id)).await;
        let listed = listed.and_then(|reply| reply.json::<ProcessesDocument>());
        match listed {
            Ok(document) => Ok(document.processes),
            Err(error) => Err(self.failed(Operation::Processes)(error.into())),
        }
    }

    async fn stop(&self) -> Result<()> {
        self.removal.stop().await
    }
}
