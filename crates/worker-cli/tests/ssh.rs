//! The program on the backend `ssh`, against a real server.

#![cfg(feature = "ssh")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use backend_core::testkit::{Action, Direction, FaultProxy};
use testbed::{SshKind, SshServer, SshSetup};

fn server() -> Option<SshServer> {
    match SshServer::start(SshKind::OpenSsh, &SshSetup::default()) {
        Ok(server) => Some(server),
        Err(error) => {
            testbed::missing("ssh", &format!("{error:#}"));
            None
        }
    }
}

fn worker(server: &SshServer, port: u16, state: &Path) -> Command {
    let known_hosts = state.join("known_hosts");
    let key = server.host_key("ed25519").unwrap();
    std::fs::write(&known_hosts, format!("127.0.0.1 {key}\n")).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_worker"));
    command
        .args(["run", "-b", "ssh"])
        .env("WORKER_STATE_DIR", state)
        .env(
            "WORKER_SSH_HOSTS",
            format!("{}@127.0.0.1:{port}", server.user()),
        )
        .env("WORKER_SSH_IDENTITY_FILE", server.identity())
        .env("WORKER_SSH_KNOWN_HOSTS", known_hosts)
        .env("WORKER_SSH_IDENTITY_AGENT", "none")
        .env("WORKER_SSH_SSH_CONFIG", "none")
        .stdin(Stdio::null());
    command
}

fn until(bound: Duration, what: &str, mut done: impl FnMut() -> bool) {
    let began = Instant::now();
    while !done() {
        assert!(began.elapsed() < bound, "not within {bound:?}: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// The processes of this machine that have `text` in their arguments.
fn processes_with(text: &str) -> usize {
    let all = std::fs::read_dir("/proc").unwrap().flatten();
    let lines = all.filter_map(|process| std::fs::read(process.path().join("cmdline")).ok());
    let lines = lines.map(|line| String::from_utf8_lossy(&line).replace('\0', " "));
    lines.filter(|line| line.contains(text)).count()
}

#[test]
fn a_job_has_its_output_and_its_exit_status() {
    let Some(server) = server() else {
        return;
    };
    let state = tempfile::tempdir().unwrap();
    let mut command = worker(&server, server.port(), state.path());
    let output = command
        .args(["-c", "echo \"$X\"; exit 43", "-e", "X=it's"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(43), "{output:?}");
    assert_eq!(output.stdout, b"it's\n");
    assert!(!server.home().join(".worker-ssh").exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_without_a_window_is_status_75() {
    let Some(server) = server() else {
        return;
    };
    let state = tempfile::tempdir().unwrap();
    let target = std::net::SocketAddr::from(([127, 0, 0, 1], server.port()));
    let proxy = FaultProxy::tcp(target).await.unwrap();
    let port = proxy.address().unwrap().port();
    for action in [Action::Reset, Action::Freeze] {
        let mut command = worker(&server, port, state.path());
        command
            .env("WORKER_SSH_RESUME_WINDOW", "0s")
            .env("WORKER_SSH_KEEPALIVE", "1s")
            .args(["-c", "head -c 20000000 /dev/zero; sleep 60"]);
        proxy.inject(Direction::FromTarget, 10_000_000, action);
        let output = tokio::task::spawn_blocking(move || command.output().unwrap())
            .await
            .unwrap();
        assert_eq!(
            output.status.code(),
            Some(75),
            "{action:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    assert!(!server.home().join(".worker-ssh").exists());
}

#[test]
fn a_worker_that_is_killed_leaves_nothing_once_the_lease_has_run_out() {
    let Some(server) = server() else {
        return;
    };
    let state = tempfile::tempdir().unwrap();
    let mark = format!("sleep {}", 100_000 + std::process::id());
    let mut command = worker(&server, server.port(), state.path());
    command
        .env("WORKER_SSH_RESUME_WINDOW", "1s")
        .env("WORKER_SSH_LEASE", "3s");
    command.args([
        "-c",
        &format!("trap '' TERM; {mark} & setsid {mark} & wait"),
    ]);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    // The worker itself has them in its arguments too, as one.
    until(Duration::from_secs(20), "the script runs", || {
        processes_with(&mark) == 3
    });
    child.kill().unwrap();
    child.wait().unwrap();
    // Nobody connects from here on.
    let slots = server.home().join(".worker-ssh");
    until(Duration::from_mins(1), "no process is left", || {
        processes_with(&mark) == 0
    });
    until(Duration::from_secs(20), "no file is left", || {
        !slots.exists()
    });
    let program = slots.display().to_string();
    until(Duration::from_secs(20), "no helper is left", || {
        processes_with(&program) == 0
    });
}
