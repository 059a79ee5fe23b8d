//! What the tests of the program share.

use std::path::PathBuf;
use std::process::Command;

/// A place of its own for one test: working directory, state and instances.
pub(crate) struct Place {
    pub(crate) directory: tempfile::TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Where the instances of the backend `local` are.
    pub(crate) fn instances(&self) -> PathBuf {
        self.path("instances")
    }

    pub(crate) fn file(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }

    /// The program, with nothing of the tests' environment but what it needs.
    pub(crate) fn worker(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_worker"));
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("WORKER_STATE_DIR", self.path("state"))
            .env("WORKER_LOCAL_DIRECTORY", self.instances())
            .current_dir(self.directory.path());
        command
    }

    /// Asserts that no instance of this place is left.
    pub(crate) fn assert_clean(&self) {
        let left: Vec<_> = std::fs::read_dir(self.instances())
            .map(|entries| entries.map(|entry| entry.unwrap().path()).collect())
            .unwrap_or_default();
        assert_eq!(left, Vec::<PathBuf>::new(), "instances are left");
    }
}
