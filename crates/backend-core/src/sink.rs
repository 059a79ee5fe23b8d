//! Where the output of a run goes.

use std::io;

use async_trait::async_trait;
use tokio::io::{AsyncWrite, AsyncWriteExt};

/// Takes the output of a run, in order, as it arrives.
///
/// # Behavior
///
/// - A backend hands over bytes as soon as it has them, and waits for the sink
///   before it reads more: a slow sink slows the script (or fills a bounded
///   spool on disk), it never fills memory.
/// - After an error a backend never calls the sink again. It reads on and drops
///   the rest, so that the script can end; the result then says
///   `output_complete: false`.
/// - Dropping a `write` future may lose its bytes. Backends do that only when
///   the run's own future is dropped.
#[async_trait]
pub trait OutputSink: Send {
    /// Takes the next bytes of the output; never empty.
    async fn write(&mut self, bytes: &[u8]) -> io::Result<()>;
}

/// A sink that keeps the output in memory. For small outputs and tests.
#[async_trait]
impl OutputSink for Vec<u8> {
    async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.extend_from_slice(bytes);
        Ok(())
    }
}

/// A sink that writes to any [`AsyncWrite`], and flushes after every write, so
/// that output stays live.
#[derive(Debug)]
pub struct WriterSink<W>(pub W);

#[async_trait]
impl<W: AsyncWrite + Unpin + Send> OutputSink for WriterSink<W> {
    async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes).await?;
        self.0.flush().await
    }
}

/// The end of a backend's pump: counts what was delivered, and goes on
/// silently once the sink has failed.
#[expect(missing_debug_implementations, reason = "sinks are not Debug")]
pub struct Delivery<'a> {
    sink: &'a mut dyn OutputSink,
    delivered: u64,
    failed: bool,
}

impl<'a> Delivery<'a> {
    /// Delivers to `sink`.
    pub fn new(sink: &'a mut dyn OutputSink) -> Self {
        Self {
            sink,
            delivered: 0,
            failed: false,
        }
    }

    /// Hands `bytes` to the sink, or drops them where it has failed before.
    pub async fn write(&mut self, bytes: &[u8]) {
        if self.failed || bytes.is_empty() {
            return;
        }
        match self.sink.write(bytes).await {
            Ok(()) => self.delivered += bytes.len() as u64,
            Err(error) => {
                tracing::debug!(%error, "the sink failed; the rest of the output is dropped");
                self.failed = true;
            }
        }
    }

    /// Bytes that the sink has taken.
    pub fn delivered(&self) -> u64 {
        self.delivered
    }

    /// Whether the sink took everything so far.
    pub fn intact(&self) -> bool {
        !self.failed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Failing(u32);

    #[async_trait]
    impl OutputSink for Failing {
        async fn write(&mut self, _: &[u8]) -> io::Result<()> {
            self.0 += 1;
            if self.0 == 2 {
                Err(io::ErrorKind::BrokenPipe.into())
            } else {
                Ok(())
            }
        }
    }

    #[tokio::test]
    async fn a_failed_sink_is_never_called_again() {
        let mut sink = Failing(0);
        let mut delivery = Delivery::new(&mut sink);
        for _ in 0..5 {
            delivery.write(b"abc").await;
        }
        assert_eq!((delivery.delivered(), delivery.intact()), (3, false));
        assert_eq!(sink.0, 2);
    }
}
