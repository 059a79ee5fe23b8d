//! All that there is of an instance outside of this process, and its removal.

use std::fs;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::time::{Duration, Instant};

use rustix::process::Pid;

use crate::containment::Containment;
use crate::error::Failure;
use crate::layout::Layout;
use crate::tree;

/// How long processes may take to end once they are killed.
const PROCESSES_END_WITHIN: Duration = Duration::from_secs(10);
/// How long the removal of files may take.
const FILES_GO_WITHIN: Duration = Duration::from_mins(1);

/// The processes, cgroups and files of one instance.
#[derive(Debug, Clone)]
pub(crate) struct Remains {
    pub(crate) layout: Layout,
    pub(crate) containment: Containment,
}

impl Remains {
    /// Ends all processes and removes cgroups and files; what is gone already
    /// is fine. The marks go last, so that what is left after a failure is
    /// still found. Blocks.
    pub(crate) fn remove(&self, leader: Option<Pid>) -> Result<(), Failure> {
        let deadline = Instant::now() + PROCESSES_END_WITHIN;
        self.containment
            .clear(leader, deadline)
            .map_err(Failure::Leftover)?;
        self.remove_files()
    }

    /// Removes the files of an instance in which nothing runs. Blocks.
    pub(crate) fn remove_files(&self) -> Result<(), Failure> {
        let deadline = Instant::now() + FILES_GO_WITHIN;
        let job = self.layout.job();
        tree::remove(&job, deadline)
            .and_then(|()| self.remove_root(deadline))
            .map_err(|error| {
                Failure::Leftover(vec![format!("{}: {error}", self.layout.root().display())])
            })
    }

    /// Says that another process than the one that made it removes it, so that
    /// a run under way does not take the end of its script for a verdict.
    pub(crate) fn announce(&self) -> io::Result<()> {
        let result = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(self.layout.removing());
        match result {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Whether someone else has begun to remove it.
    pub(crate) fn announced(&self) -> bool {
        self.layout.removing().exists()
    }

    /// Whether someone else has removed it, or a script has.
    pub(crate) fn gone(&self) -> bool {
        !self.layout.marks().exists()
    }

    /// Removes what a script may have put beside `job`, then the marks, then
    /// the announcement, then the directory: at no time is it there with
    /// neither marks missing nor an announcement.
    fn remove_root(&self, deadline: Instant) -> io::Result<()> {
        let root = self.layout.root();
        let entries = match fs::read_dir(root) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        let last = [self.layout.marks(), self.layout.removing()];
        for entry in entries
            .flatten()
            .filter(|entry| !last.contains(&entry.path()))
        {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                tree::remove(&entry.path(), deadline)?;
            } else {
                gone_is_fine(fs::remove_file(entry.path()))?;
            }
        }
        for file in last {
            gone_is_fine(fs::remove_file(file))?;
        }
        match fs::remove_dir(root) {
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {
                tree::remove(root, deadline)
            }
            result => gone_is_fine(result),
        }
    }
}

fn gone_is_fine(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
