//! A job over SSH, against the client of OpenSSH at the same server.

use std::cell::RefCell;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use anyhow::Context as _;
use testbed::{SshKind, SshServer, SshSetup};

use super::{Figure, figure::Target, interleaved, script, whole};
use crate::command::{cargo, run};

/// What the peer runs over there: upload by `cat`, run, remove.
const JOB: &str = "cat >worker-bench && sh worker-bench; rm -f worker-bench";

/// Measures the program `worker`, and the library on a held connection.
pub(crate) fn figures(worker: &Path, runs: usize) -> anyhow::Result<Vec<Figure>> {
    let server = SshServer::start(SshKind::OpenSsh, &SshSetup::default())
        .context("the benchmark needs a server of its own")?;
    let place = tempfile::tempdir()?;
    let known_hosts = server.known_hosts()?;
    let bench = Bench {
        worker,
        server: &server,
        known_hosts: &known_hosts,
        place: place.path(),
    };
    let echo = script(place.path(), "echo.sh", "#!/bin/sh\necho hi\n")?;
    let much = "#!/bin/sh\nhead -c 268435456 /dev/zero\n";
    let much = script(place.path(), "much.sh", much)?;
    let cold = interleaved(
        runs,
        || whole(&mut bench.ours(&echo)),
        || whole(&mut bench.peer(&echo)),
    )?;
    let output = interleaved(
        runs.min(7),
        || super::read(&mut bench.ours(&much)),
        || super::read(&mut bench.peer(&much)),
    )?;
    let held = RefCell::new(Held::start(&bench)?);
    let mut first_bytes = Vec::new();
    let warm = interleaved(
        runs,
        || {
            let (whole, first_byte) = held.borrow_mut().job()?;
            first_bytes.push(first_byte.as_secs_f64());
            Ok(whole)
        },
        || whole(&mut bench.peer(&echo)),
    )?;
    let peers = warm.1.clone();
    Ok(vec![
        Figure::new("ssh: new connection", "ssh", Target::Ratio(0.5), cold),
        Figure::new("ssh: held connection", "ssh", Target::Ratio(0.15), warm),
        Figure::new(
            "ssh: run to first byte",
            "ssh",
            Target::Most(0.010),
            (first_bytes, peers),
        ),
        Figure::new("ssh: 256 MiB of output", "ssh", Target::Ratio(1.0), output),
    ])
}

struct Bench<'a> {
    worker: &'a Path,
    server: &'a SshServer,
    known_hosts: &'a Path,
    place: &'a Path,
}

impl Bench<'_> {
    fn ours(&self, script: &Path) -> Command {
        let mut command = Command::new(self.worker);
        command.args(["run", "--quiet", "-b", "ssh"]).arg(script);
        self.configure(&mut command);
        command
    }

    fn configure(&self, command: &mut Command) {
        command
            .env("WORKER_STATE_DIR", self.place.join("state"))
            .env("WORKER_SSH_HOSTS", self.server.address())
            .env("WORKER_SSH_IDENTITY_FILE", self.server.identity())
            .env("WORKER_SSH_KNOWN_HOSTS", self.known_hosts)
            .env("WORKER_SSH_IDENTITY_AGENT", "none")
            .env("WORKER_SSH_SSH_CONFIG", "none");
    }

    /// The client at its defaults, with the script as its input.
    fn peer(&self, script: &Path) -> Command {
        let mut command = Command::new("/bin/sh");
        command
            .args(["-c", "script=$1; shift; exec ssh \"$@\" <\"$script\"", "sh"])
            .arg(script)
            .args([
                "-F",
                "none",
                "-o",
                "BatchMode=yes",
                "-o",
                "IdentitiesOnly=yes",
            ])
            .arg("-o")
            .arg(format!("UserKnownHostsFile={}", self.known_hosts.display()))
            .arg("-i")
            .arg(self.server.identity())
            .args(["-p", &self.server.port().to_string()])
            .arg(format!("{}@127.0.0.1", self.server.user()))
            .arg(JOB);
        command
    }
}

/// A process that holds a connection, and runs a job when it is asked to.
struct Held {
    child: Child,
    asks: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Held {
    fn start(bench: &Bench<'_>) -> anyhow::Result<Self> {
        let arguments = [
            "bench",
            "--quiet",
            "--locked",
            "--package",
            "backend-ssh",
            "--bench",
            "held",
        ];
        // Built before, so that nothing of that is measured.
        run(cargo().args(arguments).arg("--no-run"))?;
        let mut command = cargo();
        command.args(arguments);
        bench.configure(&mut command);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let asks = child.stdin.take().context("it has no input")?;
        let answers = BufReader::new(child.stdout.take().context("it has no output")?);
        Ok(Self {
            child,
            asks,
            answers,
        })
    }

    /// How long a job took, and its first byte.
    fn job(&mut self) -> anyhow::Result<(Duration, Duration)> {
        self.asks.write_all(b"\n")?;
        self.asks.flush()?;
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        let (whole, first) = line.trim().split_once(' ').context("the benchmark ended")?;
        let seconds = |text: &str| anyhow::Ok(Duration::from_secs_f64(text.parse()?));
        Ok((seconds(whole)?, seconds(first)?))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
