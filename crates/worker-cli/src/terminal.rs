//! The terminal that the program itself is on: raw for as long as a shell has
//! it, and as it was before in every case.

use std::io;
use std::sync::{Mutex, Once, PoisonError};

use backend_core::{Terminal, TerminalSize};
use rustix::stdio::stdin;
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// How the terminal was, while it is raw.
static BEFORE: Mutex<Option<Termios>> = Mutex::new(None);

/// What a terminal is that does not say it.
const UNKNOWN: &str = "dumb";

/// A terminal that hands on each key as it is. Dropped, it is as it was before;
/// also before the message of a panic.
#[derive(Debug)]
pub(crate) struct Raw(());

impl Raw {
    /// Makes the terminal on standard input raw.
    pub(crate) fn enter() -> io::Result<Self> {
        static HOOK: Once = Once::new();
        HOOK.call_once(|| {
            let next = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |panic| {
                restore();
                next(panic);
            }));
        });
        let before = tcgetattr(stdin())?;
        let mut raw = before.clone();
        raw.make_raw();
        // First, so that it is restored whatever comes of the change.
        *lock() = Some(before);
        let raw_mode = Self(());
        tcsetattr(stdin(), OptionalActions::Now, &raw)?;
        Ok(raw_mode)
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        restore();
    }
}

/// The terminal, for a shell to be told; its size follows that of ours until
/// the runtime ends.
pub(crate) fn describe() -> io::Result<Terminal> {
    // Heard first, so that no change is missed.
    let mut changes = signal(SignalKind::window_change())?;
    let (sender, receiver) = watch::channel(size());
    tokio::spawn(async move {
        while changes.recv().await.is_some() {
            if sender.send(size()).is_err() {
                return;
            }
        }
    });
    let name = std::env::var("TERM").ok().filter(|name| !name.is_empty());
    Ok(Terminal {
        name: name.unwrap_or_else(|| UNKNOWN.to_owned()),
        size: receiver,
    })
}

fn size() -> TerminalSize {
    let size = tcgetwinsize(stdin()).ok();
    TerminalSize {
        rows: size.map_or(0, |size| size.ws_row),
        columns: size.map_or(0, |size| size.ws_col),
    }
}

fn restore() {
    if let Some(before) = lock().take() {
        // A terminal that is gone needs nothing.
        tcsetattr(stdin(), OptionalActions::Now, &before).ok();
    }
}

fn lock() -> std::sync::MutexGuard<'static, Option<Termios>> {
    BEFORE.lock().unwrap_or_else(PoisonError::into_inner)
}
