//! The conformance suite against the backend `ssh`, on OpenSSH's sshd and on
//! dropbear, with all of the far side's tools as they are here.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::process::ExitCode;

use backend_core::testkit::{self, Target};
use testbed::{SshKind, SshServer, SshSetup};

fn main() -> ExitCode {
    // Before daemons are started that it would not use.
    testkit::second_worker();
    let servers: Vec<_> = [
        ("ssh-openssh", SshKind::OpenSsh),
        ("ssh-dropbear", SshKind::Dropbear),
    ]
    .into_iter()
    .map(|(name, kind)| (name, SshServer::start(kind, &SshSetup::default())))
    .collect();
    let targets: Vec<_> = servers
        .iter()
        .map(|(name, server)| target(name, server))
        .collect();
    testkit::main(targets)
}

fn target(name: &str, server: &anyhow::Result<SshServer>) -> Target {
    let target = Target::new(&backend_ssh::BACKEND)
        .named(name)
        .processes_visible(true);
    match server {
        Ok(server) => {
            let known_hosts = server.known_hosts().expect("known hosts can be written");
            target.config([
                ("hosts", server.address()),
                ("slots", "64".into()),
                ("identity-file", server.identity().display().to_string()),
                ("known-hosts", known_hosts.display().to_string()),
                ("identity-agent", "none".into()),
                ("ssh-config", "none".into()),
            ])
        }
        Err(error) => {
            testbed::missing("ssh", &error.to_string());
            target.unavailable(error.to_string())
        }
    }
}
