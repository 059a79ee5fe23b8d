//! Host keys that are not what they should be.

use testbed::{SshSetup, make_key};

use super::super::{apply, remedy};
use super::Bench;

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
