//! Layers wrap a provider and are one.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::time::Duration;

use backend_core::{Provider, ProviderConfig, ProviderExt as _, StartAttributes};
use tokio::time::{Instant, timeout};
use worker_core::{Cancel, EndedBy, EventLog, Job, Limit, LimitConcurrency, RetryStart, run_job};

fn fake(options: &[(&str, &str)]) -> Arc<dyn Provider> {
    let config: ProviderConfig = options.iter().copied().collect();
    (backend_fake::BACKEND.provider)(&config).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_transient_failure_is_tried_again_within_the_startup_limit() {
    let provider = RetryStart::new(fake(&[("start-failures", "5"), ("exit-code", "4")]));
    let (events, job) = (EventLog::none(), Job::new(""));
    let result = run_job(&provider, &job, &mut Vec::new(), &events, &Cancel::never()).await;
    assert_eq!(
        (result.ended_by, result.exit_code),
        (EndedBy::Script, Some(4))
    );

    let provider = RetryStart::new(fake(&[("start-failures", "1000000")]));
    let mut job = Job::new("");
    job.limits.startup = Duration::from_mins(1);
    let began = Instant::now();
    let result = run_job(&provider, &job, &mut Vec::new(), &events, &Cancel::never()).await;
    assert_eq!(
        (result.ended_by, result.limit),
        (EndedBy::Timeout, Some(Limit::Startup))
    );
    assert_eq!(began.elapsed().as_secs(), 60);
}

#[tokio::test(start_paused = true)]
async fn a_permanent_failure_is_not_tried_again() {
    let provider = RetryStart::new(fake(&[("error", "no such thing")]));
    let began = Instant::now();
    assert!(
        provider
            .start_new(&StartAttributes::default())
            .await
            .is_err()
    );
    assert_eq!(began.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_start_over_the_limit_waits_for_a_place() {
    let provider = LimitConcurrency::new(fake(&[]), 2);
    let attributes = StartAttributes::default();
    let first = provider.start_new(&attributes).await.unwrap();
    let _second = provider.start_new(&attributes).await.unwrap();
    let third = provider.start_new(&attributes);
    assert!(timeout(Duration::from_hours(1), third).await.is_err());
    first.stop().await.unwrap();
    drop(first);
    provider
        .start_new(&attributes)
        .await
        .unwrap()
        .stop()
        .await
        .unwrap();
}
