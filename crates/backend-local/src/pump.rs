//! Carries the output of a script to its sink until the script has ended and
//! its output is at its end, or nobody need wait for that any longer.

use std::io;
use std::time::Duration;

use backend_core::{Delivery, OutputSink};
use rustix::io::{Errno, ioctl_fionread};
use tokio::net::unix::pipe::Receiver;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::launch::PIPE_SIZE;
use crate::process::{End, Process};

/// How much is read at once. Memory that is not written to costs nothing.
const BUFFER_SIZE: usize = 256 << 10;

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pumped {
    pub(crate) end: End,
    /// Bytes that the sink took.
    pub(crate) bytes: u64,
    /// Whether the sink took all that was written, up to the end of the output.
    pub(crate) complete: bool,
}

/// Pumps until both ends are seen, `window` is over, or `stopping` is called.
///
/// What was in the pipe when the script ended, or was stopped, is delivered in
/// any case, however slow the sink is and whoever goes on writing. Only then does the
/// window begin, in which children of the script may write more.
///
/// # Cancel safety
///
/// The bytes that the sink was just taking may be lost.
pub(crate) async fn pump(
    process: &Process,
    window: Duration,
    stopping: &CancellationToken,
    sink: &mut dyn OutputSink,
) -> Pumped {
    let mut pump = Pump {
        output: process.output(),
        buffer: vec![0; BUFFER_SIZE],
        delivery: Delivery::new(sink),
        at_end: false,
        broken: false,
    };
    let end = pump.until_end_of(process, stopping).await;
    pump.rest().await;
    if end != End::Stopped {
        tokio::select! {
            biased;
            () = stopping.cancelled() => {}
            () = pump.until_end_of_output(Instant::now().checked_add(window)) => {}
        }
    }
    Pumped {
        end,
        bytes: pump.delivery.delivered(),
        complete: pump.at_end && !pump.broken && pump.delivery.intact(),
    }
}

struct Pump<'a> {
    output: &'a Receiver,
    buffer: Vec<u8>,
    delivery: Delivery<'a>,
    at_end: bool,
    broken: bool,
}

impl Pump<'_> {
    /// Delivers until the process has ended, whatever its output does.
    async fn until_end_of(&mut self, process: &Process, stopping: &CancellationToken) -> End {
        let ended = process.ended();
        tokio::pin!(ended);
        loop {
            // The end first: a child that writes without pause must not hide it.
            let read = tokio::select! {
                biased;
                end = &mut ended => return end,
                // The process knows by now that its end is our doing.
                () = stopping.cancelled() => return process.ended().await,
                read = read(self.output, &mut self.buffer), if !self.at_end => read,
            };
            self.deliver(read).await;
        }
    }

    /// Delivers what is in the pipe now, and looks whether that was all.
    async fn rest(&mut self) {
        let there = ioctl_fionread(self.output).map_or(PIPE_SIZE, saturate);
        let mut delivered = 0;
        while !self.at_end {
            // Past the runtime, which may not have heard of the bytes yet.
            let read = match rustix::io::read(self.output, self.buffer.as_mut_slice()) {
                Err(Errno::AGAIN) => return,
                Err(Errno::INTR) => continue,
                result => result.map_err(io::Error::from),
            };
            delivered += self.deliver(read).await;
            if delivered > there {
                return;
            }
        }
    }

    async fn until_end_of_output(&mut self, deadline: Option<Instant>) {
        while !self.at_end {
            let next = read(self.output, &mut self.buffer);
            let read = match deadline {
                Some(deadline) => match timeout_at(deadline, next).await {
                    Ok(read) => read,
                    Err(_) => return,
                },
                None => next.await,
            };
            self.deliver(read).await;
            // A writer without pause keeps the read from ever being late.
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                return;
            }
        }
    }

    async fn deliver(&mut self, read: io::Result<usize>) -> usize {
        match read {
            Ok(0) => self.at_end = true,
            Ok(length) => {
                let bytes = self.buffer.get(..length).unwrap_or_default();
                self.delivery.write(bytes).await;
                return length;
            }
            Err(error) => {
                // A pipe has no errors of its own; should there be one all the
                // same, the output ends here and is not complete.
                tracing::warn!(%error, "cannot read the output");
                self.broken = true;
                self.at_end = true;
            }
        }
        0
    }
}

async fn read(output: &Receiver, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        output.readable().await?;
        match output.try_read(buffer) {
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
                ) => {}
            result => return result,
        }
    }
}

fn saturate(length: u64) -> usize {
    usize::try_from(length).unwrap_or(usize::MAX)
}
