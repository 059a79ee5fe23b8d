//! A job in a container, against the docker client on the same engine.

use std::io::Read as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use testbed::dockerd::Dockerd;

use super::figure::{Figure, Target, Unit};
use super::process::{first_byte, whole};
use super::rig::{Bench, Peers, Rig, Targets, interleaved};

const IMAGE: &str = "busybox:test";

/// Bytes of output, and of what the worker's memory may come to while it hands
/// them to a slow reader.
const OUTPUT: u64 = 256 << 20;
const MEMORY: f64 = 40.0 * 1024.0 * 1024.0;

/// The longest script for an argument (a page less than `MAX_ARG_STRLEN`, see
/// execve(2)).
const ARGUMENT: u64 = 31 * 4096;

/// Measures it on an engine of its own.
pub(crate) fn figures(bench: &Bench) -> anyhow::Result<Vec<Figure>> {
    let engine = Dockerd::start().context("the benchmark needs an engine of its own")?;
    engine.import_busybox()?;
    let rig = Docker::start(&engine, "none")?;
    let mut figures = super::jobs::figures(bench, &rig)?;
    let bridge = Docker::start(&engine, "bridge")?;
    figures.push(with_a_bridge(bench, &bridge)?);
    figures.push(slow_reader(bench, &rig)?);
    Ok(figures)
}

struct Docker<'a> {
    engine: &'a Dockerd,
    network: &'static str,
    /// A container that waits, for the peer to run things in.
    started: String,
}

impl<'a> Docker<'a> {
    fn start(engine: &'a Dockerd, network: &'static str) -> anyhow::Result<Self> {
        let wait = ["run", "--detach", "--network", network, IMAGE];
        let started = engine.client(&[&wait[..], &["sleep", "1000000"]].concat())?;
        Ok(Self {
            engine,
            network,
            started: started.trim().to_owned(),
        })
    }

    fn client(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("docker");
        command.args(["--host", &self.engine.endpoint()]);
        command.args(arguments);
        command
    }
}

impl Rig for Docker<'_> {
    fn backend(&self) -> &'static str {
        "docker"
    }

    fn options(&self) -> Vec<String> {
        vec![
            format!("endpoint={}", self.engine.endpoint()),
            format!("default-image={IMAGE}"),
            format!("network={}", self.network),
        ]
    }

    fn peers(&self) -> Peers {
        Peers {
            job: "docker run --rm",
            first_byte: "docker exec",
            stop: "docker rm --force",
        }
    }

    fn targets(&self) -> Targets {
        Targets {
            cold: Some(Target::Ratio(1.0)),
            first_byte: Some(Target::Most(0.015)),
            // 0.9 times as fast.
            output: Some(Target::Ratio(1.0 / 0.9)),
            // 1.1 times as many jobs a second.
            ten_at_a_time: Some(Target::Ratio(1.0 / 1.1)),
            held: None,
        }
    }

    /// A script goes in by the command line as long as it fits. What prints
    /// much is not logged, which is the client at its fastest.
    fn job(&self, script: &Path, output: u64) -> anyhow::Result<Command> {
        let log = if output == OUTPUT {
            "none"
        } else {
            "json-file"
        };
        let run = [
            "run",
            "--rm",
            "--network",
            self.network,
            "--log-driver",
            log,
        ];
        if std::fs::metadata(script)?.len() < ARGUMENT {
            let text = std::fs::read_to_string(script)?;
            let script = [IMAGE, "/bin/sh", "-c", &text];
            return Ok(self.client(&[&run[..], &script].concat()));
        }
        let script_of_input = "cat >/tmp/script && /bin/sh /tmp/script";
        let rest = ["--interactive", IMAGE, "/bin/sh", "-c", script_of_input];
        let client = self.client(&[&run[..], &rest].concat());
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "exec \"$@\" <\"$0\""]).arg(script);
        command.arg(client.get_program()).args(client.get_args());
        Ok(command)
    }

    fn first_byte(&self) -> anyhow::Result<f64> {
        first_byte(&mut self.client(&["exec", &self.started, "/bin/sh", "-c", "echo hi"]))
    }

    fn stop(&self, script: &Path) -> anyhow::Result<f64> {
        let text = std::fs::read_to_string(script)?;
        let run = ["run", "--detach", "--network", self.network, IMAGE];
        let container = self
            .engine
            .client(&[&run[..], &["/bin/sh", "-c", &text]].concat())?;
        let began = Instant::now();
        self.engine.client(&["rm", "--force", container.trim()])?;
        Ok(began.elapsed().as_secs_f64())
    }

    fn batches(&self) -> [u32; 3] {
        [10, 40, 100]
    }

    /// Fifty clients at once have made an engine stand still for good, with
    /// half of the containers created and never started.
    fn most_peers(&self) -> u32 {
        10
    }
}

impl Drop for Docker<'_> {
    fn drop(&mut self) {
        self.engine.client(&["rm", "--force", &self.started]).ok();
    }
}

/// A cold job with the network that containers have by default.
fn with_a_bridge(bench: &Bench, rig: &Docker<'_>) -> anyhow::Result<Figure> {
    let place = tempfile::tempdir()?;
    let echo = place.path().join("echo.sh");
    std::fs::write(&echo, "#!/bin/sh\necho hi\n")?;
    let samples = interleaved(
        bench.runs,
        || Ok(whole(&mut bench.ours(rig, &echo, place.path()))?.wall),
        || Ok(whole(&mut bench.theirs(rig, &echo, 3, place.path())?)?.wall),
    )?;
    Ok(Figure::new(
        "docker: whole process, bridge",
        bench.peer("docker run --rm"),
        Target::Ratio(1.0),
        samples,
    ))
}

/// The most memory that the worker takes while its output is read in small
/// pieces with pauses.
fn slow_reader(bench: &Bench, rig: &Docker<'_>) -> anyhow::Result<Figure> {
    let place = tempfile::tempdir()?;
    let much = place.path().join("much.sh");
    std::fs::write(&much, format!("#!/bin/sh\nhead -c {OUTPUT} /dev/zero\n"))?;
    let mut child = bench
        .ours(rig, &much, place.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut output = child.stdout.take().context("there is no output")?;
    let mut buffer = vec![0; 1 << 20];
    let mut most = 0.0;
    while output.read(&mut buffer)? > 0 {
        std::thread::sleep(Duration::from_millis(1));
        most = peak_memory(child.id()).unwrap_or(most);
    }
    let status = child.wait()?;
    ensure!(status.success(), "a measured command failed: {status}");
    let piece = f64::from(1 << 20);
    Ok(Figure::new(
        "docker: to a slow reader, memory",
        "a piece of output",
        Target::Most(MEMORY),
        (vec![most], vec![piece]),
    )
    .in_unit(Unit::Bytes))
}

/// The most memory that a process ever took, in bytes.
pub(super) fn peak_memory(process: u32) -> Option<f64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u32 = line.split_ascii_whitespace().next()?.parse().ok()?;
    Some(f64::from(kibibytes) * 1024.0)
}
