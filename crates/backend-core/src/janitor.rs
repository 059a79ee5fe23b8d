//! The clean-up that outlives a dropped future.

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::{Error, ErrorKind, Result};

/// Runs what must be finished although nobody waits for it any more: the rest
/// of a start whose future was dropped, the stop of an instance that was
/// dropped. Each provider owns one; clones share it.
///
/// What a runtime that ends first leaves undone, `worker reap` finds.
#[derive(Clone, Default)]
pub struct Janitor {
    tasks: TaskTracker,
}

impl Janitor {
    /// A janitor with nothing to do.
    pub fn new() -> Self {
        let tasks = TaskTracker::new();
        // A closed tracker still takes tasks; it only lets `settle` end.
        tasks.close();
        Self { tasks }
    }

    /// Runs `work` to its end on a task of its own.
    ///
    /// Called outside of a runtime (an instance dropped late), it cannot run
    /// anything: the work is dropped with a warning.
    pub fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        if let Ok(runtime) = Handle::try_current() {
            // Boxed: a runtime's code for a task is made once for all of them.
            let work: Pin<Box<dyn Future<Output = ()> + Send>> = Box::pin(work);
            self.tasks.spawn_on(work, &runtime);
        } else {
            tracing::warn!("no runtime left to clean up in: `worker reap` will find it");
        }
    }

    /// Waits until there is nothing left to do.
    pub async fn settle(&self) {
        self.tasks.wait().await;
    }

    /// Makes a thing that must not leak: `make` runs on a task of its own. If
    /// the returned future is dropped first, the token that `make` was given is
    /// cancelled, and the thing, should it still come, is dropped.
    ///
    /// So the thing's own `Drop` has to see to its removal (as that of every
    /// instance does), and `make` removes what it had begun before it returns
    /// an error, and looks at the token wherever it waits for long.
    ///
    /// # Cancel safety
    ///
    /// That is what it is for: the thing is handed over, or dropped.
    pub async fn own<T, M>(&self, make: impl FnOnce(CancellationToken) -> M) -> Result<T>
    where
        T: Send + 'static,
        M: Future<Output = Result<T>> + Send + 'static,
    {
        let token = CancellationToken::new();
        let (sender, receiver) = oneshot::channel();
        let making = make(token.clone());
        self.spawn(async move {
            sender.send(making.await).ok();
        });
        let _cancel = token.drop_guard();
        receiver.await.unwrap_or_else(|_| {
            Err(Error::new(
                ErrorKind::Cancelled,
                "the runtime ended before the instance was ready",
            ))
        })
    }
}

impl fmt::Debug for Janitor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Janitor({} tasks)", self.tasks.len())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_dropped_making_is_told_and_waited_for() {
        let janitor = Janitor::new();
        let undone = Arc::new(AtomicU32::new(0));
        let seen = undone.clone();
        let making = janitor.own(|token| async move {
            token.cancelled().await;
            tokio::time::sleep(Duration::from_secs(1)).await;
            seen.fetch_add(1, Ordering::SeqCst);
            Ok(())
        });
        tokio::time::timeout(Duration::from_millis(10), making)
            .await
            .unwrap_err();
        assert_eq!(undone.load(Ordering::SeqCst), 0);
        janitor.settle().await;
        assert_eq!(undone.load(Ordering::SeqCst), 1);
    }
}
