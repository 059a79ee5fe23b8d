//! Two hundred jobs in one process leave nothing: no task, descriptor,
//! process, zombie, file or cgroup. A program of its own, since it counts what
//! the whole process has.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "these are tests")]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use backend_core::{InstanceExt, ProviderConfig, ProviderExt, StartAttributes};

const SCRIPTS: [&str; 5] = [
    "echo hi",
    "exit 3",
    "kill -9 $$",
    "sleep 300 >/dev/null 2>&1 & echo left",
    "#!/no/such/thing",
];

#[derive(Debug, PartialEq, Eq)]
struct Ledger {
    descriptors: usize,
    children: BTreeSet<u32>,
    tasks: usize,
    files: usize,
    cgroups: usize,
}

fn ledger(base: &Path) -> Ledger {
    let own = std::process::id();
    let count = |path: &str| fs::read_dir(path).map_or(0, Iterator::count);
    let children = fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter_map(|entry| {
            let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            let parent: u32 = stat
                .rsplit_once(')')?
                .1
                .split_whitespace()
                .nth(1)?
                .parse()
                .ok()?;
            (parent == own).then_some(pid)
        });
    Ledger {
        descriptors: count("/proc/self/fd"),
        children: children.collect(),
        tasks: tokio::runtime::Handle::current()
            .metrics()
            .num_alive_tasks(),
        files: fs::read_dir(base).map_or(0, Iterator::count),
        cgroups: cgroups(Path::new("/sys/fs/cgroup"), 6),
    }
}

/// How many cgroups there are of the instances of this test.
fn cgroups(directory: &Path, depth: u32) -> usize {
    let Ok(entries) = fs::read_dir(directory) else {
        return 0;
    };
    entries
        .flatten()
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| {
            let ours = entry
                .file_name()
                .to_string_lossy()
                .starts_with(&format!("worker-leak-{}-", std::process::id()));
            let below = if depth > 0 {
                cgroups(&entry.path(), depth - 1)
            } else {
                0
            };
            usize::from(ours) + below
        })
        .sum()
}

#[tokio::test]
async fn two_hundred_jobs_leave_nothing() {
    for containment in ["auto", "marker"] {
        let outer = tempfile::tempdir().unwrap();
        let base = outer.path().join("base");
        let config = ProviderConfig::from([
            ("directory", base.to_str().unwrap()),
            ("containment", containment),
        ]);
        let provider = (backend_local::BACKEND.provider)(&config).unwrap();
        let job = async |number: usize| {
            let mut context = backend_core::StartContext::new();
            context.id = format!("leak-{}-{number}", std::process::id())
                .parse()
                .unwrap();
            let instance = provider
                .start(&StartAttributes::default(), &context)
                .await
                .unwrap();
            let script = SCRIPTS[number % SCRIPTS.len()];
            instance.upload_script(script.as_bytes()).await.unwrap();
            let mut output = Vec::new();
            let result = instance.run_to(&mut output).await.unwrap();
            assert!(result.completed());
            instance.stop().await.unwrap();
        };
        // The first makes what the runtime keeps.
        provider
            .start_new(&StartAttributes::default())
            .await
            .unwrap()
            .stop()
            .await
            .unwrap();
        job(0).await;
        let before = ledger(&base);
        assert_eq!((before.files, before.cgroups), (0, 0));
        for number in 0..200 {
            job(number).await;
        }
        provider.settle().await;
        assert_eq!(ledger(&base), before, "{containment}");
    }
}
