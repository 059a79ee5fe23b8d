//! Sinks that fail, or take nothing, and output limits.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use backend_core::testkit::{FailingSink, Watch};
use backend_core::{ByteSize, Outcome, OutputSink, Provider, ProviderConfig, Signal};
use tokio::time::Instant;
use worker_core::{
    Cancel, CancelCause, Canceller, EndedBy, EventKind, EventLog, Job, Limit, OnMaxOutput,
    OutputLimit, Tee, run_job,
};

fn fake(options: &[(&str, &str)]) -> Arc<dyn Provider> {
    let config: ProviderConfig = options.iter().copied().collect();
    (backend_fake::BACKEND.provider)(&config).unwrap()
}

/// Takes nothing, ever: a terminal that was paused and forgotten.
struct Stuck;

#[async_trait]
impl OutputSink for Stuck {
    async fn write(&mut self, _: &[u8]) -> io::Result<()> {
        std::future::pending().await
    }
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_takes_nothing_costs_its_output_and_not_the_verdict() {
    let provider = fake(&[("log-output", "hello"), ("run-hang", "true")]);
    let mut job = Job::new("");
    job.limits.hard = Some(Duration::from_mins(1));
    let began = Instant::now();
    let events = EventLog::none();
    let result = run_job(&*provider, &job, &mut Stuck, &events, &Cancel::never()).await;
    let killed = Outcome::Signaled {
        signal: Signal::KILL,
        oom: false,
    };
    assert_eq!(result.outcome, Some(killed));
    assert_eq!(
        (result.ended_by, result.limit),
        (EndedBy::Timeout, Some(Limit::Hard))
    );
    assert_eq!((result.output_bytes, result.output_complete), (0, false));
    assert!(result.output_error.is_some());
    // 60 s, 10 s of grace, and 5 s each for the drain and the end after KILL.
    assert_eq!(began.elapsed().as_secs(), 80);
    assert_eq!(provider.list().await.unwrap(), []);
}

#[tokio::test(start_paused = true)]
async fn a_second_cancel_does_not_wait_for_such_a_sink() {
    let provider = fake(&[("log-output", "hello"), ("run-hang", "true")]);
    let canceller = Canceller::new();
    canceller.cancel_handle();
    let (job, events, cancel) = (Job::new(""), EventLog::none(), canceller.cancel_handle());
    let began = Instant::now();
    let twice = async {
        for _ in 0..2 {
            tokio::time::sleep(Duration::from_secs(1)).await;
            canceller.cancel(CancelCause::Interrupt);
        }
    };
    let mut sink = Stuck;
    let run = run_job(&*provider, &job, &mut sink, &events, &cancel);
    let (result, ()) = tokio::join!(run, twice);
    assert!(matches!(result.outcome, Some(Outcome::Signaled { .. })));
    assert_eq!(result.ended_by, EndedBy::Cancel);
    assert_eq!(began.elapsed().as_secs(), 4);
}

#[tokio::test(start_paused = true)]
async fn a_cancel_ends_the_wait_for_the_last_bytes() {
    // Held back until the end, since they may be the beginning of a secret.
    let provider = fake(&[("log-output", "hunter2"), ("exit-code", "5")]);
    let job = Job::new("");
    job.secrets.add([("S", b"hunter22".as_slice())]).unwrap();
    let canceller = Canceller::new();
    let (events, cancel) = (EventLog::none(), canceller.cancel_handle());
    let later = async {
        tokio::time::sleep(Duration::from_mins(10)).await;
        assert_eq!(
            provider.list().await.unwrap(),
            [],
            "the stop does not wait for it"
        );
        canceller.cancel(CancelCause::Interrupt);
    };
    let mut sink = Stuck;
    let run = run_job(&*provider, &job, &mut sink, &events, &cancel);
    let (result, ()) = tokio::join!(run, later);
    assert_eq!(
        (result.ended_by, result.exit_code),
        (EndedBy::Script, Some(5))
    );
    assert!(!result.output_complete && result.output_error.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_fails_at_the_last_bytes_is_told() {
    let provider = fake(&[("log-output", "hunter2"), ("exit-code", "5")]);
    let job = Job::new("");
    job.secrets.add([("S", b"hunter22".as_slice())]).unwrap();
    let mut sink = FailingSink::new(Watch::new(), 0);
    let result = run_job(
        &*provider,
        &job,
        &mut sink,
        &EventLog::none(),
        &Cancel::never(),
    )
    .await;
    assert_eq!(
        (result.ended_by, result.exit_code),
        (EndedBy::Script, Some(5))
    );
    assert!(!result.output_complete && result.output_error.is_some());
    assert!(sink.has_failed() && sink.calls_after_failure() == 0);
}

#[tokio::test(start_paused = true)]
async fn a_file_gets_all_of_it_though_the_terminal_has_gone() {
    let provider = fake(&[("output-size", "1000"), ("output-chunk", "100")]);
    let terminal = FailingSink::new(Watch::new(), 250);
    let mut sink = Tee::new(terminal, Vec::new());
    let job = Job::new("");
    let result = run_job(
        &*provider,
        &job,
        &mut sink,
        &EventLog::none(),
        &Cancel::never(),
    )
    .await;
    assert!(result.success(), "{result:?}");
    assert!(sink.first_error().is_some());
    let (_, file) = sink.into_inner();
    assert_eq!((file.len(), result.output_bytes), (1000, 1000));
}

#[tokio::test(start_paused = true)]
async fn more_output_than_there_may_be_ends_the_job_though_the_script_was_quicker() {
    let provider = fake(&[("output-size", "1000"), ("exit-code", "0")]);
    for (on_exceed, ended_by) in [
        (OnMaxOutput::Stop, EndedBy::OutputLimit),
        (OnMaxOutput::Truncate, EndedBy::Script),
    ] {
        let mut job = Job::new("");
        job.limits.output = Some(OutputLimit {
            size: ByteSize(100),
            on_exceed,
        });
        let cuts: Arc<Mutex<Vec<u64>>> = Arc::default();
        let seen = cuts.clone();
        let events = EventLog::new(move |event| {
            if let EventKind::OutputTruncated { output_bytes } = event.kind {
                seen.lock().unwrap().push(output_bytes);
            }
        });
        let mut output = Vec::new();
        let result = run_job(&*provider, &job, &mut output, &events, &Cancel::never()).await;
        assert_eq!((result.ended_by, result.exit_code), (ended_by, Some(0)));
        assert!(result.output_truncated && !(ended_by == EndedBy::OutputLimit && result.success()));
        assert_eq!(*cuts.lock().unwrap(), [output.len() as u64]);
        assert!((97..=100).contains(&output.len()));
    }
}

#[tokio::test(start_paused = true)]
async fn output_of_exactly_the_limit_is_not_over_it() {
    let provider = fake(&[("log-output", "12345")]);
    let mut job = Job::new("");
    job.limits.output = Some(OutputLimit {
        size: ByteSize(5),
        on_exceed: OnMaxOutput::Stop,
    });
    let mut output = Vec::new();
    let result = run_job(
        &*provider,
        &job,
        &mut output,
        &EventLog::none(),
        &Cancel::never(),
    )
    .await;
    assert!(result.success() && !result.output_truncated);
    assert_eq!(output, b"12345");
}
