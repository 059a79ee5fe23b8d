//! A Podman service of the tests' own, apart from any other on this machine.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::Context as _;

use crate::engine_client::{self, answers};
use crate::place::Place;
use crate::{Daemon, find_program};

/// What it takes on machines with hybrid cgroups and low limits.
const CONFIGURATION: &str = "[containers]
default_ulimits = [\"nofile=1024:1024\", \"nproc=1024:1024\"]

[engine]
runtime = \"runc\"
cgroup_manager = \"cgroupfs\"
events_logger = \"file\"
";

/// A service with its own storage and its own socket.
#[derive(Debug)]
pub struct Podman {
    // First, so that it is ended before its place is removed.
    _daemon: Daemon,
    place: Place,
}

impl Podman {
    /// Starts one.
    ///
    /// # Errors
    ///
    /// If this machine cannot: it takes root, and Debian's `podman`, `runc`
    /// and `catatonit`.
    pub fn start() -> anyhow::Result<Self> {
        find_program("podman").context("there is no podman: install the package podman")?;
        let place = Place::make()?;
        let own = |name: &str| place.directory().join(name).display().to_string();
        std::fs::write(place.directory().join("containers.conf"), CONFIGURATION)?;
        let endpoint = format!("unix://{}", own("podman.sock"));
        let mut command = Command::new("podman");
        command
            .env("CONTAINERS_CONF", own("containers.conf"))
            .args(["--root", &own("root"), "--runroot", &own("run")])
            .args(["--cgroup-manager", "cgroupfs"])
            .args(["system", "service", "--time=0", &endpoint]);
        let log = tempfile::Builder::new().prefix("podman-log-").tempdir()?;
        let mut daemon = Daemon::start("podman", &command, log, Duration::from_secs(20))?;
        std::fs::write(place.directory().join("pid"), daemon.pid().to_string())?;
        daemon.wait_until(Duration::from_mins(1), |_| answers(&endpoint))?;
        Ok(Self {
            _daemon: daemon,
            place,
        })
    }

    /// The socket as an endpoint.
    pub fn endpoint(&self) -> String {
        format!(
            "unix://{}",
            self.place.directory().join("podman.sock").display()
        )
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
}
