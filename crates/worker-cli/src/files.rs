//! The files that `worker run` writes beside the output: result and events.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use worker_core::{Event, EventLog, JobResult, Listener};

use crate::report::Problem;

/// The file for the result: made before anything is created, so that a path
/// that cannot be written is known in time. What was there before is removed,
/// so that nobody takes an older result for this one.
#[derive(Debug)]
pub(crate) struct ResultFile {
    path: PathBuf,
    kind: Kind,
    file: File,
}

#[derive(Debug)]
enum Kind {
    /// Filled aside and renamed at the end, so that a reader never sees half
    /// of it.
    Regular { aside: PathBuf },
    /// A pipe or a device, which a rename would replace: written as it is.
    Special,
}

impl ResultFile {
    pub(crate) fn create(path: &Path) -> anyhow::Result<Self> {
        Self::open(path).with_context(|| cannot_write("result", path))
    }

    fn open(path: &Path) -> io::Result<Self> {
        // What `/dev/stderr` leads to may be a file, and is not ours to replace.
        let lent = ["/dev", "/proc"]
            .iter()
            .any(|place| path.starts_with(place));
        // A link stays, and what it points to is written.
        let path = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        match std::fs::metadata(&path) {
            Ok(there) if there.is_dir() => return Err(io::ErrorKind::IsADirectory.into()),
            Ok(there) if lent || !there.is_file() => {
                // A pipe without a reader must not hold us up for ever.
                let mut options = OpenOptions::new();
                let file = options
                    .append(true)
                    .custom_flags(libc::O_NONBLOCK)
                    .open(&path)?;
                let kind = Kind::Special;
                return Ok(Self { path, kind, file });
            }
            _ => {}
        }
        let name = path.file_name();
        let name = name.ok_or_else(|| io::Error::other("it is no file name"))?;
        let mut aside_name = std::ffi::OsString::from(".");
        aside_name.push(name);
        aside_name.push(format!(".{}", std::process::id()));
        let aside = path.with_file_name(aside_name);
        let file = File::create(&aside)?;
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                std::fs::remove_file(&aside).ok();
                return Err(error);
            }
            _ => {}
        }
        let kind = Kind::Regular { aside };
        Ok(Self { path, kind, file })
    }

    pub(crate) fn write(&mut self, result: &JobResult) -> anyhow::Result<()> {
        let write = || -> io::Result<()> {
            let mut text = serde_json::to_vec_pretty(result)?;
            text.push(b'\n');
            (&self.file).write_all(&text)?;
            if let Kind::Regular { aside } = &self.kind {
                self.file.sync_data()?;
                std::fs::rename(aside, &self.path)?;
            }
            Ok(())
        };
        write().with_context(|| cannot_write("result", &self.path))
    }
}

impl Drop for ResultFile {
    fn drop(&mut self) {
        if let Kind::Regular { aside } = &self.kind {
            // Gone after a rename; left behind by nothing else.
            std::fs::remove_file(aside).ok();
        }
    }
}

/// Writes every event as a line of JSON to a file that is made now.
pub(crate) fn event_writer(path: &Path) -> anyhow::Result<impl FnMut(&Event) + Send + use<>> {
    let file = File::create(path).with_context(|| cannot_write("events", path))?;
    let shown = path.display().to_string();
    let mut file = Some(file);
    Ok(move |event: &Event| {
        let Some(open) = &mut file else { return };
        let line = serde_json::to_string(event).map_err(io::Error::from);
        if let Err(error) = line.and_then(|line| writeln!(open, "{line}")) {
            tracing::warn!("cannot write the events to `{shown}`: {error}; no more are written");
            file = None;
        }
    })
}

/// An event log with several listeners.
pub(crate) fn event_log(mut listeners: Vec<Listener>) -> EventLog {
    EventLog::new(move |event| listeners.iter_mut().for_each(|listener| listener(event)))
}

/// What is wrong with a file that is to be written.
pub(crate) fn cannot_write(what: &str, path: &Path) -> Problem {
    let message = format!("cannot write the {what} to `{}`", path.display());
    Problem::new(
        message,
        "give the path of a file, in a directory that exists and can be written",
    )
}
