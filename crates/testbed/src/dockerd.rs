//! A Docker engine of the tests' own, apart from any other on this machine.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Context as _;

use crate::engine_client::{self, answers};
use crate::place::Place;
use crate::{Daemon, find_program, rootfs};

/// An engine with its own data, its own socket and its own bridge.
#[derive(Debug)]
pub struct Dockerd {
    // First, so that it is ended before its place is removed.
    daemon: Option<Daemon>,
    arguments: Vec<String>,
    place: Place,
}

impl Dockerd {
    /// Starts one.
    ///
    /// # Errors
    ///
    /// If this machine cannot: it takes root, and Debian's `docker.io`.
    pub fn start() -> anyhow::Result<Self> {
        Self::start_with::<&str>([])
    }

    /// Starts one with further arguments.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start).
    pub fn start_with<A: Into<String>>(
        arguments: impl IntoIterator<Item = A>,
    ) -> anyhow::Result<Self> {
        find_program("dockerd").context("there is no dockerd: install the package docker.io")?;
        let mut engine = Self {
            daemon: None,
            arguments: arguments.into_iter().map(Into::into).collect(),
            place: Place::with_bridge()?,
        };
        engine.up()?;
        Ok(engine)
    }

    /// The socket.
    pub fn socket(&self) -> PathBuf {
        self.place.directory().join("docker.sock")
    }

    /// The socket as an endpoint.
    pub fn endpoint(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    /// The server process, while it is up.
    pub fn daemon(&self) -> Option<&Daemon> {
        self.daemon.as_ref()
    }

    /// Ends it in good order; containers go with it.
    pub fn down(&mut self) {
        self.daemon = None;
    }

    /// Kills it: containers go on without it.
    ///
    /// # Errors
    ///
    /// If it is down.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        let daemon = self.daemon.take().context("the engine is down")?;
        daemon.signal(libc::SIGKILL)?;
        drop(daemon);
        // What it would have removed itself.
        std::fs::remove_file(self.place.directory().join("pid")).ok();
        Ok(())
    }

    /// Starts it again, with the data that it had.
    ///
    /// # Errors
    ///
    /// If it does not come up.
    pub fn up(&mut self) -> anyhow::Result<()> {
        let mut attempts = 3;
        loop {
            attempts -= 1;
            match self.begin() {
                Ok(daemon) => {
                    self.daemon = Some(daemon);
                    return Ok(());
                }
                Err(error) if attempts == 0 => return Err(error),
                // A containerd that an engine left as it was killed may hang, and
                // the next one waits for it in vain.
                Err(_) => self.end_containerd(),
            }
        }
    }

    fn begin(&self) -> anyhow::Result<Daemon> {
        let own = |name: &str| self.place.directory().join(name).display().to_string();
        let mut command = Command::new("dockerd");
        command
            .args(["--data-root", &own("data")])
            .args(["--exec-root", &own("exec")])
            .args(["--pidfile", &own("pid")])
            .args(["--host", &self.endpoint()])
            .args(["--iptables=false", "--bridge", self.place.bridge()])
            .args(&self.arguments);
        let log = tempfile::Builder::new().prefix("dockerd-log-").tempdir()?;
        let mut daemon = Daemon::start("dockerd", &command, log, Duration::from_secs(30))?;
        let endpoint = self.endpoint();
        daemon.wait_until(Duration::from_mins(1), |_| answers(&endpoint))?;
        Ok(daemon)
    }

    /// Ends what is left of an engine that was killed, if it still runs.
    fn end_containerd(&self) {
        let containerd = self.place.directory().join("exec/containerd");
        let file = containerd.join("containerd.pid");
        let Some(pid) = std::fs::read_to_string(&file)
            .ok()
            .and_then(|it| it.trim().parse().ok())
        else {
            return;
        };
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let place = containerd.display().to_string();
        // Its id may be another's by now.
        if String::from_utf8_lossy(&line).contains(&place) {
            #[expect(unsafe_code, reason = "kill(2) touches no memory of ours")]
            // SAFETY: two integers go to the kernel.
            unsafe {
                libc::kill(pid, libc::SIGKILL);
            }
        }
        std::fs::remove_file(file).ok();
    }

    /// Runs the docker client against it, and gives what it printed.
    ///
    /// # Errors
    ///
    /// If the client fails; with what it said.
    pub fn client(&self, arguments: &[&str]) -> anyhow::Result<String> {
        engine_client::run(&self.endpoint(), arguments)
    }

    /// Imports a root file system as an image of this name, with changes as
    /// in a Dockerfile (`USER nobody`).
    ///
    /// # Errors
    ///
    /// If it cannot be made, or imported.
    pub fn import(
        &self,
        name: &str,
        make: fn(&Path) -> anyhow::Result<()>,
        changes: &[&str],
    ) -> anyhow::Result<()> {
        engine_client::import(&self.endpoint(), name, make, changes)
    }

    /// Imports the image `busybox:test`: static busybox and nothing else.
    ///
    /// # Errors
    ///
    /// If it cannot be made, or imported.
    pub fn import_busybox(&self) -> anyhow::Result<()> {
        self.import("busybox:test", rootfs::busybox, &["ENV PATH=/bin:/usr/bin"])
    }
}
