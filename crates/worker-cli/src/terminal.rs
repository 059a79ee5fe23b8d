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

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
    use std::process::{Command, Stdio};

    use rustix::fs::{Mode, OFlags, open};
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    use rustix::termios::LocalModes;

    use super::*;

    /// Says to the process with a terminal on standard input that it is that.
    const ON_TERMINAL: &str = "WORKER_TEST_ON_TERMINAL";

    /// What keys meet: whether the terminal makes lines of them, and echoes.
    fn cooked() -> bool {
        let modes = tcgetattr(stdin()).unwrap().local_modes;
        modes.contains(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG)
    }

    /// Panics while the terminal is raw, in a process that has one.
    #[test]
    fn a_panic_leaves_the_terminal_as_it_was() {
        if std::env::var_os(ON_TERMINAL).is_none() {
            return in_a_process_on_a_terminal();
        }
        assert!(cooked());
        // That the hook does it: what was forgotten cannot.
        let panic = catch_unwind(|| {
            std::mem::forget(Raw::enter().unwrap());
            assert!(!cooked(), "it is not raw");
            panic!("on purpose");
        });
        assert_eq!(
            *panic.unwrap_err().downcast::<&str>().unwrap(),
            "on purpose"
        );
        assert!(cooked(), "the hook has not restored it");
        // And that unwinding does it: another hook may be there by then.
        let own = take_hook();
        set_hook(Box::new(|_| ()));
        let mut raw_at_panic = false;
        let panic = catch_unwind(AssertUnwindSafe(|| {
            let _raw = Raw::enter().unwrap();
            raw_at_panic = !cooked();
            panic!("on purpose");
        }));
        set_hook(own);
        assert!(panic.is_err() && raw_at_panic);
        assert!(cooked(), "the guard has not restored it");
    }

    /// Begins this test once more, for itself alone, on a new terminal.
    fn in_a_process_on_a_terminal() {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC);
        let master = master.unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap();
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let end = open(&*name, flags, Mode::empty()).unwrap();
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "--nocapture"])
            .arg("terminal::tests::a_panic_leaves_the_terminal_as_it_was")
            .env(ON_TERMINAL, "1")
            .stdin(Stdio::from(end))
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{output:?}");
        // A name that is no longer right would run nothing.
        assert!(said.contains("1 passed"), "{said}");
    }
}
