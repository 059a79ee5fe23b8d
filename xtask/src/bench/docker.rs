//! A job in a container, against the docker client on the same engine.

use std::io::Read as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use testbed::dockerd::Dockerd;

use super::{Figure, figure::Target, interleaved, script, whole};
use crate::command::{cargo, say};

const IMAGE: &str = "busybox:test";

/// Bytes of output, and what the worker's memory may come to in KiB while it
/// hands them to a slow reader.
const OUTPUT: u64 = 256 << 20;
const MEMORY: u64 = 40 << 10;

/// Measures the program `worker` on an engine of its own.
pub(crate) fn figures(worker: &Path, runs: usize) -> anyhow::Result<Vec<Figure>> {
    let engine = Dockerd::start().context("the benchmark needs an engine of its own")?;
    engine.import_busybox()?;
    let place = tempfile::tempdir()?;
    let bench = Bench {
        worker,
        endpoint: engine.endpoint(),
        place: place.path(),
    };
    let echo = script(place.path(), "echo.sh", "#!/bin/sh\necho hi\n")?;
    let much = format!("#!/bin/sh\nhead -c {OUTPUT} /dev/zero\n");
    let much = script(place.path(), "much.sh", &much)?;
    let mut figures = Vec::new();
    for (name, network) in [
        ("docker: cold, no network", "none"),
        ("docker: cold, bridge", "bridge"),
    ] {
        let measured = interleaved(
            runs,
            || whole(&mut bench.ours(network, &echo)),
            || whole(&mut bench.peer(&["--network", network], "echo hi")),
        )?;
        figures.push(Figure::new(
            name,
            "docker run --rm",
            Target::Ratio(1.0),
            measured,
        ));
    }
    figures.push(in_one_process(&bench, "throughput", runs.min(7))?);
    let text = format!("head -c {OUTPUT} /dev/zero");
    let output = interleaved(
        runs.min(7),
        || super::read(&mut bench.ours("none", &much)),
        || super::read(&mut bench.peer(&["--network", "none", "--log-driver", "none"], &text)),
    )?;
    // 0.9 times as fast.
    let target = Target::Ratio(1.0 / 0.9);
    let peer = "docker run --log-driver none";
    figures.push(Figure::new(
        "docker: 256 MiB of output",
        peer,
        target,
        output,
    ));
    figures.push(in_one_process(&bench, "first_byte", runs)?);
    let memory = memory_with_a_slow_reader(&mut bench.ours("none", &much))?;
    say(&format!(
        "256 MiB to a slow reader: the worker took {memory} KiB at its most"
    ));
    ensure!(memory < MEMORY, "the worker took more than 40 MiB");
    Ok(figures)
}

struct Bench<'a> {
    worker: &'a Path,
    endpoint: String,
    place: &'a Path,
}

impl Bench<'_> {
    fn ours(&self, network: &str, script: &Path) -> Command {
        let mut command = Command::new(self.worker);
        command
            .args(["run", "--quiet", "-b", "docker", "--image", IMAGE])
            .args(["-o", &format!("endpoint={}", self.endpoint)])
            .args(["-o", &format!("network={network}")])
            .arg(script)
            .env("WORKER_STATE_DIR", self.place.join("state"));
        command
    }

    fn peer(&self, options: &[&str], text: &str) -> Command {
        let mut command = Command::new("docker");
        command
            .args(["--host", &self.endpoint, "run", "--rm"])
            .args(options)
            .args([IMAGE, "/bin/sh", "-c", text]);
        command
    }
}

/// What is measured in a process of its own, that holds one provider.
fn in_one_process(bench: &Bench<'_>, program: &str, runs: usize) -> anyhow::Result<Figure> {
    let output = cargo()
        .args([
            "bench",
            "--quiet",
            "--locked",
            "--package",
            "backend-docker",
        ])
        .args(["--bench", program])
        .env("WORKER_BENCH_ENDPOINT", &bench.endpoint)
        .env("WORKER_BENCH_RUNS", runs.to_string())
        .output()
        .context("cannot run the benchmark")?;
    let text = String::from_utf8_lossy(&output.stdout);
    ensure!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let samples = |name: &str| -> Vec<f64> {
        let lines = text.lines().filter_map(|line| line.strip_prefix(name));
        lines.filter_map(|rest| rest.trim().parse().ok()).collect()
    };
    Ok(if program == "throughput" {
        // 1.1 times as many jobs a second.
        Figure::new(
            "docker: 40 jobs, 10 at once",
            "docker run --rm",
            Target::Ratio(1.0 / 1.1),
            (samples("ours "), samples("peer ")),
        )
    } else {
        Figure::new(
            "docker: run to first byte",
            "the whole run",
            Target::Most(0.015),
            (samples("first-byte "), samples("verdict ")),
        )
    })
}

/// The most memory that a command takes, in KiB, while its output is read in
/// small pieces with pauses.
fn memory_with_a_slow_reader(command: &mut Command) -> anyhow::Result<u64> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut output = child.stdout.take().context("there is no output")?;
    let mut buffer = vec![0; 1 << 20];
    let mut most = 0;
    while output.read(&mut buffer)? > 0 {
        std::thread::sleep(Duration::from_millis(1));
        most = most.max(peak(child.id()).unwrap_or(0));
    }
    let status = child.wait()?;
    ensure!(status.success(), "a measured command failed: {status}");
    Ok(most)
}

fn peak(process: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}
