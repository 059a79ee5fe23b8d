//! A place of its own for one case: state, files, and jobs in mid-run.

use std::cell::RefCell;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::rigs::Rig;

/// How long things may take that are over soon where all is well.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// A script, and the options under which `fake` behaves as it does.
pub(crate) struct Script {
    pub(crate) text: &'static str,
    pub(crate) fake: &'static [(&'static str, &'static str)],
}

/// A place of its own for one case.
pub(crate) struct Place {
    pub(crate) rig: Arc<Rig>,
    directory: tempfile::TempDir,
    /// The option that leads to the backend by another way, if one does.
    detour: RefCell<Option<String>>,
}

impl Place {
    pub(crate) fn new(rig: Arc<Rig>) -> Self {
        Self {
            rig,
            directory: tempfile::tempdir().unwrap(),
            detour: RefCell::new(None),
        }
    }

    /// From now on this option leads to the backend.
    pub(crate) fn detour(&self, option: Option<String>) {
        *self.detour.borrow_mut() = option;
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// `worker COMMAND` on this backend, begun by `before`, with nothing of
    /// the tests' environment but what it needs.
    pub(crate) fn worker_under(&self, before: &[&str], command: &str) -> Command {
        let worker = env!("CARGO_BIN_EXE_worker");
        let mut words = before
            .iter()
            .copied()
            .chain([worker, command, "-b", self.rig.alias]);
        let mut started = Command::new(words.next().unwrap());
        started
            .args(words)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.directory.path())
            .env("WORKER_STATE_DIR", self.path("state"))
            .env("WORKER_LOCAL_DIRECTORY", self.path("instances"))
            .current_dir(self.directory.path());
        if let Some(ready) = self.rig.reached() {
            started.args(&ready.arguments);
            let detour = self.detour.borrow().clone();
            if let Some(option) = detour.or_else(|| ready.way.direct()) {
                started.args(["-o", &option]);
            }
            started.envs(ready.environment.iter().map(|(k, v)| (k, v)));
        }
        started
    }

    pub(crate) fn worker(&self, command: &str) -> Command {
        self.worker_under(&[], command)
    }

    /// `worker run` of `script`, begun by `before`, with a result file.
    pub(crate) fn run_under(
        &self,
        before: &[&str],
        script: &Script,
        arguments: &[&str],
    ) -> Command {
        let mut run = self.worker_under(before, "run");
        if !self.rig.executes() {
            for (key, value) in script.fake {
                run.arg("-o").arg(format!("{key}={value}"));
            }
        }
        run.args(["--result", "result.json"]).args(arguments);
        run.args(["-c", script.text]);
        run
    }

    pub(crate) fn run(&self, script: &Script, arguments: &[&str]) -> Command {
        self.run_under(&[], script, arguments)
    }

    /// One job from start to stop.
    pub(crate) fn output(&self, script: &Script, arguments: &[&str]) -> Output {
        self.run(script, arguments).output().unwrap()
    }

    pub(crate) fn result(&self) -> Value {
        let text = std::fs::read(self.path("result.json")).unwrap();
        serde_json::from_slice(&text).unwrap()
    }

    /// Asserts that nothing is left of this place's owner.
    pub(crate) fn assert_clean(&self) {
        let left = self.instances();
        assert!(left.is_empty(), "instances are left: {left:#?}");
    }

    /// The instances of this place's owner, as another process sees them.
    pub(crate) fn instances(&self) -> Vec<Value> {
        let Ok(owner) = std::fs::read_to_string(self.path("state/owner")) else {
            // Nothing was ever made by it.
            return Vec::new();
        };
        let listed = self.worker("ps").arg("--json").output().unwrap();
        assert!(listed.status.success(), "{listed:?}");
        let all: Vec<Value> = serde_json::from_slice(&listed.stdout).unwrap();
        let ours = |entry: &Value| entry["instance"]["marks"]["owner"] == owner.trim();
        all.into_iter().filter(ours).collect()
    }
}

/// A job under way. Its worker is killed when this is dropped.
pub(crate) struct Begun {
    child: Child,
    /// `None` once its reader has gone away.
    output: Option<BufReader<ChildStdout>>,
}

impl Begun {
    /// Begins a job, and waits until its script has printed a line that says
    /// `begun`.
    pub(crate) fn of(run: &mut Command) -> Self {
        let mut begun = Self::starting(run);
        let mut line = String::new();
        begun.output.as_mut().unwrap().read_line(&mut line).unwrap();
        if line != "begun\n" {
            send(&begun.child, "KILL");
            panic!("it printed {line:?}, and said {}", begun.said());
        }
        begun
    }

    /// Begins a job, whose script may be far from running.
    pub(crate) fn starting(run: &mut Command) -> Self {
        let mut child = run
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        Self {
            child,
            output: Some(output),
        }
    }

    pub(crate) fn send(&self, signal: &str) {
        send(&self.child, signal);
    }

    /// Waits until this is said on standard error.
    pub(crate) fn says(&mut self, text: &str) {
        let errors = self.child.stderr.as_mut().unwrap();
        let (mut said, mut byte) = (Vec::new(), [0]);
        while !String::from_utf8_lossy(&said).contains(text) {
            let read = errors.read(&mut byte).unwrap();
            assert_eq!(read, 1, "{}", String::from_utf8_lossy(&said));
            said.push(byte[0]);
        }
    }

    /// The reader of its output goes away.
    pub(crate) fn close(&mut self) {
        self.output = None;
    }

    /// The status and the rest of the output, if there is still a reader.
    pub(crate) fn ended(&mut self) -> (Option<i32>, String) {
        let mut rest = String::new();
        if let Some(output) = &mut self.output {
            output.read_to_string(&mut rest).unwrap();
        }
        (ended(&mut self.child), rest)
    }

    /// What it said on standard error and nobody has read yet, up to its end.
    pub(crate) fn said(&mut self) -> String {
        let mut said = String::new();
        let errors = self.child.stderr.as_mut().unwrap();
        errors.read_to_string(&mut said).ok();
        said
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        // Ended already, where all is well.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

pub(crate) fn send(child: &Child, signal: &str) {
    let pid = child.id().to_string();
    let sent = Command::new("kill").args(["-s", signal, &pid]).status();
    assert!(sent.unwrap().success());
}

/// Waits for the end of a process, but not for ever.
pub(crate) fn ended(child: &mut Child) -> Option<i32> {
    let since = Instant::now();
    while since.elapsed() < PATIENCE {
        if let Some(status) = child.try_wait().unwrap() {
            return status.code();
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    child.kill().ok();
    child.wait().ok();
    panic!("it does not end");
}
