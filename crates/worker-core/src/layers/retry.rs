//! Trying a start again where that is safe.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use backend_core::{
    Capabilities, Examination, Found, Instance, InstanceId, Listing, Outcome, Provider, Result,
    ShellOptions, ShellStreams, StartAttributes, StartContext,
};

/// The first pause between two tries; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Tries a start again, with growing pauses, as long as its error says that
/// this is safe ([`Error::is_retryable`](backend_core::Error::is_retryable)).
///
/// It does not give up by itself: whoever calls `start` has a limit on its
/// time, as [`run_job`](crate::run_job) has, whose result then says why the
/// last try failed. Nothing after the start is ever
/// tried again. Every try has an id of its own, since what a failed one had
/// made may still be on its way out.
#[derive(Debug, Clone)]
pub struct RetryStart {
    provider: Arc<dyn Provider>,
}

impl RetryStart {
    /// Wraps `provider`.
    pub fn new(provider: Arc<dyn Provider>) -> Self {
        Self { provider }
    }
}

#[async_trait]
impl Provider for RetryStart {
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
        let mut context = context.clone();
        let mut pause = FIRST_PAUSE;
        loop {
            let error = match self.provider.start(attributes, &context).await {
                Err(error) if error.is_retryable() => error,
                done => return done,
            };
            let jittered = pause.mul_f64(0.5 + fastrand::f64() / 2.0);
            context.progress.retrying(&error);
            tokio::time::sleep(jittered).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
            context.id = InstanceId::random();
        }
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
