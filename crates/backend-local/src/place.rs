//! The one directory below which a provider's instances are: what can be done
//! there, and making, finding and removing them. All of it blocks.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use backend_core::{Capabilities, Capability, Environment, Found, FoundState, InstanceId, Marks};

use crate::account::Account;
use crate::base;
use crate::containment::Containment;
use crate::environment;
use crate::error::Failure;
use crate::group::Group;
use crate::layout::Layout;
use crate::machine::{Controller, Machine};
use crate::options::{ContainmentChoice, LocalOptions};
use crate::record::Record;
use crate::remains::Remains;
use crate::shell::Entry;

/// Where instances are made, and with what options.
#[derive(Debug)]
pub(crate) struct Place {
    base: PathBuf,
    options: Arc<LocalOptions>,
    machine: OnceLock<Machine>,
    account: OnceLock<Arc<Account>>,
}

impl Place {
    pub(crate) fn new(options: LocalOptions) -> Result<Self, Failure> {
        let base = options
            .directory
            .clone()
            .unwrap_or_else(base::default_directory);
        // A later change of the working directory must not move it.
        let base =
            std::path::absolute(&base).map_err(|source| Failure::file("find", base, source))?;
        Ok(Self {
            base,
            options: Arc::new(options),
            machine: OnceLock::new(),
            account: OnceLock::new(),
        })
    }

    /// Where the directories of instances are.
    pub(crate) fn base(&self) -> &Path {
        &self.base
    }

    pub(crate) fn options(&self) -> Arc<LocalOptions> {
        self.options.clone()
    }

    /// The account, looked up once.
    pub(crate) fn account(&self) -> Arc<Account> {
        let account = self.account.get_or_init(|| Arc::new(Account::current()));
        account.clone()
    }

    pub(crate) fn capabilities(&self) -> Capabilities {
        let machine = self.machine();
        let wants_cgroup = self.options.containment != ContainmentChoice::Marker;
        let by_machine = [
            (
                Capability::ContainsEscapees,
                wants_cgroup && machine.contains(),
            ),
            (Capability::MemoryLimit, machine.limits(Controller::Memory)),
            (
                Capability::ProcessLimit,
                machine.limits(Controller::Processes),
            ),
        ];
        let always = [
            Capability::ExecutesScripts,
            Capability::ExactSignals,
            Capability::Signals,
            Capability::ListsProcesses,
            Capability::ReportsLeftovers,
            Capability::FoundByOthers,
            Capability::PrivateFiles,
            Capability::Keeps,
            Capability::Shell,
        ];
        let found = by_machine.into_iter().filter(|(_, can)| *can);
        found
            .map(|(capability, _)| capability)
            .chain(always)
            .collect()
    }

    /// Makes sure that instances can be made here, by making all but the run
    /// of one and removing it.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        let made = base::ensure(&self.base)?;
        let result = self.try_out();
        self.sweep();
        if made {
            // It stays if someone else has begun to use it.
            fs::remove_dir(&self.base).ok();
        }
        result
    }

    /// Makes an instance with these marks. On failure nothing is left.
    pub(crate) fn make(&self, marks: &Marks) -> Result<Remains, Failure> {
        let plans = self.machine().plan(&self.options)?;
        base::ensure(&self.base)?;
        let id = &marks.instance;
        let layout = Layout::new(&self.base, id);
        let groups: Vec<_> = plans.iter().map(|plan| Group::of(plan, id)).collect();
        base::make(layout.root()).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => Failure::Occupied(layout.root().into()),
            _ => Failure::file("make", layout.root(), error),
        })?;
        let remains = Remains {
            layout,
            containment: Containment::new(id.clone(), groups.clone()),
        };
        // Of these only is anything removed if the start fails: one that was
        // there is another instance's, with what runs in it.
        let mut created = Vec::new();
        let mut furnish = || {
            let layout = &remains.layout;
            // First of all: from here on it can be found.
            let record = Record {
                marks: marks.clone(),
                cgroups: groups.clone(),
            };
            record
                .write(layout)
                .map_err(|source| Failure::file("write", layout.marks(), source))?;
            for directory in [
                layout.job(),
                layout.work(),
                layout.home(),
                layout.temporary(),
            ] {
                base::make(&directory)
                    .map_err(|source| Failure::file("make", directory, source))?;
            }
            for (plan, group) in plans.iter().zip(&groups) {
                group.make()?;
                created.push(group);
                group.limit(plan)?;
            }
            Ok(())
        };
        match furnish() {
            Ok(()) => Ok(remains),
            Err(failure) => {
                for group in created {
                    if let Err(error) = group.remove() {
                        tracing::warn!(%error, "a start that failed left a cgroup");
                    }
                }
                if let Err(error) = remains.remove_files() {
                    tracing::warn!(%error, "a start that failed left something");
                }
                Err(failure)
            }
        }
    }

    /// What is here of anyone's, alive or not.
    pub(crate) fn find(&self) -> Result<Vec<Found>, Failure> {
        if !base::exists(&self.base)? {
            return Ok(Vec::new());
        }
        let mut found: Vec<_> = self
            .ids()?
            .into_iter()
            .filter_map(|id| {
                let layout = Layout::new(&self.base, &id);
                let record = Record::read(&layout)?;
                let location = layout.root().to_string_lossy().into_owned();
                let alive = Containment::new(id, record.cgroups).alive(None);
                let state = if alive.is_empty() {
                    FoundState::Stopped
                } else {
                    FoundState::Running
                };
                Some(Found::new(record.marks, state, location))
            })
            .collect();
        found.sort_by_key(|found| found.marks.created);
        Ok(found)
    }

    /// Removes what was found, unless something else is there by now.
    pub(crate) fn remove(&self, found: &Found) -> Result<(), Failure> {
        let Some(remains) = self.remains(found)? else {
            return Ok(());
        };
        remains
            .announce()
            .map_err(|source| Failure::file("write", remains.layout.removing(), source))?;
        remains.remove(None)
    }

    /// What is needed to enter what was found.
    pub(crate) fn enter(&self, found: &Found) -> Result<Entry, Failure> {
        let remains = self.remains(found)?.ok_or(Failure::Removed)?;
        let id = &found.marks.instance;
        let environment = match environment::of_script(id, &remains) {
            Some(environment) => environment,
            None => environment::build(
                &self.options,
                &self.account(),
                &remains.layout,
                id,
                &Environment::new(),
            )?,
        };
        Ok(Entry {
            remains,
            environment,
        })
    }

    /// What there is of what was found; `None` if that is gone.
    fn remains(&self, found: &Found) -> Result<Option<Remains>, Failure> {
        let layout = Layout::new(&self.base, &found.marks.instance);
        if layout.root().to_string_lossy() != found.location.as_str() {
            return Err(Failure::OtherPlace(found.location.clone().into()));
        }
        if !base::exists(&self.base)? {
            return Ok(None);
        }
        let record = match Record::read(&layout) {
            Some(record) if record.marks == found.marks => record,
            // Another instance, with a name that was used again.
            Some(_) => return Ok(None),
            None if !layout.root().exists() => return Ok(None),
            None => {
                let text = format!("{}, which has no marks any more", layout.root().display());
                return Err(Failure::Leftover(vec![text]));
            }
        };
        Ok(Some(Remains {
            containment: Containment::new(record.marks.instance, record.cgroups),
            layout,
        }))
    }

    fn machine(&self) -> &Machine {
        self.machine.get_or_init(Machine::look)
    }

    fn try_out(&self) -> Result<(), Failure> {
        let marks = backend_core::StartContext::new().marks();
        self.make(&marks)?.remove(None)
    }

    /// Removes directories that have neither marks nor anything else in them:
    /// what a worker leaves that dies between two steps of a start or stop.
    fn sweep(&self) {
        for id in self.ids().unwrap_or_default() {
            let layout = Layout::new(&self.base, &id);
            if layout.marks().exists() || !is_old(layout.root()) {
                continue;
            }
            for file in [layout.removing(), Record::unfinished(&layout)] {
                // One that is not there is no matter; one that cannot be
                // removed keeps the directory.
                fs::remove_file(file).ok();
            }
            if fs::remove_dir(layout.root()).is_ok() {
                tracing::debug!(instance = %id, "an empty directory of a dead worker was removed");
            }
        }
    }

    fn ids(&self) -> Result<Vec<InstanceId>, Failure> {
        let entries =
            fs::read_dir(&self.base).map_err(|source| Failure::file("read", &self.base, source))?;
        Ok(entries
            .flatten()
            .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
            .collect())
    }
}

/// Whether nobody can be in the middle of making it.
fn is_old(directory: &Path) -> bool {
    let modified = fs::symlink_metadata(directory).and_then(|metadata| metadata.modified());
    modified.is_ok_and(|modified| {
        SystemTime::now()
            .duration_since(modified)
            .is_ok_and(|age| age > Duration::from_mins(1))
    })
}
