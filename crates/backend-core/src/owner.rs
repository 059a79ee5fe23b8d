//! Whose instances are whose: one random id per user and machine.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::OnceLock;

use serde::{Deserialize, Serialize};

use crate::InstanceId;
use crate::id::InvalidId;

/// The id of an owner: made once per user and machine, and kept in the state
/// directory. `worker reap` touches only what carries it.
///
/// The form is that of an [`InstanceId`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct OwnerId(InstanceId);

const FILE: &str = "owner";

impl OwnerId {
    /// The owner that this process works for, read from (or made in)
    /// [`state_directory`].
    ///
    /// Where no state directory can be written, a random one for the life of
    /// this process, with a warning: its leftovers are then found only by
    /// `reap --all-owners`, past their expiry.
    pub fn current() -> Self {
        static CURRENT: OnceLock<OwnerId> = OnceLock::new();
        CURRENT
            .get_or_init(|| {
                let Some(directory) = state_directory() else {
                    tracing::warn!("neither WORKER_STATE_DIR, XDG_STATE_HOME nor HOME is set: the owner id lasts only as long as this process");
                    return Self::random();
                };
                Self::kept_in(&directory).unwrap_or_else(|error| {
                    let path = directory.join(FILE);
                    tracing::warn!(path = %path.display(), %error, "cannot keep the owner id: it lasts only as long as this process");
                    Self::random()
                })
            })
            .clone()
    }

    /// The owner kept in `directory`; made there if there is none yet. Safe
    /// against other processes that do the same at once.
    pub fn kept_in(directory: &Path) -> io::Result<Self> {
        let path = directory.join(FILE);
        if let Some(owner) = read(&path)? {
            return Ok(owner);
        }
        fs::create_dir_all(directory)?;
        // Written aside and linked: whoever comes first wins, and a reader
        // never sees half of an id.
        let fresh = Self::random();
        let aside = directory.join(format!(".{FILE}.{fresh}"));
        fs::write(&aside, format!("{fresh}\n"))?;
        let linked = fs::hard_link(&aside, &path);
        fs::remove_file(&aside)?;
        match linked {
            Ok(()) => Ok(fresh),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => read(&path)?
                .ok_or_else(|| io::Error::other("the owner file vanished while it was read")),
            Err(error) => Err(error),
        }
    }

    fn random() -> Self {
        let half = || fastrand::u64(..);
        let text = format!("{:016x}{:016x}", half(), half());
        Self(text.parse().unwrap_or_else(|_| InstanceId::random()))
    }
}

/// Where Worker keeps what outlives a process: `WORKER_STATE_DIR`, else
/// `XDG_STATE_HOME/worker`, else `HOME/.local/state/worker`.
pub fn state_directory() -> Option<PathBuf> {
    let set = |name| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    set("WORKER_STATE_DIR")
        .or_else(|| set("XDG_STATE_HOME").map(|base| base.join("worker")))
        .or_else(|| set("HOME").map(|home| home.join(".local/state/worker")))
}

impl fmt::Display for OwnerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for OwnerId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        text.parse().map(Self)
    }
}

fn read(path: &Path) -> io::Result<Option<OwnerId>> {
    match fs::read_to_string(path) {
        Ok(text) => text.trim().parse().map(Some).map_err(io::Error::other),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everyone_gets_the_same_owner_at_once() {
        let directory = tempfile::tempdir().unwrap();
        let state = directory.path().join("a/b");
        let owners: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8)
                .map(|_| scope.spawn(|| OwnerId::kept_in(&state).unwrap()))
                .collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .collect()
        });
        assert!(
            owners.windows(2).all(|pair| pair[0] == pair[1]),
            "{owners:?}"
        );
        assert_eq!(fs::read_dir(&state).unwrap().count(), 1);
    }

    #[test]
    fn a_broken_owner_file_is_an_error_and_stays() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join(FILE);
        fs::write(&file, "NOT AN ID").unwrap();
        assert!(OwnerId::kept_in(directory.path()).is_err());
        assert_eq!(fs::read_to_string(&file).unwrap(), "NOT AN ID");
    }
}
