//! Broken set-ups of the backend `ssh`, on real servers.

mod far_side;
mod host_keys;
mod keys;

use std::process::{Command, Output, Stdio};

use testbed::{SshKind, SshServer, SshSetup};

use super::{apply, doctor, readable};
use crate::common::Place;

fn server(setup: &SshSetup) -> Option<SshServer> {
    match SshServer::start(SshKind::OpenSsh, setup) {
        Ok(server) => Some(server),
        Err(error) => {
            testbed::missing("ssh", &format!("{error:#}"));
            None
        }
    }
}

/// One server, and what is configured for it.
struct Bench {
    server: SshServer,
    place: Place,
}

impl Bench {
    fn new(setup: &SshSetup) -> Option<Self> {
        let server = server(setup)?;
        let place = Place::new();
        let known = std::fs::read(server.known_hosts().unwrap()).unwrap();
        place.file("known_hosts", known);
        std::fs::copy(server.identity(), place.path("key")).unwrap();
        Some(Self { server, place })
    }

    fn command(&self) -> Command {
        let mut command = doctor(&self.place, &["-b", "ssh"]);
        self.configure(&mut command);
        command
    }

    fn configure(&self, command: &mut Command) {
        command
            .env("WORKER_SSH_HOSTS", self.server.address())
            .env("WORKER_SSH_IDENTITY_FILE", self.place.path("key"))
            .env("WORKER_SSH_KNOWN_HOSTS", self.place.path("known_hosts"))
            .env("WORKER_SSH_IDENTITY_AGENT", "none")
            .env("WORKER_SSH_SSH_CONFIG", "none");
    }

    fn examined(&self) -> (String, Output) {
        self.shown(&mut self.command())
    }

    fn shown(&self, command: &mut Command) -> (String, Output) {
        let output = command.output().unwrap();
        let own = self.place.directory.path().display().to_string();
        let port = self.server.port().to_string();
        let user = format!("{}@", self.server.user());
        let names = [
            (own.as_str(), "[PLACE]"),
            (port.as_str(), "[PORT]"),
            (user.as_str(), "[USER]@"),
        ];
        (readable(&output, &names), output)
    }

    fn assert_mended(&self) {
        let (text, _) = self.examined();
        assert!(text.starts_with("status 0\n"), "{text}");
        assert!(!self.server.home().join(".worker-ssh").exists());
    }
}

#[test]
fn all_is_well() {
    let Some(bench) = Bench::new(&SshSetup::default()) else {
        return;
    };
    insta::assert_snapshot!(bench.examined().0, @"
    status 0
    ssh (Account on a machine reached over SSH)
      Configuration:
        hosts = [USER]@127.0.0.1:[PORT] (environment variable WORKER_SSH_HOSTS)
        identity-file = [PLACE]/key (environment variable WORKER_SSH_IDENTITY_FILE)
        identity-agent = none (environment variable WORKER_SSH_IDENTITY_AGENT)
        known-hosts = [PLACE]/known_hosts (environment variable WORKER_SSH_KNOWN_HOSTS)
        ssh-config = none (environment variable WORKER_SSH_SSH_CONFIG)
        defaults for 15 more (`worker backends ssh --explain`)
      It would use:
        host [USER]@127.0.0.1:[PORT] (the option `hosts`; 4 slots, weight 1): used
        known hosts [PLACE]/known_hosts (the option `known-hosts`): used
        identity [PLACE]/key (the option `identity-file`): used
      Steps:
        ok      configuration
        ok      connect
        ok      host key
        ok      credentials
        ok      version Linux with what Worker needs
        ok      clock within 1 s of this machine's
        ok      logout a run outlives its connection
        ok      start
        ok      upload
        ok      run
        ok      stop
        ok      cancel
        ok      leftovers none

    All would work
    ");
    bench.assert_mended();
}

/// One of two machines is down: it would be passed over, and is told.
#[test]
fn one_of_two_machines_is_down() {
    let Some(bench) = Bench::new(&SshSetup::default()) else {
        return;
    };
    let mut command = bench.command();
    let hosts = format!(
        "{},{}@127.0.0.1:1",
        bench.server.address(),
        bench.server.user()
    );
    command.env("WORKER_SSH_HOSTS", hosts);
    insta::assert_snapshot!(bench.shown(&mut command).0, @"
    status 1
    ssh (Account on a machine reached over SSH)
      Configuration:
        hosts = [USER]@127.0.0.1:[PORT],[USER]@127.0.0.1:1 (environment variable WORKER_SSH_HOSTS)
        identity-file = [PLACE]/key (environment variable WORKER_SSH_IDENTITY_FILE)
        identity-agent = none (environment variable WORKER_SSH_IDENTITY_AGENT)
        known-hosts = [PLACE]/known_hosts (environment variable WORKER_SSH_KNOWN_HOSTS)
        ssh-config = none (environment variable WORKER_SSH_SSH_CONFIG)
        defaults for 15 more (`worker backends ssh --explain`)
      It would use:
        host [USER]@127.0.0.1:[PORT] (the option `hosts`; 4 slots, weight 1): used
        known hosts [PLACE]/known_hosts (the option `known-hosts`): used
        identity [PLACE]/key (the option `identity-file`): used
        host [USER]@127.0.0.1:1 (the option `hosts`; 4 slots, weight 1): cannot be used: see the steps
        known hosts [PLACE]/known_hosts (the option `known-hosts`): used
        identity [PLACE]/key (the option `identity-file`): used
      Steps:
        ok      configuration
        ok      connect [USER]@127.0.0.1:[PORT]
        ok      host key [USER]@127.0.0.1:[PORT]
        ok      credentials [USER]@127.0.0.1:[PORT]
        ok      version [USER]@127.0.0.1:[PORT] Linux with what Worker needs
        ok      clock [USER]@127.0.0.1:[PORT] within 1 s of this machine's
        ok      logout [USER]@127.0.0.1:[PORT] a run outlives its connection
        FAILED  connect
            error: failed to set up the backend on backend `ssh`
            caused by: cannot connect to [USER]@127.0.0.1:1
            caused by: Connection refused (os error 111)
            hint: check that the SSH server runs, and its port
        skipped start, upload, run, stop, cancel, leftovers

    Would not work: ssh
    ");
    bench.assert_mended();
}

/// A machine that says nothing, for longer than its reader wants to wait.
#[test]
fn an_interrupt_ends_the_examination() {
    let place = Place::new();
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let host = format!("nobody@{}", silent.local_addr().unwrap());
    let mut command = doctor(&place, &["-b", "ssh", "-o", &format!("hosts={host}")]);
    command
        .env("WORKER_SSH_SSH_CONFIG", "none")
        .stdout(Stdio::piped());
    let child = command.spawn().unwrap();
    let _connection = silent.accept().unwrap();
    apply(&format!("kill -INT {}", child.id()));
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("it was cancelled"), "{text}");
}
