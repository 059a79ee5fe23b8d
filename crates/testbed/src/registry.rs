//! An image registry on a free port of the loopback address, which engines
//! take as one without TLS.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::Command;
use std::time::Duration;

use anyhow::Context as _;

use crate::{Daemon, find_program, free_port};

/// The user whom a registry with a password knows.
pub const USER: &str = "tester";
/// Its password. Base64 of it has characters that are not safe in URLs.
pub const PASSWORD: &str = "~~~???>>>pass";
/// What `htpasswd -B` makes of the two.
const HTPASSWD: &str = "tester:$2y$05$n8RrhrMT6sdvIvk.sInBSOaoHSjE.CnE2mfBwL63wwpzLCX47rHD6\n";

/// A registry with nothing in it yet.
#[derive(Debug)]
pub struct Registry {
    daemon: Daemon,
    address: SocketAddr,
}

impl Registry {
    /// Starts one that everybody may use.
    ///
    /// # Errors
    ///
    /// If this machine cannot: it takes Debian's `docker-registry`.
    pub fn start() -> anyhow::Result<Self> {
        Self::start_with(false)
    }

    /// Starts one that only [`USER`] may use, with [`PASSWORD`].
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start).
    pub fn start_with_password() -> anyhow::Result<Self> {
        Self::start_with(true)
    }

    fn start_with(has_password: bool) -> anyhow::Result<Self> {
        let program = find_program("docker-registry")
            .context("there is no docker-registry: install the package of that name")?;
        let files = tempfile::Builder::new().prefix("registry-").tempdir()?;
        let own = |name: &str| files.path().join(name);
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?));
        let mut config = format!(
            "version: 0.1\nhttp:\n  addr: {address}\nstorage:\n  filesystem:\n    rootdirectory: {}\n",
            own("data").display()
        );
        if has_password {
            fs::write(own("htpasswd"), HTPASSWD)?;
            config += "auth:\n  htpasswd:\n    realm: test\n    path: ";
            config += &own("htpasswd").display().to_string();
        }
        fs::write(own("config.yml"), config)?;
        let mut command = Command::new(program);
        command.arg("serve").arg(own("config.yml"));
        let mut daemon = Daemon::start("docker-registry", &command, files, Duration::from_secs(5))?;
        daemon.wait_until(Duration::from_secs(30), |_| {
            TcpStream::connect(address).is_ok()
        })?;
        Ok(Self { daemon, address })
    }

    /// Where it listens, as the first part of an image's name.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The server process.
    pub fn daemon(&self) -> &Daemon {
        &self.daemon
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};

    use super::*;

    fn answer(registry: &Registry) -> String {
        let mut stream = TcpStream::connect(registry.address()).unwrap();
        stream
            .write_all(b"GET /v2/ HTTP/1.0\r\nHost: registry\r\n\r\n")
            .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    #[test]
    fn one_lets_everybody_in_and_the_other_does_not() {
        for (registry, status) in [
            (Registry::start(), "200"),
            (Registry::start_with_password(), "401"),
        ] {
            match registry {
                Ok(registry) => assert!(answer(&registry).contains(status)),
                Err(error) => crate::missing("docker", &format!("{error:#}")),
            }
        }
    }
}
