//! The published JSON schemas describe what is really written, all of it and
//! nothing else.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use backend_core::{Loss, LossCause, Outcome, Phase, Progress, Provider, ProviderConfig, Signal};
use jsonschema::Validator;
use serde_json::{Value, json};
use worker_core::{
    Cancel, CancelCause, Canceller, EVENT_SCHEMA, EndedBy, Event, EventKind, EventLog, Job, Limit,
    OnMaxOutput, OutputLimit, RESULT_SCHEMA, Step, run_job,
};

/// The schema as it is published, and one that takes no member which it does
/// not describe: readers must expect more, we must not write more.
fn validators(schema: &str) -> [Validator; 2] {
    let published: Value = serde_json::from_str(schema).unwrap();
    let mut strict = published.clone();
    strict["unevaluatedProperties"] = json!(false);
    strict["$defs"]["outcome"]["unevaluatedProperties"] = json!(false);
    if let Some(durations) = strict["properties"].get_mut("durations") {
        durations["additionalProperties"] = json!(false);
    }
    [published, strict].map(|schema| jsonschema::validator_for(&schema).unwrap())
}

#[track_caller]
fn assert_valid(validators: &[Validator], value: &Value) {
    for validator in validators {
        let errors: Vec<_> = validator
            .iter_errors(value)
            .map(|e| e.to_string())
            .collect();
        assert!(errors.is_empty(), "{value:#}\n{}", errors.join("\n"));
    }
}

/// One of each kind, with and without what may be missing.
fn all_kinds() -> Vec<EventKind> {
    use EventKind as E;

    let text = || "text".to_owned();
    let outcomes = [
        Outcome::Exited {
            code: 137,
            maybe_signal: Some(Signal::KILL),
        },
        Outcome::Exited {
            code: 0,
            maybe_signal: None,
        },
        Outcome::Signaled {
            signal: Signal::TERM,
            oom: false,
        },
        Outcome::Lost(Loss::new(LossCause::Connection, "cut")),
    ];
    let progress = Progress {
        done: Some(1),
        total: Some(2),
        ..Progress::new(Phase::Pulling, "image")
    };
    let mut kinds = vec![
        E::JobStarted {
            version: 1,
            job: Some(text()),
        },
        E::JobStarted {
            version: 1,
            job: None,
        },
        E::Progress(progress),
        E::Progress(Progress::new(Phase::Notice, "news")),
        E::InstanceReady {
            instance: text(),
            image: Some(text()),
        },
        E::InstanceReady {
            instance: text(),
            image: None,
        },
        E::Processes { listing: text() },
        E::SignalSent {
            signal: Signal::TERM,
            error: None,
        },
        E::SignalSent {
            signal: Signal::KILL,
            error: Some(text()),
        },
        E::RunAbandoned,
        E::OutputTruncated { output_bytes: 7 },
    ];
    for step in [Step::Start, Step::Upload, Step::Run, Step::Stop] {
        kinds.push(E::StepStarted { step });
        kinds.push(E::StepEnded {
            step,
            duration_ms: 3,
        });
        kinds.push(E::StepFailed {
            step,
            error: text(),
        });
    }
    for limit in [
        Limit::Startup,
        Limit::Upload,
        Limit::Hard,
        Limit::Silence,
        Limit::Output,
    ] {
        kinds.push(E::LimitReached { limit });
    }
    for cause in [
        CancelCause::Interrupt,
        CancelCause::Terminate,
        CancelCause::HangUp,
        CancelCause::OutputClosed,
        CancelCause::Caller,
    ] {
        kinds.push(E::Cancelled { cause });
    }
    for ended_by in [
        EndedBy::Script,
        EndedBy::Signal,
        EndedBy::OutOfMemory,
        EndedBy::Timeout,
        EndedBy::Cancel,
        EndedBy::OutputLimit,
        EndedBy::Engine,
        EndedBy::Lost,
        EndedBy::NeverStarted,
    ] {
        kinds.push(E::JobEnded { ended_by });
    }
    kinds.extend(outcomes.map(|outcome| E::RunEnded { outcome }));
    kinds
}

#[test]
fn every_kind_of_event_is_described() {
    let validators = validators(EVENT_SCHEMA);
    let mut names = std::collections::BTreeSet::new();
    for kind in all_kinds() {
        let event = Event {
            sequence: 0,
            elapsed_ms: 5,
            kind,
        };
        let value = serde_json::to_value(&event).unwrap();
        assert_valid(&validators, &value);
        names.insert(value["event"].as_str().unwrap().to_owned());
    }
    let schema: Value = serde_json::from_str(EVENT_SCHEMA).unwrap();
    let described = schema["oneOf"].as_array().unwrap().iter();
    let described = described.map(|kind| kind["properties"]["event"]["const"].as_str().unwrap());
    assert_eq!(
        names,
        described.map(str::to_owned).collect(),
        "the list above, and the schema"
    );
}

#[test]
fn what_is_no_event_and_no_result_is_refused() {
    let [event, _] = validators(EVENT_SCHEMA);
    for wrong in [
        json!({"sequence": 0, "elapsed_ms": 0, "event": "no-such-event"}),
        json!({"sequence": -1, "elapsed_ms": 0, "event": "run-abandoned"}),
        json!({"sequence": 0, "elapsed_ms": 0, "event": "step-started"}),
        json!({"sequence": 0, "elapsed_ms": 0, "event": "limit-reached", "limit": "patience"}),
        json!({"event": "run-abandoned"}),
    ] {
        assert!(!event.is_valid(&wrong), "{wrong}");
    }
    let [result, _] = validators(RESULT_SCHEMA);
    assert!(!result.is_valid(&json!({"version": 1})));
}

#[test]
fn what_both_schemas_share_is_the_same() {
    let [event, result] =
        [EVENT_SCHEMA, RESULT_SCHEMA].map(|s| serde_json::from_str::<Value>(s).unwrap());
    assert_eq!(event["$defs"], result["$defs"]);
}

/// The options of `fake` under which jobs end in all the ways there are.
const ENDS: &[&[(&str, &str)]] = &[
    &[("log-output", "hi"), ("exit-code", "3")],
    &[("signal", "SEGV")],
    &[("oom", "true")],
    &[("oom-seen", "true"), ("reconnects", "2")],
    &[("ended-by-engine", "true")],
    &[("lost-after", "2"), ("log-output", "hello")],
    &[("withhold-status", "true")],
    &[("leftover", "sleep 60"), ("stop-failures", "1")],
    &[("error", "no machines")],
    &[("stale", "true")],
    &[("run-error", "no processes")],
    &[("start-hang", "true")],
    &[("upload-hang", "true")],
    &[("run-hang", "true")],
    &[("run-hang", "true"), ("ignore-term", "true")],
    &[("output-size", "10000"), ("run-hang", "true")],
];

#[tokio::test(start_paused = true)]
async fn what_jobs_really_write_is_described() {
    let (events, results) = (validators(EVENT_SCHEMA), validators(RESULT_SCHEMA));
    for options in ENDS {
        for cancelled in [false, true] {
            let config: ProviderConfig = options.iter().copied().collect();
            let provider = (backend_fake::BACKEND.provider)(&config).unwrap();
            let (lines, result) = job_on(&*provider, cancelled).await;
            for line in &lines {
                assert_valid(&events, line);
            }
            assert_eq!(lines[0]["event"], "job-started");
            assert_eq!(lines.last().unwrap()["event"], "job-ended");
            assert_eq!(lines.last().unwrap()["ended_by"], result["ended_by"]);
            assert_valid(&results, &result);
        }
    }
}

async fn job_on(provider: &dyn Provider, is_cancelled: bool) -> (Vec<Value>, Value) {
    let mut job = Job::new("#!/bin/sh\n");
    job.name = Some("all ends".into());
    job.limits.hard = Some(Duration::from_mins(20));
    job.limits.silence = Some(Duration::from_mins(10));
    job.limits.output = Some(OutputLimit {
        size: backend_core::ByteSize(5000),
        on_exceed: OnMaxOutput::Stop,
    });
    let seen: Arc<Mutex<Vec<Value>>> = Arc::default();
    let sink = seen.clone();
    let events = EventLog::new(move |event| {
        let value = serde_json::to_value(event).unwrap();
        sink.lock().unwrap().push(value);
    });
    let canceller = Canceller::new();
    let cancel = if is_cancelled {
        canceller.cancel_handle()
    } else {
        Cancel::never()
    };
    let later = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        canceller.cancel(CancelCause::Caller);
    };
    let mut output = Vec::new();
    let run = run_job(provider, &job, &mut output, &events, &cancel);
    let (result, ()) = tokio::join!(run, later);
    let lines = seen.lock().unwrap().clone();
    (lines, serde_json::to_value(&result).unwrap())
}
