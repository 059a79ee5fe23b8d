//! A thousand jobs in flight in one process, in bounded memory. A program of
//! its own, since it measures the whole process.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use backend_core::testkit::HashSink;
use backend_core::{FoundState, OutputSink, ProviderConfig};
use tokio::task::JoinSet;
use worker_core::{CancelCause, Canceller, EventLog, Job, run_job};

const JOBS: usize = 1000;
const RANDOM: u64 = 100_000;
/// With its hash and a newline at the end.
const LENGTH: u64 = RANDOM + 65;

/// Counts what arrives in all jobs.
struct Counting {
    sink: HashSink,
    arrived: Arc<AtomicU64>,
}

#[async_trait]
impl OutputSink for Counting {
    async fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.arrived
            .fetch_add(bytes.len() as u64, Ordering::Relaxed);
        self.sink.write(bytes).await
    }
}

/// The most memory that this process has had, in bytes.
fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.unwrap().trim().trim_end_matches(" kB");
    kib.parse::<u64>().unwrap() * 1024
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_jobs_in_flight_lose_nothing_and_take_less_than_64_mib() {
    let config = ProviderConfig::from([
        ("output-size", RANDOM.to_string()),
        ("output-checksum", "true".into()),
        ("run-hang", "true".into()),
        ("term-exit-code", "9".into()),
    ]);
    let provider = (backend_fake::BACKEND.provider)(&config).unwrap();
    let canceller = Canceller::new();
    let arrived = Arc::new(AtomicU64::new(0));
    let mut jobs = JoinSet::new();
    for number in 0..JOBS {
        let (provider, arrived) = (provider.clone(), arrived.clone());
        let cancel = canceller.cancel_handle();
        jobs.spawn(async move {
            let mut job = Job::new("#!/bin/sh\n");
            job.name = Some(format!("number {number}"));
            job.secrets.add([("S", b"hunter22".as_slice())]).unwrap();
            let mut sink = Counting {
                sink: HashSink::with_trailer(65),
                arrived,
            };
            let result = run_job(&*provider, &job, &mut sink, &EventLog::none(), &cancel).await;
            (result, sink.sink)
        });
    }
    // All of them print all that they have, and then hang.
    while arrived.load(Ordering::Relaxed) < JOBS as u64 * LENGTH {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let found = provider.list().await.unwrap();
    let running = found
        .iter()
        .filter(|found| found.state == FoundState::Running);
    assert_eq!(running.count(), JOBS, "all of them are in flight at once");
    canceller.cancel(CancelCause::Caller);
    let ended = jobs.join_all().await;
    assert_eq!(ended.len(), JOBS);
    for (result, sink) in ended {
        assert_eq!(result.exit_code, Some(9), "{result:?}");
        assert_eq!(result.output_bytes, sink.received());
        assert_eq!(result.output_bytes, LENGTH, "{result:?}");
        assert_eq!(sink.trailer().trim_ascii(), sink.hex().as_bytes());
    }
    assert_eq!(provider.list().await.unwrap(), []);
    let peak = peak_memory();
    assert!(peak < 64 << 20, "{} MiB", peak >> 20);
}
