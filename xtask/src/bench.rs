//! `cargo xtask bench`: where Worker stands against what one would otherwise
//! use. Every figure is a ratio to a peer that does the same work, from
//! interleaved runs of release builds in one call.

mod baseline;
mod docker;
mod figure;
mod holder;
mod http;
mod instructions;
mod jobs;
mod local;
mod log;
mod machine;
mod others;
mod process;
mod rig;
mod ssh;
mod table;

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use clap::{Args, ValueEnum};
use serde::Serialize;

use crate::command::{cargo, root, run, say};
use baseline::Baseline;
use figure::Figure;
use machine::Machine;
use rig::Bench;

/// How long what was measured may take to be gone from the machine.
const SETTLES: Duration = Duration::from_mins(1);

/// What to measure.
#[derive(Debug, Args)]
pub(crate) struct BenchArguments {
    /// What to measure
    #[arg(value_enum, default_value = "all")]
    what: Subject,
    /// Write the figures to this file, as JSON; another call can take it as
    /// its baseline
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// How many runs of each side; of what takes long, fewer
    #[arg(long, default_value_t = 21)]
    runs: usize,
    /// Name what got worse, by more than the noise, than in this file [default:
    /// xtask/baseline.json of this workspace]
    #[arg(long, value_name = "FILE")]
    baseline: Option<PathBuf>,
    /// Measure Worker against itself: each ratio is 1 but for the noise
    #[arg(long)]
    against_itself: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Subject {
    /// A job on `local`, against `/bin/sh` and other runners of this machine
    Local,
    /// A container, against the docker client
    Docker,
    /// A server in front of `local` and `fake`, against `curl`
    Http,
    /// A job over SSH, against the client of OpenSSH
    Ssh,
    /// The log pipeline, against SHA-256
    Log,
    /// Instructions of the hot paths, counted by callgrind
    Instructions,
    /// All of it
    All,
}

/// What a call has measured.
#[derive(Debug, Serialize)]
struct Report {
    machine: Machine,
    /// Peers that are not on this machine, and how to get them.
    missing: Vec<String>,
    figures: Vec<Figure>,
}

/// Measures, prints a table, and fails if a target is missed by more than the
/// noise, or something got worse.
pub(crate) fn bench(arguments: &BenchArguments) -> anyhow::Result<()> {
    let began = Instant::now();
    // First, so that nothing is measured in vain.
    let own = || root().join("xtask/baseline.json");
    let baseline = Baseline::read(&arguments.baseline.clone().unwrap_or_else(own))?;
    let report = measure(arguments)?;
    print(&report);
    say(&format!("took {:.0} s", began.elapsed().as_secs_f64()));
    if let Some(path) = &arguments.json {
        let text = serde_json::to_string_pretty(&report)? + "\n";
        std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    if arguments.against_itself {
        return Ok(());
    }
    let missed = report.figures.iter().filter(|figure| figure.missed());
    let missed: Vec<_> = missed.map(|figure| figure.name.as_str()).collect();
    let comparison = baseline.compare(&report.figures);
    for (what, lines) in [
        ("better than the baseline", &comparison.better),
        ("not in the baseline", &comparison.new),
        ("WORSE than the baseline", &comparison.worse),
    ] {
        for line in lines {
            say(&format!("{what}: {line}"));
        }
    }
    if !missed.is_empty() {
        bail!("targets missed: {}", missed.join(", "));
    }
    if !comparison.worse.is_empty() {
        bail!("{} figures got worse", comparison.worse.len());
    }
    Ok(())
}

fn measure(arguments: &BenchArguments) -> anyhow::Result<Report> {
    let wanted = |subject| arguments.what == subject || arguments.what == Subject::All;
    let mut report = Report {
        machine: Machine::this(),
        missing: Vec::new(),
        figures: Vec::new(),
    };
    if wanted(Subject::Log) {
        report.figures.extend(log::figures(arguments.runs)?);
    }
    if wanted(Subject::Instructions) {
        match instructions::figures()? {
            Some(figures) => report.figures.extend(figures),
            None => report
                .missing
                .push("callgrind, for instruction counts: install the package valgrind".into()),
        }
    }
    if matches!(arguments.what, Subject::Log | Subject::Instructions) {
        return Ok(report);
    }
    let bench = Bench {
        worker: program()?,
        holder: holder::build()?,
        runs: arguments.runs.max(1),
        against_itself: arguments.against_itself,
    };
    if wanted(Subject::Local) {
        report.figures.extend(local::figures(&bench)?);
        let (figures, missing) = others::figures(&bench)?;
        report.figures.extend(figures);
        report.missing.extend(missing);
    }
    if wanted(Subject::Docker) {
        settle();
        report.figures.extend(docker::figures(&bench)?);
    }
    if wanted(Subject::Http) {
        settle();
        report.figures.extend(http::figures(&bench)?);
    }
    if wanted(Subject::Ssh) {
        settle();
        report.figures.extend(ssh::figures(&bench)?);
    }
    Ok(report)
}

/// Waits until the processes of what was measured before are gone. Some inits
/// leave hundreds of dead ones for a while, and whoever looks through `/proc`
/// looks at each.
fn settle() {
    let began = Instant::now();
    while began.elapsed() < SETTLES && dead_processes() > 0 {
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn dead_processes() -> usize {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let states = entries.filter_map(|entry| fs::read_to_string(entry.path().join("stat")).ok());
    // Behind the name, which is in parentheses and may hold any.
    let dead = |text: &String| {
        text.rsplit_once(") ")
            .is_some_and(|(_, rest)| rest.starts_with('Z'))
    };
    states.filter(dead).count()
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

#[expect(clippy::print_stdout, reason = "the table is what was asked for")]
fn print(report: &Report) {
    println!("{}", report.machine);
    for missing in &report.missing {
        println!("missing: {missing}");
    }
    println!("{}", table::table(&report.figures));
}
