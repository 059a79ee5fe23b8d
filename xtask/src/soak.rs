//! `cargo xtask soak`: random jobs on all backends at once, with random faults,
//! for as long as asked. Each verdict has to be one that the job's script and
//! its faults allow, and in the end nothing may be left anywhere.

mod check;
mod fake;
mod faults;
mod job;
mod pieces;
mod plan;
mod remains;
mod report;
mod rigs;
mod scripts;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use clap::Args;
use serde_json::Value;
use tokio::runtime::Runtime;

use crate::command::{cargo, root, run, say};
use plan::{Backend, Plan};
use report::{Finding, Report};
use rigs::Rig;

/// How long to soak, and what.
#[derive(Debug, Args)]
pub(crate) struct SoakArguments {
    /// How many minutes new jobs are begun for
    #[arg(long, value_name = "N", default_value_t = 10)]
    minutes: u64,
    /// What the jobs are made from [default: another one each time]
    #[arg(long, value_name = "S")]
    seed: Option<u64>,
    /// The backends that take part
    #[arg(long, value_enum, value_delimiter = ',', value_name = "LIST", default_values_t = Backend::ALL)]
    backends: Vec<Backend>,
    /// Run the job of this number, and no other
    #[arg(long, value_name = "NUMBER")]
    only: Option<u64>,
    /// How many jobs there are at a time
    #[arg(long, value_name = "N", default_value_t = 4)]
    at_a_time: usize,
    /// Soak the program as it is released
    #[arg(long)]
    release: bool,
}

/// What all jobs share.
pub(crate) struct Soak {
    worker: PathBuf,
    place: tempfile::TempDir,
    /// For the proxies.
    runtime: Runtime,
    seed: u64,
}

/// How often it is said how far things are.
const PROGRESS: Duration = Duration::from_secs(15);

/// Soaks, and says what came of it.
pub(crate) fn soak(arguments: &SoakArguments) -> anyhow::Result<()> {
    let seed = arguments.seed.unwrap_or_else(|| fastrand::u64(..));
    let replay = replay(arguments, seed);
    say(&format!("seed {seed}: `{replay}` makes the same jobs"));
    let soak = Soak {
        worker: program(arguments.release)?,
        place: tempfile::Builder::new().prefix("soak-").tempdir()?,
        runtime: Runtime::new()?,
        seed,
    };
    let rigs: Vec<Rig> = arguments
        .backends
        .iter()
        .map(|backend| {
            let rig = Rig::start(*backend, &soak.worker);
            rig.with_context(|| {
                let alias = backend.alias();
                format!("cannot set up {alias} (`cargo xtask test` installs what it needs)")
            })
        })
        .collect::<anyhow::Result<_>>()?;
    let under_way = UnderWay {
        soak: &soak,
        rigs: &rigs,
        arguments,
        next: AtomicU64::new(arguments.only.unwrap_or_default()),
        until: Instant::now() + Duration::from_secs(60 * arguments.minutes),
        over: AtomicBool::new(false),
        report: Mutex::default(),
        instances: Mutex::default(),
    };
    under_way.all()?;
    under_way.look_for_remains()?;
    let report = under_way
        .report
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner);
    print(&report, &replay);
    if report.wrong() > 0 {
        bail!("the soak of seed {seed} has {} findings", report.wrong());
    }
    say(&format!("the soak of seed {seed} has found nothing"));
    Ok(())
}

/// A soak that goes on.
struct UnderWay<'a> {
    soak: &'a Soak,
    rigs: &'a [Rig],
    arguments: &'a SoakArguments,
    next: AtomicU64,
    until: Instant,
    /// No further jobs are begun.
    over: AtomicBool,
    report: Mutex<Report>,
    instances: Mutex<BTreeSet<String>>,
}

impl UnderWay<'_> {
    /// Runs jobs until the time is over.
    fn all(&self) -> anyhow::Result<()> {
        let at_a_time = match self.arguments.only {
            Some(_) => 1,
            None => self.arguments.at_a_time.max(1),
        };
        let began = Instant::now();
        thread::scope(|scope| {
            let workers: Vec<_> = (0..at_a_time)
                .map(|_| scope.spawn(|| self.some()))
                .collect();
            let mut said = Instant::now();
            while !workers.iter().all(thread::ScopedJoinHandle::is_finished) {
                if said.elapsed() >= PROGRESS {
                    said = Instant::now();
                    let report = lock(&self.report);
                    say(&format!(
                        "{} s: {} jobs, {} findings",
                        began.elapsed().as_secs(),
                        report.jobs(),
                        report.wrong()
                    ));
                }
                thread::sleep(Duration::from_millis(100));
            }
            for worker in workers {
                worker
                    .join()
                    .unwrap_or_else(|_| bail!("a thread panicked"))?;
            }
            Ok(())
        })
    }

    /// Runs one job after another.
    fn some(&self) -> anyhow::Result<()> {
        while Instant::now() < self.until && !self.over.load(Ordering::Acquire) {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            let done = self.one(number);
            if done.is_err() || self.arguments.only.is_some() {
                self.over.store(true, Ordering::Release);
            }
            done.with_context(|| format!("job {number} of seed {}", self.soak.seed))?;
        }
        Ok(())
    }

    /// Runs one job, and checks it. An error is one of the soak itself.
    fn one(&self, number: u64) -> anyhow::Result<()> {
        let plan = Plan::new(self.soak.seed, number, &self.arguments.backends);
        let script = plan.recipe.script();
        let rig = self.rigs.iter().find(|rig| rig.backend == plan.backend);
        let rig = rig.context("the backend is not there")?;
        let directory = self.soak.place.path().join(format!("jobs/{number}"));
        let seen = job::run(self.soak, rig, &plan, &script, &directory)?;
        let (ending, wrong) = check::check(&plan, &script, &seen);
        lock(&self.instances).extend(remains::instances(&seen.events));
        let mut report = lock(&self.report);
        report.add(&plan, &seen, ending);
        if !wrong.is_empty() {
            std::fs::write(directory.join("stdout"), &seen.stdout)?;
            std::fs::write(directory.join("befell"), format!("{:?}\n", seen.befell))?;
            let kept = keep(&directory, self.soak.seed, number)?;
            say(&format!("job {number}: {}", wrong.join("; ")));
            let plan = Some(plan);
            report.found(Finding { plan, wrong, kept });
        }
        drop(report);
        std::fs::remove_dir_all(directory)?;
        Ok(())
    }

    fn look_for_remains(&self) -> anyhow::Result<()> {
        say("jobs are over; looking for what is left");
        let left = remains::look(self.soak, self.rigs, &lock(&self.instances))?;
        if !left.is_empty() {
            lock(&self.report).found(Finding {
                plan: None,
                wrong: vec![format!("left behind: {}", left.join(", "))],
                kept: String::new(),
            });
        }
        Ok(())
    }
}

impl Soak {
    /// `worker COMMAND` on this backend, by a detour through a port of this
    /// machine if there is one, with nothing of this process's environment.
    fn worker(&self, rig: &Rig, command: &str, detour: Option<u16>) -> Command {
        let mut worker = Command::new(&self.worker);
        worker
            .args([command, "-b", rig.backend.alias()])
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.place.path())
            .env("WORKER_STATE_DIR", self.place.path().join("state"))
            .env("WORKER_LOCAL_DIRECTORY", self.local_directory())
            .current_dir(self.place.path());
        let lead = rig.way.as_ref().map(|way| match detour {
            Some(port) => way.by(port),
            None => way.direct.clone(),
        });
        for option in rig.options.iter().chain(&lead) {
            worker.args(["-o", option]);
        }
        // One that is begun with INT ignored goes on in spite of it.
        testbed::with_default_signals(&mut worker);
        worker
    }

    /// Where instances of `local` are.
    fn local_directory(&self) -> PathBuf {
        self.place.path().join("instances")
    }

    /// A variable that every script has, and so all that it begins.
    fn mark(&self) -> String {
        format!("WORKER_SOAK={}-{}", self.seed, std::process::id())
    }

    /// Whose all instances are.
    fn owner(&self) -> anyhow::Result<Value> {
        let owner = std::fs::read_to_string(self.place.path().join("state/owner"))?;
        Ok(owner.trim().into())
    }
}

/// Builds the program.
fn program(release: bool) -> anyhow::Result<PathBuf> {
    let (profile, directory) = if release {
        ("release", "release")
    } else {
        ("dev", "debug")
    };
    run(cargo()
        .args(["build", "--locked", "--package", "worker-cli"])
        .args(["--all-features", "--profile", profile]))?;
    Ok(root().join("target").join(directory).join("worker"))
}

/// The command that makes the same jobs.
fn replay(arguments: &SoakArguments, seed: u64) -> String {
    let mut command = format!("cargo xtask soak --seed {seed}");
    if arguments.backends != Backend::ALL {
        let aliases: Vec<_> = arguments.backends.iter().map(|it| it.alias()).collect();
        // Writing to a string cannot fail.
        write!(command, " --backends {}", aliases.join(",")).ok();
    }
    if arguments.release {
        command.push_str(" --release");
    }
    command
}

/// Copies a job's files to where they outlive the soak.
fn keep(directory: &Path, seed: u64, number: u64) -> anyhow::Result<String> {
    let kept = root().join(format!("target/soak/{seed}-{number}"));
    std::fs::create_dir_all(&kept)?;
    for entry in std::fs::read_dir(directory)?.flatten() {
        std::fs::copy(entry.path(), kept.join(entry.file_name()))?;
    }
    Ok(kept.display().to_string())
}

#[expect(clippy::print_stdout, reason = "the table is what was asked for")]
fn print(report: &Report, replay: &str) {
    print!("{report}{}", report.findings(replay));
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
