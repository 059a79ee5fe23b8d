//! One job from start to stop, on simulated instances and paused time.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use backend_core::{ByteSize, ErrorKind, Outcome, OutputSink, Provider, ProviderConfig, Signal};
use tokio::time::Instant;
use worker_core::{
    Cancel, CancelCause, Canceller, EndedBy, EventKind, EventLog, Job, JobResult, Limit, Limits,
    OnMaxOutput, OutputLimit, Step, run_job,
};

type Options<'a> = &'a [(&'a str, &'a str)];

fn provider(options: Options<'_>) -> Arc<dyn Provider> {
    let config: ProviderConfig = options.iter().copied().collect();
    (backend_fake::BACKEND.provider)(&config).unwrap()
}

fn job(limits: Limits) -> Job {
    let mut job = Job::new("#!/bin/sh\n");
    job.limits = limits;
    job
}

fn limits(change: impl FnOnce(&mut Limits)) -> Limits {
    let mut limits = Limits::default();
    change(&mut limits);
    limits
}

/// Runs a job, and makes sure that nothing is left of it.
async fn run(options: Options<'_>, limits: Limits, cancel: &Cancel) -> (JobResult, Vec<u8>) {
    let provider = provider(options);
    let mut output = Vec::new();
    let result = run_job(
        &*provider,
        &job(limits),
        &mut output,
        &EventLog::none(),
        cancel,
    )
    .await;
    provider.settle().await;
    if result.stop_error.is_none() {
        assert_eq!(provider.list().await.unwrap(), []);
    }
    assert_eq!(result.output_bytes, output.len() as u64);
    (result, output)
}

#[tokio::test(start_paused = true)]
async fn a_script_ends_by_itself() {
    let options = [("log-output", "hello"), ("exit-code", "43")];
    let (result, output) = run(&options, Limits::ci(), &Cancel::never()).await;
    assert_eq!(result.ended_by, EndedBy::Script);
    assert_eq!(result.exit_code, Some(43));
    assert!(result.output_complete && !result.success());
    assert_eq!(output, b"hello");
}

#[tokio::test(start_paused = true)]
async fn each_limit_has_its_own_outcome() {
    let second = Duration::from_secs(1);
    let cases: [(Options<'_>, Limits, Limit, Option<Step>); 4] = [
        (
            &[("start-hang", "true")],
            limits(|l| l.startup = second),
            Limit::Startup,
            Some(Step::Start),
        ),
        (
            &[("upload-hang", "true")],
            limits(|l| l.upload = second),
            Limit::Upload,
            Some(Step::Upload),
        ),
        (
            &[("run-sleep", "1h")],
            limits(|l| l.hard = Some(second)),
            Limit::Hard,
            None,
        ),
        (
            &[("run-sleep", "1h")],
            limits(|l| l.silence = Some(second)),
            Limit::Silence,
            None,
        ),
    ];
    for (options, limits, limit, step) in cases {
        let (result, _) = run(options, limits, &Cancel::never()).await;
        assert_eq!(
            (result.ended_by, result.limit),
            (EndedBy::Timeout, Some(limit)),
            "{limit}"
        );
        assert_eq!(result.step, step);
        assert_eq!(result.outcome.is_none(), step.is_some());
        if step.is_none() {
            let term = Outcome::Signaled {
                signal: Signal::TERM,
                oom: false,
            };
            assert_eq!(result.outcome, Some(term));
            assert_eq!(result.exit_code, None);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_script_that_ignores_term_is_ended_by_kill_after_the_grace_period() {
    let limits = limits(|limits| {
        limits.hard = Some(Duration::from_secs(1));
        limits.grace = Duration::from_secs(7);
    });
    let began = Instant::now();
    let options = [("run-sleep", "1h"), ("ignore-term", "true")];
    let (result, _) = run(&options, limits, &Cancel::never()).await;
    assert_eq!(
        result.outcome,
        Some(Outcome::Signaled {
            signal: Signal::KILL,
            oom: false
        })
    );
    assert_eq!(result.limit, Some(Limit::Hard));
    assert_eq!(began.elapsed().as_secs(), 8);
}

#[tokio::test(start_paused = true)]
async fn output_resets_the_silence_limit() {
    // Ten bytes a second, never silent for two.
    let options = [
        ("output-size", "100"),
        ("output-chunk", "10"),
        ("output-rate", "10"),
    ];
    let limits = limits(|limits| limits.silence = Some(Duration::from_secs(2)));
    let (result, output) = run(&options, limits, &Cancel::never()).await;
    assert_eq!((result.ended_by, output.len()), (EndedBy::Script, 100));
}

#[tokio::test(start_paused = true)]
async fn the_output_limit_stops_or_truncates() {
    let options = [
        ("output-size", "1000"),
        ("run-sleep", "1m"),
        ("exit-code", "7"),
    ];
    let at = |on_exceed| {
        limits(|limits| {
            limits.output = Some(OutputLimit {
                size: ByteSize(100),
                on_exceed,
            });
        })
    };
    let (stopped, output) = run(&options, at(OnMaxOutput::Stop), &Cancel::never()).await;
    assert_eq!(
        (stopped.ended_by, stopped.limit),
        (EndedBy::OutputLimit, Some(Limit::Output))
    );
    assert!(stopped.output_truncated && output.len() <= 100 && output.len() >= 97);

    let (truncated, output) = run(&options, at(OnMaxOutput::Truncate), &Cancel::never()).await;
    assert_eq!(
        (truncated.ended_by, truncated.exit_code),
        (EndedBy::Script, Some(7))
    );
    assert!(truncated.output_truncated && truncated.output_complete);
    assert!(output.len() <= 100 && output.len() >= 97);
}

#[tokio::test(start_paused = true)]
async fn an_end_that_was_seen_wins_over_a_limit_in_the_same_instant() {
    let limits = limits(|limits| limits.hard = Some(Duration::from_secs(5)));
    let options = [("run-sleep", "5s"), ("exit-code", "3")];
    let (result, _) = run(&options, limits, &Cancel::never()).await;
    assert_eq!(
        (result.ended_by, result.exit_code),
        (EndedBy::Script, Some(3))
    );
}

#[tokio::test(start_paused = true)]
async fn a_cancel_is_heard_at_every_step() {
    let steps: [(Options<'_>, Option<Step>); 3] = [
        (&[("start-hang", "true")], Some(Step::Start)),
        (&[("upload-hang", "true")], Some(Step::Upload)),
        (&[("run-sleep", "1h")], None),
    ];
    for (options, step) in steps {
        let canceller = Canceller::new();
        let cancel = canceller.cancel_handle();
        let later = async {
            tokio::time::sleep(Duration::from_secs(30)).await;
            canceller.cancel(CancelCause::Terminate);
        };
        let ((result, _), ()) = tokio::join!(run(options, Limits::default(), &cancel), later);
        assert_eq!(result.ended_by, EndedBy::Cancel, "{step:?}");
        assert_eq!(result.cancelled_by, Some(CancelCause::Terminate));
        assert_eq!(result.step, step);
        assert_eq!(result.outcome.is_none(), step.is_some());
    }
}

#[tokio::test(start_paused = true)]
async fn a_cancel_before_the_start_creates_nothing() {
    let canceller = Canceller::new();
    canceller.cancel(CancelCause::Caller);
    let (result, _) = run(&[], Limits::default(), &canceller.cancel_handle()).await;
    assert_eq!((result.ended_by, result.instance), (EndedBy::Cancel, None));
}

#[tokio::test(start_paused = true)]
async fn the_second_cancel_does_not_wait_for_the_grace_period() {
    let canceller = Canceller::new();
    let cancel = canceller.cancel_handle();
    let began = Instant::now();
    let impatient = async {
        for _ in 0..2 {
            tokio::time::sleep(Duration::from_secs(1)).await;
            canceller.cancel(CancelCause::Interrupt);
        }
    };
    let options = [("run-sleep", "1h"), ("ignore-term", "true")];
    let ((result, _), ()) = tokio::join!(run(&options, Limits::default(), &cancel), impatient);
    assert_eq!(
        result.outcome,
        Some(Outcome::Signaled {
            signal: Signal::KILL,
            oom: false
        })
    );
    assert_eq!(began.elapsed().as_secs(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_run_that_is_lost_has_no_code() {
    for options in [[("lost-after", "3")], [("withhold-status", "true")]] {
        let mut all = vec![("log-output", "hello"), ("exit-code", "0")];
        all.extend(options);
        let (result, _) = run(&all, Limits::default(), &Cancel::never()).await;
        assert_eq!(
            (result.ended_by, result.exit_code),
            (EndedBy::Lost, None),
            "{options:?}"
        );
        assert!(!result.success());
    }
}

#[tokio::test(start_paused = true)]
async fn out_of_memory_is_told_apart() {
    let (killed, _) = run(&[("oom", "true")], Limits::default(), &Cancel::never()).await;
    assert_eq!(killed.ended_by, EndedBy::OutOfMemory);
    assert!(killed.oom_seen);
    let (seen, _) = run(&[("oom-seen", "true")], Limits::default(), &Cancel::never()).await;
    assert_eq!(
        (seen.ended_by, seen.exit_code, seen.oom_seen),
        (EndedBy::Script, Some(0), true)
    );
}

#[tokio::test(start_paused = true)]
async fn limits_that_cannot_hold_create_nothing() {
    for wrong in [
        limits(|limits| limits.hard = Some(Duration::ZERO)),
        limits(|limits| limits.grace = Duration::MAX),
        limits(|limits| {
            limits.hard = Some(Duration::from_secs(1));
            limits.silence = Some(Duration::from_secs(2));
        }),
    ] {
        let (result, _) = run(&[], wrong, &Cancel::never()).await;
        assert_eq!(result.ended_by, EndedBy::NeverStarted);
        assert_eq!(result.error.unwrap().kind(), ErrorKind::InvalidInput);
        assert_eq!(result.instance, None);
    }
}

#[tokio::test(start_paused = true)]
async fn what_never_began_says_where_and_why() {
    let cases: [(Options<'_>, Step); 2] = [
        (&[("error", "no room")], Step::Start),
        (&[("stale", "true")], Step::Upload),
    ];
    for (options, step) in cases {
        let (result, _) = run(options, Limits::default(), &Cancel::never()).await;
        assert_eq!(
            (result.ended_by, result.step),
            (EndedBy::NeverStarted, Some(step))
        );
        assert!(result.error.is_some() && result.outcome.is_none());
    }
}

#[tokio::test(start_paused = true)]
async fn a_stop_that_fails_does_not_change_the_verdict() {
    let options = [("exit-code", "5"), ("stop-failures", "1")];
    let (result, _) = run(&options, Limits::default(), &Cancel::never()).await;
    assert_eq!(
        (result.ended_by, result.exit_code),
        (EndedBy::Script, Some(5))
    );
    assert_eq!(result.stop_error.unwrap().kind(), ErrorKind::Leftover);
}

#[tokio::test(start_paused = true)]
async fn a_stop_that_hangs_is_given_up_and_told() {
    let provider = provider(&[("exit-code", "5"), ("stop-hang", "true")]);
    let (job, events) = (job(Limits::default()), EventLog::none());
    let mut output = Vec::new();
    let result = run_job(&*provider, &job, &mut output, &events, &Cancel::never()).await;
    assert_eq!(result.exit_code, Some(5));
    let error = result.stop_error.unwrap();
    assert_eq!(error.kind(), ErrorKind::Leftover);
    assert!(error.instance().is_some());
}

#[tokio::test(start_paused = true)]
async fn a_script_that_no_signal_reaches_is_stopped_with_its_instance() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = seen.clone();
    let events = EventLog::new(move |event| log.lock().unwrap().push(event.kind.clone()));
    let provider = provider(&[
        ("run-hang", "true"),
        ("signal-error", "unplugged"),
        ("processes-hang", "true"),
    ]);
    let job = job(limits(|limits| limits.hard = Some(Duration::from_secs(1))));
    let mut output = Vec::new();
    let result = run_job(&*provider, &job, &mut output, &events, &Cancel::never()).await;
    assert_eq!(
        (result.ended_by, result.limit, result.exit_code),
        (EndedBy::Timeout, Some(Limit::Hard), None)
    );
    assert!(
        matches!(result.outcome, Some(Outcome::Lost(_))),
        "{result:?}"
    );
    assert!(result.stop_error.is_none());
    assert_eq!(provider.list().await.unwrap(), []);
    // Every rung of the ladder, in its order.
    let rungs: Vec<_> = seen
        .lock()
        .unwrap()
        .iter()
        .filter_map(|kind| match kind {
            EventKind::LimitReached { limit } => Some(format!("{limit} limit")),
            EventKind::SignalSent { signal, error } => {
                Some(format!("{signal} {}", error.is_some()))
            }
            EventKind::RunAbandoned => Some("abandoned".into()),
            EventKind::StepStarted { step: Step::Stop } => Some("stop".into()),
            _ => None,
        })
        .collect();
    let expected = [
        "hard limit",
        "SIGTERM true",
        "SIGKILL true",
        "abandoned",
        "stop",
    ];
    assert_eq!(rungs, expected);
}

/// A sink whose reader has gone away.
struct Closed;

#[async_trait]
impl OutputSink for Closed {
    async fn write(&mut self, _: &[u8]) -> io::Result<()> {
        Err(io::ErrorKind::BrokenPipe.into())
    }
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_goes_away_is_a_cancel() {
    let provider = provider(&[("log-output", "hello"), ("run-sleep", "1h")]);
    let job = job(Limits::default());
    let result = run_job(
        &*provider,
        &job,
        &mut Closed,
        &EventLog::none(),
        &Cancel::never(),
    )
    .await;
    assert_eq!(result.ended_by, EndedBy::Cancel);
    assert_eq!(result.cancelled_by, Some(CancelCause::OutputClosed));
    assert!(!result.output_complete);
}

#[tokio::test(start_paused = true)]
async fn events_are_in_order_and_end_with_the_job() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = seen.clone();
    let events = EventLog::new(move |event| log.lock().unwrap().push(event.clone()));
    let provider = provider(&[("run-sleep", "1h")]);
    let limits = limits(|limits| limits.hard = Some(Duration::from_secs(1)));
    let _ = run_job(
        &*provider,
        &job(limits),
        &mut Vec::new(),
        &events,
        &Cancel::never(),
    )
    .await;
    let seen = seen.lock().unwrap();
    for (number, event) in (0..).zip(seen.iter()) {
        assert_eq!(event.sequence, number);
    }
    assert!(seen.is_sorted_by_key(|event| event.elapsed_ms));
    let limit = seen
        .iter()
        .position(|event| matches!(event.kind, EventKind::LimitReached { .. }));
    let signal = seen
        .iter()
        .position(|event| matches!(event.kind, EventKind::SignalSent { .. }));
    assert!(limit.unwrap() < signal.unwrap());
    assert!(matches!(
        seen.last().unwrap().kind,
        EventKind::JobEnded { .. }
    ));
    // Every event is a line of JSON with its name.
    for event in seen.iter() {
        assert!(serde_json::to_value(event).unwrap()["event"].is_string());
    }
}

#[tokio::test(start_paused = true)]
async fn a_thousand_jobs_at_once_lose_nothing() {
    let provider = provider(&[
        ("output-size", "1000"),
        ("run-sleep", "1s"),
        ("exit-code", "9"),
    ]);
    let job = job(Limits::default());
    let mut jobs = tokio::task::JoinSet::new();
    for _ in 0..1000 {
        let (provider, job) = (provider.clone(), job.clone());
        jobs.spawn(async move {
            let mut output = Vec::new();
            run_job(
                &*provider,
                &job,
                &mut output,
                &EventLog::none(),
                &Cancel::never(),
            )
            .await
        });
    }
    let results = jobs.join_all().await;
    assert!(results.iter().all(|result| result.exit_code == Some(9)));
    assert!(
        results
            .iter()
            .all(|result| result.output_sha256 == results[0].output_sha256)
    );
    assert_eq!(provider.list().await.unwrap(), []);
}
