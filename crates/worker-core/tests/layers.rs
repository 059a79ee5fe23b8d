//! Layers wrap a provider and are one.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use backend_core::{
    Chain, Error, ErrorKind, Found, Instance, InstanceId, OutputSink, Phase, Progress,
    ProgressReporter, Provider, ProviderConfig, ProviderExt as _, RunOptions, RunResult,
    StartAttributes, StartContext,
};
use tokio::time::{Instant, timeout};
use worker_core::{
    Cancel, EndedBy, Event, EventKind, EventLog, Job, Limit, LimitConcurrency, RetryStart, run_job,
};

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
    // The limit says when it was given up, the error why it came to that.
    let error = result.error.unwrap();
    assert!(
        Chain(&error).to_string().contains("a failure that passes"),
        "{error:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn the_same_reason_is_told_once_in_full() {
    let provider = RetryStart::new(fake(&[("start-failures", "3")]));
    let told: Arc<Mutex<Vec<String>>> = Arc::default();
    let events = {
        let told = told.clone();
        EventLog::new(move |event: &Event| {
            if let EventKind::Progress(Progress {
                phase: Phase::Notice,
                detail,
                ..
            }) = &event.kind
            {
                told.lock().unwrap().push(detail.clone());
            }
        })
    };
    let job = Job::new("");
    let result = run_job(&provider, &job, &mut Vec::new(), &events, &Cancel::never()).await;
    assert!(result.success() && result.error.is_none(), "{result:?}");
    let told = told.lock().unwrap();
    let (first, others) = told.split_first().unwrap();
    assert!(
        first.contains("a failure that passes")
            && first.ends_with("; trying again until the startup limit"),
        "{first}"
    );
    assert_eq!(*others, ["the same once more; trying again"; 2]);
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
    let fourth = provider.start_new(&attributes).await.unwrap();
    // A second stop of the first gives no second place.
    first.stop().await.unwrap();
    let fifth = provider.start_new(&attributes);
    assert!(timeout(Duration::from_hours(1), fifth).await.is_err());
    drop(fourth);
    let sixth = provider.start_new(&attributes).await.unwrap();
    sixth.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_pauses_between_tries_grow_and_differ() {
    let provider = RetryStart::new(fake(&[("start-failures", "12")]));
    let tries: Arc<Mutex<Vec<Instant>>> = Arc::default();
    let seen = tries.clone();
    let context = StartContext::new().progress(ProgressReporter::new(move |progress: Progress| {
        if progress.phase == Phase::Notice {
            assert!(progress.detail.contains("trying again"), "{progress:?}");
            seen.lock().unwrap().push(Instant::now());
        }
    }));
    let attributes = StartAttributes::default();
    let instance = provider.start(&attributes, &context).await.unwrap();
    // Each try is an instance of its own.
    assert_ne!(*instance.id(), context.id);
    let tries = tries.lock().unwrap();
    assert_eq!(tries.len(), 12);
    let pauses: Vec<_> = tries.windows(2).map(|pair| pair[1] - pair[0]).collect();
    let second = Duration::from_secs(1);
    for (number, pause) in (0_u32..).zip(&pauses) {
        let most = (Duration::from_millis(200) * 2_u32.pow(number)).min(10 * second);
        assert!(
            (most / 2..=most).contains(pause),
            "pause {number} is {pause:?}"
        );
    }
    let last: std::collections::BTreeSet<_> = pauses.iter().rev().take(5).collect();
    assert!(last.len() > 1, "there is no jitter in {last:?}");
}

/// Whatever it is asked for fails, and says that it may be tried again.
#[derive(Debug)]
struct Flaky {
    inner: Box<dyn Instance>,
    calls: Arc<AtomicU32>,
    upload_works: bool,
}

impl Flaky {
    fn fail<T>(&self) -> backend_core::Result<T> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        Err(Error::new(ErrorKind::Unreachable, "a hiccup").retryable())
    }
}

#[async_trait]
impl Instance for Flaky {
    fn id(&self) -> &InstanceId {
        self.inner.id()
    }

    async fn upload_script(&self, script: &[u8]) -> backend_core::Result<()> {
        if self.upload_works {
            return self.inner.upload_script(script).await;
        }
        self.fail()
    }

    async fn run_script(
        &self,
        _: &RunOptions,
        _: &mut dyn OutputSink,
    ) -> backend_core::Result<RunResult> {
        self.fail()
    }

    async fn stop(&self) -> backend_core::Result<()> {
        self.inner.stop().await
    }
}

#[derive(Debug)]
struct FlakyProvider {
    fake: Arc<dyn Provider>,
    calls: Arc<AtomicU32>,
    starts: AtomicU32,
    upload_works: bool,
}

#[async_trait]
impl Provider for FlakyProvider {
    async fn start(
        &self,
        attributes: &StartAttributes,
        context: &StartContext,
    ) -> backend_core::Result<Box<dyn Instance>> {
        self.starts.fetch_add(1, Ordering::SeqCst);
        Ok(Box::new(Flaky {
            inner: self.fake.start(attributes, context).await?,
            calls: self.calls.clone(),
            upload_works: self.upload_works,
        }))
    }

    async fn list(&self) -> backend_core::Result<Vec<Found>> {
        self.fake.list().await
    }

    async fn remove(&self, found: &Found) -> backend_core::Result<()> {
        self.fake.remove(found).await
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_after_the_start_is_tried_again() {
    for upload_works in [false, true] {
        let calls = Arc::new(AtomicU32::new(0));
        let flaky = Arc::new(FlakyProvider {
            fake: fake(&[]),
            calls: calls.clone(),
            starts: AtomicU32::new(0),
            upload_works,
        });
        let provider = RetryStart::new(flaky.clone());
        let (job, events, mut output) = (Job::new(""), EventLog::none(), Vec::new());
        let result = run_job(&provider, &job, &mut output, &events, &Cancel::never()).await;
        assert_eq!(result.ended_by, EndedBy::NeverStarted);
        assert!(result.error.unwrap().is_retryable());
        assert_eq!(calls.load(Ordering::SeqCst), 1);
        assert_eq!(flaky.starts.load(Ordering::SeqCst), 1);
        assert_eq!(provider.list().await.unwrap(), []);
    }
}
