//! Starts simulated instances.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use backend_core::{
    Capabilities, Capability, Found, Instance, Janitor, LossCause, Operation, Options as _, Phase,
    Progress, Provider, ProviderConfig, Result, StartAttributes, StartContext, without_images,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::FakeOptions;
use crate::error::Failure;
use crate::instance::FakeInstance;
use crate::place::{Place, Removed};

/// A provider of simulated instances. They are in its memory only: no other
/// provider finds them.
#[derive(Debug)]
pub struct FakeProvider {
    shared: Arc<Shared>,
}

/// What starts under way share with their provider.
#[derive(Debug)]
struct Shared {
    place: Arc<Place>,
    janitor: Janitor,
    /// How many more starts fail.
    start_failures: AtomicU32,
    /// Free places, where their number is limited.
    free: Option<Arc<Semaphore>>,
}

impl FakeProvider {
    /// A provider with these options.
    pub fn new(options: FakeOptions) -> Self {
        let free = options.slots.map(|slots| {
            let slots = usize::try_from(slots).unwrap_or(Semaphore::MAX_PERMITS);
            Arc::new(Semaphore::new(slots.min(Semaphore::MAX_PERMITS)))
        });
        Self {
            shared: Arc::new(Shared {
                start_failures: AtomicU32::new(options.start_failures),
                free,
                place: Arc::new(Place::new(options)),
                janitor: Janitor::new(),
            }),
        }
    }

    pub(crate) fn from_config(config: &ProviderConfig) -> Result<Arc<dyn Provider>> {
        let options = FakeOptions::parse("fake", config)?;
        Ok(Arc::new(Self::new(options)))
    }
}

#[async_trait]
impl Provider for FakeProvider {
    fn capabilities(&self) -> Capabilities {
        Capabilities::from([
            Capability::ExactSignals,
            Capability::Signals,
            Capability::ListsProcesses,
            Capability::ReportsLeftovers,
        ])
    }

    async fn setup(&self) -> Result<()> {
        match &self.shared.place.options.setup_error {
            Some(text) => Err(Failure::Setup(text.clone()).into_error(None)),
            None => Ok(()),
        }
    }

    async fn start(
        &self,
        attributes: &StartAttributes,
        context: &StartContext,
    ) -> Result<Box<dyn Instance>> {
        without_images::check(attributes)
            .map_err(|asked| Failure::NoImages(asked).into_error(Some(&context.id)))?;
        let (shared, context) = (self.shared.clone(), context.clone());
        let instance: FakeInstance = self
            .shared
            .janitor
            .own(|token| async move { shared.make(&context, &token).await })
            .await?;
        Ok(Box::new(instance))
    }

    async fn list(&self) -> Result<Vec<Found>> {
        match &self.shared.place.options.list_error {
            Some(text) => Err(Failure::List(text.clone()).into_error(None)),
            None => Ok(self.shared.place.found()),
        }
    }

    async fn remove(&self, found: &Found) -> Result<()> {
        let marks = &found.marks;
        match self.shared.place.remove(marks, LossCause::InstanceGone) {
            Removed::Gone => Ok(()),
            Removed::Failed => {
                Err(Failure::Stop(Operation::Remove).into_error(Some(&marks.instance)))
            }
        }
    }

    async fn settle(&self) {
        self.shared.janitor.settle().await;
    }
}

impl Shared {
    /// Makes an instance, or removes what there is of it.
    async fn make(
        &self,
        context: &StartContext,
        token: &CancellationToken,
    ) -> Result<FakeInstance> {
        let began = Instant::now();
        let permit = self.free_place(context, token).await?;
        let report = |phase, detail| context.progress.report(Progress::new(phase, detail));
        report(Phase::Creating, "a simulated instance");
        let slot = self.place.create(context.marks(), permit);
        // From here on it is removed by being dropped.
        let mut instance = FakeInstance::new(slot, self.place.clone(), self.janitor.clone());
        report(Phase::Waiting, "until it is ready");
        tokio::select! {
            () = token.cancelled() => Err(Failure::StartCancelled),
            ready = self.get_ready() => ready,
        }
        .map_err(|error| {
            instance.never_was();
            error.into_error(Some(&context.id))
        })?;
        report(Phase::Ready, "the simulation is ready");
        instance.is_ready(began.elapsed());
        Ok(instance)
    }

    async fn free_place(
        &self,
        context: &StartContext,
        token: &CancellationToken,
    ) -> Result<Option<OwnedSemaphorePermit>> {
        let Some(free) = &self.free else {
            return Ok(None);
        };
        if let Ok(permit) = free.clone().try_acquire_owned() {
            return Ok(Some(permit));
        }
        let queued = Progress::new(Phase::Queued, "for a free place");
        context.progress.report(queued);
        tokio::select! {
            () = token.cancelled() => {
                Err(Failure::StartCancelled.into_error(Some(&context.id)))
            }
            // The semaphore is never closed.
            permit = free.clone().acquire_owned() => Ok(permit.ok()),
        }
    }

    async fn get_ready(&self) -> Result<(), Failure> {
        let options = &self.place.options;
        if options.start_hang {
            std::future::pending::<()>().await;
        }
        tokio::time::sleep(options.startup_duration).await;
        if let Some(text) = &options.error {
            return Err(Failure::Start(text.clone()));
        }
        let one_less = |left: u32| left.checked_sub(1);
        let failures = &self.start_failures;
        match failures.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less) {
            Ok(_) => Err(Failure::StartPasses),
            Err(_) => Ok(()),
        }
    }
}
