//! A cancel, a dropped future and a failure at every point of a job: there is
//! one outcome, and nothing is left.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use backend_core::testkit::{Polled, poll_times};
use backend_core::{Outcome, Provider, ProviderConfig};
use worker_core::{
    Cancel, CancelCause, Canceller, EndedBy, EventKind, EventLog, Job, JobResult, Step, run_job,
};

type Options<'a> = &'a [(&'a str, &'a str)];

/// Every step takes 10 ms, and the drain after the run as long.
const SLOWLY: Options<'_> = &[
    ("startup-duration", "10ms"),
    ("upload-duration", "10ms"),
    ("log-output", "hello"),
    ("run-sleep", "10ms"),
    ("exit-code", "7"),
    ("leftover", "sleep 1"),
    ("leftover-duration", "10ms"),
    ("stop-duration", "10ms"),
];

fn fake(options: &[(&str, &str)]) -> Arc<dyn Provider> {
    let config: ProviderConfig = options.iter().copied().collect();
    (backend_fake::BACKEND.provider)(&config).unwrap()
}

fn with<'a>(more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    [SLOWLY, more].concat()
}

async fn nothing_left(provider: &dyn Provider) {
    provider.settle().await;
    assert_eq!(provider.list().await.unwrap(), []);
}

fn recorded() -> (EventLog, Arc<Mutex<Vec<EventKind>>>) {
    let seen: Arc<Mutex<Vec<EventKind>>> = Arc::default();
    let sink = seen.clone();
    let log = EventLog::new(move |event| sink.lock().unwrap().push(event.kind.clone()));
    (log, seen)
}

/// What must hold of every result, however the job ended.
fn assert_sound(result: &JobResult, output: &[u8], events: &[EventKind]) {
    assert_eq!(result.output_bytes, output.len() as u64);
    let code = match &result.outcome {
        Some(Outcome::Exited { code, .. }) => Some(*code),
        _ => None,
    };
    assert_eq!(result.exit_code, code);
    assert_eq!(
        result.ended_by == EndedBy::Cancel,
        result.cancelled_by.is_some()
    );
    let ends = events
        .iter()
        .filter(|kind| matches!(kind, EventKind::JobEnded { .. }));
    assert_eq!(ends.count(), 1);
    let Some(EventKind::JobEnded { ended_by }) = events.last() else {
        panic!("something follows the end of the job: {events:?}");
    };
    assert_eq!(*ended_by, result.ended_by);
    let steps = |wanted: fn(&EventKind) -> Option<Step>| events.iter().filter_map(wanted).count();
    let begun = steps(|kind| match kind {
        EventKind::StepStarted { step } => Some(*step),
        _ => None,
    });
    let over = steps(|kind| match kind {
        EventKind::StepEnded { step, .. } | EventKind::StepFailed { step, .. } => Some(*step),
        _ => None,
    });
    // One that was cancelled has begun and is neither.
    assert!(over <= begun && begun - over <= 1, "{events:?}");
}

#[tokio::test(start_paused = true)]
async fn a_cancel_at_any_time_gives_one_outcome_and_leaves_nothing() {
    let mut seen = std::collections::BTreeSet::new();
    for deaf in [false, true] {
        let more: &[_] = if deaf {
            &[("ignore-term", "true")]
        } else {
            &[]
        };
        for milliseconds in 0..60 {
            let provider = fake(&with(more));
            let canceller = Canceller::new();
            let (cancel, (log, events)) = (canceller.cancel_handle(), recorded());
            let (job, mut output) = (Job::new(""), Vec::new());
            let later = async {
                tokio::time::sleep(Duration::from_millis(milliseconds)).await;
                canceller.cancel(CancelCause::Caller);
            };
            let run = run_job(&*provider, &job, &mut output, &log, &cancel);
            let (result, ()) = tokio::join!(run, later);
            assert_sound(&result, &output, &events.lock().unwrap());
            match (result.ended_by, &result.outcome) {
                (EndedBy::Script, Some(Outcome::Exited { code: 7, .. })) | (EndedBy::Cancel, _) => {
                }
                other => panic!("after {milliseconds} ms: {other:?}"),
            }
            nothing_left(&*provider).await;
            seen.insert(format!("{:?} {:?}", result.ended_by, result.step));
        }
    }
    let expected = [
        "Cancel None",
        "Cancel Some(Start)",
        "Cancel Some(Upload)",
        "Script None",
    ];
    assert_eq!(seen, expected.map(str::to_owned).into());
}

#[tokio::test(start_paused = true)]
async fn a_job_that_is_dropped_at_any_await_point_leaves_nothing() {
    let mut polls = 0;
    loop {
        let provider = fake(SLOWLY);
        let (log, job, mut output) = (EventLog::none(), Job::new(""), Vec::new());
        let never = Cancel::never();
        let run = run_job(&*provider, &job, &mut output, &log, &never);
        let polled = poll_times(run, polls).await;
        nothing_left(&*provider).await;
        if let Polled::Ready(result) = polled {
            assert_eq!(result.exit_code, Some(7));
            break;
        }
        polls += 1;
    }
    assert!(polls > 5, "only {polls} await points were found");
}

#[tokio::test(start_paused = true)]
async fn a_job_that_is_dropped_at_any_time_leaves_nothing() {
    for milliseconds in 0..60 {
        let provider = fake(SLOWLY);
        let (log, job, mut output) = (EventLog::none(), Job::new(""), Vec::new());
        let never = Cancel::never();
        let run = run_job(&*provider, &job, &mut output, &log, &never);
        let bound = Duration::from_millis(milliseconds);
        tokio::time::timeout(bound, run).await.ok();
        nothing_left(&*provider).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_failure_at_any_step_gives_one_outcome_and_leaves_nothing() {
    let failures: [(Options<'_>, EndedBy, Option<Step>); 7] = [
        (&[("error", "no")], EndedBy::NeverStarted, Some(Step::Start)),
        (
            &[("start-failures", "1")],
            EndedBy::NeverStarted,
            Some(Step::Start),
        ),
        (
            &[("stale", "true")],
            EndedBy::NeverStarted,
            Some(Step::Upload),
        ),
        (
            &[("upload-error", "no")],
            EndedBy::NeverStarted,
            Some(Step::Upload),
        ),
        (
            &[("run-error", "no")],
            EndedBy::NeverStarted,
            Some(Step::Run),
        ),
        (&[("lost-after", "2")], EndedBy::Lost, None),
        (&[("withhold-status", "true")], EndedBy::Lost, None),
    ];
    for (options, ended_by, step) in failures {
        let provider = fake(&with(options));
        let ((log, events), job, mut output) = (recorded(), Job::new(""), Vec::new());
        let result = run_job(&*provider, &job, &mut output, &log, &Cancel::never()).await;
        assert_sound(&result, &output, &events.lock().unwrap());
        assert_eq!(
            (result.ended_by, result.step),
            (ended_by, step),
            "{options:?}"
        );
        assert_eq!(result.error.is_some(), ended_by == EndedBy::NeverStarted);
        assert_eq!(result.exit_code, None);
        nothing_left(&*provider).await;
    }
}
