//! `worker serve`, with a state of its own.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::{Daemon, free_port};

/// A server of the program `worker` on a loopback port.
#[derive(Debug)]
pub struct WorkerServer {
    daemon: Daemon,
    address: SocketAddr,
}

impl WorkerServer {
    /// Starts the program at `worker` as a server in front of a backend, with
    /// further arguments, and waits until it answers.
    ///
    /// # Errors
    ///
    /// If it cannot be started, or does not come up.
    pub fn start(worker: &Path, backend: &str, arguments: &[&str]) -> anyhow::Result<Self> {
        let directory = tempfile::tempdir()?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?));
        let mut serve = Command::new(worker);
        serve
            .args(["serve", "-b", backend, "--listen", &address.to_string()])
            .args(arguments)
            .env("WORKER_STATE_DIR", directory.path().join("state"))
            .env("WORKER_LOCAL_DIRECTORY", directory.path().join(INSTANCES));
        let grace = Duration::from_secs(40);
        let daemon = Daemon::start("worker serve", &serve, directory, grace)?;
        let mut started = Self { daemon, address };
        started.wait()?;
        Ok(started)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The process.
    pub fn daemon(&self) -> &Daemon {
        &self.daemon
    }

    /// Where its instances have their directories.
    pub fn instances(&self) -> PathBuf {
        self.daemon.directory().join(INSTANCES)
    }

    /// Sends it a signal that ends it, and starts it again with its state.
    ///
    /// # Errors
    ///
    /// If it is gone already, or does not come up.
    pub fn end_and_start(&mut self, signal: i32) -> anyhow::Result<()> {
        self.daemon.end_by(signal)?;
        self.daemon.start_again()?;
        self.wait()
    }

    fn wait(&mut self) -> anyhow::Result<()> {
        let address = self.address;
        self.daemon.wait_until(Duration::from_mins(1), |_| {
            TcpStream::connect(address).is_ok()
        })
    }
}

const INSTANCES: &str = "instances";
