//! One cgroup of an instance: made, joined, read, emptied and removed.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use backend_core::InstanceId;
use rustix::fs::{FsWord, Mode, OFlags};
use rustix::process::Pid;
use serde::{Deserialize, Serialize};

use crate::child_setup::Cradle;
use crate::error::Failure;
use crate::hierarchy::Version;
use crate::machine::{Controller, GroupPlan};

/// A cgroup named `worker-ID`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Group {
    pub(crate) version: Version,
    pub(crate) path: PathBuf,
}

impl Group {
    /// The cgroup that `plan` means for the instance `id`; not yet made.
    pub(crate) fn of(plan: &GroupPlan, id: &InstanceId) -> Self {
        Self {
            version: plan.version,
            path: plan.parent.join(name(id)),
        }
    }

    /// Whether this can be the cgroup of `id`: by its name, and because it is
    /// in a file system of cgroups or nowhere. A record on disk is not
    /// believed further than that.
    pub(crate) fn belongs_to(&self, id: &InstanceId) -> bool {
        // `linux/magic.h`.
        const CGROUP: FsWord = 0x0027_e0eb;
        const CGROUP2: FsWord = 0x6367_7270;
        let named = self.path.file_name().is_some_and(|own| own == &*name(id));
        named
            && match rustix::fs::statfs(&self.path) {
                Ok(status) => {
                    matches!(status.f_type, CGROUP | CGROUP2)
                }
                Err(error) => error == rustix::io::Errno::NOENT,
            }
    }

    /// Makes it; an error if it is there.
    pub(crate) fn make(&self) -> Result<(), Failure> {
        fs::create_dir(&self.path).map_err(|source| failed(&self.path, source))
    }

    /// Sets its limits.
    pub(crate) fn limit(&self, plan: &GroupPlan) -> Result<(), Failure> {
        if self.version == Version::V2 {
            hand_down(plan).map_err(|source| failed(&plan.parent, source))?;
        }
        for (file, text) in plan
            .limits
            .iter()
            .flat_map(|limit| settings(self.version, *limit))
        {
            let path = self.path.join(file.name);
            match write(&path, &text) {
                // Without accounting of swap there is no file for it.
                Err(error) if file.optional && error.kind() == io::ErrorKind::NotFound => {}
                result => result.map_err(|source| failed(&path, source))?,
            }
        }
        Ok(())
    }

    /// The file through which a process joins by writing `0`.
    pub(crate) fn door(&self) -> Result<File, Failure> {
        let path = self.path.join("cgroup.procs");
        OpenOptions::new()
            .write(true)
            .open(&path)
            .map_err(|source| Failure::Cgroup { path, source })
    }

    /// What a process can be born in, if this kind of cgroup can be that.
    pub(crate) fn cradle(&self) -> Result<Option<Cradle>, Failure> {
        if self.version == Version::V1 {
            return Ok(None);
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = rustix::fs::open(&self.path, flags, Mode::empty()).map_err(|error| {
            Failure::Cgroup {
                path: self.path.clone(),
                source: error.into(),
            }
        })?;
        let door = self.door()?;
        Ok(Some(Cradle { directory, door }))
    }

    /// The processes in it and below it; none if it is gone.
    pub(crate) fn members(&self) -> Vec<Pid> {
        let mut members = Vec::new();
        for group in below(&self.path) {
            let text = fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
            // Processes of another pid namespace read as 0.
            members.extend(
                text.lines()
                    .filter_map(|line| Pid::from_raw(line.parse().ok()?)),
            );
        }
        members
    }

    /// Kills everything in it at once, if the kernel can (5.14).
    pub(crate) fn kill(&self) -> bool {
        self.version == Version::V2 && write(&self.path.join("cgroup.kill"), "1").is_ok()
    }

    /// Lets nothing new begin in it, where it can: for a kill one by one.
    pub(crate) fn freeze_population(&self) {
        if let Err(error) = write(&self.path.join("pids.max"), "0") {
            tracing::trace!(%error, path = %self.path.display(), "no limit on processes to lower");
        }
    }

    /// Removes it with all below it. `false` if something is still in it.
    pub(crate) fn remove(&self) -> io::Result<bool> {
        for group in below(&self.path).iter().rev() {
            match fs::remove_dir(group) {
                Ok(()) => {}
                Err(error) => match error.kind() {
                    io::ErrorKind::NotFound => {}
                    io::ErrorKind::ResourceBusy | io::ErrorKind::DirectoryNotEmpty => {
                        return Ok(false);
                    }
                    _ => return Err(error),
                },
            }
        }
        Ok(true)
    }

    /// How many processes in it were killed for lack of memory.
    pub(crate) fn oom_kills(&self) -> u64 {
        let file = match self.version {
            Version::V1 => "memory.oom_control",
            Version::V2 => "memory.events",
        };
        let text = fs::read_to_string(self.path.join(file)).unwrap_or_default();
        text.lines()
            .find_map(|line| line.strip_prefix("oom_kill ")?.parse().ok())
            .unwrap_or(0)
    }
}

fn failed(path: &Path, source: io::Error) -> Failure {
    Failure::Cgroup {
        path: path.to_owned(),
        source,
    }
}

fn name(id: &InstanceId) -> String {
    format!("worker-{id}")
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Setting {
    name: &'static str,
    optional: bool,
}

/// The files that set a limit, in the order in which they must be written.
fn settings(version: Version, (controller, limit): (Controller, u64)) -> Vec<(Setting, String)> {
    let must = |name| Setting {
        name,
        optional: false,
    };
    let may = |name| Setting {
        name,
        optional: true,
    };
    match (version, controller) {
        // The sum of memory and swap cannot be set below memory.
        (Version::V1, Controller::Memory) => vec![
            (must("memory.limit_in_bytes"), limit.to_string()),
            (may("memory.memsw.limit_in_bytes"), limit.to_string()),
        ],
        (Version::V2, Controller::Memory) => vec![
            (must("memory.max"), limit.to_string()),
            (may("memory.swap.max"), "0".into()),
        ],
        (_, Controller::Processes) => vec![(must("pids.max"), limit.to_string())],
    }
}

/// Makes the parent give its children the controllers that the plan needs.
fn hand_down(plan: &GroupPlan) -> io::Result<()> {
    if plan.limits.is_empty() {
        return Ok(());
    }
    let path = plan.parent.join("cgroup.subtree_control");
    let enabled = fs::read_to_string(&path)?;
    for (controller, _) in &plan.limits {
        if !enabled
            .split_whitespace()
            .any(|name| name == controller.name())
        {
            write(&path, &format!("+{}", controller.name()))?;
        }
    }
    Ok(())
}

/// The cgroup and those below it, each after the one around it. A script that
/// makes its own is followed as far as a few thousand.
fn below(path: &Path) -> Vec<PathBuf> {
    const MOST: usize = 4096;
    let mut groups = vec![path.to_owned()];
    let mut next = 0;
    while let Some(group) = groups.get(next).cloned() {
        next += 1;
        let Ok(entries) = fs::read_dir(&group) else {
            continue;
        };
        for entry in entries.flatten() {
            if groups.len() < MOST && entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                groups.push(entry.path());
            }
        }
    }
    groups
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    OpenOptions::new()
        .write(true)
        .open(path)?
        .write_all(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_that_names_something_else_is_not_believed() {
        let id: InstanceId = "w-1".parse().unwrap();
        let group = |path: &Path| Group {
            version: Version::V2,
            path: path.into(),
        };
        let directory = tempfile::tempdir().unwrap();
        let plain = directory.path().join("worker-w-1");
        assert!(group(&plain).belongs_to(&id), "it is gone: nothing to do");
        fs::create_dir(&plain).unwrap();
        assert!(
            !group(&plain).belongs_to(&id),
            "not a file system of cgroups"
        );
        for path in [
            "/sys/fs/cgroup",
            "/sys/fs/cgroup/worker-w-2",
            "worker-w-1/..",
        ] {
            assert!(!group(Path::new(path)).belongs_to(&id), "{path}");
        }
    }

    #[test]
    fn memory_is_set_before_its_sum_with_swap() {
        let files: Vec<_> = settings(Version::V1, (Controller::Memory, 5))
            .into_iter()
            .map(|(setting, _)| setting.name)
            .collect();
        assert_eq!(
            files,
            ["memory.limit_in_bytes", "memory.memsw.limit_in_bytes"]
        );
    }
}
