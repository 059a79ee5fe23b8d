//! A process that holds one provider, and runs jobs when it is asked to.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context as _, ensure};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::command::{cargo, say};

/// Builds the program of it, and says where it is.
pub(crate) fn build() -> anyhow::Result<PathBuf> {
    built("holder")
}

/// Builds a benchmark of the program, with all backends, and says where it is.
pub(crate) fn built(name: &str) -> anyhow::Result<PathBuf> {
    let arguments = [
        "bench",
        "--locked",
        "--package",
        "worker-cli",
        "--all-features",
        "--bench",
        name,
        "--no-run",
        "--message-format=json-render-diagnostics",
    ];
    say(&format!("cargo {}", arguments.join(" ")));
    let output = cargo()
        .args(arguments)
        .stderr(Stdio::inherit())
        .output()
        .context("cannot run cargo")?;
    ensure!(output.status.success(), "`{name}` does not build");
    let text = String::from_utf8(output.stdout)?;
    let built = text.lines().find_map(|line| {
        let message: Message = serde_json::from_str(line).ok()?;
        (message.target?.name == name).then_some(message.executable)?
    });
    built.with_context(|| format!("cargo does not say where `{name}` is"))
}

/// A message of cargo, as far as it matters here.
#[derive(Deserialize)]
struct Message {
    target: Option<BuildTarget>,
    executable: Option<PathBuf>,
}

#[derive(Deserialize)]
struct BuildTarget {
    name: String,
}

/// The process, until it is dropped.
pub(crate) struct Holder {
    child: Child,
    asks: ChildStdin,
    answers: BufReader<ChildStdout>,
}

/// What came of many jobs.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Batch {
    /// For all of them.
    pub(crate) seconds: f64,
    /// From each run to its first byte, in seconds.
    pub(crate) first_bytes: Vec<f64>,
    /// Of the processor, in this process.
    pub(crate) cpu: f64,
    /// Bytes at the most meanwhile.
    pub(crate) memory: f64,
}

#[derive(Deserialize)]
struct Took {
    seconds: f64,
}

impl Holder {
    /// Starts `program` for a backend with these options.
    pub(crate) fn start(
        program: &Path,
        backend: &str,
        options: &[String],
        state: &Path,
    ) -> anyhow::Result<Self> {
        let mut command = Command::new(program);
        command.arg(backend).args(options);
        Self::of(command.env("WORKER_STATE_DIR", state))
    }

    /// Starts a process that answers the same questions.
    pub(crate) fn of(command: &mut Command) -> anyhow::Result<Self> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start the holder")?;
        let asks = child.stdin.take().context("it has no input")?;
        let answers = BufReader::new(child.stdout.take().context("it has no output")?);
        Ok(Self {
            child,
            asks,
            answers,
        })
    }

    /// Runs so many jobs, so many at a time.
    pub(crate) fn jobs(
        &mut self,
        count: u32,
        at_a_time: u32,
        script: &Path,
    ) -> anyhow::Result<Batch> {
        self.ask(&format!("jobs {count} {at_a_time} {}", script.display()))
    }

    /// Seconds that a stop takes in the middle of this script.
    pub(crate) fn stop(&mut self, script: &Path) -> anyhow::Result<f64> {
        let took: Took = self.ask(&format!("stop {}", script.display()))?;
        Ok(took.seconds)
    }

    /// Seconds that the output of this script takes, when it is over already.
    pub(crate) fn late(&mut self, after: u64, script: &Path) -> anyhow::Result<f64> {
        let took: Took = self.ask(&format!("late {after} {}", script.display()))?;
        Ok(took.seconds)
    }

    fn ask<T: DeserializeOwned>(&mut self, question: &str) -> anyhow::Result<T> {
        let broke = || format!("the holder ended at `{question}`");
        writeln!(self.asks, "{question}").with_context(broke)?;
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        serde_json::from_str(&line).with_context(broke)
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
