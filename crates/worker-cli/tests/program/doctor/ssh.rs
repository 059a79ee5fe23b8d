//! Broken set-ups of the backend `ssh`, on real servers.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use testbed::{SshKind, SshServer, SshSetup, find_program, make_key};

use super::files::{NOBODY, as_nobody, open_place};
use super::{apply, doctor, readable, remedy};
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

#[test]
fn unknown_host_key() {
    let Some(bench) = Bench::new(&SshSetup::default()) else {
        return;
    };
    bench.place.file("known_hosts", "");
    let (text, output) = bench.examined();
    insta::assert_snapshot!(text, @"
    status 1
    ssh (Account on a machine reached over SSH)
      Configuration:
        hosts = [USER]@127.0.0.1:[PORT] (environment variable WORKER_SSH_HOSTS)
        identity-file = [PLACE]/key (environment variable WORKER_SSH_IDENTITY_FILE)
        identity-agent = none (environment variable WORKER_SSH_IDENTITY_AGENT)
        known-hosts = [PLACE]/known_hosts (environment variable WORKER_SSH_KNOWN_HOSTS)
        ssh-config = none (environment variable WORKER_SSH_SSH_CONFIG)
        defaults for 15 more (`worker backends ssh --explain`)
      It would use:
        host [USER]@127.0.0.1:[PORT] (the option `hosts`; 4 slots, weight 1): cannot be used: see the steps
        known hosts [PLACE]/known_hosts (the option `known-hosts`): used
        identity [PLACE]/key (the option `identity-file`): used
      Steps:
        ok      configuration
        ok      connect
        FAILED  host key
            error: failed to set up the backend on backend `ssh`
            caused by: the host key of [127.0.0.1]:[PORT] (ssh-ed25519 [FINGERPRINT]) is not known: [PLACE]/known_hosts has no entry for [127.0.0.1]:[PORT]
            hint: make sure that this fingerprint is the right one, and add the key (`ssh-keyscan -t ed25519 -p [PORT] 127.0.0.1 >> [PLACE]/known_hosts`), or set `host-key-policy` to `accept-new`
        skipped start, upload, run, stop, cancel, leftovers

    Would not work: ssh
    ");
    apply(&remedy(&output));
    bench.assert_mended();
}

/// Its remedy makes it an unknown one, with the remedy for that.
#[test]
fn changed_host_key() {
    let Some(bench) = Bench::new(&SshSetup::default()) else {
        return;
    };
    make_key(&bench.place.path("other"), "ed25519", "").unwrap();
    let other = std::fs::read_to_string(bench.place.path("other.pub")).unwrap();
    let known = format!("[127.0.0.1]:{} {other}", bench.server.port());
    bench.place.file("known_hosts", known);
    let (text, output) = bench.examined();
    insta::assert_snapshot!(text, @"
    status 1
    ssh (Account on a machine reached over SSH)
      Configuration:
        hosts = [USER]@127.0.0.1:[PORT] (environment variable WORKER_SSH_HOSTS)
        identity-file = [PLACE]/key (environment variable WORKER_SSH_IDENTITY_FILE)
        identity-agent = none (environment variable WORKER_SSH_IDENTITY_AGENT)
        known-hosts = [PLACE]/known_hosts (environment variable WORKER_SSH_KNOWN_HOSTS)
        ssh-config = none (environment variable WORKER_SSH_SSH_CONFIG)
        defaults for 15 more (`worker backends ssh --explain`)
      It would use:
        host [USER]@127.0.0.1:[PORT] (the option `hosts`; 4 slots, weight 1): cannot be used: see the steps
        known hosts [PLACE]/known_hosts (the option `known-hosts`): used
        identity [PLACE]/key (the option `identity-file`): used
      Steps:
        ok      configuration
        ok      connect
        FAILED  host key
            error: failed to set up the backend on backend `ssh`
            caused by: the host key of [127.0.0.1]:[PORT] (ssh-ed25519 [FINGERPRINT]) has changed: [PLACE]/known_hosts:1 has ssh-ed25519 [FINGERPRINT]
            hint: someone may listen in; if the machine was really changed, forget its old key: `ssh-keygen -R '[127.0.0.1]:[PORT]' -f [PLACE]/known_hosts`
        skipped start, upload, run, stop, cancel, leftovers

    Would not work: ssh
    ");
    apply(&remedy(&output));
    let (text, output) = bench.examined();
    assert!(text.contains("is not known"), "{text}");
    apply(&remedy(&output));
    bench.assert_mended();
}

/// The remedy is the key that the machine knows.
#[test]
fn refused_authentication() {
    let Some(bench) = Bench::new(&SshSetup::default()) else {
        return;
    };
    make_key(&bench.place.path("other"), "ed25519", "").unwrap();
    let mut command = bench.command();
    command.env("WORKER_SSH_IDENTITY_FILE", bench.place.path("other"));
    insta::assert_snapshot!(bench.shown(&mut command).0, @"
    status 1
    ssh (Account on a machine reached over SSH)
      Configuration:
        hosts = [USER]@127.0.0.1:[PORT] (environment variable WORKER_SSH_HOSTS)
        identity-file = [PLACE]/other (environment variable WORKER_SSH_IDENTITY_FILE)
        identity-agent = none (environment variable WORKER_SSH_IDENTITY_AGENT)
        known-hosts = [PLACE]/known_hosts (environment variable WORKER_SSH_KNOWN_HOSTS)
        ssh-config = none (environment variable WORKER_SSH_SSH_CONFIG)
        defaults for 15 more (`worker backends ssh --explain`)
      It would use:
        host [USER]@127.0.0.1:[PORT] (the option `hosts`; 4 slots, weight 1): cannot be used: see the steps
        known hosts [PLACE]/known_hosts (the option `known-hosts`): used
        identity [PLACE]/other (the option `identity-file`): used
      Steps:
        ok      configuration
        ok      connect
        ok      host key
        FAILED  credentials
            error: failed to set up the backend on backend `ssh`
            caused by: [USER]@127.0.0.1:[PORT] refused root: tried the key [PLACE]/other; it takes publickey
            hint: name a key with `identity-file`, run an agent, or set WORKER_SSH_PASSWORD
        skipped start, upload, run, stop, cancel, leftovers

    Would not work: ssh
    ");
    bench.assert_mended();
}

#[test]
fn a_key_that_others_may_read() {
    let Some(bench) = Bench::new(&SshSetup::default()) else {
        return;
    };
    set_mode(&bench.place.path("key"), 0o644);
    let (text, output) = bench.examined();
    insta::assert_snapshot!(text, @"
    status 1
    ssh (Account on a machine reached over SSH)
      Configuration:
        hosts = [USER]@127.0.0.1:[PORT] (environment variable WORKER_SSH_HOSTS)
        identity-file = [PLACE]/key (environment variable WORKER_SSH_IDENTITY_FILE)
        identity-agent = none (environment variable WORKER_SSH_IDENTITY_AGENT)
        known-hosts = [PLACE]/known_hosts (environment variable WORKER_SSH_KNOWN_HOSTS)
        ssh-config = none (environment variable WORKER_SSH_SSH_CONFIG)
        defaults for 15 more (`worker backends ssh --explain`)
      It would use:
        host [USER]@127.0.0.1:[PORT] (the option `hosts`; 4 slots, weight 1): cannot be used: see the steps
        known hosts [PLACE]/known_hosts (the option `known-hosts`): used
        identity [PLACE]/key (the option `identity-file`): cannot be used: it has mode 0644: others may read it
      Steps:
        ok      configuration
        ok      connect
        ok      host key
        FAILED  credentials
            error: failed to set up the backend on backend `ssh`
            caused by: the private key [PLACE]/key has mode 0644: others may read it
            hint: take their right away: `chmod 600 [PLACE]/key`
        skipped start, upload, run, stop, cancel, leftovers

    Would not work: ssh
    ");
    apply(&remedy(&output));
    bench.assert_mended();
}

/// A key that another user has; the remedy is to have it.
#[test]
fn a_key_that_cannot_be_read() {
    let Some(mut bench) = Bench::new(&SshSetup::default()) else {
        return;
    };
    let open = open_place();
    for name in ["key", "known_hosts"] {
        std::fs::copy(bench.place.path(name), open.path(name)).unwrap();
    }
    bench.place = open;
    set_mode(&bench.place.path("known_hosts"), 0o644);
    let command = || {
        let mut command = as_nobody("ssh", &bench.place, &["doctor", "-b", "ssh"], NOBODY)?;
        bench.configure(&mut command);
        Some(command)
    };
    let Some(mut broken) = command() else { return };
    let (text, output) = bench.shown(&mut broken);
    insta::assert_snapshot!(text, @"
    status 1
    ssh (Account on a machine reached over SSH)
      Configuration:
        hosts = [USER]@127.0.0.1:[PORT] (environment variable WORKER_SSH_HOSTS)
        identity-file = [PLACE]/key (environment variable WORKER_SSH_IDENTITY_FILE)
        identity-agent = none (environment variable WORKER_SSH_IDENTITY_AGENT)
        known-hosts = [PLACE]/known_hosts (environment variable WORKER_SSH_KNOWN_HOSTS)
        ssh-config = none (environment variable WORKER_SSH_SSH_CONFIG)
        defaults for 15 more (`worker backends ssh --explain`)
      It would use:
        host [USER]@127.0.0.1:[PORT] (the option `hosts`; 4 slots, weight 1): cannot be used: see the steps
        known hosts [PLACE]/known_hosts (the option `known-hosts`): used
        identity [PLACE]/key (the option `identity-file`): cannot be used: it cannot be read: permission denied: it has mode 0600, user root, group root
      Steps:
        ok      configuration
        ok      connect
        ok      host key
        FAILED  credentials
            error: failed to set up the backend on backend `ssh`
            caused by: the private key [PLACE]/key cannot be read: permission denied: it has mode 0600, user root, group root
            hint: give it to this user (`chown $USER [PLACE]/key`, as root), or name another with the option `identity-file`
        skipped start, upload, run, stop, cancel, leftovers

    Would not work: ssh
    ");
    let said = remedy(&output);
    assert!(said.starts_with("chown "), "{said}");
    apply(&said.replace("$USER", &NOBODY.to_string()));
    let (text, _) = bench.shown(&mut command().unwrap());
    assert!(text.starts_with("status 0\n"), "{text}");
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

/// The remedy is the program: here, what hides it is taken away.
#[test]
fn no_setsid_on_the_machine() {
    let Some(setsid) = find_program("setsid") else {
        return testbed::missing("ssh", "there is no `setsid` to hide");
    };
    let setup = SshSetup {
        // No program, since it may not be executed.
        files: vec![(setsid.clone(), String::new())],
        ..SshSetup::default()
    };
    let Some(bench) = Bench::new(&setup) else {
        return;
    };
    insta::assert_snapshot!(bench.examined().0, @"
    status 1
    ssh (Account on a machine reached over SSH)
      Configuration:
        hosts = [USER]@127.0.0.1:[PORT] (environment variable WORKER_SSH_HOSTS)
        identity-file = [PLACE]/key (environment variable WORKER_SSH_IDENTITY_FILE)
        identity-agent = none (environment variable WORKER_SSH_IDENTITY_AGENT)
        known-hosts = [PLACE]/known_hosts (environment variable WORKER_SSH_KNOWN_HOSTS)
        ssh-config = none (environment variable WORKER_SSH_SSH_CONFIG)
        defaults for 15 more (`worker backends ssh --explain`)
      It would use:
        host [USER]@127.0.0.1:[PORT] (the option `hosts`; 4 slots, weight 1): cannot be used: see the steps
        known hosts [PLACE]/known_hosts (the option `known-hosts`): used
        identity [PLACE]/key (the option `identity-file`): used
      Steps:
        ok      configuration
        ok      connect
        ok      host key
        ok      credentials
        FAILED  version
            error: failed to set up the backend on backend `ssh`
            caused by: [USER]@127.0.0.1:[PORT]: there is no `setsid` on the machine
            hint: the machine needs Linux with util-linux or busybox
        skipped start, upload, run, stop, cancel, leftovers

    Would not work: ssh
    ");
    let process = bench.server.daemon().pid();
    let setsid = setsid.display();
    apply(&format!(
        "nsenter --target {process} --mount umount {setsid}"
    ));
    bench.assert_mended();
}

/// A machine whose clock is two hours ahead; the remedy is to set it.
#[test]
fn clock_skew() {
    let Some(faketime) = find_program("faketime") else {
        return testbed::missing("ssh", "there is no `faketime`");
    };
    let mut command = Command::new(faketime);
    let library = command
        .args(["-f", "+0", "printenv", "LD_PRELOAD"])
        .output();
    let library = String::from_utf8(library.unwrap().stdout).unwrap();
    let clock = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(clock.path(), "+2h").unwrap();
    let file = clock.path().display();
    let line = format!(
        "SetEnv LD_PRELOAD={} FAKETIME_TIMESTAMP_FILE={file}",
        library.trim()
    );
    let setup = SshSetup {
        lines: vec![line],
        ..SshSetup::default()
    };
    let Some(bench) = Bench::new(&setup) else {
        return;
    };
    insta::assert_snapshot!(bench.examined().0, @"
    status 1
    ssh (Account on a machine reached over SSH)
      Configuration:
        hosts = [USER]@127.0.0.1:[PORT] (environment variable WORKER_SSH_HOSTS)
        identity-file = [PLACE]/key (environment variable WORKER_SSH_IDENTITY_FILE)
        identity-agent = none (environment variable WORKER_SSH_IDENTITY_AGENT)
        known-hosts = [PLACE]/known_hosts (environment variable WORKER_SSH_KNOWN_HOSTS)
        ssh-config = none (environment variable WORKER_SSH_SSH_CONFIG)
        defaults for 15 more (`worker backends ssh --explain`)
      It would use:
        host [USER]@127.0.0.1:[PORT] (the option `hosts`; 4 slots, weight 1): cannot be used: see the steps
        known hosts [PLACE]/known_hosts (the option `known-hosts`): used
        identity [PLACE]/key (the option `identity-file`): used
      Steps:
        ok      configuration
        ok      connect
        ok      host key
        ok      credentials
        ok      version Linux with what Worker needs
        FAILED  clock
            error: its clock is 120 minutes ahead of this machine's
            hint: set both clocks (`timedatectl set-ntp true`): certificates, and the age by which others remove what was left, go by them
        skipped start, upload, run, stop, cancel, leftovers

    Would not work: ssh
    ");
    std::fs::write(clock.path(), "+0").unwrap();
    bench.assert_mended();
}

fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}
