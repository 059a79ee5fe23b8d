//! What outlives the server: one directory for each instance, with a record
//! and the output of its run.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use backend_core::InstanceId;
use rustix::fs::FlockOperation;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use worker_api::{CreateInstance, InstanceEnd, RunDocument, RunId};

const RECORD: &str = "record.json";
const RUN: &str = "run.json";
const OUTPUT: &str = "output";

/// What is written down of an instance before anything is created for it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Record {
    /// Whose it is.
    pub(crate) caller: String,
    /// What was asked for: the same again is no conflict.
    pub(crate) request: CreateInstance,
    /// How it ended, once it has.
    #[serde(default)]
    pub(crate) end: Option<InstanceEnd>,
}

/// What is written down of a run before it begins. No environment: there may
/// be secrets in it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct RunRecord {
    /// Its id.
    pub(crate) id: RunId,
    /// The SHA-256 of what was asked for, in hexadecimal.
    pub(crate) request: String,
    /// What is told of it, once it has ended.
    #[serde(default)]
    pub(crate) ended: Option<RunDocument>,
}

/// What was found of one instance at the server's start.
#[derive(Debug)]
pub(crate) struct Remains {
    pub(crate) id: InstanceId,
    /// `None` where it cannot be read.
    pub(crate) record: Option<Record>,
    pub(crate) run: Option<RunRecord>,
}

/// The directory, held by one server at a time. All its methods block.
#[derive(Debug)]
pub(crate) struct Store {
    instances: PathBuf,
    /// Locked for as long as it is open.
    _lock: File,
}

impl Store {
    /// Makes the directory if there is none.
    ///
    /// # Errors
    ///
    /// `WouldBlock` if another server holds it.
    pub(crate) fn open(directory: &Path) -> io::Result<Self> {
        let instances = directory.join("instances");
        create_private(&instances)?;
        let lock = File::create(directory.join("lock"))?;
        rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive)?;
        Ok(Self {
            instances,
            _lock: lock,
        })
    }

    /// Where the output of an instance's run is.
    pub(crate) fn output(&self, id: &InstanceId) -> PathBuf {
        self.place(id).join(OUTPUT)
    }

    pub(crate) fn write_record(&self, id: &InstanceId, record: &Record) -> io::Result<()> {
        create_private(&self.place(id))?;
        write(&self.place(id).join(RECORD), record)
    }

    pub(crate) fn write_run(&self, id: &InstanceId, run: &RunRecord) -> io::Result<()> {
        write(&self.place(id).join(RUN), run)
    }

    /// Removes all that there is of an instance.
    pub(crate) fn forget(&self, id: &InstanceId) -> io::Result<()> {
        match fs::remove_dir_all(self.place(id)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// What an earlier server has left.
    pub(crate) fn remains(&self) -> io::Result<Vec<Remains>> {
        let mut all = Vec::new();
        for entry in fs::read_dir(&self.instances)? {
            let place = entry?.path();
            let id = place.file_name().and_then(|name| name.to_str());
            let Some(id) = id.and_then(|name| name.parse::<InstanceId>().ok()) else {
                continue;
            };
            let record = read(&place.join(RECORD))?;
            let run = read(&place.join(RUN))?;
            all.push(Remains { id, record, run });
        }
        Ok(all)
    }

    fn place(&self, id: &InstanceId) -> PathBuf {
        self.instances.join(id.as_str())
    }
}

fn create_private(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
}

/// Written aside and renamed: a reader sees all of it or none.
fn write(path: &Path, value: &impl Serialize) -> io::Result<()> {
    let aside = path.with_extension("new");
    let mut file = File::create(&aside)?;
    file.write_all(&serde_json::to_vec(value)?)?;
    drop(file);
    fs::rename(aside, path)
}

fn read<T: DeserializeOwned>(path: &Path) -> io::Result<Option<T>> {
    match fs::read(path) {
        Ok(bytes) => Ok(serde_json::from_slice(&bytes).ok()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_found_and_forgotten() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path()).unwrap();
        let id: InstanceId = "w-1".parse().unwrap();
        let record = Record {
            caller: "ci".into(),
            request: CreateInstance::default(),
            end: None,
        };
        store.write_record(&id, &record).unwrap();
        fs::create_dir(directory.path().join("instances/unfinished")).unwrap();
        let remains = store.remains().unwrap();
        let callers: Vec<_> = remains
            .iter()
            .map(|found| found.record.as_ref().map(|record| record.caller.as_str()))
            .collect();
        assert!(remains.len() == 2 && callers.contains(&Some("ci")) && callers.contains(&None));
        store.forget(&"unfinished".parse().unwrap()).unwrap();
        store.forget(&id).unwrap();
        store.forget(&id).unwrap();
        assert!(store.remains().unwrap().is_empty());
    }

    #[test]
    fn two_servers_do_not_share_one() {
        let directory = tempfile::tempdir().unwrap();
        let first = Store::open(directory.path()).unwrap();
        let second = Store::open(directory.path()).unwrap_err();
        assert_eq!(second.kind(), io::ErrorKind::WouldBlock);
        drop(first);
        Store::open(directory.path()).unwrap();
    }
}
