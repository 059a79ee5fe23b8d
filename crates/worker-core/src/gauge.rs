//! What the one who watches over a run is told of its output, and tells it.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::Instant;

/// Between the pipeline and the one who watches over the run.
#[derive(Debug, Default)]
pub(crate) struct Gauge {
    state: Mutex<GaugeState>,
    // Woken when the job is to end because of the output.
    alarm: Notify,
    // True once the sink is not waited for any longer.
    given_up: watch::Sender<bool>,
}

#[derive(Debug, Default)]
struct GaugeState {
    /// When the last byte came, `None` while the sink is at work on one.
    quiet_since: Option<Instant>,
    alarm: Option<Alarm>,
}

/// Why the output ends a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Alarm {
    /// There is more of it than there may be.
    OutputLimit,
    /// The sink failed.
    SinkFailed,
}

impl Gauge {
    /// Waits until no byte has come for `silence`; the time in which the sink
    /// was at work does not count. Cancel safe.
    pub(crate) async fn silent_for(&self, silence: Duration) {
        self.quiet();
        loop {
            let since = self.lock().quiet_since;
            let until = since.unwrap_or_else(Instant::now) + silence;
            if since.is_some() && until <= Instant::now() {
                return;
            }
            tokio::time::sleep_until(until).await;
        }
    }

    /// Waits until the output ends the job, and says why. Cancel safe.
    pub(crate) async fn alarm(&self) -> Alarm {
        loop {
            let raised = self.alarm.notified();
            if let Some(alarm) = self.lock().alarm {
                return alarm;
            }
            raised.await;
        }
    }

    pub(crate) fn raise(&self, alarm: Alarm) {
        self.lock().alarm.get_or_insert(alarm);
        self.alarm.notify_one();
    }

    /// Waits no longer for a sink that takes nothing: its script is dead, and
    /// the run has to come back with its verdict.
    pub(crate) fn give_up(&self) {
        self.given_up.send_replace(true);
    }

    /// Waits until the sink is not waited for any longer. Cancel safe.
    pub(crate) async fn given_up(&self) {
        // The sender is here, so it cannot be gone.
        self.given_up
            .subscribe()
            .wait_for(|given_up| *given_up)
            .await
            .ok();
    }

    pub(crate) fn busy(&self) {
        self.lock().quiet_since = None;
    }

    pub(crate) fn quiet(&self) {
        self.lock().quiet_since = Some(Instant::now());
    }

    fn lock(&self) -> MutexGuard<'_, GaugeState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
