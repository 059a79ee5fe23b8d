//! `cargo xtask bench`: where Worker stands against what one would otherwise
//! use. Every figure is a ratio to a peer that does the same work, from
//! interleaved runs of release builds in one call.

mod docker;
mod figure;
mod http;
mod local;
mod log;
mod ssh;

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::{Args, ValueEnum};

use crate::command::{cargo, root, run, say};
use figure::Figure;

/// What to measure.
#[derive(Debug, Args)]
pub(crate) struct BenchArguments {
    /// What to measure
    #[arg(value_enum, default_value = "all")]
    what: Subject,
    /// Write the figures to this file, as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// How many runs of each side
    #[arg(long, default_value_t = 21)]
    runs: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Subject {
    /// A job on `local`, against `/bin/sh`
    Local,
    /// A container, against the docker client
    Docker,
    /// A server in front of `local` and `fake`, against `curl`
    Http,
    /// A job over SSH, against the client of OpenSSH
    Ssh,
    /// The log pipeline, against SHA-256
    Log,
    /// All of it
    All,
}

/// Measures, prints a table, and says which targets are missed.
pub(crate) fn bench(arguments: &BenchArguments) -> anyhow::Result<()> {
    let wanted = |subject| arguments.what == subject || arguments.what == Subject::All;
    let mut figures = Vec::new();
    if wanted(Subject::Log) {
        figures.extend(log::figures(arguments.runs)?);
    }
    if wanted(Subject::Local) {
        figures.extend(local::figures(&program()?, arguments.runs)?);
    }
    if wanted(Subject::Docker) {
        figures.extend(docker::figures(&program()?, arguments.runs)?);
    }
    if wanted(Subject::Http) {
        figures.extend(http::figures(&program()?, arguments.runs)?);
    }
    if wanted(Subject::Ssh) {
        figures.extend(ssh::figures(&program()?, arguments.runs)?);
    }
    figure::print(&figures);
    if let Some(path) = &arguments.json {
        let text = serde_json::to_string_pretty(&figures)?;
        std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    let missed: Vec<_> = figures
        .iter()
        .filter(|figure| !figure.met())
        .map(|f| f.name)
        .collect();
    if !missed.is_empty() {
        say(&format!("targets missed: {}", missed.join(", ")));
    }
    Ok(())
}

/// The program, as it is released.
fn program() -> anyhow::Result<PathBuf> {
    run(cargo().args([
        "build",
        "--release",
        "--locked",
        "--package",
        "worker-cli",
        "--all-features",
    ]))?;
    Ok(root().join("target/release/worker"))
}

/// How long one whole process takes.
fn whole(command: &mut Command) -> anyhow::Result<Duration> {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let began = Instant::now();
    let status = command.status()?;
    let took = began.elapsed();
    anyhow::ensure!(status.success(), "a measured command failed: {command:?}");
    Ok(took)
}

/// The same with a reader of its output, as a CI system is one.
fn read(command: &mut Command) -> anyhow::Result<Duration> {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let began = Instant::now();
    let mut child = command.spawn()?;
    let mut output = child.stdout.take().context("there is no output")?;
    let mut buffer = vec![0; 256 << 10];
    while output.read(&mut buffer)? > 0 {}
    let status = child.wait()?;
    let took = began.elapsed();
    anyhow::ensure!(status.success(), "a measured command failed: {command:?}");
    Ok(took)
}

/// Runs ours and the peer's in turn, so that what the machine does besides
/// falls on both.
fn interleaved(
    runs: usize,
    mut ours: impl FnMut() -> anyhow::Result<Duration>,
    mut peer: impl FnMut() -> anyhow::Result<Duration>,
) -> anyhow::Result<(Vec<f64>, Vec<f64>)> {
    // The first of each warms the caches, and does not count.
    ours()?;
    peer()?;
    let mut samples = (Vec::new(), Vec::new());
    for _ in 0..runs {
        samples.0.push(ours()?.as_secs_f64());
        samples.1.push(peer()?.as_secs_f64());
    }
    Ok(samples)
}

/// Writes a script for both sides to run.
fn script(directory: &Path, name: &str, text: &str) -> anyhow::Result<PathBuf> {
    let path = directory.join(name);
    std::fs::write(&path, text)?;
    Ok(path)
}
