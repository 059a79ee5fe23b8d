//! What this machine lets this process do with cgroups, and which ones an
//! instance gets. Looking changes nothing.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};

use crate::error::Failure;
use crate::hierarchy::{Hierarchy, Version, hierarchies};
use crate::options::{ContainmentChoice, LocalOptions};

/// A resource that a cgroup can limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Controller {
    Memory,
    Processes,
}

impl Controller {
    /// Its name in the kernel.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Processes => "pids",
        }
    }

    /// The option that asks for it.
    pub(crate) fn option(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Processes => "pids-limit",
        }
    }
}

/// One cgroup that an instance is to have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GroupPlan {
    pub(crate) version: Version,
    /// The cgroup in which it is made.
    pub(crate) parent: PathBuf,
    /// What to limit in it, and to how much.
    pub(crate) limits: Vec<(Controller, u64)>,
}

/// The cgroup hierarchies that this process can see.
#[derive(Debug, Clone, Default)]
pub(crate) struct Machine {
    hierarchies: Vec<Hierarchy>,
}

impl Machine {
    /// Reads where the hierarchies are. A machine without any has none.
    pub(crate) fn look() -> Self {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        Self {
            hierarchies: hierarchies(&read("/proc/self/mountinfo"), &read("/proc/self/cgroup")),
        }
    }

    /// Whether a cgroup can hold everything that a script starts.
    pub(crate) fn contains(&self) -> bool {
        self.v2_parent(&[]).is_some()
    }

    /// Whether a cgroup can limit this.
    pub(crate) fn limits(&self, controller: Controller) -> bool {
        self.v1_parent(controller).is_some() || self.v2_parent(&[controller]).is_some()
    }

    /// The cgroups for an instance with these options: that of version 2, if
    /// there is one, first.
    pub(crate) fn plan(&self, options: &LocalOptions) -> Result<Vec<GroupPlan>, Failure> {
        let memory = options
            .memory
            .map(|memory| (Controller::Memory, memory.bytes()));
        let processes = options
            .pids_limit
            .map(|limit| (Controller::Processes, u64::from(limit.count())));
        let mut groups: Vec<GroupPlan> = Vec::new();
        let mut unified = Vec::new();
        for (controller, limit) in [memory, processes].into_iter().flatten() {
            let Some(parent) = self.v1_parent(controller) else {
                unified.push((controller, limit));
                continue;
            };
            match groups.iter_mut().find(|group| group.parent == parent) {
                Some(group) => group.limits.push((controller, limit)),
                None => groups.push(GroupPlan {
                    version: Version::V1,
                    parent,
                    limits: vec![(controller, limit)],
                }),
            }
        }
        if options.containment == ContainmentChoice::Marker && unified.is_empty() {
            return Ok(groups);
        }
        let controllers: Vec<_> = unified.iter().map(|(controller, _)| *controller).collect();
        match (self.v2_parent(&controllers), unified.first()) {
            (Some(parent), _) => groups.insert(
                0,
                GroupPlan {
                    version: Version::V2,
                    parent,
                    limits: unified,
                },
            ),
            (None, Some((controller, _))) => return Err(Failure::NoLimit(*controller)),
            (None, None) if options.containment == ContainmentChoice::Cgroup => {
                return Err(Failure::NoCgroup);
            }
            (None, None) => {}
        }
        Ok(groups)
    }

    fn v1_parent(&self, controller: Controller) -> Option<PathBuf> {
        let hierarchy = self.hierarchies.iter().find(|hierarchy| {
            hierarchy.version == Version::V1
                && hierarchy
                    .controllers
                    .iter()
                    .any(|name| name == controller.name())
        })?;
        writable(&hierarchy.own).then(|| hierarchy.own.clone())
    }

    /// The cgroup of version 2 in which one with these controllers can be
    /// made: our own, or the one around it. (A cgroup with processes in it,
    /// such as ours, cannot hand controllers to its children, unless it is the
    /// root; the one around it usually can.)
    fn v2_parent(&self, controllers: &[Controller]) -> Option<PathBuf> {
        let hierarchy = self
            .hierarchies
            .iter()
            .find(|hierarchy| hierarchy.version == Version::V2)?;
        let around = (hierarchy.own != hierarchy.mount)
            .then(|| hierarchy.own.parent())
            .flatten();
        [Some(hierarchy.own.as_path()), around]
            .into_iter()
            .flatten()
            .find(|parent| takes_children(parent) && hands_down(parent, controllers))
            .map(Path::to_path_buf)
    }
}

fn writable(path: &Path) -> bool {
    access(path, Access::WRITE_OK).is_ok()
}

/// Whether a child can be made, and a process of ours moved into it. Source:
/// `cgroups(7)`, delegation containment rules.
fn takes_children(parent: &Path) -> bool {
    // The root of all cgroups has no type; a threaded one takes no processes.
    let domain = match fs::read_to_string(parent.join("cgroup.type")) {
        Ok(kind) => kind.trim_end() == "domain",
        Err(error) => error.kind() == std::io::ErrorKind::NotFound,
    };
    domain && writable(parent) && writable(&parent.join("cgroup.procs"))
}

/// Whether a child has these controllers, or will have once they are asked for.
fn hands_down(parent: &Path, controllers: &[Controller]) -> bool {
    let read = |name| fs::read_to_string(parent.join(name)).unwrap_or_default();
    let all_in = |list: &str| {
        controllers.iter().all(|controller| {
            list.split_whitespace()
                .any(|name| name == controller.name())
        })
    };
    if all_in(&read("cgroup.subtree_control")) {
        return true;
    }
    let root = !parent.join("cgroup.type").exists();
    all_in(&read("cgroup.controllers"))
        && writable(&parent.join("cgroup.subtree_control"))
        && (root || read("cgroup.procs").is_empty())
}

#[cfg(test)]
mod tests {
    use backend_core::{Options, ProviderConfig};

    use super::*;

    /// A directory with the files of a version 2 cgroup.
    fn cgroup(directory: &Path, kind: Option<&str>, controllers: &str, enabled: &str, procs: &str) {
        fs::create_dir_all(directory).unwrap();
        if let Some(kind) = kind {
            fs::write(directory.join("cgroup.type"), kind).unwrap();
        }
        for (name, text) in [
            ("cgroup.controllers", controllers),
            ("cgroup.subtree_control", enabled),
            ("cgroup.procs", procs),
        ] {
            fs::write(directory.join(name), text).unwrap();
        }
    }

    fn machine(mount: &Path, own: &Path) -> Machine {
        Machine {
            hierarchies: vec![Hierarchy {
                version: Version::V2,
                controllers: Vec::new(),
                mount: mount.into(),
                own: own.into(),
            }],
        }
    }

    fn options<const N: usize>(pairs: [(&str, &str); N]) -> LocalOptions {
        LocalOptions::parse("local", &ProviderConfig::from(pairs)).unwrap()
    }

    #[test]
    fn a_delegated_scope_takes_members_and_the_one_around_it_limits() {
        let mount = tempfile::tempdir().unwrap();
        let app = mount.path().join("app.slice");
        let own = app.join("job.scope");
        cgroup(&app, Some("domain\n"), "memory pids\n", "memory pids\n", "");
        cgroup(&own, Some("domain\n"), "memory pids\n", "", "77\n");
        let machine = machine(mount.path(), &own);
        assert!(machine.contains() && machine.limits(Controller::Memory));
        let plan = machine.plan(&options([])).unwrap();
        assert_eq!(plan.len(), 1);
        assert_eq!(plan.first().unwrap().parent, own);
        let plan = machine
            .plan(&options([("memory", "64M"), ("pids-limit", "9")]))
            .unwrap();
        assert_eq!(plan.len(), 1);
        assert_eq!(plan.first().unwrap().parent, app);
        assert_eq!(plan.first().unwrap().limits.len(), 2);
    }

    #[test]
    fn where_nothing_can_be_limited_it_is_refused() {
        let mount = tempfile::tempdir().unwrap();
        let own = mount.path().join("busy");
        cgroup(mount.path(), Some("domain\n"), "", "", "");
        cgroup(&own, Some("domain\n"), "memory\n", "", "77\n");
        let machine = machine(mount.path(), &own);
        assert!(machine.contains() && !machine.limits(Controller::Memory));
        let error = machine.plan(&options([("memory", "64M")])).unwrap_err();
        assert!(matches!(error, Failure::NoLimit(Controller::Memory)));
    }

    #[test]
    fn the_root_may_hand_down_although_it_has_processes() {
        let mount = tempfile::tempdir().unwrap();
        cgroup(mount.path(), None, "memory\n", "", "77\n");
        let machine = machine(mount.path(), mount.path());
        assert!(machine.limits(Controller::Memory) && !machine.limits(Controller::Processes));
    }

    #[test]
    fn without_cgroups_a_marker_is_used_unless_a_cgroup_is_asked_for() {
        let machine = Machine::default();
        assert!(machine.plan(&options([])).unwrap().is_empty());
        let asked = machine.plan(&options([("containment", "cgroup")]));
        assert!(matches!(asked, Err(Failure::NoCgroup)));
        let threaded = tempfile::tempdir().unwrap();
        cgroup(threaded.path(), Some("threaded\n"), "", "", "");
        assert!(!self::machine(threaded.path(), threaded.path()).contains());
    }
}
