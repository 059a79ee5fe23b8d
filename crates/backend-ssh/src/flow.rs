//! The output between the connection and the sink: what was received and not
//! yet delivered, within bounds, and what is known of its end.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::Notify;

use crate::error::Failure;

/// From so much on that waits for the sink, the far side is asked to pause.
/// What is on its way still comes: a window of the channel, and a pipe.
const FULL: usize = 4 << 20;

/// Below so much it is asked to go on.
const LOW: usize = 1 << 20;

/// More than this cannot come from a far side that pauses when it is asked to.
const TOO_MUCH: usize = 32 << 20;

/// The output of one run, to be shared.
#[derive(Debug, Default)]
pub(crate) struct Flow {
    inner: Mutex<Inner>,
    /// For the run: there is something new.
    arrived: Notify,
    /// For the link: there is room again, or too little.
    turned: Notify,
}

#[derive(Debug, Default)]
struct Inner {
    queue: VecDeque<Bytes>,
    queued: usize,
    received: u64,
    news: News,
    /// Nobody wants the output any more.
    discarded: bool,
    /// What the far side was last asked for.
    paused: bool,
}

/// What is known of the run besides its output.
#[derive(Debug, Clone, Default)]
pub(crate) struct News {
    /// How much of the output was received.
    pub(crate) received: u64,
    /// The script has ended, with this code if it is known.
    pub(crate) exit: Option<Exit>,
    /// The output has ended.
    pub(crate) end: Option<End>,
    /// The instance is lost, for this reason.
    pub(crate) dead: Option<Arc<Failure>>,
    /// How often the connection was re-made.
    pub(crate) reconnects: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Exit {
    pub(crate) code: Option<i32>,
    /// How much output there was by then.
    pub(crate) size: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct End {
    pub(crate) size: u64,
    pub(crate) intact: bool,
}

/// What to ask the far side for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    Pause,
    Resume,
}

impl Flow {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Takes what was received; `false` if it is more than can be.
    pub(crate) fn push(&self, bytes: Bytes) -> bool {
        let fits = {
            let mut inner = self.lock();
            inner.received += bytes.len() as u64;
            if !inner.discarded {
                inner.queued += bytes.len();
                inner.queue.push_back(bytes);
            }
            inner.queued <= TOO_MUCH
        };
        self.arrived.notify_one();
        self.turned.notify_one();
        fits
    }

    /// The next bytes for the sink, if there are any.
    pub(crate) fn pop(&self) -> Option<Bytes> {
        let bytes = {
            let mut inner = self.lock();
            let bytes = inner.queue.pop_front()?;
            inner.queued -= bytes.len();
            bytes
        };
        self.turned.notify_one();
        Some(bytes)
    }

    pub(crate) fn news(&self) -> News {
        let inner = self.lock();
        News {
            received: inner.received,
            ..inner.news.clone()
        }
    }

    pub(crate) fn tell(&self, change: impl FnOnce(&mut News)) {
        change(&mut self.lock().news);
        self.arrived.notify_one();
    }

    /// Waits until something has arrived since the last wait ended.
    pub(crate) async fn arrived(&self) {
        self.arrived.notified().await;
    }

    /// Waits until the far side is to be asked for something else than before.
    pub(crate) async fn turn(&self) -> Turn {
        loop {
            {
                let mut inner = self.lock();
                if !inner.paused && inner.queued >= FULL {
                    inner.paused = true;
                    return Turn::Pause;
                }
                if inner.paused && inner.queued < LOW {
                    inner.paused = false;
                    return Turn::Resume;
                }
            }
            self.turned.notified().await;
        }
    }

    /// A new connection has been asked for nothing yet.
    pub(crate) fn begin_again(&self) -> u64 {
        let mut inner = self.lock();
        inner.paused = false;
        inner.received
    }

    /// Nobody will ask for the output any more: what comes is dropped.
    pub(crate) fn discard(&self) {
        {
            let mut inner = self.lock();
            inner.discarded = true;
            inner.queue.clear();
            inner.queued = 0;
        }
        self.turned.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_far_side_pauses_while_the_sink_is_slow() {
        let flow = Flow::new();
        let piece = Bytes::from(vec![0; 1 << 20]);
        for _ in 0..4 {
            assert!(flow.push(piece.clone()));
        }
        assert_eq!(flow.turn().await, Turn::Pause);
        while flow.pop().is_some() {}
        assert_eq!(flow.turn().await, Turn::Resume);
        assert_eq!(flow.news().received, 4 << 20);
    }

    #[test]
    fn a_flood_is_told_and_what_nobody_wants_is_dropped() {
        let flow = Flow::new();
        let piece = Bytes::from(vec![0; 1 << 20]);
        assert!((0..64).any(|_| !flow.push(piece.clone())));
        flow.discard();
        assert!(flow.push(piece) && flow.pop().is_none());
    }
}
