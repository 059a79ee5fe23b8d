//! Dropping a future at each of its await points.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

/// What became of a future that was polled a few times.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Polled<T> {
    /// It came to its end before.
    Ready(T),
    /// It did not, and was dropped.
    Dropped,
}

/// Polls `future` as often as it asks to be polled, but at most `polls` times;
/// if it is not ready then, drops it at once, at the await point that it has
/// reached.
///
/// With 0, 1, 2, … until it is ready, it is dropped at each of its await
/// points. What it waits for may be ready at another time in another run, so
/// drop it after a few lengths of time as well.
pub async fn poll_times<F: Future>(future: F, polls: u32) -> Polled<F::Output> {
    if polls == 0 {
        return Polled::Dropped;
    }
    let mut future = pin!(future);
    let mut left = polls;
    poll_fn(|context| {
        if let Poll::Ready(output) = future.as_mut().poll(context) {
            return Poll::Ready(Polled::Ready(output));
        }
        left -= 1;
        if left == 0 {
            Poll::Ready(Polled::Dropped)
        } else {
            Poll::Pending
        }
    })
    .await
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[tokio::test]
    async fn it_is_dropped_at_each_await_point_and_ends_after_the_last() {
        let reached = AtomicU32::new(0);
        let steps = || async {
            for _ in 0..3 {
                tokio::task::yield_now().await;
                reached.fetch_add(1, Ordering::SeqCst);
            }
            7
        };
        for polls in 0..4 {
            reached.store(0, Ordering::SeqCst);
            assert_eq!(poll_times(steps(), polls).await, Polled::Dropped);
            assert_eq!(reached.load(Ordering::SeqCst), polls.saturating_sub(1));
        }
        assert_eq!(poll_times(steps(), 4).await, Polled::Ready(7));
    }
}
