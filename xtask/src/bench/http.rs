//! A server in front of `local` and `fake`, against `curl` at the same server.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use testbed::Daemon;

use super::{Figure, figure::Target, interleaved, script, whole};
use crate::command::{cargo, say};

/// Bytes of output, and of each answer with some of it.
const OUTPUT: u64 = 256 << 20;
const CHUNK: u64 = 1 << 20;

/// Jobs at once, and what the server's memory may come to in KiB.
const JOBS: usize = 200;
const MEMORY: u64 = 100 << 10;

/// Measures the program `worker` on both sides.
pub(crate) fn figures(worker: &Path, runs: usize) -> anyhow::Result<Vec<Figure>> {
    let local = Server::start(worker, &["-b", "local"])?;
    let mut figures = vec![output(&local, runs.min(7))?, first_byte(&local, runs)?];
    drop(local);
    let fake = ["-b", "fake", "-o", "run-sleep=2s", "-o", "exit-code=9"];
    figures.push(jobs(worker, &Server::start(worker, &fake)?)?);
    Ok(figures)
}

/// `worker serve`, until it is dropped.
struct Server {
    daemon: Daemon,
    endpoint: String,
}

impl Server {
    fn start(worker: &Path, arguments: &[&str]) -> anyhow::Result<Self> {
        let directory = tempfile::tempdir()?;
        let port = testbed::free_port()?;
        let mut command = Command::new(worker);
        command
            .args(["serve", "--listen", &format!("127.0.0.1:{port}")])
            .args(arguments)
            .env("WORKER_STATE_DIR", directory.path().join("state"))
            .env("WORKER_LOCAL_DIRECTORY", directory.path().join("instances"));
        let grace = Duration::from_secs(10);
        let mut daemon = Daemon::start("worker serve", &command, directory, grace)?;
        daemon.wait_until(Duration::from_secs(10), |daemon| {
            daemon.log().contains("serving")
        })?;
        Ok(Self {
            daemon,
            endpoint: format!("http://127.0.0.1:{port}"),
        })
    }

    /// A job by the program.
    fn run(&self, worker: &Path, script: &Path) -> Command {
        let mut command = Command::new(worker);
        command
            .args(["run", "--quiet", "-b", "http"])
            .args(["-o", &format!("endpoint={}", self.endpoint)])
            .env("WORKER_STATE_DIR", self.daemon.directory().join("client"))
            .arg(script);
        command
    }

    /// A call by `curl`, which succeeds.
    fn curl(&self, path: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new("curl");
        command
            .args(["-sS", "--fail", "-H", "Content-Type: application/json"])
            .args(arguments)
            .arg(format!("{}{path}", self.endpoint));
        command
    }

    fn answer(&self, path: &str, arguments: &[&str]) -> anyhow::Result<String> {
        let output = self.curl(path, arguments).output()?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Has an instance `kept` run the script to its end.
    fn keep(&self, script: &Path) -> anyhow::Result<()> {
        let path = &self.kept();
        self.answer(path, &["-X", "PUT", "-d", r#"{"lease_s":3600}"#])?;
        let bytes = format!("@{}", script.display());
        self.until(|server| {
            let put = server.answer(
                &format!("{path}/script"),
                &["-X", "PUT", "--data-binary", &bytes],
            )?;
            Ok(put.contains("sha256"))
        })?;
        let run = format!("{path}/runs/it");
        self.answer(&run, &["-X", "PUT", "-d", "{}"])?;
        self.until(|server| Ok(server.answer(&run, &[])?.contains("\"ended\"")))
    }

    /// The path of an instance that no other server on this machine has.
    fn kept(&self) -> String {
        format!("/v1/instances/kept-{}", self.daemon.pid())
    }

    fn until(&self, done: impl Fn(&Self) -> anyhow::Result<bool>) -> anyhow::Result<()> {
        let began = Instant::now();
        while !done(self)? {
            ensure!(
                began.elapsed() < Duration::from_mins(1),
                "{}",
                self.daemon.log()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }
}

/// The client fetching output that lies whole on the server, against `curl`
/// fetching the same bytes there, by offset too.
fn output(server: &Server, runs: usize) -> anyhow::Result<Figure> {
    let place = tempfile::tempdir()?;
    let much = script(
        place.path(),
        "much.sh",
        &format!("#!/bin/sh\nhead -c {OUTPUT} /dev/zero\n"),
    )?;
    server.keep(&much)?;
    let last = OUTPUT - CHUNK;
    let fetch = format!(
        "{}/runs/it/output?offset=[0-{last}:{CHUNK}]&limit={CHUNK}",
        server.kept()
    );
    let measured = interleaved(
        runs,
        || {
            let taken = client(server, "fetch", 1)?;
            let seconds = samples(&taken, "fetch ").first().copied();
            Ok(Duration::from_secs_f64(seconds.context("no figure")?))
        },
        || whole(&mut server.curl(&fetch, &[])),
    )?;
    // 0.6 times as fast is 1.67 times as long.
    let target = Target::Ratio(1.0 / 0.6);
    Ok(Figure::new(
        "http: 256 MiB of output",
        "curl",
        target,
        measured,
    ))
}

/// From the run to the first byte, in a process of its own that holds its
/// connection, beside the same on `local` without a server.
fn first_byte(server: &Server, runs: usize) -> anyhow::Result<Figure> {
    let taken = client(server, "first-byte", runs)?;
    let measured = (samples(&taken, "http "), samples(&taken, "local "));
    let target = Target::Most(0.010);
    Ok(Figure::new(
        "http: run to first byte",
        "-b local",
        target,
        measured,
    ))
}

/// What the benchmark of the client prints, built as it is released.
fn client(server: &Server, what: &str, runs: usize) -> anyhow::Result<String> {
    let output = cargo()
        .args(["bench", "--quiet", "--locked", "--package", "backend-http"])
        .args(["--bench", "client"])
        .env("WORKER_BENCH_WHAT", what)
        .env("WORKER_BENCH_ENDPOINT", &server.endpoint)
        .env("WORKER_BENCH_RUNS", runs.to_string())
        .output()
        .context("cannot run the benchmark")?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{errors}");
    Ok(String::from_utf8(output.stdout)?)
}

fn samples(text: &str, name: &str) -> Vec<f64> {
    let lines = text.lines().filter_map(|line| line.strip_prefix(name));
    lines.filter_map(|rest| rest.trim().parse().ok()).collect()
}

/// Many jobs at once: every verdict right, and the server's memory bounded.
fn jobs(worker: &Path, server: &Server) -> anyhow::Result<Figure> {
    let place = tempfile::tempdir()?;
    let any = script(place.path(), "any.sh", "anything\n")?;
    let begin = Instant::now();
    let children: Vec<_> = (0..JOBS)
        .map(|_| {
            server
                .run(worker, &any)
                .args(["-o", "capabilities=signals,resumes"])
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
        })
        .collect::<Result<_, _>>()?;
    for mut child in children {
        let status = child.wait()?;
        ensure!(
            status.code() == Some(9),
            "a job ended with {status}, not with 9"
        );
    }
    let took = begin.elapsed().as_secs_f64();
    let memory = memory(server)?;
    say(&format!(
        "{JOBS} jobs at once: the server took {memory} KiB at its most"
    ));
    ensure!(memory < MEMORY, "the server took more than 100 MiB");
    // Each sleeps for two seconds: what is beyond is the cost of all of them.
    let target = Target::Above(30.0);
    Ok(Figure::new(
        "http: 200 jobs at once",
        "their sleep",
        target,
        (vec![took], vec![2.0]),
    ))
}

fn memory(server: &Server) -> anyhow::Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.daemon.pid()))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let number = line.and_then(|line| line.split_ascii_whitespace().next()?.parse().ok());
    number.context("the server's memory is not known")
}
