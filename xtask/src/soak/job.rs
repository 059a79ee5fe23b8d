//! One job: the program as a process, with a reader of its output, and what the
//! plan does to it.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use backend_core::testkit::FaultProxy;
use serde_json::Value;
use testbed::Tmpfs;

use super::Soak;
use super::fake;
use super::faults::{Interruption, Trouble, When};
use super::plan::{Backend, Plan};
use super::rigs::{Rig, entries};
use super::scripts::{SECRET, Script};

/// A job that takes longer hangs: every window and limit of a soak is shorter.
const PATIENCE: Duration = Duration::from_mins(3);

/// All that was seen of a job that has ended.
#[derive(Debug)]
pub(crate) struct Observed {
    /// `None` if it did not end, and was killed.
    pub(crate) status: Option<(Option<i32>, Option<i32>)>,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: Vec<u8>,
    /// The result file, if there is one.
    pub(crate) result: Option<Value>,
    /// The events file.
    pub(crate) events: Vec<u8>,
    /// The interruption, if it came before the end.
    pub(crate) interrupted: bool,
    /// The troubles that came before the end: its own, and those of others
    /// that befell the same daemon.
    pub(crate) befell: Vec<Trouble>,
    /// What it left on a disk of its own.
    pub(crate) left: Vec<String>,
}

/// Runs the job in a new directory.
pub(crate) fn run(
    soak: &Soak,
    rig: &Rig,
    plan: &Plan,
    script: &Script,
    directory: &Path,
) -> anyhow::Result<Observed> {
    std::fs::create_dir_all(directory)?;
    let proxy = match &rig.way {
        Some(way) if plan.trouble.is_of_connection() => {
            let proxy = FaultProxy::tcp(way.target.clone());
            Some(soak.runtime.block_on(proxy)?)
        }
        _ => None,
    };
    if let Some(proxy) = &proxy {
        match plan.trouble {
            Trouble::Cut {
                direction,
                after,
                action,
            } => proxy.inject(direction, after, action),
            Trouble::Delay(delay) => proxy.delay(delay),
            _ => {}
        }
    }
    let disk = match plan.trouble {
        Trouble::FullDisk { room } => Tmpfs::mount(&format!("size={room}"))?,
        _ => None,
    };
    let mut command = command(soak, rig, plan, script, directory, port(proxy.as_ref()))?;
    if let Some(disk) = &disk {
        command.env("WORKER_LOCAL_DIRECTORY", disk.path().join("instances"));
    }
    let begun = Instant::now();
    let mut child = command.spawn().context("cannot run the program")?;
    let output = child.stdout.take().context("it has no output")?;
    let job = UnderWay::default();
    let watched = thread::scope(|scope| {
        let reader = scope.spawn(|| job.read(output, plan.interruption));
        let trouble = scope.spawn(|| job.trouble(soak, rig, plan.trouble, proxy.as_ref(), begun));
        let ended = job.watch(&mut child, plan.interruption, begun);
        job.ended.store(true, Ordering::Release);
        let stdout = reader.join().unwrap_or_default();
        let troubled = trouble.join().unwrap_or(Ok(false));
        anyhow::Ok((ended?, stdout, troubled?))
    });
    let ((status, interrupted), stdout, troubled) = watched?;
    let mut befell = rig.befell(begun);
    let injected = proxy.as_ref().is_none_or(|proxy| proxy.pending() == 0);
    if troubled && injected && !plan.trouble.is_of_daemon() {
        befell.push(plan.trouble);
    }
    let file = |name: &str| std::fs::read(directory.join(name)).unwrap_or_default();
    Ok(Observed {
        status: status.map(|status| (status.code(), status.signal())),
        stdout,
        stderr: file("stderr"),
        result: serde_json::from_slice(&file("result.json")).ok(),
        events: file("events.jsonl"),
        interrupted,
        befell,
        left: disk.map_or_else(Vec::new, |disk| entries(&disk.path().join("instances"))),
    })
}

/// `worker run`, with nothing of this process's environment.
fn command(
    soak: &Soak,
    rig: &Rig,
    plan: &Plan,
    script: &Script,
    directory: &Path,
    detour: Option<u16>,
) -> anyhow::Result<Command> {
    let path = directory.join("script");
    std::fs::write(&path, &script.text)?;
    let mut command = soak.worker(rig, "run", detour);
    if plan.backend == Backend::Fake {
        command.args(fake::arguments(script, plan.trouble));
    }
    match plan.interruption {
        Interruption::HardTimeout(limit) => {
            command.args(["--hard-timeout", &format!("{}ms", limit.as_millis())]);
        }
        Interruption::SilenceTimeout(limit) => {
            command.args(["--silence-timeout", &format!("{}ms", limit.as_millis())]);
        }
        Interruption::OutputLimit { bytes, truncate } => {
            let then = if truncate { "truncate" } else { "stop" };
            command.args(["--max-output", &bytes.to_string(), "--on-max-output", then]);
        }
        _ => {}
    }
    if let Some(secret) = script.secret {
        command.env(SECRET, secret).args(["--secret-env", SECRET]);
    }
    command
        .args(["--grace", "1s", "--result", "result.json"])
        .args(["--events", "events.jsonl", "--job"])
        .arg(format!("soak {}", plan.number))
        .arg("-e")
        .arg(soak.mark())
        .arg(&path)
        .current_dir(directory)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(File::create(directory.join("stderr"))?);
    Ok(command)
}

fn port(proxy: Option<&FaultProxy>) -> Option<u16> {
    Some(proxy?.address()?.port())
}

/// What the threads around one job know of each other.
#[derive(Debug, Default)]
struct UnderWay {
    ended: AtomicBool,
    printed: AtomicBool,
}

impl UnderWay {
    /// Reads the output to its end, or until this reader is to go away.
    fn read(&self, mut output: ChildStdout, interruption: Interruption) -> Vec<u8> {
        let most = match interruption {
            Interruption::ReaderLeaves { after } => after,
            _ => usize::MAX,
        };
        let (mut all, mut buffer) = (Vec::new(), vec![0; 64 << 10]);
        while all.len() < most {
            let Ok(length @ 1..) = output.read(&mut buffer) else {
                break;
            };
            self.printed.store(true, Ordering::Release);
            all.extend_from_slice(buffer.get(..length).unwrap_or_default());
        }
        all
    }

    /// Waits for the end, and interrupts before. Says whether it did.
    fn watch(
        &self,
        child: &mut Child,
        interruption: Interruption,
        begun: Instant,
    ) -> anyhow::Result<(Option<ExitStatus>, bool)> {
        let mut due = match interruption {
            Interruption::Cancel { when, .. } | Interruption::Kill(when) => Some(when),
            _ => None,
        };
        // What is not a moment is a limit from the beginning.
        let mut interrupted = due.is_none() && interruption != Interruption::Nothing;
        let mut printed = None;
        loop {
            if let Some(status) = child.try_wait()? {
                return Ok((Some(status), interrupted));
            }
            if printed.is_none() && self.printed.load(Ordering::Acquire) {
                printed = Some(Instant::now());
            }
            if due.is_some_and(|when| is_due(when, begun, printed)) {
                due = None;
                interrupted = true;
                match interruption {
                    Interruption::Cancel { signal, twice, .. } => {
                        send(child, signal);
                        if twice {
                            sleep(Duration::from_millis(100));
                            // It may have ended; it was not waited for.
                            send(child, signal);
                        }
                    }
                    _ => child.kill()?,
                }
            }
            if begun.elapsed() > PATIENCE {
                child.kill()?;
                child.wait()?;
                return Ok((None, interrupted));
            }
            sleep(Duration::from_millis(5));
        }
    }

    /// Makes the trouble in time. Says whether it came before the job's end.
    fn trouble(
        &self,
        soak: &Soak,
        rig: &Rig,
        trouble: Trouble,
        proxy: Option<&FaultProxy>,
        begun: Instant,
    ) -> anyhow::Result<bool> {
        let when = match trouble {
            Trouble::Nothing => return Ok(false),
            Trouble::Stall { when, .. }
            | Trouble::Refuse { when, .. }
            | Trouble::Pause { when, .. }
            | Trouble::Kill(when)
            | Trouble::Restart(when) => when,
            _ => return Ok(true),
        };
        let mut printed = None;
        loop {
            if self.ended.load(Ordering::Acquire) {
                return Ok(false);
            }
            if printed.is_none() && self.printed.load(Ordering::Acquire) {
                printed = Some(Instant::now());
            }
            if is_due(when, begun, printed) {
                break;
            }
            sleep(Duration::from_millis(5));
        }
        match (trouble, proxy) {
            (Trouble::Stall { lasts, .. }, Some(proxy)) => {
                proxy.stall();
                sleep(lasts);
                proxy.resume();
            }
            (Trouble::Refuse { lasts, .. }, Some(proxy)) => soak.runtime.block_on(async {
                proxy.refuse(true).await;
                proxy.reset().await;
                tokio::time::sleep(lasts).await;
                proxy.refuse(false).await;
            }),
            _ => rig.disturb(trouble)?,
        }
        Ok(true)
    }
}

fn is_due(when: When, begun: Instant, printed: Option<Instant>) -> bool {
    match when {
        When::Begun(after) => begun.elapsed() >= after,
        When::Output(after) => printed.is_some_and(|printed| printed.elapsed() >= after),
    }
}

fn send(child: &Child, signal: i32) {
    let Ok(process) = i32::try_from(child.id()) else {
        return;
    };
    #[expect(unsafe_code, reason = "kill(2) touches no memory of ours")]
    // SAFETY: two integers go to the kernel; the child was not waited for, so
    // the id is still its own.
    unsafe {
        libc::kill(process, signal);
    }
}
