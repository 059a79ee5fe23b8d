//! Sinks that show what a backend does to them, and known bytes.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use sha2::{Digest, Sha256};
use tokio::sync::watch;

use crate::OutputSink;

/// Pseudo-random bytes: for one seed always the same.
pub fn pseudo_random(seed: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    fastrand::Rng::with_seed(seed).fill(&mut bytes);
    bytes
}

/// The SHA-256 of `bytes` in hexadecimal.
pub fn sha256_hex(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        write!(text, "{byte:02x}").ok();
        text
    })
}

/// Hashes and counts the output, and keeps none of it but the last few bytes:
/// for outputs of any length in bounded memory.
#[derive(Debug, Clone)]
pub struct HashSink {
    hash: Sha256,
    hashed: u64,
    /// The last bytes so far, not hashed yet.
    held: Vec<u8>,
    trailer: usize,
}

impl HashSink {
    /// Hashes everything.
    pub fn new() -> Self {
        Self::with_trailer(0)
    }

    /// Hashes everything but the last `length` bytes, which it keeps: a script
    /// can then print bytes that nobody knows before, and their hash at the end.
    pub fn with_trailer(length: usize) -> Self {
        Self {
            hash: Sha256::new(),
            hashed: 0,
            held: Vec::new(),
            trailer: length,
        }
    }

    /// How many bytes were hashed: all but the trailer.
    pub fn hashed(&self) -> u64 {
        self.hashed
    }

    /// How many bytes came in all.
    pub fn received(&self) -> u64 {
        self.hashed + self.held.len() as u64
    }

    /// The SHA-256 of the hashed bytes in hexadecimal.
    pub fn hex(&self) -> String {
        hex(&self.hash.clone().finalize())
    }

    /// The last bytes, as many as were to be kept (or fewer, if fewer came).
    pub fn trailer(&self) -> &[u8] {
        &self.held
    }

    fn take(&mut self, bytes: &[u8]) {
        let surplus = (self.held.len() + bytes.len()).saturating_sub(self.trailer);
        let from_held = surplus.min(self.held.len());
        self.hash.update(self.held.drain(..from_held).as_slice());
        let (through, kept) = bytes.split_at(surplus - from_held);
        self.hash.update(through);
        self.held.extend_from_slice(kept);
        self.hashed += surplus as u64;
    }
}

impl Default for HashSink {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl OutputSink for HashSink {
    async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.take(bytes);
        Ok(())
    }
}

/// Takes its time for every 64 KiB, and then hands them on.
#[derive(Debug)]
pub struct SlowSink<S> {
    inner: S,
    pause: Duration,
    /// Bytes since the last pause.
    since: usize,
}

impl<S> SlowSink<S> {
    const STEP: usize = 64 << 10;

    /// Pauses for `pause` after each 64 KiB.
    pub fn new(inner: S, pause: Duration) -> Self {
        Self {
            inner,
            pause,
            since: 0,
        }
    }

    /// The sink behind it.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

#[async_trait]
impl<S: OutputSink> OutputSink for SlowSink<S> {
    async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.since += bytes.len();
        while self.since >= Self::STEP {
            self.since -= Self::STEP;
            tokio::time::sleep(self.pause).await;
        }
        self.inner.write(bytes).await
    }
}

/// Takes so many bytes, then fails, as a reader that has gone away.
#[derive(Debug)]
pub struct FailingSink<S> {
    inner: S,
    left: u64,
    calls_after_failure: Arc<AtomicU64>,
    failed: bool,
}

impl<S> FailingSink<S> {
    /// Fails at the write that would take it over `after` bytes.
    pub fn new(inner: S, after: u64) -> Self {
        Self {
            inner,
            left: after,
            calls_after_failure: Arc::default(),
            failed: false,
        }
    }

    /// How often it was written to after it had failed: a backend never does.
    pub fn calls_after_failure(&self) -> u64 {
        self.calls_after_failure.load(Ordering::SeqCst)
    }

    /// Whether it has failed.
    pub fn has_failed(&self) -> bool {
        self.failed
    }

    /// The sink behind it.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

#[async_trait]
impl<S: OutputSink> OutputSink for FailingSink<S> {
    async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.failed {
            self.calls_after_failure.fetch_add(1, Ordering::SeqCst);
        }
        if self.failed || bytes.len() as u64 > self.left {
            self.failed = true;
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        self.left -= bytes.len() as u64;
        self.inner.write(bytes).await
    }
}

/// One piece of output, and when it arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrival {
    /// When.
    pub at: Instant,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// Keeps the output with the times of its arrival, and lets others watch it
/// while the script still runs. Clones share one output.
#[derive(Debug, Clone, Default)]
pub struct Watch {
    arrivals: watch::Sender<Vec<Arrival>>,
}

impl Watch {
    /// Nothing has arrived yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// All that arrived so far, piece by piece.
    pub fn arrivals(&self) -> Vec<Arrival> {
        self.arrivals.borrow().clone()
    }

    /// All that arrived so far.
    pub fn output(&self) -> Vec<u8> {
        joined(&self.arrivals.borrow())
    }

    /// Waits until the output has `text` in it.
    pub async fn wait_for(&self, text: &str) {
        let mut receiver = self.arrivals.subscribe();
        let seen =
            |arrivals: &Vec<Arrival>| super::script::contains(&joined(arrivals), text.as_bytes());
        // The sender is ours: the wait ends with the text or with its caller.
        receiver.wait_for(seen).await.ok();
    }
}

fn joined(arrivals: &[Arrival]) -> Vec<u8> {
    arrivals
        .iter()
        .flat_map(|arrival| arrival.bytes.iter().copied())
        .collect()
}

#[async_trait]
impl OutputSink for Watch {
    async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let arrival = Arrival {
            at: Instant::now(),
            bytes: bytes.to_vec(),
        };
        self.arrivals.send_modify(|arrivals| arrivals.push(arrival));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_hash_does_not_depend_on_the_pieces(
            pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 0..10),
            trailer in 0_usize..60,
        ) {
            let whole: Vec<u8> = pieces.concat();
            let mut sink = HashSink::with_trailer(trailer);
            for piece in &pieces {
                sink.take(piece);
            }
            let (hashed, kept) = whole.split_at(whole.len().saturating_sub(trailer));
            prop_assert_eq!(sink.hex(), sha256_hex(hashed));
            prop_assert_eq!(sink.trailer(), kept);
            prop_assert_eq!(sink.hashed(), hashed.len() as u64);
            prop_assert_eq!(sink.received(), whole.len() as u64);
        }
    }

    #[test]
    fn the_hash_is_sha_256_and_the_bytes_are_the_same_each_time() {
        assert_eq!(
            sha256_hex(b"abc"),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        assert_eq!(pseudo_random(7, 1000), pseudo_random(7, 1000));
        assert_ne!(pseudo_random(7, 1000), pseudo_random(8, 1000));
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_sink_takes_its_time_and_loses_nothing() {
        let started = tokio::time::Instant::now();
        let mut sink = SlowSink::new(HashSink::new(), Duration::from_millis(10));
        for _ in 0..32 {
            sink.write(&vec![1; 32 << 10]).await.unwrap();
        }
        assert_eq!(started.elapsed(), Duration::from_millis(160));
        assert_eq!(sink.into_inner().received(), 1 << 20);
    }

    #[tokio::test]
    async fn a_failing_sink_fails_at_its_byte_and_counts_who_goes_on() {
        let mut sink = FailingSink::new(Vec::new(), 5);
        sink.write(b"abc").await.unwrap();
        sink.write(b"de").await.unwrap();
        assert!(!sink.has_failed());
        sink.write(b"f").await.unwrap_err();
        assert_eq!(sink.calls_after_failure(), 0);
        sink.write(b"g").await.unwrap_err();
        assert_eq!((sink.has_failed(), sink.calls_after_failure()), (true, 1));
        assert_eq!(sink.into_inner(), b"abcde");
    }

    #[tokio::test]
    async fn a_watch_sees_text_over_the_border_of_two_writes() {
        let watch = Watch::new();
        let mut sink = watch.clone();
        let writing = async {
            sink.write(b"rea").await.unwrap();
            tokio::task::yield_now().await;
            sink.write(b"dy").await.unwrap();
        };
        tokio::join!(watch.wait_for("ready"), writing);
        assert_eq!(watch.output(), b"ready");
        assert_eq!(watch.arrivals().len(), 2);
    }
}
