//! The connection cut, at every stage, between worker and engine.

use std::time::Duration;

use backend_core::testkit::{Action, Direction, FaultProxy, sha256_hex};
use backend_core::{ErrorKind, LossCause, Outcome, ProviderExt as _, RunOptions, StartAttributes};
use tokio::time::timeout;

use crate::support::{Jobs, PROMPTLY, run, shared_engine};

/// How much a run that is cut prints.
const BYTES: usize = 4 << 20;

/// A proxy in front of the shared engine, and its endpoint.
async fn proxied(engine: &str) -> (FaultProxy, String, tempfile::TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("proxy.sock");
    let target = std::path::PathBuf::from(engine.trim_start_matches("unix://"));
    let proxy = FaultProxy::unix(&socket, target).await.unwrap();
    (proxy, format!("unix://{}", socket.display()), directory)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_is_cut_anywhere_leaves_nothing() {
    let Some(engine) = shared_engine() else {
        return;
    };
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    for round in 0..12 {
        let (proxy, endpoint, _directory) = proxied(&engine).await;
        let jobs = Jobs::at(&endpoint, &[("request-timeout", "5s")]);
        jobs.provider.setup().await.unwrap();
        let action = if round % 2 == 0 {
            Action::Reset
        } else {
            Action::Close
        };
        let direction = if round % 3 == 0 {
            Direction::FromTarget
        } else {
            Direction::ToTarget
        };
        proxy.inject(direction, random.u64(1..4000), action);
        match jobs.start().await {
            Ok(instance) => instance.stop().await.unwrap(),
            Err(error) => {
                // It is not the container's fault, nor the image's.
                let kinds = [
                    ErrorKind::Unreachable,
                    ErrorKind::Protocol,
                    ErrorKind::TimedOut,
                ];
                assert!(kinds.contains(&error.kind()), "round {round}: {error:?}");
            }
        }
        jobs.nothing_left_at(&engine).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_is_cut_anywhere_never_runs() {
    let Some(engine) = shared_engine() else {
        return;
    };
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    for round in 0..8 {
        let (proxy, endpoint, _directory) = proxied(&engine).await;
        let jobs = Jobs::at(&endpoint, &[("request-timeout", "5s")]);
        let instance = jobs.start().await.unwrap();
        let script = format!("echo ran\n#{}\n", "x".repeat(300_000));
        let after = if round == 0 {
            1
        } else {
            random.u64(1..300_000)
        };
        proxy.inject(Direction::ToTarget, after, Action::Reset);
        let error = instance.upload_script(script.as_bytes()).await.unwrap_err();
        println!("round {round}, {after} bytes: {error:?}");
        let mut output = Vec::new();
        let error = instance
            .run_script(&RunOptions::default(), &mut output)
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidState);
        assert!(output.is_empty());
        instance.stop().await.unwrap();
        jobs.nothing_left_at(&engine).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_cut_anywhere_keeps_its_verdict() {
    let Some(engine) = shared_engine() else {
        return;
    };
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let expected = vec![b'x'; BYTES];
    let script = format!("head -c {BYTES} /dev/zero | tr '\\0' x\nexit 43\n");
    for round in 0..14 {
        let (proxy, endpoint, _directory) = proxied(&engine).await;
        let jobs = Jobs::at(&endpoint, &[("request-timeout", "5s")]);
        let instance = jobs.ready(&script).await;
        let action = if round % 2 == 0 {
            Action::Reset
        } else {
            Action::Close
        };
        // Also between the last byte and the status, and after it.
        let after = if round < 10 {
            random.u64(1..BYTES as u64)
        } else {
            BYTES as u64 + random.u64(1000..2500)
        };
        proxy.inject(Direction::FromTarget, after, action);
        let mut running = run(instance);
        let result = running.ends_within(PROMPTLY).await;
        println!("round {round}, {action:?} after {after}: {result:?}");
        assert_eq!(result.exit_code(), Some(43), "{result:?}");
        let output = running.output.bytes();
        assert_eq!(result.output_bytes, output.len() as u64);
        if result.output_complete {
            assert_eq!(
                sha256_hex(&output),
                sha256_hex(&expected),
                "complete, and not the same"
            );
        } else {
            assert!(output.len() <= BYTES);
        }
        if proxy.pending() == 0 && after < BYTES as u64 / 2 {
            assert!(
                !result.output_complete,
                "cut in the middle, and said to be complete"
            );
        }
        running.instance.stop().await.unwrap();
        jobs.nothing_left_at(&engine).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn output_goes_on_after_a_cut() {
    let Some(engine) = shared_engine() else {
        return;
    };
    let (proxy, endpoint, _directory) = proxied(&engine).await;
    let jobs = Jobs::at(&endpoint, &[]);
    let instance = jobs
        .ready("echo before\nwhile [ ! -e go ]; do sleep 0.1; done\necho after\nexit 5\n")
        .await;
    let mut running = run(instance);
    running.printed("before").await;
    proxy.reset().await;
    let began = std::time::Instant::now();
    while proxy.connections() < 2 {
        // The wait and the stream of output are there again.
        assert!(began.elapsed() < PROMPTLY);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    let id = jobs.left_at(&engine).await[0].location.clone();
    let here = "for p in /proc/[0-9]*; do case $(readlink $p/cwd) in */worker-*) touch $p/cwd/go;; esac; done";
    testbed::engine_client::run(&engine, &["exec", &id, "sh", "-c", here]).unwrap();
    let result = running.ends_within(PROMPTLY).await;
    assert_eq!(result.exit_code(), Some(5), "{result:?}");
    assert_eq!(running.output.text(), "before\nafter\n");
    assert!(
        !result.output_complete && result.reconnects > 0,
        "{result:?}"
    );
    running.instance.stop().await.unwrap();
    jobs.nothing_left_at(&engine).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn output_is_not_complete_if_its_stream_stands_still_as_the_container_is_killed() {
    let Some(engine) = shared_engine() else {
        return;
    };
    let (proxy, endpoint, _directory) = proxied(&engine).await;
    let jobs = Jobs::at(&endpoint, &[]);
    let script = "echo before\nsleep 1\necho after\nsleep 300\n";
    let mut running = run(jobs.ready(script).await);
    running.printed("before").await;
    // Between two frames, and nothing else is said meanwhile: the wait goes on.
    // So little is lost that the engine is not held up by it.
    proxy.inject(Direction::FromTarget, 0, Action::Freeze);
    let began = std::time::Instant::now();
    while proxy.pending() > 0 {
        assert!(began.elapsed() < PROMPTLY, "nothing was frozen");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let id = jobs.left_at(&engine).await[0].location.clone();
    testbed::engine_client::run(&engine, &["kill", &id]).unwrap();
    let result = running.ends_within(PROMPTLY).await;
    assert_eq!(result.exit_code(), Some(137), "{result:?}");
    assert_eq!(running.output.text(), "before\n");
    assert!(!result.output_complete, "{result:?}");
    running.instance.stop().await.unwrap();
    jobs.nothing_left_at(&engine).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_goes_dead_in_silence_is_found_out() {
    let Some(engine) = shared_engine() else {
        return;
    };
    let (proxy, endpoint, _directory) = proxied(&engine).await;
    let jobs = Jobs::at(&endpoint, &[("reconnect-window", "5s")]);
    // More than all buffers between hold: the script stands still, for as long
    // as the engine does not see that its side is dead too.
    let instance = jobs.ready("head -c 67108864 /dev/zero\nexit 7\n").await;
    proxy.inject(Direction::FromTarget, 1 << 20, Action::Freeze);
    let mut running = run(instance);
    let result = running.ends_within(Duration::from_mins(2)).await;
    let Outcome::Lost(loss) = &result.outcome else {
        panic!("{result:?}");
    };
    assert_eq!(loss.cause, LossCause::Connection);
    // The engine cannot remove it while its own side is blocked, and a stop
    // that could not names it. Later it is found.
    if let Err(error) = running.instance.stop().await {
        assert_eq!(error.kind(), ErrorKind::Leftover);
    }
    drop(proxy);
    for found in jobs.left_at(&engine).await {
        Jobs::at(&engine, &[])
            .provider
            .remove(&found)
            .await
            .unwrap();
    }
    jobs.nothing_left_at(&engine).await;
}

/// Other connections to the engine are as well as ever.
#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_nothing_takes_is_found_out() {
    let Some(engine) = shared_engine() else {
        return;
    };
    // Whether all of it goes into what is between or not.
    for size in [64 << 10, 16 << 20] {
        let (proxy, endpoint, _directory) = proxied(&engine).await;
        let jobs = Jobs::at(&endpoint, &[("request-timeout", "3s")]);
        let instance = jobs.provider.start_new(&StartAttributes::default()).await;
        let instance = instance.unwrap();
        proxy.inject(Direction::ToTarget, 16 << 10, Action::Freeze);
        let script = vec![b'#'; size];
        let uploaded = timeout(PROMPTLY, instance.upload_script(&script)).await;
        let error = uploaded.unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unreachable, "{error:?}");
        instance.stop().await.unwrap();
        jobs.nothing_left_at(&engine).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_script_is_not_taken_for_a_dead_stream() {
    let Some(engine) = shared_engine() else {
        return;
    };
    let jobs = Jobs::at(&engine, &[("reconnect-window", "1s")]);
    let mut running = run(jobs.ready("sleep 40\necho done\nexit 7\n").await);
    let result = running.ends_within(Duration::from_mins(2)).await;
    assert_eq!(result.exit_code(), Some(7), "{result:?}");
    assert!(result.output_complete && result.reconnects == 0);
    assert_eq!(running.output.text(), "done\n");
    running.instance.stop().await.unwrap();
    jobs.nothing_left_at(&engine).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_cannot_be_reached_for_seconds_still_gives_the_verdict() {
    let Some(engine) = shared_engine() else {
        return;
    };
    let (proxy, endpoint, _directory) = proxied(&engine).await;
    let jobs = Jobs::at(&endpoint, &[("request-timeout", "5s")]);
    let instance = jobs.ready("echo before\nsleep 2\nexit 9\n").await;
    let mut running = run(instance);
    running.printed("before").await;
    proxy.refuse(true).await;
    proxy.reset().await;
    tokio::time::sleep(Duration::from_secs(4)).await;
    proxy.refuse(false).await;
    let result = running.ends_within(PROMPTLY).await;
    assert_eq!(result.exit_code(), Some(9), "{result:?}");
    assert!(!result.output_complete);
    running.instance.stop().await.unwrap();
    jobs.nothing_left_at(&engine).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_does_not_come_back_in_time_is_a_run_that_is_lost() {
    let Some(engine) = shared_engine() else {
        return;
    };
    let (proxy, endpoint, _directory) = proxied(&engine).await;
    let options = [("request-timeout", "2s"), ("reconnect-window", "2s")];
    let jobs = Jobs::at(&endpoint, &options);
    let instance = jobs.ready("echo before\nsleep 60\n").await;
    let mut running = run(instance);
    running.printed("before").await;
    proxy.refuse(true).await;
    proxy.reset().await;
    let result = running.ends_within(PROMPTLY).await;
    let Outcome::Lost(loss) = &result.outcome else {
        panic!("{result:?}");
    };
    assert_eq!(loss.cause, LossCause::BackendGone);
    assert!(!result.output_complete);
    // The stop ends by its deadline, and names what may be left.
    let error = running.instance.stop().await.unwrap_err();
    assert_eq!(error.kind(), backend_core::ErrorKind::Leftover);
    assert!(
        backend_core::Chain(&error).to_string().contains("worker-"),
        "{error:?}"
    );
    proxy.refuse(false).await;
    running.instance.stop().await.unwrap();
    jobs.nothing_left_at(&engine).await;
}
