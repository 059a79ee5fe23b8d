//! The removal of an instance: once, by a stop or by a drop.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use tokio::sync::{Mutex, oneshot};

use crate::{Chain, Error, ErrorKind, InstanceId, Janitor, Result};

/// The promise of an instance that it does not leak. Each instance owns one:
/// its `stop` is [`stop`](Self::stop), and an instance that is dropped without
/// one is removed all the same, on a task of the provider's [`Janitor`].
///
/// ```
/// use backend_core::{InstanceId, Janitor, Removal};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> backend_core::Result<()> {
/// let janitor = Janitor::new();
/// let removal = Removal::new(InstanceId::random(), janitor.clone(), || async {
///     // Kills what runs, deletes what is there; succeeds if there is nothing.
///     Ok(())
/// });
/// removal.stop().await?;
/// drop(removal);
/// janitor.settle().await;
/// # Ok(())
/// # }
/// ```
pub struct Removal {
    id: InstanceId,
    janitor: Janitor,
    stopped: Arc<Once>,
    remove: Box<dyn Fn() -> Work + Send + Sync>,
    kept: bool,
    ready: bool,
}

type Work = Pin<Box<dyn Future<Output = Result<()>> + Send>>;

impl Removal {
    /// The duty to remove what `remove` removes. It is tried again by the next
    /// caller if it fails, so it has to succeed where there is nothing left.
    pub fn new<W>(
        id: InstanceId,
        janitor: Janitor,
        remove: impl Fn() -> W + Send + Sync + 'static,
    ) -> Self
    where
        W: Future<Output = Result<()>> + Send + 'static,
    {
        Self {
            id,
            janitor,
            stopped: Arc::default(),
            remove: Box::new(move || Box::pin(remove())),
            kept: false,
            ready: false,
        }
    }

    /// The instance is handed over: from now on a drop without a stop is a
    /// mistake of the caller's, and said as a warning. One that is `kept` on
    /// purpose outlives this process: a drop removes nothing.
    pub fn hand_over(&mut self, kept: bool) {
        self.ready = true;
        self.kept = kept;
    }

    /// Removes the instance, unless that is done already.
    ///
    /// # Errors
    ///
    /// Those of the removal: then the next call tries again.
    ///
    /// # Cancel safety
    ///
    /// The removal goes on without its caller.
    pub async fn stop(&self) -> Result<()> {
        self.stopped.run(&self.janitor, (self.remove)()).await
    }
}

impl Drop for Removal {
    fn drop(&mut self) {
        if self.kept || self.stopped.begun() {
            return;
        }
        let id = self.id.clone();
        if self.ready {
            tracing::warn!(instance = %id, "an instance was dropped without stop; it is removed");
        }
        let (stopped, janitor) = (self.stopped.clone(), self.janitor.clone());
        let remove = (self.remove)();
        self.janitor.spawn(async move {
            if let Err(error) = stopped.run(&janitor, remove).await {
                let error = Chain(&error);
                tracing::warn!(instance = %id, %error, "cannot remove a dropped instance");
            }
        });
    }
}

impl fmt::Debug for Removal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Removal")
            .field("id", &self.id)
            .field("kept", &self.kept)
            .finish_non_exhaustive()
    }
}

/// A stop that is done once, whoever asks, however often.
///
/// Callers take turns: after a success every later one succeeds at once, after
/// a failure the next one tries again.
#[derive(Debug, Default)]
struct Once {
    done: Mutex<bool>,
}

impl Once {
    /// Runs `work` unless it has succeeded before.
    ///
    /// # Cancel safety
    ///
    /// `work` runs on a task of the janitor: a caller that goes away does not
    /// end it.
    async fn run<W>(self: &Arc<Self>, janitor: &Janitor, work: W) -> Result<()>
    where
        W: Future<Output = Result<()>> + Send + 'static,
    {
        let once = self.clone();
        let (sender, receiver) = oneshot::channel();
        janitor.spawn(async move {
            let mut done = once.done.lock().await;
            let result = if *done { Ok(()) } else { work.await };
            *done = result.is_ok();
            drop(done);
            // Nobody may be waiting any more; the work is done all the same.
            sender.send(result).ok();
        });
        receiver.await.unwrap_or_else(|_| {
            Err(Error::new(
                ErrorKind::Leftover,
                "the runtime ended before the instance was removed",
            ))
        })
    }

    /// Whether it has succeeded, or is being tried right now.
    fn begun(&self) -> bool {
        self.done.try_lock().map_or(true, |done| *done)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    /// A removal that fails so often first, and how often it was tried.
    fn removal(janitor: &Janitor, failures: u32) -> (Removal, Arc<AtomicU32>) {
        let tries = Arc::new(AtomicU32::new(0));
        let seen = tries.clone();
        let remove = move || {
            let seen = seen.clone();
            async move {
                if seen.fetch_add(1, Ordering::SeqCst) < failures {
                    return Err(Error::new(ErrorKind::Leftover, "still there"));
                }
                Ok(())
            }
        };
        (
            Removal::new(InstanceId::random(), janitor.clone(), remove),
            tries,
        )
    }

    #[tokio::test]
    async fn a_drop_removes_what_was_not_stopped() {
        let janitor = Janitor::new();
        let (mut removal, tries) = removal(&janitor, 0);
        removal.hand_over(false);
        drop(removal);
        janitor.settle().await;
        assert_eq!(tries.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn a_stop_is_tried_again_and_done_once() {
        let janitor = Janitor::new();
        let (removal, tries) = removal(&janitor, 1);
        removal.stop().await.unwrap_err();
        let (first, second) = tokio::join!(removal.stop(), removal.stop());
        assert!(first.is_ok() && second.is_ok());
        drop(removal);
        janitor.settle().await;
        assert_eq!(tries.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn a_kept_one_outlives_a_drop_and_not_a_stop() {
        let janitor = Janitor::new();
        let (mut kept, tries) = removal(&janitor, 0);
        kept.hand_over(true);
        drop(kept);
        janitor.settle().await;
        assert_eq!(tries.load(Ordering::SeqCst), 0);
        let (mut kept, tries) = removal(&janitor, 0);
        kept.hand_over(true);
        kept.stop().await.unwrap();
        assert_eq!(tries.load(Ordering::SeqCst), 1);
    }
}
