//! A provider in a directory of its own, and what tests do with it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use backend_core::{
    Found, Instance, Outcome, Provider, ProviderConfig, ProviderExt, RunOptions, RunResult, Signal,
    StartAttributes,
};

pub(crate) const ESCAPE: &str = "setsid sh -c 'exec env -i sleep 987' >/dev/null 2>&1 &";

/// A provider whose instances live in a temporary directory.
pub(crate) struct Fixture {
    outer: tempfile::TempDir,
    pub(crate) provider: Arc<dyn Provider>,
}

impl Fixture {
    pub(crate) fn new() -> Self {
        Self::with([])
    }

    pub(crate) fn with<const N: usize>(pairs: [(&str, &str); N]) -> Self {
        let outer = tempfile::tempdir().unwrap();
        let provider = provider_in(&outer.path().join("base"), pairs);
        Self { outer, provider }
    }

    pub(crate) fn base(&self) -> PathBuf {
        self.outer.path().join("base")
    }

    pub(crate) fn outer(&self) -> &Path {
        self.outer.path()
    }

    /// An instance that holds `script`.
    pub(crate) async fn uploaded(&self, script: impl AsRef<[u8]>) -> Box<dyn Instance> {
        let instance = self
            .provider
            .start_new(&StartAttributes::default())
            .await
            .unwrap();
        instance.upload_script(script.as_ref()).await.unwrap();
        instance
    }

    /// Runs a script from start to stop, and sees to it that nothing is left.
    pub(crate) async fn run(&self, script: impl AsRef<[u8]>) -> (RunResult, Vec<u8>) {
        self.run_with(script, &RunOptions::default()).await
    }

    pub(crate) async fn run_with(
        &self,
        script: impl AsRef<[u8]>,
        options: &RunOptions,
    ) -> (RunResult, Vec<u8>) {
        let instance = self.uploaded(script).await;
        let mut output = Vec::new();
        let result = instance.run_script(options, &mut output).await.unwrap();
        instance.stop().await.unwrap();
        assert!(!self.base().join(instance.id().as_str()).exists());
        (result, output)
    }

    /// The output of a script that exits with 0.
    pub(crate) async fn output(&self, script: impl AsRef<[u8]>) -> String {
        let (result, output) = self.run(script).await;
        let output = String::from_utf8(output).unwrap();
        assert!(result.success(), "{}: {output}", result.outcome);
        output
    }

    /// Makes sure that there is nothing in the base directory.
    pub(crate) fn assert_empty(&self) {
        let names: Vec<_> = std::fs::read_dir(self.base())
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert!(names.is_empty(), "left: {names:?}");
    }
}

pub(crate) fn provider_in<const N: usize>(
    base: &Path,
    pairs: [(&str, &str); N],
) -> Arc<dyn Provider> {
    let mut pairs = pairs.to_vec();
    pairs.push(("directory", base.to_str().unwrap()));
    let config: ProviderConfig = pairs.into_iter().collect();
    (backend_local::BACKEND.provider)(&config).unwrap()
}

pub(crate) fn exited(code: i32) -> Outcome {
    Outcome::Exited {
        code,
        maybe_signal: None,
    }
}

pub(crate) fn signaled(signal: Signal) -> Outcome {
    Outcome::Signaled { signal, oom: false }
}

pub(crate) fn window(length: Duration) -> RunOptions {
    RunOptions {
        drain_window: length,
        ..RunOptions::default()
    }
}

/// Waits until `look` finds something; fails after twenty seconds.
pub(crate) async fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(std::time::Instant::now() < deadline, "never: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Whether the process that wrote its number into `file` is alive.
pub(crate) fn alive(file: &Path) -> Option<bool> {
    let pid: u32 = std::fs::read_to_string(file).ok()?.trim().parse().ok()?;
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"));
    Some(stat.is_ok_and(|stat| !stat.contains(") Z ")))
}

pub(crate) async fn only(provider: &Arc<dyn Provider>) -> Found {
    let mut found = provider.list().await.unwrap();
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0)
}

/// The program of `examples/run.rs`, which stands for a worker.
pub(crate) fn worker() -> PathBuf {
    let tests = std::env::current_exe().unwrap();
    let target = tests.parent().unwrap().parent().unwrap();
    let program = target.join("examples/run");
    assert!(program.exists(), "build it: cargo test -p backend-local");
    program
}

/// Directories of cgroups that belong to `id`, in any hierarchy.
pub(crate) fn cgroups(id: &str) -> Vec<PathBuf> {
    let membership = std::fs::read_to_string("/proc/self/cgroup").unwrap();
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    let mut found = Vec::new();
    for mount in mounts.lines().filter(|line| line.contains(" - cgroup")) {
        let point = Path::new(mount.split(' ').nth(4).unwrap());
        for path in membership.lines().filter_map(|line| line.split(':').nth(2)) {
            let group = point
                .join(path.trim_start_matches('/'))
                .join(format!("worker-{id}"));
            if group.exists() {
                found.push(group);
            }
        }
    }
    found
}

pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

/// Waits until the listing of the instance's processes has all of these.
pub(crate) async fn listed(instance: &dyn Instance, parts: &[&str]) {
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    loop {
        let table = instance.processes().await.unwrap().unwrap_or_default();
        if parts.iter().all(|part| table.contains(part)) {
            return;
        }
        assert!(
            std::time::Instant::now() < deadline,
            "never {parts:?}: {table}"
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
