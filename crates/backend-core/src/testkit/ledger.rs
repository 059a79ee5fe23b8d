//! What a process holds, before and after: the ledger in which a leak shows.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;

/// What this process held at one time: descriptors, children (zombies too),
/// the tasks of the current runtime, and the entries of some directories.
///
/// Everything in it is of the whole process, so nothing else may go on in it
/// meanwhile. Descriptors and children are seen where there is `/proc`.
#[derive(Debug, Clone)]
pub struct Ledger {
    directories: Vec<PathBuf>,
    before: Held,
}

/// Names of what is held, by what it is; equal names are counted.
type Held = BTreeMap<String, usize>;

impl Ledger {
    /// Writes down what is held now.
    pub fn open() -> Self {
        Self::watching::<PathBuf>([])
    }

    /// Writes down what is held now, and what these directories contain.
    pub fn watching<P: Into<PathBuf>>(directories: impl IntoIterator<Item = P>) -> Self {
        let directories: Vec<_> = directories.into_iter().map(Into::into).collect();
        let before = held(&directories);
        Self {
            directories,
            before,
        }
    }

    /// Waits until no more is held than was, for `bound` at the most.
    ///
    /// # Errors
    ///
    /// What is held more than before, one line each.
    pub async fn settled(&self, bound: Duration) -> Result<(), String> {
        let began = Instant::now();
        loop {
            let surplus = self.surplus();
            if surplus.is_empty() {
                return Ok(());
            }
            if began.elapsed() > bound {
                return Err(surplus.join("\n"));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// What is held more than before, one line each.
    pub fn surplus(&self) -> Vec<String> {
        held(&self.directories)
            .into_iter()
            .filter_map(|(name, now)| {
                let before = self.before.get(&name).copied().unwrap_or(0);
                (now > before).then(|| format!("{name}: {before} before, {now} now"))
            })
            .collect()
    }
}

fn held(directories: &[PathBuf]) -> Held {
    let mut all = Held::new();
    let mut add = |name: String, count: usize| *all.entry(name).or_default() += count;
    for name in descriptors() {
        add(format!("descriptor of {name}"), 1);
    }
    for child in children(std::process::id()) {
        add(format!("child {child}"), 1);
    }
    if let Ok(runtime) = Handle::try_current() {
        add("tasks".into(), runtime.metrics().num_alive_tasks());
    }
    for directory in directories {
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            add(format!("entry {}", entry.path().display()), 1);
        }
    }
    all
}

/// What the descriptors of this process are of, without the numbers that
/// differ from one to the next of the same kind (`socket:[4711]`).
fn descriptors() -> Vec<String> {
    let directory = Path::new("/proc/self/fd");
    let listing = fs::read_dir(directory);
    listing
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let link = fs::read_link(entry.path()).ok()?;
            let link = link.to_string_lossy();
            // The descriptor by which the directory is being read.
            let own = link.ends_with("/fd") && link.starts_with("/proc/");
            let kind = link.split(":[").next().unwrap_or(&link);
            (!own).then(|| kind.to_owned())
        })
        .collect()
}

/// The children of `parent`, zombies too: pid, command and state.
fn children(parent: u32) -> Vec<String> {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    processes
        .filter_map(|process| {
            let stat = fs::read_to_string(process.path().join("stat")).ok()?;
            let (head, rest) = stat.rsplit_once(')')?;
            let mut fields = rest.split_ascii_whitespace();
            let state = fields.next()?;
            let of: u32 = fields.next()?.parse().ok()?;
            (of == parent).then(|| format!("{head}) {state}"))
        })
        .collect()
}
