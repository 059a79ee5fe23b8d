//! The script's bytes on standard output, and our files beside it.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use crate::report::Problem;
use anyhow::Context as _;
use backend_core::WriterSink;
use tokio::io::Stdout;
use worker_core::{Event, EventLog, JobResult, Listener};

/// Standard output as the sink of a run: every chunk is flushed, so that the
/// output is live also where it is not a terminal.
pub(crate) fn standard_output() -> WriterSink<Stdout> {
    WriterSink(tokio::io::stdout())
}

/// The file for the result: made before anything is created, so that a path
/// that cannot be written is known in time; filled and renamed at the end, so
/// that a reader never sees half of it.
#[derive(Debug)]
pub(crate) struct ResultFile {
    path: PathBuf,
    aside: PathBuf,
    file: File,
}

impl ResultFile {
    pub(crate) fn create(path: &Path) -> anyhow::Result<Self> {
        let what = || cannot_write("result", path);
        let name = path
            .file_name()
            .ok_or_else(|| io::Error::other("it is no file name"))
            .with_context(what)?;
        if path.is_dir() {
            return Err(io::Error::from(io::ErrorKind::IsADirectory)).with_context(what);
        }
        let mut aside_name = std::ffi::OsString::from(".");
        aside_name.push(name);
        aside_name.push(format!(".{}", std::process::id()));
        let aside = path.with_file_name(aside_name);
        let file = File::create(&aside).with_context(what)?;
        Ok(Self {
            path: path.to_owned(),
            aside,
            file,
        })
    }

    pub(crate) fn write(&mut self, result: &JobResult) -> anyhow::Result<()> {
        let write = || -> io::Result<()> {
            let mut text = serde_json::to_vec_pretty(result)?;
            text.push(b'\n');
            (&self.file).write_all(&text)?;
            self.file.sync_data()?;
            std::fs::rename(&self.aside, &self.path)
        };
        write().with_context(|| cannot_write("result", &self.path))
    }
}

impl Drop for ResultFile {
    fn drop(&mut self) {
        // Gone after a rename; left behind by nothing else.
        std::fs::remove_file(&self.aside).ok();
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

fn cannot_write(what: &str, path: &Path) -> Problem {
    let message = format!("cannot write the {what} to `{}`", path.display());
    Problem::new(
        message,
        "give the path of a file, in a directory that exists and can be written",
    )
}

/// An event log with several listeners.
pub(crate) fn event_log(mut listeners: Vec<Listener>) -> EventLog {
    EventLog::new(move |event| listeners.iter_mut().for_each(|listener| listener(event)))
}
