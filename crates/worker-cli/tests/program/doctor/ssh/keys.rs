//! Keys of ours that do not open the machine.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use testbed::{SshSetup, make_key};

use super::super::files::{NOBODY, as_nobody, open_place};
use super::super::{apply, remedy};
use super::Bench;

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

fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}
