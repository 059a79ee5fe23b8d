//! Where the script's bytes go: standard output, and a file beside it.

use std::fs::File;
use std::io;
use std::os::fd::AsFd as _;
use std::path::Path;

use anyhow::Context as _;
use async_trait::async_trait;
use backend_core::{OutputSink, WriterSink};
use tokio::net::unix::pipe;
use worker_core::{CancelCause, Canceller, Tee};

use crate::files;

/// As large as an ordinary user may make a pipe
/// (`/proc/sys/fs/pipe-max-size`).
#[cfg(target_os = "linux")]
const PIPE_SIZE: usize = 1 << 20;

/// Where the output of a run goes.
pub(crate) enum Output {
    Standard(StandardOutput),
    Both(Tee<StandardOutput, WriterSink<tokio::fs::File>>),
}

impl Output {
    /// Standard output, and `file` as well where one is given; made now, so
    /// that it is known in time if it cannot be.
    pub(crate) fn open(file: Option<&Path>) -> anyhow::Result<Self> {
        let standard = StandardOutput::open()?;
        let Some(path) = file else {
            return Ok(Self::Standard(standard));
        };
        let file = File::create(path).with_context(|| files::cannot_write("output", path))?;
        let file = WriterSink(tokio::fs::File::from_std(file));
        Ok(Self::Both(Tee::new(standard, file)))
    }

    /// Cancels by `canceller` as soon as nobody can read the output any more,
    /// where that is to be known: also when the script is silent. A file that
    /// takes it all the same is a reader.
    pub(crate) fn cancel_when_closed(&self, canceller: &Canceller) {
        if let Self::Standard(StandardOutput::Pipe(_)) = self {
            let canceller = canceller.clone();
            tokio::spawn(async move {
                if reader_has_gone().await.is_ok() {
                    canceller.cancel(CancelCause::OutputClosed);
                }
            });
        }
    }

    /// What is to be told of a sink that has failed while the other went on.
    pub(crate) fn complaint(&self) -> Option<String> {
        let Self::Both(tee) = self else { return None };
        let error = |what: &str, error: &io::Error| format!("{what} could not be written: {error}");
        tee.first_error()
            .map(|e| error("standard output", e))
            .or_else(|| tee.second_error().map(|e| error("the file of --output", e)))
    }
}

#[async_trait]
impl OutputSink for Output {
    async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Standard(standard) => standard.write(bytes).await,
            Self::Both(tee) => tee.write(bytes).await,
        }
    }
}

/// Standard output as the sink of a run.
pub(crate) enum StandardOutput {
    /// A pipe: written without a thread in between, and given up at any time.
    Pipe(WriterSink<pipe::Sender>),
    /// Whatever else: written on another thread.
    Other(WriterSink<tokio::fs::File>),
}

impl StandardOutput {
    fn open() -> anyhow::Result<Self> {
        if let Ok(pipe) = reopened() {
            // Every time that it is full costs a change of processes. That it
            // cannot be made larger costs no more than that.
            #[cfg(target_os = "linux")]
            if let Err(error) = rustix::pipe::fcntl_setpipe_size(&pipe, PIPE_SIZE) {
                tracing::debug!(%error, "standard output keeps the size of its pipe");
            }
            return Ok(Self::Pipe(WriterSink(pipe)));
        }
        // A descriptor of our own, past the buffer of the standard library.
        let own = io::stdout().as_fd().try_clone_to_owned();
        let own = own.context("standard output is closed")?;
        let file = tokio::fs::File::from_std(File::from(own));
        Ok(Self::Other(WriterSink(file)))
    }

    async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Pipe(pipe) => pipe.write(bytes).await,
            Self::Other(file) => file.write(bytes).await,
        }
    }
}

#[async_trait]
impl OutputSink for StandardOutput {
    async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        Self::write(self, bytes).await
    }
}

/// Standard output opened once more, if it is a pipe with a reader: whether a
/// write waits is a property of the opening, and that of the shell that
/// started us must stay as it is.
fn reopened() -> io::Result<pipe::Sender> {
    // Elsewhere, opening this gives the same opening again.
    if !cfg!(target_os = "linux") {
        return Err(io::ErrorKind::Unsupported.into());
    }
    pipe::OpenOptions::new().open_sender("/proc/self/fd/1")
}

/// Waits until the last reader of standard output has gone.
async fn reader_has_gone() -> io::Result<()> {
    let pipe = reopened()?;
    pipe.ready(tokio::io::Interest::ERROR).await.map(drop)
}
