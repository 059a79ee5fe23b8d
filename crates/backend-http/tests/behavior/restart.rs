//! A server that ends, and one that begins where it was.

use std::time::Duration;

use backend_core::{LossCause, Outcome};

use crate::client::{eventually, processes_with, provider, ready, run};
use crate::support::{Plan, Serving};

const KILL: i32 = 9;
const TERM: i32 = 15;

/// A server on a port and a directory that outlive it.
fn first(directory: &tempfile::TempDir) -> Serving {
    let mut plan = Plan::new("local").option(
        "directory",
        directory.path().join("instances").to_str().unwrap(),
    );
    plan.state = Some(directory.path().join("state"));
    plan.port = testbed::free_port().unwrap();
    plan.start()
}

async fn ended(serving: &Serving) {
    let process = format!("/proc/{}", serving.daemon.pid());
    eventually("the end of the server", Duration::from_mins(1), || {
        !std::path::Path::new(&process).exists()
    })
    .await;
}

#[tokio::test]
async fn a_run_is_lost_with_a_killed_server_and_nothing_is_left() {
    let directory = tempfile::tempdir().unwrap();
    let serving = first(&directory);
    let provider = provider(&serving.endpoint, &[("resume-window", "60s")]);
    let marker = format!("{}", 100_000 + fastrand::u32(..900_000));
    // One that runs, one that is only ready, one that has ended.
    let script = format!("echo begun\nsleep {marker} &\nsleep {marker}\necho never\n");
    let running = ready(&*provider, &script).await;
    let idle = ready(&*provider, "exit 0\n").await;
    let over = ready(&*provider, "echo well; exit 5\n").await;
    let (result, _) = run(&*over).await;
    assert_eq!(result.exit_code(), Some(5));

    let restart = async {
        eventually("two processes", Duration::from_secs(20), || {
            processes_with(&marker) == 2
        })
        .await;
        serving.daemon.signal(KILL).unwrap();
        ended(&serving).await;
        assert!(processes_with(&marker) > 0, "they outlive the server");
        serving.plan.clone().start()
    };
    let ((result, output), again) = tokio::join!(run(&*running), restart);
    assert_eq!(output, b"begun\n");
    let Outcome::Lost(loss) = &result.outcome else {
        panic!("{result:?}");
    };
    assert_eq!(loss.cause, LossCause::BackendGone, "{result:?}");
    assert!(loss.detail.contains("started anew"), "{result:?}");
    assert!(!result.output_complete);

    eventually("the end of all processes", Duration::from_secs(20), || {
        processes_with(&marker) == 0
    })
    .await;
    for instance in [running, idle, over] {
        instance.stop().await.unwrap();
    }
    assert!(provider.list().await.unwrap().is_empty());
    let left = std::fs::read_dir(directory.path().join("instances"));
    assert_eq!(left.map_or(0, Iterator::count), 0);
    // And it takes new ones.
    let instance = ready(&*provider, "exit 6\n").await;
    assert_eq!(run(&*instance).await.0.exit_code(), Some(6));
    instance.stop().await.unwrap();
    drop(again);
}

#[tokio::test]
async fn what_one_server_removed_for_another_is_gone_for_the_third() {
    let directory = tempfile::tempdir().unwrap();
    let mut serving = first(&directory);
    let provider = provider(&serving.endpoint, &[("resume-window", "60s")]);
    let instance = ready(&*provider, "exit 0\n").await;
    let path = format!("/v1/instances/{}", instance.id());
    let address = serving.address();
    let told = || crate::client::request(address, "GET", &path, &[], b"").1;
    for _ in 0..2 {
        serving.daemon.signal(KILL).unwrap();
        ended(&serving).await;
        serving = serving.plan.clone().start();
        eventually("that it is gone", Duration::from_secs(20), || {
            told().contains("\"gone\"")
        })
        .await;
    }
    instance.stop().await.unwrap();
    // So there is nothing that a server would wait for as it ends.
    serving.daemon.signal(TERM).unwrap();
    ended(&serving).await;
    let log = serving.daemon.log();
    assert!(!log.contains("ending what is left"), "{log}");
}

#[tokio::test]
async fn a_verdict_survives_a_killed_server() {
    let directory = tempfile::tempdir().unwrap();
    let serving = first(&directory);
    let address = serving.address();
    let get = |path: &str| crate::client::request(address, "GET", path, &[], b"");
    let put = |path: &str, body: &str| {
        crate::client::request(
            address,
            "PUT",
            path,
            &[crate::client::JSON],
            body.as_bytes(),
        )
        .0
    };
    assert_eq!(put("/v1/instances/one", "{}"), 201);
    let ready = || get("/v1/instances/one").1.contains("\"ready\"");
    eventually("an instance", Duration::from_secs(20), ready).await;
    assert_eq!(put("/v1/instances/one/script", "echo well; exit 5"), 201);
    assert_eq!(put("/v1/instances/one/runs/r", "{}"), 201);
    let ended_run = || get("/v1/instances/one/runs/r").1.contains("\"ended\"");
    eventually("the end of the run", Duration::from_secs(20), ended_run).await;

    serving.daemon.signal(KILL).unwrap();
    ended(&serving).await;
    let again = serving.plan.clone().start();
    let (status, told) = get("/v1/instances/one/runs/r");
    assert_eq!(status, 200);
    assert!(
        told.contains(r#""outcome":{"kind":"exit","code":5}"#),
        "{told}"
    );
    let (_, output) = get("/v1/instances/one/runs/r/output");
    assert!(
        output.ends_with("\r\n\r\nwell\n") && output.contains("worker-complete: true"),
        "{output}"
    );
    let gone = || {
        let told = get("/v1/instances/one").1;
        told.contains(r#""state":"gone""#) && told.contains(r#""by":"restart""#)
    };
    eventually("the end of the instance", Duration::from_secs(20), gone).await;
    assert_eq!(
        put("/v1/instances/one", "{}"),
        410,
        "the same id is not started again"
    );
    drop(again);
}

#[tokio::test]
async fn a_drain_lets_runs_end_and_then_ends_them() {
    let mut plan = Plan::new("local");
    (plan.drain_seconds, plan.grace_seconds) = (Some(3), Some(2));
    let serving = plan.start();
    let provider = provider(&serving.endpoint, &[("resume-window", "30s")]);
    let short = ready(&*provider, "echo short\nsleep 1\nexit 4\n").await;
    let marker = format!("{}", 100_000 + fastrand::u32(..900_000));
    let long = ready(
        &*provider,
        &format!("trap 'exit 0' TERM\necho long\nsleep {marker} & wait\n"),
    )
    .await;
    let drain = async {
        eventually("a process", Duration::from_secs(20), || {
            processes_with(&marker) == 1
        })
        .await;
        serving.daemon.signal(TERM).unwrap();
        let ready = || crate::client::request(serving.address(), "GET", "/readyz", &[], b"").0;
        eventually("the drain", Duration::from_secs(10), || ready() == 503).await;
        let (status, text) = crate::client::request(
            serving.address(),
            "PUT",
            "/v1/instances/late",
            &[crate::client::JSON],
            b"{}",
        );
        assert_eq!(status, 503, "{text}");
    };
    let finish = async {
        let ran = run(&*short).await;
        short.stop().await.unwrap();
        ran
    };
    let ((short_result, _), (long_result, output), ()) = tokio::join!(finish, run(&*long), drain);
    assert_eq!(short_result.exit_code(), Some(4));
    // It exits with 0 when it is told to end: that is no success of its own.
    let Outcome::Lost(loss) = &long_result.outcome else {
        panic!("{long_result:?}");
    };
    assert_eq!(
        (loss.cause, output.as_slice()),
        (LossCause::EndedElsewhere, &b"long\n"[..])
    );
    assert!(loss.detail.contains("shut down"), "{loss:?}");
    ended(&serving).await;
    assert_eq!(processes_with(&marker), 0);
}
