//! Puts a script into the directory of an instance.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::base::PRIVATE;
use crate::error::Failure;
use crate::layout::Layout;

/// A script that is written in full, beside its place. Dropped, it is gone.
#[derive(Debug)]
pub(crate) struct Written {
    path: PathBuf,
}

/// Writes the script beside its place. Blocks.
pub(crate) fn write(layout: &Layout, script: &[u8]) -> Result<Written, Failure> {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let path = layout.job().join(format!(".script-{number}"));
    let written = Written { path };
    fill(&written.path, script).map_err(|source| Failure::file("write", &written.path, source))?;
    Ok(written)
}

impl Written {
    /// Puts it into its place: from now on it can run. One system call, so
    /// that a caller cannot be cancelled in the middle of it.
    pub(crate) fn commit(self, layout: &Layout) -> Result<(), Failure> {
        let place = layout.script();
        fs::rename(&self.path, &place).map_err(|source| Failure::file("write", place, source))
    }
}

impl Drop for Written {
    fn drop(&mut self) {
        match fs::remove_file(&self.path) {
            // Committed, or removed with the instance.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                tracing::debug!(%error, path = %self.path.display(), "an upload is left until stop");
            }
            Ok(()) => {}
        }
    }
}

fn fill(path: &Path, script: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(PRIVATE)
        .open(path)?;
    file.write_all(script)?;
    // Whatever the umask is.
    file.set_permissions(fs::Permissions::from_mode(PRIVATE))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base;

    #[test]
    fn what_is_not_committed_is_gone() {
        let directory = tempfile::tempdir().unwrap();
        let layout = Layout::new(directory.path(), &"w-1".parse().unwrap());
        base::make(layout.root()).unwrap();
        base::make(&layout.job()).unwrap();
        let names = || fs::read_dir(layout.job()).unwrap().count();
        let written = write(&layout, b"one").unwrap();
        assert_eq!(names(), 1);
        drop(written);
        assert_eq!(names(), 0);
        write(&layout, b"two").unwrap().commit(&layout).unwrap();
        assert_eq!(fs::read(layout.script()).unwrap(), b"two");
        assert_eq!(names(), 1);
    }
}
