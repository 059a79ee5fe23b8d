//! A small file system in memory, for what a full or an odd disk does.

use std::path::Path;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// A file system that is mounted for as long as this lives.
#[derive(Debug)]
pub struct Tmpfs(tempfile::TempDir);

impl Tmpfs {
    /// Mounts one, with options as `mount -o` takes them. `None` where this
    /// user cannot mount.
    ///
    /// # Errors
    ///
    /// If there can be no directory for it.
    pub fn mount(options: &str) -> anyhow::Result<Option<Self>> {
        let directory = tempfile::tempdir()?;
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", options, "tmpfs"])
            .arg(directory.path())
            .output()
            .is_ok_and(|output| output.status.success());
        Ok(mounted.then_some(Self(directory)))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        // A process that another test is just beginning may have a copy of a
        // descriptor for a moment.
        let deadline = Instant::now() + Duration::from_secs(20);
        let umount = || Command::new("umount").arg(self.path()).output();
        while !umount().is_ok_and(|output| output.status.success()) {
            if Instant::now() >= deadline {
                return;
            }
            sleep(Duration::from_millis(20));
        }
    }
}
