//! A thousand jobs in one process, ended in all the ways there are, leave
//! nothing: no instance, task, descriptor, process or zombie. A program of its
//! own, since it counts what the whole process has.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::time::Duration;

use backend_core::testkit::Ledger;
use backend_core::{ByteSize, Provider, ProviderConfig};
use tokio::task::JoinSet;
use worker_core::{
    CancelCause, Canceller, EndedBy, EventLog, Job, JobResult, LimitConcurrency, OnMaxOutput,
    OutputLimit, RetryStart, run_job,
};

type Options<'a> = &'a [(&'a str, &'a str)];

/// How the backend behaves, and how the job must end if nobody cancels it.
const ENDS: &[(Options<'_>, EndedBy)] = &[
    (&[("log-output", "hi"), ("exit-code", "3")], EndedBy::Script),
    (
        &[("output-size", "300KiB"), ("output-chunk", "150KiB")],
        EndedBy::OutputLimit,
    ),
    (&[("signal", "SEGV")], EndedBy::Signal),
    (&[("oom", "true")], EndedBy::OutOfMemory),
    (
        &[("lost-after", "1"), ("log-output", "hello")],
        EndedBy::Lost,
    ),
    (&[("start-failures", "3")], EndedBy::Script),
    (&[("error", "no machines")], EndedBy::NeverStarted),
    (&[("start-hang", "true")], EndedBy::Timeout),
    (&[("upload-hang", "true")], EndedBy::Timeout),
    (
        &[("run-hang", "true"), ("ignore-term", "true")],
        EndedBy::Timeout,
    ),
];

/// Short limits only where they must be reached: on a busy machine they would
/// be elsewhere too.
fn job(hangs: bool) -> Job {
    let patience = Duration::from_millis(if hangs { 60 } else { 120_000 });
    let mut job = Job::new("#!/bin/sh\n");
    job.limits.startup = patience;
    job.limits.upload = patience;
    job.limits.hard = Some(patience);
    job.limits.silence = Some(patience / 2);
    job.limits.grace = Duration::from_millis(20);
    job.limits.output = Some(OutputLimit {
        size: ByteSize(200 << 10),
        on_exceed: OnMaxOutput::Stop,
    });
    job.secrets.add([("S", b"hunter22".as_slice())]).unwrap();
    job
}

/// So many jobs at once; every fifth is cancelled on its way.
async fn jobs(provider: Arc<dyn Provider>, count: usize, hangs: bool) -> Vec<JobResult> {
    let mut jobs = JoinSet::new();
    for number in 0..count {
        let provider = provider.clone();
        jobs.spawn(async move {
            let job = job(hangs);
            let canceller = Canceller::new();
            let cancel = canceller.cancel_handle();
            let (mut output, events) = (Vec::new(), EventLog::none());
            let run = run_job(&*provider, &job, &mut output, &events, &cancel);
            let later = async {
                if number % 5 == 0 {
                    tokio::time::sleep(Duration::from_millis(number as u64 % 40)).await;
                    canceller.cancel(CancelCause::Caller);
                }
            };
            let (result, ()) = tokio::join!(run, later);
            assert_eq!(result.output_bytes, output.len() as u64);
            result
        });
    }
    jobs.join_all().await
}

async fn round(count: usize) {
    for (options, expected) in ENDS {
        let config: ProviderConfig = options.iter().copied().collect();
        let fake = (backend_fake::BACKEND.provider)(&config).unwrap();
        let hangs = *expected == EndedBy::Timeout;
        // Through the layers, which must not keep anything either.
        let layers = RetryStart::new(Arc::new(LimitConcurrency::new(fake.clone(), 64)));
        let results = jobs(Arc::new(layers), count, hangs).await;
        assert_eq!(results.len(), count);
        for result in results {
            let ended_by = result.ended_by;
            assert!(
                ended_by == *expected || ended_by == EndedBy::Cancel,
                "{options:?}: {result:?}"
            );
            assert!(result.stop_error.is_none(), "{result:?}");
        }
        fake.settle().await;
        assert_eq!(fake.list().await.unwrap(), [], "{options:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_jobs_leave_nothing() {
    // What is opened once stays open.
    round(2).await;
    let ledger = Ledger::open();
    round(100).await;
    ledger.settled(Duration::from_mins(1)).await.unwrap();
}
