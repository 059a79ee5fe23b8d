//! A client that is killed: its instance is gone when its lease is.

use std::process::Command;
use std::time::Duration;

use testbed::Daemon;

use crate::client::{eventually, processes_with, provider, ready, run};
use crate::support::{Plan, SERVING};

const VARIABLE: &str = "WORKER_TEST_CLIENT";

/// Is the client, if this process is to be one.
pub(crate) fn run_if_asked() {
    let Ok(asked) = std::env::var(VARIABLE) else {
        return;
    };
    let (endpoint, marker) = asked.split_once(' ').unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let provider = provider(endpoint, &[("lease", "3s")]);
        let instance = ready(&*provider, &format!("trap '' TERM\nsleep {marker}\n")).await;
        let _ = run(&*instance).await;
    });
}

#[tokio::test]
async fn its_instance_lives_while_it_does_and_not_much_longer() {
    let mut plan = Plan::new("local");
    plan.grace_seconds = Some(1);
    let serving = plan.start();
    let marker = format!("{}", 100_000 + fastrand::u32(..900_000));
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args([SERVING, "--exact", "--nocapture"])
        .env(VARIABLE, format!("{} {marker}", serving.endpoint));
    let directory = tempfile::tempdir().unwrap();
    let client = Daemon::start("client", &command, directory, Duration::from_secs(5)).unwrap();
    let runs = || processes_with(&marker) == 1;
    eventually("the script", Duration::from_secs(30), runs).await;
    // Renewed, it outlives its first lease by far.
    tokio::time::sleep(Duration::from_secs(7)).await;
    assert!(runs());
    client.signal(9).unwrap();
    eventually("the end of the script", Duration::from_secs(20), || {
        processes_with(&marker) == 0
    })
    .await;
    let gone = || {
        let (_, list) = crate::client::request(
            serving.address(),
            "GET",
            "/v1/instances?state=gone",
            &[],
            b"",
        );
        list.contains(r#""end":{"by":"lease"}"#)
    };
    eventually("the end of the instance", Duration::from_secs(20), gone).await;
}
