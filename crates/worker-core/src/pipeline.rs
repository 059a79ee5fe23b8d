//! The way of the output: bounded stages over bytes, into the caller's sink.
//!
//! mask → limit → count and hash → sink. Nothing of ours but the masks is ever
//! put into it.

use std::fmt::Write as _;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use backend_core::OutputSink;
use sha2::{Digest, Sha256};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::cutter::Cutter;
use crate::{Job, Masker, OnMaxOutput};

/// What the pipeline tells the one who watches over the run.
#[derive(Debug, Default)]
pub(crate) struct Gauge {
    state: Mutex<GaugeState>,
    // Woken when the job is to end because of the output.
    alarm: Notify,
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

/// What is known of the output at its end.
#[derive(Debug)]
pub(crate) struct OutputSummary {
    pub(crate) bytes: u64,
    pub(crate) sha256: String,
    pub(crate) truncated: bool,
    pub(crate) sink_failed: bool,
}

pub(crate) struct Pipeline<'a> {
    sink: &'a mut dyn OutputSink,
    masker: Masker,
    cutter: Option<Cutter>,
    stop_at_limit: bool,
    hash: Sha256,
    bytes: u64,
    sink_failed: bool,
    gauge: Arc<Gauge>,
}

impl<'a> Pipeline<'a> {
    pub(crate) fn new(sink: &'a mut dyn OutputSink, job: &Job) -> Self {
        let limit = job.limits.output;
        Self {
            sink,
            masker: job.secrets.masker(),
            cutter: limit.map(|limit| Cutter::new(limit.size.0)),
            stop_at_limit: limit.is_some_and(|limit| limit.on_exceed == OnMaxOutput::Stop),
            hash: Sha256::new(),
            bytes: 0,
            sink_failed: false,
            gauge: Arc::default(),
        }
    }

    pub(crate) fn gauge(&self) -> Arc<Gauge> {
        self.gauge.clone()
    }

    /// Delivers what was held back, and sums up.
    pub(crate) async fn finish(mut self) -> OutputSummary {
        if !self.sink_failed {
            let held = self.masker.finish();
            // A failure is in the summary.
            self.limit(&held).await.ok();
        }
        if let Some(held) = self.cutter.as_mut().map(Cutter::finish)
            && !self.sink_failed
        {
            self.deliver(&held).await.ok();
        }
        OutputSummary {
            bytes: self.bytes,
            sha256: hexadecimal(&self.hash.finalize()),
            truncated: self.cutter.as_ref().is_some_and(Cutter::has_cut),
            sink_failed: self.sink_failed,
        }
    }

    async fn limit(&mut self, bytes: &[u8]) -> io::Result<()> {
        let Some(cutter) = &mut self.cutter else {
            return self.deliver(bytes).await;
        };
        let passed = cutter.push(bytes);
        let over = cutter.has_cut();
        let delivered = self.deliver(&passed).await;
        if over && self.stop_at_limit {
            self.gauge.raise(Alarm::OutputLimit);
        }
        delivered
    }

    async fn deliver(&mut self, bytes: &[u8]) -> io::Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        // Hashed while the sink is at work, which most of the time is writing
        // on another thread. Should it fail, the hash stays that of before.
        let mut hash = self.hash.clone();
        let (written, ()) = tokio::join!(self.sink.write(bytes), async { hash.update(bytes) });
        if let Err(error) = written {
            self.sink_failed = true;
            self.gauge.raise(Alarm::SinkFailed);
            return Err(error);
        }
        self.hash = hash;
        self.bytes += bytes.len() as u64;
        Ok(())
    }
}

#[async_trait]
impl OutputSink for Pipeline<'_> {
    async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.gauge.busy();
        let masked = self.masker.push(bytes);
        let delivered = self.limit(&masked).await;
        self.gauge.quiet();
        delivered
    }
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

    fn raise(&self, alarm: Alarm) {
        self.lock().alarm.get_or_insert(alarm);
        self.alarm.notify_one();
    }

    fn busy(&self) {
        self.lock().quiet_since = None;
    }

    fn quiet(&self) {
        self.lock().quiet_since = Some(Instant::now());
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, GaugeState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String does not fail.
        write!(text, "{byte:02x}").ok();
        text
    })
}

#[cfg(test)]
mod tests {
    use backend_core::ByteSize;

    use super::*;
    use crate::OutputLimit;

    #[tokio::test]
    async fn length_and_hash_are_of_what_was_delivered() {
        let mut output = Vec::new();
        let limit = OutputLimit {
            size: ByteSize(3),
            on_exceed: OnMaxOutput::Truncate,
        };
        let mut job = Job::new("");
        job.limits.output = Some(limit);
        let mut pipeline = Pipeline::new(&mut output, &job);
        for chunk in [b"ab".as_slice(), b"cd", b"ef"] {
            pipeline.write(chunk).await.unwrap();
        }
        let summary = pipeline.finish().await;
        assert_eq!((summary.bytes, summary.truncated), (3, true));
        // Source: FIPS 180-2, appendix B.1.
        assert_eq!(
            summary.sha256,
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        assert_eq!(output, b"abc");
    }

    #[tokio::test(start_paused = true)]
    async fn silence_is_measured_from_the_last_byte() {
        let mut output = Vec::new();
        let job = Job::new("");
        let mut pipeline = Pipeline::new(&mut output, &job);
        let gauge = pipeline.gauge();
        let began = Instant::now();
        let silence = tokio::spawn(async move { gauge.silent_for(Duration::from_secs(10)).await });
        for _ in 0..3 {
            tokio::time::sleep(Duration::from_secs(9)).await;
            pipeline.write(b".").await.unwrap();
        }
        silence.await.unwrap();
        assert_eq!(began.elapsed().as_secs(), 37);
    }
}
