//! Machines that lack something: found once we are in.

use testbed::{SshSetup, find_program};

use super::super::{apply, remedy};
use super::Bench;

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
    let Some(library) = testbed::faketime_library() else {
        return testbed::missing("ssh", "there is no `faketime`");
    };
    let clock = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(clock.path(), "+2h").unwrap();
    let file = clock.path().display();
    let line = format!(
        "SetEnv LD_PRELOAD={} FAKETIME_TIMESTAMP_FILE={file}",
        library.display()
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
        ok      logout a run outlives its connection
        skipped start, upload, run, stop, cancel, leftovers

    Would not work: ssh
    ");
    std::fs::write(clock.path(), "+0").unwrap();
    bench.assert_mended();
}

/// A machine where nothing outlives a connection; the remedy is to let it.
#[test]
fn all_is_ended_at_logout() {
    let setup = SshSetup {
        kills_at_logout: true,
        ..SshSetup::default()
    };
    let Some(bench) = Bench::new(&setup) else {
        return;
    };
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
        ok      host key
        ok      credentials
        ok      version Linux with what Worker needs
        ok      clock within 1 s of this machine's
        FAILED  logout
            error: failed to set up the backend on backend `ssh`
            caused by: [USER]@127.0.0.1:[PORT]: a process that is detached is ended with its connection
            hint: no run would outlive a lost connection: set `KillUserProcesses=no` in /etc/systemd/logind.conf over there and restart systemd-logind, or find what else ends the processes of a session
        skipped start, upload, run, stop, cancel, leftovers

    Would not work: ssh
    ");
    assert!(!bench.server.home().join(".worker-ssh").exists());
    let setting = format!("[Login]\n{}\n", remedy(&output));
    std::fs::write(bench.server.directory().join("logind.conf"), setting).unwrap();
    bench.assert_mended();
}
