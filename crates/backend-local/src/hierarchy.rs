//! Where the cgroup hierarchies of this machine are mounted, and where in each
//! of them this process is. Pure: from the text of `/proc/self/mountinfo` and
//! `/proc/self/cgroup`. Source: `proc(5)`, `cgroups(7)`.

use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};

/// The two interfaces of cgroups.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Version {
    /// A hierarchy for one or a few controllers.
    V1,
    /// The unified hierarchy.
    V2,
}

/// A mounted hierarchy, with the place of this process in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hierarchy {
    pub(crate) version: Version,
    /// The controllers of a version 1 hierarchy; empty for version 2, where
    /// files in each directory tell.
    pub(crate) controllers: Vec<String>,
    /// Where it is mounted.
    pub(crate) mount: PathBuf,
    /// The directory of this process's own cgroup.
    pub(crate) own: PathBuf,
}

/// All hierarchies that are mounted where this process can see its own place.
pub(crate) fn hierarchies(mountinfo: &str, membership: &str) -> Vec<Hierarchy> {
    let memberships: Vec<_> = membership.lines().filter_map(parse_membership).collect();
    let mut found: Vec<Hierarchy> = Vec::new();
    for mount in mountinfo.lines().filter_map(parse_mount) {
        let own = memberships.iter().find_map(|(controllers, path)| {
            let same = match mount.version {
                Version::V2 => controllers.is_empty(),
                Version::V1 => controllers
                    .iter()
                    .any(|controller| mount.controllers.contains(controller)),
            };
            same.then(|| place(&mount, path)).flatten()
        });
        let Some(own) = own else { continue };
        // The same hierarchy may be mounted twice; the first will do.
        let known = found
            .iter()
            .any(|other| other.version == mount.version && other.controllers == mount.controllers);
        if !known {
            found.push(Hierarchy {
                version: mount.version,
                controllers: mount.controllers,
                mount: mount.point,
                own,
            });
        }
    }
    found
}

struct Mount {
    version: Version,
    root: PathBuf,
    point: PathBuf,
    controllers: Vec<String>,
}

fn parse_mount(line: &str) -> Option<Mount> {
    let (before, after) = line.split_once(" - ")?;
    let mut before = before.split(' ').skip(3);
    let (root, point) = (before.next()?, before.next()?);
    let mut after = after.split(' ');
    let version = match after.next()? {
        "cgroup" => Version::V1,
        "cgroup2" => Version::V2,
        _ => return None,
    };
    let options = after.nth(1)?;
    let controllers = match version {
        Version::V2 => Vec::new(),
        Version::V1 => options
            .split(',')
            .filter(|option| !matches!(*option, "rw" | "ro" | "xattr" | "noprefix"))
            .map(str::to_owned)
            .collect(),
    };
    Some(Mount {
        version,
        root: unescape(root).into(),
        point: unescape(point).into(),
        controllers,
    })
}

/// `id:controllers:path`; the controllers of version 2 are none.
fn parse_membership(line: &str) -> Option<(Vec<String>, &str)> {
    let (_, rest) = line.split_once(':')?;
    let (controllers, path) = rest.split_once(':')?;
    let controllers = controllers.split(',').filter(|name| !name.is_empty());
    Some((controllers.map(str::to_owned).collect(), path))
}

/// Where the cgroup `path` is below the mount; `None` if it is outside of what
/// is mounted (another cgroup namespace, a bind mount of a part).
fn place(mount: &Mount, path: &str) -> Option<PathBuf> {
    let below = Path::new(path).strip_prefix(&mount.root).ok()?;
    let plain = below
        .components()
        .all(|component| matches!(component, Component::Normal(_)));
    plain.then(|| {
        if below.as_os_str().is_empty() {
            mount.point.clone()
        } else {
            mount.point.join(below)
        }
    })
}

/// Undoes the octal escapes of blanks, tabs, newlines and backslashes.
fn unescape(text: &str) -> String {
    let mut result = text.to_owned();
    for (escape, character) in [
        (r"\040", " "),
        (r"\011", "\t"),
        (r"\012", "\n"),
        (r"\134", "\\"),
    ] {
        result = result.replace(escape, character);
    }
    result
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HYBRID: &str = "\
23 28 0:21 / /proc rw,nosuid - proc proc rw
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw shared:9 - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
40 31 0:37 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
";

    #[test]
    fn a_hybrid_machine_has_all_of_them() {
        let membership = "9:name=systemd:/s\n4:memory:/a/b\n2:cpu,cpuacct:/\n0::/\n";
        let found = hierarchies(HYBRID, membership);
        let own: Vec<_> = found
            .iter()
            .map(|h| (h.version, h.own.to_str().unwrap()))
            .collect();
        assert_eq!(
            own,
            [
                (Version::V1, "/sys/fs/cgroup/cpu,cpuacct"),
                (Version::V1, "/sys/fs/cgroup/memory/a/b"),
                (Version::V1, "/sys/fs/cgroup/systemd/s"),
                (Version::V2, "/sys/fs/cgroup/unified"),
            ]
        );
    }

    #[test]
    fn a_container_sees_its_own_part_only() {
        let mount = "41 31 0:38 /docker/x /sys/fs/cgroup ro - cgroup2 cgroup rw\n";
        let own = |membership: &str| {
            let found = hierarchies(mount, membership);
            found.first().map(|h| h.own.display().to_string())
        };
        assert_eq!(own("0::/docker/x/y\n").as_deref(), Some("/sys/fs/cgroup/y"));
        assert_eq!(own("0::/docker/x\n").as_deref(), Some("/sys/fs/cgroup"));
        assert_eq!(own("0::/other\n"), None);
        assert_eq!(own("0::/docker/x/../..\n"), None);
        assert_eq!(own("4:memory:/docker/x\n"), None);
    }

    #[test]
    fn blanks_in_mount_points_are_unescaped() {
        let mount = r"41 31 0:38 / /mnt/a\040b rw - cgroup2 cgroup2 rw";
        assert_eq!(
            hierarchies(mount, "0::/").first().unwrap().own,
            Path::new("/mnt/a b")
        );
    }

    proptest! {
        #[test]
        fn any_text_is_read(mountinfo in "[ -~\n]{0,200}", membership in "[ -~\n]{0,80}") {
            let _ = hierarchies(&mountinfo, &membership);
        }
    }
}
