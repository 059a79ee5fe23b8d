//! The near end of a shell: keys to press, a screen to read, a window to resize.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use tokio::io::{AsyncWrite, AsyncWriteExt as _, DuplexStream, duplex};
use tokio::sync::{Notify, watch};
use tokio_util::task::AbortOnDropHandle;

use super::case::{Checked, Unmet};
use super::fixture::{PROMPTLY, within};
use super::script::shown;
use crate::{Found, Outcome, Provider, Result, ShellOptions, ShellStreams, Terminal, TerminalSize};

/// A shell that is open while the case goes on. Dropping it drops the shell.
pub(super) struct Console {
    shell: AbortOnDropHandle<Result<Outcome>>,
    keys: Option<DuplexStream>,
    pub(super) screen: Screen,
    pub(super) errors: Screen,
    size: watch::Sender<TerminalSize>,
}

impl Console {
    /// Opens an interactive shell on a terminal of this size.
    pub(super) fn open(provider: &Arc<dyn Provider>, found: &Found, size: TerminalSize) -> Self {
        let (sender, receiver) = watch::channel(size);
        let options = ShellOptions {
            command: Vec::new(),
            terminal: Some(Terminal {
                name: "vt100".into(),
                size: receiver,
            }),
        };
        Self::with(provider, found, options, sender)
    }

    /// Runs a command on pipes.
    pub(super) fn run(provider: &Arc<dyn Provider>, found: &Found, command: &[&str]) -> Self {
        let options = ShellOptions {
            command: command.iter().copied().map(str::to_owned).collect(),
            terminal: None,
        };
        let none = TerminalSize {
            rows: 0,
            columns: 0,
        };
        Self::with(provider, found, options, watch::channel(none).0)
    }

    fn with(
        provider: &Arc<dyn Provider>,
        found: &Found,
        options: ShellOptions,
        size: watch::Sender<TerminalSize>,
    ) -> Self {
        let (keys, mut input) = duplex(64 << 10);
        let (screen, errors) = (Screen::default(), Screen::default());
        let (mut output, mut error_output) = (screen.clone(), errors.clone());
        let (provider, found) = (provider.clone(), found.clone());
        let shell = tokio::spawn(async move {
            let streams = ShellStreams {
                input: &mut input,
                output: &mut output,
                errors: &mut error_output,
            };
            provider.shell(&found, &options, streams).await
        });
        Self {
            shell: AbortOnDropHandle::new(shell),
            keys: Some(keys),
            screen,
            errors,
            size,
        }
    }

    /// Presses keys, or writes to the command.
    pub(super) async fn enter(&mut self, bytes: &[u8]) -> Checked {
        let Some(keys) = &mut self.keys else {
            return Err(Unmet::failed("the suite types after its end"));
        };
        let typed = within(PROMPTLY, "typing", keys.write_all(bytes)).await?;
        typed.map_err(|error| Unmet::failed(format!("the shell takes no input: {error}")))
    }

    /// Ends the input.
    pub(super) fn close(&mut self) {
        self.keys = None;
    }

    pub(super) fn resize(&self, rows: u16, columns: u16) {
        self.size.send_replace(TerminalSize { rows, columns });
    }

    /// Waits until the screen shows `text`, which must not be in what was typed.
    pub(super) async fn shows(&mut self, text: &str) -> Checked {
        let screen = self.screen.clone();
        tokio::select! {
            biased;
            () = screen.wait_for(text) => Ok(()),
            ended = &mut self.shell => Err(Unmet::failed(format!(
                "the shell ended before it showed {text:?}: {ended:?}; it showed {}",
                shown(&self.screen.bytes())
            ))),
            () = tokio::time::sleep(PROMPTLY) => Err(Unmet::failed(format!(
                "{text:?} was not shown within {PROMPTLY:?}, but {}",
                shown(&self.screen.bytes())
            ))),
        }
    }

    /// Waits for the end of the shell, or the refusal of one.
    pub(super) async fn result(&mut self) -> Checked<Result<Outcome>> {
        let ended = within(PROMPTLY, "the shell", &mut self.shell).await?;
        ended.map_err(|error| Unmet::failed(format!("the shell panicked: {error}")))
    }

    /// Waits for the end of the shell.
    pub(super) async fn ended(&mut self) -> Checked<Outcome> {
        Ok(self.result().await??)
    }
}

/// What was shown, from the first byte on.
#[derive(Debug, Clone, Default)]
pub(super) struct Screen(Arc<Shown>);

#[derive(Debug, Default)]
struct Shown {
    bytes: Mutex<Vec<u8>>,
    changed: Notify,
}

impl Screen {
    pub(super) fn bytes(&self) -> Vec<u8> {
        let bytes = self.0.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        bytes.clone()
    }

    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes()).into_owned()
    }

    async fn wait_for(&self, text: &str) {
        loop {
            // Listening begins before the look, so that no change is missed.
            let changed = self.0.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if self.text().contains(text) {
                return;
            }
            changed.await;
        }
    }
}

impl AsyncWrite for Screen {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let shown = &self.0;
        let mut all = shown.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        all.extend_from_slice(bytes);
        drop(all);
        shown.changed.notify_waiters();
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
