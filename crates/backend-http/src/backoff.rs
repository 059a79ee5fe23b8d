//! How long to wait before trying again, and for how long at all.

use std::time::Duration;

use tokio::time::Instant;

use crate::error::{CallError, Retry};

/// The first pause at the most, and the longest.
const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(5);

/// How often in a row an answer may make no sense.
const DOUBTS: u32 = 8;

/// Pauses that double from 0.1 s to 5 s, each with full jitter in its upper
/// half, so that clients that were cut at once do not come back at once.
#[derive(Debug, Clone)]
pub(crate) struct Backoff {
    next: Duration,
}

impl Backoff {
    pub(crate) fn new() -> Self {
        Self { next: FIRST }
    }

    /// The next pause; what the server asks for, if that is longer.
    pub(crate) fn pause(&mut self, asked: Option<Duration>) -> Duration {
        let most = self.next;
        self.next = (self.next * 2).min(LONGEST);
        let half = most / 2;
        let jittered = half + half.mul_f64(fastrand::f64());
        asked.map_or(jittered, |asked| asked.max(jittered))
    }
}

/// The patience with one request that may be repeated.
#[derive(Debug)]
pub(crate) struct Patience {
    until: Instant,
    backoff: Backoff,
    doubts: u32,
}

impl Patience {
    /// For so long from now.
    pub(crate) fn new(bound: Duration) -> Self {
        Self {
            until: Instant::now() + bound,
            backoff: Backoff::new(),
            doubts: 0,
        }
    }

    /// Waits before the next attempt.
    ///
    /// # Errors
    ///
    /// The error, if there is to be none: it was refused for good, makes no
    /// sense again and again, or there was time enough.
    pub(crate) async fn after(&mut self, error: CallError) -> Result<(), CallError> {
        let asked = match error.retry() {
            Retry::Never => return Err(error),
            Retry::Doubtful => {
                self.doubts += 1;
                None
            }
            Retry::Later(asked) => asked,
        };
        let pause = self.backoff.pause(asked);
        // The server may ask for more than a clock can count.
        let left = self.until.saturating_duration_since(Instant::now());
        if self.doubts >= DOUBTS || pause > left {
            return Err(error);
        }
        tracing::debug!(%error, ?pause, "trying again");
        tokio::time::sleep(pause).await;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_their_bound_and_respect_what_is_asked() {
        let mut backoff = Backoff::new();
        let mut most = FIRST;
        for _ in 0..20 {
            let pause = backoff.pause(None);
            assert!(pause <= most && pause >= most / 2, "{pause:?} of {most:?}");
            most = (most * 2).min(LONGEST);
        }
        let asked = Duration::from_secs(30);
        assert_eq!(backoff.pause(Some(asked)), asked);
    }

    #[tokio::test(start_paused = true)]
    async fn patience_ends_with_its_time_with_nonsense_and_with_a_refusal() {
        let cut = || CallError::Transport("cut".into());
        let began = Instant::now();
        let mut patience = Patience::new(Duration::from_mins(1));
        while patience.after(cut()).await.is_ok() {}
        let took = began.elapsed().as_secs();
        assert!((50..=60).contains(&took), "{took}");

        let nonsense = || CallError::Malformed("?".into());
        let mut patience = Patience::new(Duration::from_hours(1));
        let mut times = 0;
        while patience.after(nonsense()).await.is_ok() {
            times += 1;
        }
        assert_eq!(times, DOUBTS - 1);

        let busy = |seconds| CallError::Foreign {
            status: 503,
            retry_after: Some(Duration::from_secs(seconds)),
        };
        let mut patience = Patience::new(Duration::from_mins(1));
        patience.after(busy(3)).await.unwrap();
        patience.after(busy(u64::MAX)).await.unwrap_err();

        let refusal = CallError::Foreign {
            status: 400,
            retry_after: None,
        };
        assert!(
            Patience::new(Duration::from_mins(1))
                .after(refusal)
                .await
                .is_err()
        );
    }
}
