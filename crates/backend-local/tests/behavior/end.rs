//! How a script ended.

use std::time::{Duration, Instant};

use backend_core::{ErrorKind, LossCause, Outcome, RunOptions, Signal, StartAttributes};

use crate::support::{Fixture, eventually, exited, listed, only, signaled};

#[tokio::test]
async fn codes_and_signals_are_told_apart() {
    let fixture = Fixture::new();
    for code in [0, 1, 43, 126, 127, 128, 137, 255] {
        let (result, _) = fixture.run(format!("exit {code}")).await;
        assert_eq!(result.outcome, exited(code));
        assert!(result.output_complete && !result.oom_seen);
    }
    for signal in [
        Signal::KILL,
        Signal::TERM,
        Signal::SEGV,
        Signal::INT,
        Signal::PIPE,
    ] {
        let (result, _) = fixture.run(format!("kill -{} $$", signal.number())).await;
        assert_eq!(result.outcome, signaled(signal));
    }
    fixture.assert_empty();
}

#[tokio::test]
async fn closed_output_is_not_the_end() {
    let fixture = Fixture::new();
    let began = Instant::now();
    let (result, output) = fixture.run("echo a; exec >&- 2>&-; sleep 1; exit 5").await;
    assert_eq!(
        (result.outcome, output.as_slice()),
        (exited(5), &b"a\n"[..])
    );
    assert!(began.elapsed() >= Duration::from_secs(1));
}

#[tokio::test]
async fn a_script_may_remove_itself_and_all_around_it() {
    let fixture = Fixture::new();
    for script in [
        "rm \"$0\"; echo a; exit 3",
        "rm -rf \"$(dirname \"$0\")\"; echo a; exit 3",
        "rm -rf \"$(dirname \"$0\")/..\"/*; echo a; exit 3",
    ] {
        let (result, output) = fixture.run(script).await;
        assert_eq!(result.outcome, exited(3), "{script}");
        assert_eq!(output, b"a\n");
    }
    fixture.assert_empty();
}

#[tokio::test]
async fn a_stop_loses_a_run_under_way_and_ends_it_promptly() {
    for containment in ["auto", "marker"] {
        let fixture = Fixture::with([("containment", containment)]);
        let instance = fixture.uploaded("trap '' TERM; echo a; sleep 600").await;
        let mut output = Vec::new();
        let options = RunOptions::default();
        let began = Instant::now();
        let stop = async {
            listed(&*instance, &["sleep 600"]).await;
            instance.stop().await.unwrap();
        };
        let (result, ()) = tokio::join!(instance.run_script(&options, &mut output), stop);
        let result = result.unwrap();
        assert!(
            matches!(&result.outcome, Outcome::Lost(loss) if loss.cause == LossCause::Stopped),
            "{result:?}"
        );
        assert!(!result.output_complete);
        assert_eq!(output, b"a\n");
        assert!(began.elapsed() < Duration::from_secs(8));
        instance.stop().await.unwrap();
        fixture.assert_empty();
    }
}

#[tokio::test]
async fn an_instance_that_someone_else_removes_is_lost() {
    let fixture = Fixture::new();
    let instance = fixture.uploaded("echo > began; sleep 600").await;
    let work = fixture
        .base()
        .join(instance.id().as_str())
        .join("job/work/began");
    let other = crate::support::provider_in(&fixture.base(), []);
    let mut output = Vec::new();
    let options = RunOptions::default();
    let remove = async {
        eventually("the script runs", || work.exists().then_some(())).await;
        let found = only(&other).await;
        assert_eq!(found.state, backend_core::FoundState::Running);
        other.remove(&found).await.unwrap();
        other.remove(&found).await.unwrap();
    };
    let (result, ()) = tokio::join!(instance.run_script(&options, &mut output), remove);
    let outcome = result.unwrap().outcome;
    assert!(
        matches!(&outcome, Outcome::Lost(loss) if loss.cause == LossCause::InstanceGone),
        "{outcome}"
    );
    instance.stop().await.unwrap();
    fixture.assert_empty();
}

#[tokio::test]
async fn calls_out_of_order_are_refused() {
    let fixture = Fixture::new();
    let instance = fixture
        .provider
        .start(
            &StartAttributes::default(),
            &backend_core::StartContext::new(),
        )
        .await
        .unwrap();
    let options = RunOptions::default();
    let mut output = Vec::new();
    let early = instance
        .run_script(&options, &mut output)
        .await
        .unwrap_err();
    assert_eq!(early.kind(), ErrorKind::InvalidState);
    let early = instance.signal(Signal::TERM).await.unwrap_err();
    assert_eq!(early.kind(), ErrorKind::InvalidState);
    assert_eq!(instance.processes().await.unwrap(), None);
    instance.upload_script(b"echo 1").await.unwrap();
    let stale = instance.upload_script(b"echo 2").await.unwrap_err();
    assert_eq!(stale.kind(), ErrorKind::Stale);
    assert!(backend_core::Chain(&stale).to_string().contains("stale"));
    let result = instance.run_script(&options, &mut output).await.unwrap();
    assert_eq!(
        (result.outcome, output.as_slice()),
        (exited(0), &b"1\n"[..])
    );
    let again = instance
        .run_script(&options, &mut output)
        .await
        .unwrap_err();
    assert_eq!(again.kind(), ErrorKind::InvalidState);
    instance.signal(Signal::KILL).await.unwrap();
    let (one, two) = tokio::join!(instance.stop(), instance.stop());
    one.unwrap();
    two.unwrap();
    instance.signal(Signal::KILL).await.unwrap();
    let late = instance.upload_script(b"").await.unwrap_err();
    assert_eq!(late.kind(), ErrorKind::InvalidState);
    fixture.assert_empty();
}

#[tokio::test]
async fn dropped_futures_and_instances_leave_nothing() {
    let fixture = Fixture::new();
    // A start that is dropped at its first await, and ones that are dropped later.
    for patience in [0, 50, 200, 500, 1000, 2000] {
        let start = fixture
            .provider
            .start(
                &StartAttributes::default(),
                &backend_core::StartContext::new(),
            )
            .await;
        drop(start);
        let context = backend_core::StartContext::new();
        let attributes = StartAttributes::default();
        let start = fixture.provider.start(&attributes, &context);
        tokio::time::timeout(Duration::from_micros(patience), start)
            .await
            .ok();
    }
    // A run that is dropped goes on until the instance is stopped.
    let instance = fixture.uploaded("echo > began; exec sleep 600").await;
    let began = fixture
        .base()
        .join(instance.id().as_str())
        .join("job/work/began");
    let (options, mut output) = (RunOptions::default(), Vec::new());
    tokio::select! {
        result = instance.run_script(&options, &mut output) => panic!("{result:?}"),
        () = eventually("the script runs", || began.exists().then_some(())) => {}
    }
    listed(&*instance, &["sleep 600"]).await;
    let again = instance
        .run_script(&options, &mut output)
        .await
        .unwrap_err();
    assert_eq!(again.kind(), ErrorKind::InvalidState);
    drop(instance);
    fixture.provider.settle().await;
    fixture.assert_empty();
}

#[tokio::test]
async fn a_dropped_upload_leaves_nothing_that_was_not_there() {
    let fixture = Fixture::new();
    let large = vec![b'#'; 8 << 20];
    for patience in [0, 100, 1000, 5000, 20_000] {
        let instance = fixture
            .provider
            .start(
                &StartAttributes::default(),
                &backend_core::StartContext::new(),
            )
            .await
            .unwrap();
        let upload = instance.upload_script(&large);
        let limit = Duration::from_micros(patience);
        if tokio::time::timeout(limit, upload).await.is_err() {
            let (options, mut output) = (RunOptions::default(), Vec::new());
            let none = instance
                .run_script(&options, &mut output)
                .await
                .unwrap_err();
            assert_eq!(none.kind(), ErrorKind::InvalidState);
            instance.upload_script(b"exit 4").await.unwrap();
            let result = instance.run_script(&options, &mut output).await.unwrap();
            assert_eq!(result.outcome, exited(4));
        }
        instance.stop().await.unwrap();
    }
    fixture.provider.settle().await;
    fixture.assert_empty();
}

#[tokio::test]
async fn a_stop_does_not_wait_for_callers_that_nobody_polls() {
    let fixture = Fixture::new();
    let instance = fixture.uploaded("sleep 600").await;
    let context = backend_core::StartContext::new();
    let attributes = StartAttributes::default();
    let second = fixture.provider.start(&attributes, &context).await.unwrap();
    let large = vec![b'#'; 8 << 20];
    let (options, mut output) = (RunOptions::default(), Vec::new());
    let mut run = std::pin::pin!(instance.run_script(&options, &mut output));
    let mut upload = std::pin::pin!(second.upload_script(&large));
    // Each is polled once, and then left alone.
    let uploaded = futures_util::future::poll_fn(|context| {
        use std::future::Future;
        assert!(run.as_mut().poll(context).is_pending());
        // On a busy machine it may be done already.
        std::task::Poll::Ready(upload.as_mut().poll(context).is_ready())
    })
    .await;
    let limit = Duration::from_secs(8);
    for instance in [&instance, &second] {
        tokio::time::timeout(limit, instance.stop())
            .await
            .unwrap()
            .unwrap();
    }
    let outcome = run.await.map(|result| result.outcome);
    assert!(matches!(outcome, Ok(Outcome::Lost(_))), "{outcome:?}");
    if !uploaded {
        let late = upload.await.unwrap_err();
        let expected = [ErrorKind::InvalidState, ErrorKind::Io];
        assert!(expected.contains(&late.kind()), "{late:?}");
    }
    fixture.assert_empty();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_at_any_moment_of_a_run_gives_one_true_outcome() {
    let fixture = Fixture::new();
    for round in 0..120_u64 {
        let instance = fixture.uploaded("exit 7").await;
        let (options, mut output) = (RunOptions::default(), Vec::new());
        let stop = async {
            // Spread over the whole of a run, which takes a millisecond or two.
            let pause = Duration::from_micros(round * 25);
            let began = Instant::now();
            while began.elapsed() < pause {
                tokio::task::yield_now().await;
            }
            instance.stop().await.unwrap();
        };
        let (result, ()) = tokio::join!(instance.run_script(&options, &mut output), stop);
        match result.map(|result| result.outcome) {
            Ok(Outcome::Exited { code: 7, .. }) => {}
            Ok(Outcome::Lost(loss)) => assert_eq!(loss.cause, LossCause::Stopped),
            Err(error) => assert_eq!(error.kind(), ErrorKind::InvalidState, "{error:?}"),
            other => panic!("round {round}: {other:?}"),
        }
    }
    fixture.assert_empty();
}

#[tokio::test]
async fn a_run_that_is_dropped_at_any_moment_leaves_nothing() {
    let fixture = Fixture::new();
    for round in 0..60_u64 {
        let instance = fixture
            .uploaded("sleep 600 & setsid sleep 600 & exit 7")
            .await;
        let id = instance.id().to_string();
        let (options, mut output) = (RunOptions::default(), Vec::new());
        let run = instance.run_script(&options, &mut output);
        tokio::time::timeout(Duration::from_micros(round * 50), run)
            .await
            .ok();
        instance.stop().await.unwrap();
        assert!(crate::support::cgroups(&id).is_empty());
    }
    fixture.assert_empty();
}
