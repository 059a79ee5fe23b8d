//! The engine itself stopped, restarted, killed; the container removed.

use std::time::Duration;

use backend_core::{LossCause, Outcome, Signal};

use crate::support::{Jobs, PROMPTLY, own_engine, run, shared_engine};

#[tokio::test(flavor = "multi_thread")]
async fn a_container_that_somebody_removes_is_a_run_that_is_lost() {
    let Some(engine) = shared_engine() else {
        return;
    };
    let jobs = Jobs::at(&engine, &[]);
    let instance = jobs.ready("echo before\nsleep 60\n").await;
    let mut running = run(instance);
    running.printed("before").await;
    let id = jobs.left_at(&engine).await[0].location.clone();
    testbed::engine_client::run(&engine, &["rm", "--force", &id]).unwrap();
    let result = running.ends_within(PROMPTLY).await;
    let Outcome::Lost(loss) = &result.outcome else {
        panic!("{result:?}");
    };
    assert_eq!(loss.cause, LossCause::InstanceGone);
    running.instance.stop().await.unwrap();
    jobs.nothing_left_at(&engine).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_stands_still_for_a_while_loses_nothing() {
    let Some(engine) = own_engine() else { return };
    let jobs = Jobs::at(&engine.endpoint(), &[("request-timeout", "5s")]);
    let instance = jobs
        .ready("echo before\nsleep 2\necho after\nexit 3\n")
        .await;
    let mut running = run(instance);
    running.printed("before").await;
    let daemon = engine.daemon().unwrap();
    daemon.signal(libc::SIGSTOP).unwrap();
    tokio::time::sleep(Duration::from_secs(6)).await;
    daemon.signal(libc::SIGCONT).unwrap();
    let result = running.ends_within(PROMPTLY).await;
    assert_eq!(result.exit_code(), Some(3), "{result:?}");
    assert_eq!(running.output.text(), "before\nafter\n");
    running.instance.stop().await.unwrap();
    jobs.nothing_left_at(&engine.endpoint()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_stands_still_for_good_is_a_run_that_is_lost() {
    let Some(engine) = own_engine() else { return };
    let options = [("request-timeout", "2s"), ("reconnect-window", "3s")];
    let jobs = Jobs::at(&engine.endpoint(), &options);
    let instance = jobs.ready("echo before\nsleep 300\n").await;
    let mut running = run(instance);
    running.printed("before").await;
    let daemon = engine.daemon().unwrap();
    daemon.signal(libc::SIGSTOP).unwrap();
    // 30 s for the wait that is under way, the window, and some.
    let result = running.ends_within(Duration::from_mins(2)).await;
    assert!(matches!(result.outcome, Outcome::Lost(_)), "{result:?}");
    daemon.signal(libc::SIGCONT).unwrap();
    running.instance.stop().await.unwrap();
    jobs.nothing_left_at(&engine.endpoint()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_is_killed_and_comes_back_still_knows_the_verdict() {
    let Some(mut engine) = own_engine() else {
        return;
    };
    let jobs = Jobs::at(&engine.endpoint(), &[("request-timeout", "5s")]);
    let instance = jobs.ready("echo before\nsleep 2\nexit 43\n").await;
    let mut running = run(instance);
    running.printed("before").await;
    engine.kill().unwrap();
    tokio::time::sleep(Duration::from_secs(3)).await;
    engine.up().unwrap();
    let result = running.ends_within(PROMPTLY).await;
    assert_eq!(result.exit_code(), Some(43), "{result:?}");
    assert!(!result.output_complete, "{result:?}");
    running.instance.stop().await.unwrap();
    jobs.nothing_left_at(&engine.endpoint()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_live_engine_that_is_restarted_goes_on_with_the_output() {
    let Some(engine) = own_live_engine() else {
        return;
    };
    let mut engine = engine;
    let jobs = Jobs::at(&engine.endpoint(), &[("request-timeout", "5s")]);
    let script = "echo before\nsleep 6\necho after\nsleep 1\nexit 43\n";
    let mut running = run(jobs.ready(script).await);
    running.printed("before").await;
    engine.down();
    engine.up().unwrap();
    let result = running.ends_within(PROMPTLY).await;
    assert_eq!(result.exit_code(), Some(43), "{result:?}");
    assert!(!result.output_complete, "{result:?}");
    running.instance.stop().await.unwrap();
    jobs.nothing_left_at(&engine.endpoint()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_orderly_stop_of_the_engine_ends_the_script_and_is_told() {
    let Some(mut engine) = own_engine() else {
        return;
    };
    let jobs = Jobs::at(&engine.endpoint(), &[("request-timeout", "5s")]);
    let mut running = run(jobs.ready("echo before\nsleep 300\n").await);
    running.printed("before").await;
    engine.down();
    engine.up().unwrap();
    let result = running.ends_within(PROMPTLY).await;
    match &result.outcome {
        Outcome::Exited {
            code: 137,
            maybe_signal: Some(Signal::KILL),
        }
        | Outcome::Signaled { .. } => assert!(result.ended_by_engine, "{result:?}"),
        Outcome::Lost(_) => {}
        Outcome::Exited { .. } => panic!("a code that the script did not give: {result:?}"),
    }
    running.instance.stop().await.unwrap();
    jobs.nothing_left_at(&engine.endpoint()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_is_down_is_told_at_setup_and_found_when_it_is_back() {
    let Some(mut engine) = own_engine() else {
        return;
    };
    let endpoint = engine.endpoint();
    let jobs = Jobs::at(&endpoint, &[]);
    jobs.provider.setup().await.unwrap();
    engine.down();
    let error = jobs.provider.setup().await.unwrap_err();
    assert_eq!(error.kind(), backend_core::ErrorKind::Unreachable);
    let error = jobs.start().await.unwrap_err();
    assert!(error.is_retryable(), "{error:?}");
    engine.up().unwrap();
    jobs.provider.setup().await.unwrap();
    jobs.start().await.unwrap().stop().await.unwrap();
    jobs.nothing_left_at(&endpoint).await;
}

fn own_live_engine() -> Option<testbed::dockerd::Dockerd> {
    let engine = testbed::dockerd::Dockerd::start_with(["--live-restore"]).and_then(|engine| {
        engine.import_busybox()?;
        Ok(engine)
    });
    match engine {
        Ok(engine) => Some(engine),
        Err(error) => {
            testbed::missing("docker", &format!("{error:#}"));
            None
        }
    }
}
