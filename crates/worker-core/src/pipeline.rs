//! The way of the output: bounded stages over bytes, into the caller's sink.
//!
//! mask → limit → sink → count and hash. Nothing of ours but the masks is ever
//! put into it.

use std::io;
use std::sync::Arc;

use async_trait::async_trait;
use backend_core::OutputSink;

use crate::cutter::Cutter;
use crate::digest::StreamDigest;
use crate::gauge::{Alarm, Gauge};
use crate::{EventKind, EventLog, Job, Masker, OnMaxOutput};

/// What is known of the output at its end.
#[derive(Debug)]
pub(crate) struct OutputSummary {
    pub(crate) bytes: u64,
    pub(crate) sha256: String,
    pub(crate) truncated: bool,
    /// Why the sink took no more, if so.
    pub(crate) sink_error: Option<io::Error>,
}

pub(crate) struct Pipeline<'a> {
    sink: &'a mut dyn OutputSink,
    events: &'a EventLog,
    masker: Masker,
    cutter: Option<Cutter>,
    stop_at_limit: bool,
    /// Of what the sink has taken.
    digest: StreamDigest,
    sink_error: Option<io::Error>,
    gauge: Arc<Gauge>,
}

impl<'a> Pipeline<'a> {
    pub(crate) fn new(sink: &'a mut dyn OutputSink, job: &Job, events: &'a EventLog) -> Self {
        let limit = job.limits.output;
        Self {
            sink,
            events,
            masker: job.secrets.masker(),
            cutter: limit.map(|limit| Cutter::new(limit.size.0)),
            stop_at_limit: limit.is_some_and(|limit| limit.on_exceed == OnMaxOutput::Stop),
            digest: StreamDigest::default(),
            sink_error: None,
            gauge: Arc::default(),
        }
    }

    pub(crate) fn gauge(&self) -> Arc<Gauge> {
        self.gauge.clone()
    }

    /// Delivers what was held back, and sums up.
    pub(crate) async fn finish(mut self) -> OutputSummary {
        // A failure is in the summary.
        let held = self.masker.finish();
        self.limit(&held).await.ok();
        if let Some(held) = self.cutter.as_mut().map(Cutter::finish) {
            self.deliver(&held).await.ok();
        }
        let (bytes, sha256) = self.digest.finish().await;
        OutputSummary {
            bytes,
            sha256,
            truncated: self.cutter.as_ref().is_some_and(Cutter::has_cut),
            sink_error: self.sink_error,
        }
    }

    async fn limit(&mut self, bytes: &[u8]) -> io::Result<()> {
        let Some(cutter) = &mut self.cutter else {
            return self.deliver(bytes).await;
        };
        let had_cut = cutter.has_cut();
        let passed = cutter.push(bytes);
        let cuts_now = cutter.has_cut() && !had_cut;
        let delivered = self.deliver(&passed).await;
        if cuts_now {
            self.events.emit(EventKind::OutputTruncated {
                output_bytes: self.digest.bytes(),
            });
            if self.stop_at_limit {
                self.gauge.raise(Alarm::OutputLimit);
            }
        }
        delivered
    }

    async fn deliver(&mut self, bytes: &[u8]) -> io::Result<()> {
        if let Some(error) = &self.sink_error {
            return Err(io::Error::new(error.kind(), error.to_string()));
        }
        if bytes.is_empty() {
            return Ok(());
        }
        let written = tokio::select! {
            biased;
            written = self.sink.write(bytes) => written,
            () = self.gauge.given_up() => Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "it did not take the output, and the job had to end",
            )),
        };
        if let Err(error) = written {
            self.gauge.raise(Alarm::SinkFailed);
            self.sink_error = Some(io::Error::new(error.kind(), error.to_string()));
            return Err(error);
        }
        self.digest.update(bytes).await;
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use backend_core::ByteSize;
    use tokio::time::Instant;

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
        let events = EventLog::none();
        let mut pipeline = Pipeline::new(&mut output, &job, &events);
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
        let events = EventLog::none();
        let mut pipeline = Pipeline::new(&mut output, &job, &events);
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
