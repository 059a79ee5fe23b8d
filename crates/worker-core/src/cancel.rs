//! Cancelling a job: once with grace, twice at once.

use std::fmt;

use serde::Serialize;
use tokio::sync::watch;

/// Who cancelled a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum CancelCause {
    /// An interrupt (INT), as from a keyboard.
    Interrupt,
    /// A request to end (TERM).
    Terminate,
    /// The terminal went away (HUP).
    HangUp,
    /// The sink of the output failed: its reader went away, or its disk is full.
    OutputClosed,
    /// The program that embeds us.
    Caller,
}

impl fmt::Display for CancelCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Interrupt => "interrupted",
            Self::Terminate => "terminated",
            Self::HangUp => "hung up",
            Self::OutputClosed => "the output could not be written",
            Self::Caller => "cancelled by the program",
        })
    }
}

#[derive(Debug, Clone, Copy, Default)]
struct Request {
    cause: Option<CancelCause>,
    urgent: bool,
}

/// The end of a job that its caller holds: cancels it. Clones cancel the same
/// jobs.
#[derive(Debug, Clone)]
pub struct Canceller {
    // The newest request; jobs wait for it to change.
    requests: watch::Sender<Request>,
}

/// The end of a job that the job holds: tells when it is cancelled.
#[derive(Debug, Clone)]
pub struct Cancel {
    // `None` where nobody can cancel.
    requests: Option<watch::Receiver<Request>>,
}

impl Canceller {
    /// A canceller of no job yet; see [`Canceller::cancel_handle`].
    pub fn new() -> Self {
        Self {
            requests: watch::Sender::default(),
        }
    }

    /// What a job is to be given, so that this cancels it.
    pub fn cancel_handle(&self) -> Cancel {
        Cancel {
            requests: Some(self.requests.subscribe()),
        }
    }

    /// Cancels with grace; if that was done before, ends the job at once. The
    /// first cause stays.
    pub fn cancel(&self, cause: CancelCause) {
        self.requests.send_modify(|request| {
            request.urgent = request.cause.is_some();
            request.cause.get_or_insert(cause);
        });
    }
}

impl Default for Canceller {
    fn default() -> Self {
        Self::new()
    }
}

impl Cancel {
    /// Never cancels.
    pub fn never() -> Self {
        Self { requests: None }
    }

    /// Waits until the job is cancelled, and says by whom. Cancel safe.
    pub async fn requested(&self) -> CancelCause {
        self.wait(|request| request.cause).await
    }

    /// Waits until the job is to end at once. Cancel safe.
    pub async fn urgent(&self) {
        self.wait(|request| request.urgent.then_some(())).await;
    }

    async fn wait<T>(&self, wanted: impl Fn(&Request) -> Option<T>) -> T {
        if let Some(mut requests) = self.requests.clone()
            && let Ok(request) = requests.wait_for(|request| wanted(request).is_some()).await
            && let Some(found) = wanted(&request)
        {
            return found;
        }
        // Nobody is left who could cancel.
        std::future::pending().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_second_request_is_urgent_and_the_first_cause_stays() {
        let canceller = Canceller::new();
        let cancel = canceller.cancel_handle();
        canceller.cancel(CancelCause::Interrupt);
        assert_eq!(cancel.requested().await, CancelCause::Interrupt);
        tokio::select! {
            biased;
            () = cancel.urgent() => panic!("one request is not urgent"),
            () = tokio::task::yield_now() => {}
        }
        canceller.cancel(CancelCause::Terminate);
        cancel.urgent().await;
        assert_eq!(cancel.requested().await, CancelCause::Interrupt);
    }

    #[tokio::test(start_paused = true)]
    async fn a_canceller_that_is_gone_never_cancels() {
        let cancel = Canceller::new().cancel_handle();
        let wait = tokio::time::timeout(std::time::Duration::from_hours(1), cancel.requested());
        assert!(wait.await.is_err());
    }
}
