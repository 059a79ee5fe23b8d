//! A pseudo-terminal: the end that we hold, and the end that a process gets.
//! Source: `pty(7)`, `ioctl_tty(2)`.

use std::io;

use backend_core::TerminalSize;
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::Errno;
use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::process::watch;

/// Our end. Closed, it hangs the other up.
#[derive(Debug)]
pub(crate) struct Master(AsyncFd<OwnedFd>);

/// Opens one of this size; needs the context of a runtime. The second is the
/// end of the process.
pub(crate) fn open(size: TerminalSize) -> io::Result<(Master, OwnedFd)> {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let master = openpt(flags)?;
    grantpt(&master)?;
    unlockpt(&master)?;
    // By the end itself and not by its name, which may mean another one here.
    let end = ioctl_tiocgptpeer(&master, flags)?;
    set_size(&master, size)?;
    fcntl_setfl(&master, fcntl_getfl(&master)? | OFlags::NONBLOCK)?;
    let master = watch(master, Interest::READABLE | Interest::WRITABLE)?;
    Ok((Master(master), end))
}

impl Master {
    /// Reads; 0 once no process has the other end any more. Cancel safe.
    pub(crate) async fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let mut ready = self.0.readable().await?;
            if let Ok(read) = ready.try_io(|master| read(master.get_ref(), buffer)) {
                return read;
            }
        }
    }

    /// The same for what is there now; none is the end, or that there is
    /// nothing: the kernel hands over all that was written before.
    pub(crate) fn read_now(&self, buffer: &mut [u8]) -> Option<usize> {
        match read(self.0.get_ref(), buffer) {
            Ok(0) | Err(_) => None,
            Ok(length) => Some(length),
        }
    }

    pub(crate) async fn write_all(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let mut ready = self.0.writable().await?;
            let written = ready.try_io(|master| Ok(rustix::io::write(master.get_ref(), bytes)?));
            if let Ok(written) = written {
                bytes = bytes.get(written?..).unwrap_or_default();
            }
        }
        Ok(())
    }

    /// Changes the size; the process is told by the kernel.
    pub(crate) fn resize(&self, size: TerminalSize) {
        if let Err(error) = set_size(self.0.get_ref(), size) {
            tracing::debug!(%error, "the size of a terminal stays as it was");
        }
    }
}

fn read(master: &OwnedFd, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match rustix::io::read(master, &mut *buffer) {
            Err(Errno::INTR) => {}
            // How Linux says that nobody has the other end open.
            Err(Errno::IO) => return Ok(0),
            result => return Ok(result?),
        }
    }
}

fn set_size(terminal: impl AsFd, size: TerminalSize) -> io::Result<()> {
    let size = Winsize {
        ws_row: size.rows,
        ws_col: size.columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    Ok(tcsetwinsize(terminal, size)?)
}
