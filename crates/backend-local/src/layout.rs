//! Where things are in the directory of an instance.
//!
//! ```text
//! BASE/ID/marks.json   whose it is: the first thing made, the last removed
//! BASE/ID/removing     another process has begun to remove it
//! BASE/ID/job/script   what was uploaded
//! BASE/ID/job/environment   what the script was given, if it is to be kept
//! BASE/ID/job/work/    the working directory
//! BASE/ID/job/home/    HOME
//! BASE/ID/job/tmp/     TMPDIR
//! ```
//!
//! A script that removes the directory it is in takes `job` with it and leaves
//! the marks, by which the rest is still found.

use std::path::{Path, PathBuf};

use backend_core::InstanceId;

/// The directory of one instance.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    root: PathBuf,
}

impl Layout {
    pub(crate) fn new(base: &Path, id: &InstanceId) -> Self {
        Self {
            root: base.join(id.as_str()),
        }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn marks(&self) -> PathBuf {
        self.root.join("marks.json")
    }

    pub(crate) fn removing(&self) -> PathBuf {
        self.root.join("removing")
    }

    pub(crate) fn job(&self) -> PathBuf {
        self.root.join("job")
    }

    pub(crate) fn script(&self) -> PathBuf {
        self.job().join("script")
    }

    pub(crate) fn environment(&self) -> PathBuf {
        self.job().join("environment")
    }

    pub(crate) fn work(&self) -> PathBuf {
        self.job().join("work")
    }

    pub(crate) fn home(&self) -> PathBuf {
        self.job().join("home")
    }

    pub(crate) fn temporary(&self) -> PathBuf {
        self.job().join("tmp")
    }
}
