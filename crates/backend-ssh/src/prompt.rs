//! A stream whose short packets are acknowledged at once.

use std::io;
use std::ops::RangeInclusive;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// What is read of a short packet: more than the four bytes of its length,
/// which are read by themselves, and less than of one that is full of output.
const SHORT: RangeInclusive<usize> = 5..=2048;

/// A connection on which no peer waits for an acknowledgement.
///
/// OpenSSH's server leaves the algorithm of Nagle on until the first command
/// of a connection: what it says after the authentication, in several packets,
/// it holds back until the first of them is acknowledged. The system here
/// would do so by the way, with the next packet that it has to send; there is
/// none, since we wait, and so both wait for the 40 ms that a delayed
/// acknowledgement may take. The same goes for all that a jump host forwards.
#[derive(Debug)]
pub(crate) struct Prompt(TcpStream);

impl Prompt {
    pub(crate) fn new(stream: TcpStream) -> Self {
        Self(stream)
    }

    #[cfg(target_os = "linux")]
    fn acknowledge(&self) {
        // It is only slower without.
        self.0.set_quickack(true).ok();
    }

    #[cfg(not(target_os = "linux"))]
    #[expect(
        clippy::unused_self,
        reason = "on other systems there is no such option"
    )]
    fn acknowledge(&self) {}
}

impl AsyncRead for Prompt {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.0).poll_read(context, buffer))?;
        if SHORT.contains(&(buffer.filled().len() - before)) {
            // Not for good: the system forgets it with the next exchange.
            self.acknowledge();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Prompt {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(context, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}
