//! What an engine of the tests' own needs of this machine, and its removal.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context as _, ensure};

use crate::find_program;

/// A directory, and a network bridge where one is needed. They are removed when
/// it is dropped, and also when this process ends without dropping it, as with
/// a static. The engine says its process id in the file `pid` of the directory:
/// its end is waited for.
#[derive(Debug)]
pub(crate) struct Place {
    directory: PathBuf,
    bridge: String,
    sentinel: Child,
}

impl Place {
    /// A directory.
    pub(crate) fn make() -> anyhow::Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let files = tempfile::Builder::new().prefix("engine-").tempdir()?;
        // Short enough for an interface, and no other process's.
        let bridge = format!("wt{}x{number}", std::process::id());
        let sentinel = Command::new("/bin/sh")
            .args(["-c", include_str!("sentinel.sh"), "sentinel"])
            .arg(files.path())
            .arg(&bridge)
            .env("PATH", "/usr/sbin:/sbin:/usr/bin:/bin")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        Ok(Self {
            directory: files.keep(),
            bridge,
            sentinel,
        })
    }

    /// A directory and a bridge.
    pub(crate) fn with_bridge() -> anyhow::Result<Self> {
        let place = Self::make()?;
        ip(&["link", "add", &place.bridge, "type", "bridge"])
            .context("cannot make a bridge: it takes root")?;
        // Out of the range for tests of networks (RFC 2544): nobody is there.
        let number = place.bridge.bytes().fold(0_u32, |sum, byte| {
            sum.wrapping_mul(31).wrapping_add(byte.into())
        }) % 500;
        let address = format!("198.{}.{}.1/24", 18 + number / 250, 1 + number % 250);
        ip(&["address", "add", &address, "dev", &place.bridge])?;
        ip(&["link", "set", &place.bridge, "up"])?;
        Ok(place)
    }

    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    pub(crate) fn bridge(&self) -> &str {
        &self.bridge
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // The end of its input is the sentinel's sign.
        drop(self.sentinel.stdin.take());
        self.sentinel.wait().ok();
    }
}

fn ip(arguments: &[&str]) -> anyhow::Result<()> {
    let program = find_program("ip").context("there is no `ip`: install the package iproute2")?;
    let output = Command::new(program).args(arguments).output()?;
    ensure!(
        output.status.success(),
        "ip {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}
