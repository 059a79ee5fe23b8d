//! A job over SSH, against the client of OpenSSH at the same server.

use std::io::{BufRead as _, BufReader};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use tempfile::TempDir;
use testbed::{SshKind, SshServer, SshSetup};

use super::figure::{Figure, Target};
use super::process::{first_byte, whole};
use super::rig::{Bench, Peers, Rig, Targets};

/// What the peer runs over there: upload by `cat`, run, remove.
const JOB: &str = "cat >worker-bench-$$ && sh worker-bench-$$; rm -f worker-bench-$$";

/// How long a control connection may take to come up.
const CONNECT: Duration = Duration::from_secs(10);

/// Measures it on a server of its own.
pub(crate) fn figures(bench: &Bench) -> anyhow::Result<Vec<Figure>> {
    let setup = SshSetup {
        // Fifty clients at a time have to come in.
        lines: vec!["MaxStartups 200".to_owned()],
        ..SshSetup::default()
    };
    let server = SshServer::start(SshKind::OpenSsh, &setup)
        .context("the benchmark needs a server of its own")?;
    super::jobs::figures(bench, &Ssh::connect(&server)?)
}

struct Ssh<'a> {
    server: &'a SshServer,
    known_hosts: PathBuf,
    /// The peer's control connection, on which everything is started.
    control: Child,
    place: TempDir,
}

impl<'a> Ssh<'a> {
    fn connect(server: &'a SshServer) -> anyhow::Result<Self> {
        let place = tempfile::tempdir()?;
        let known_hosts = server.known_hosts()?;
        let socket = place.path().join("control");
        let mut master = client(server, &known_hosts);
        master.args(["-M", "-N", "-S"]).arg(&socket);
        master.arg(target(server)).stdin(Stdio::null());
        let control = master.spawn().context("cannot run ssh")?;
        let connected = Self {
            server,
            known_hosts,
            control,
            place,
        };
        let began = Instant::now();
        while UnixStream::connect(&socket).is_err() {
            ensure!(began.elapsed() < CONNECT, "there is no control connection");
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(connected)
    }

    /// A command by the control connection.
    fn held(&self, text: &str) -> Command {
        let mut command = client(self.server, &self.known_hosts);
        command.arg("-S").arg(self.place.path().join("control"));
        command.arg(target(self.server)).arg(text);
        command
    }
}

/// The client at its defaults.
fn client(server: &SshServer, known_hosts: &Path) -> Command {
    let mut command = Command::new("ssh");
    command
        .args(["-F", "none", "-o", "BatchMode=yes"])
        .args(["-o", "IdentitiesOnly=yes", "-o"])
        .arg(format!("UserKnownHostsFile={}", known_hosts.display()))
        .arg("-i")
        .arg(server.identity())
        .args(["-p", &server.port().to_string()]);
    command
}

fn target(server: &SshServer) -> String {
    format!("{}@127.0.0.1", server.user())
}

impl Rig for Ssh<'_> {
    fn backend(&self) -> &'static str {
        "ssh"
    }

    fn options(&self) -> Vec<String> {
        vec![
            format!("hosts={}", self.server.address()),
            format!("identity-file={}", self.server.identity().display()),
            format!("known-hosts={}", self.known_hosts.display()),
            "identity-agent=none".to_owned(),
            "ssh-config=none".to_owned(),
            "slots=64".to_owned(),
        ]
    }

    fn peers(&self) -> Peers {
        Peers {
            job: "ssh",
            first_byte: "ssh, control connection",
            stop: "kill by control connection",
        }
    }

    fn targets(&self) -> Targets {
        Targets {
            cold: Some(Target::Ratio(0.5)),
            first_byte: Some(Target::Most(0.010)),
            output: Some(Target::Ratio(1.0)),
            ten_at_a_time: None,
            held: Some(Target::Ratio(0.15)),
        }
    }

    /// The script goes in by standard input.
    fn job(&self, script: &Path, _: u64) -> anyhow::Result<Command> {
        let client = client(self.server, &self.known_hosts);
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "exec \"$@\" <\"$0\""]).arg(script);
        command.arg(client.get_program()).args(client.get_args());
        command.arg(target(self.server)).arg(JOB);
        Ok(command)
    }

    fn first_byte(&self) -> anyhow::Result<f64> {
        first_byte(&mut self.held("echo hi"))
    }

    fn stop(&self, script: &Path) -> anyhow::Result<f64> {
        let text = format!("echo $$; exec /bin/sh {}", script.display());
        let mut running = self
            .held(&text)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut output = BufReader::new(running.stdout.take().context("there is no output")?);
        let (mut process, mut first) = (String::new(), String::new());
        output.read_line(&mut process)?;
        output.read_line(&mut first)?;
        let began = Instant::now();
        whole(&mut self.held(&format!("kill -KILL {}", process.trim())))?;
        running.wait()?;
        Ok(began.elapsed().as_secs_f64())
    }

    fn batches(&self) -> [u32; 3] {
        [20, 50, 100]
    }
}

impl Drop for Ssh<'_> {
    fn drop(&mut self) {
        self.control.kill().ok();
        self.control.wait().ok();
    }
}
