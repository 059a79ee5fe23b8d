//! One backend under examination.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use backend_core::reap::{ReapScope, decide};
use backend_core::{
    Backend, Capability, Error, ErrorKind, Examination, Outcome, OwnerId, Phase, Provider, Result,
    StartAttributes,
};
use worker_core::{
    CancelCause, Canceller, EndedBy, EventKind, EventLog, Job, JobResult, Step, run_job,
};

use crate::findings::{Finding, Findings};

/// How long the way to the far side may take, one start, and one run.
const EXAMINATION: Duration = Duration::from_secs(25);
const START: Duration = Duration::from_secs(30);
const RUN: Duration = Duration::from_secs(10);

/// An exit code that nothing else gives by chance.
const CODE: i32 = 43;
const SCRIPT: &[u8] = b"#!/bin/sh\necho worker-doctor\nexit 43\n";
const ENDLESS: &[u8] = b"#!/bin/sh\necho worker-doctor\nsleep 600\n";

/// One backend under examination.
pub(super) struct Patient {
    pub(super) backend: &'static Backend,
    pub(super) attributes: StartAttributes,
    pub(super) canceller: Canceller,
    pub(super) findings: Findings,
}

impl Patient {
    /// Tries every step; what comes after one that failed is not tried.
    pub(super) async fn examine(
        &mut self,
        provider: std::result::Result<&Arc<dyn Provider>, &Error>,
    ) {
        let provider = match provider {
            Ok(provider) => {
                self.findings.add("configuration", Finding::passed(""));
                &**provider
            }
            Err(error) => {
                self.findings.add("configuration", Finding::failed(error));
                self.findings.skip(&["connect"]);
                return self.skip_from("start");
            }
        };
        if !self.reach(provider).await {
            return self.skip_from("start");
        }
        if self.run(provider).await {
            self.cancel(provider).await;
        } else {
            self.findings.skip(&["cancel"]);
        }
        self.leftovers(provider).await;
    }

    fn skip_from(&mut self, step: &str) {
        let all = ["start", "upload", "run", "stop", "cancel", "leftovers"];
        let first = all.iter().position(|name| *name == step);
        self.findings
            .skip(all.get(first.unwrap_or(0)..).unwrap_or_default());
    }

    /// What the provider would use, and the way to it.
    async fn reach(&mut self, provider: &dyn Provider) -> bool {
        let mut examination = Examination::default();
        let cancel = self.canceller.cancel_handle();
        let given_up = async {
            tokio::select! {
                () = tokio::time::sleep(EXAMINATION) => {
                    let what = format!("it took longer than {EXAMINATION:?}");
                    Error::new(ErrorKind::TimedOut, what)
                }
                _ = cancel.requested() => {
                    Error::new(ErrorKind::Cancelled, "it was cancelled")
                }
            }
        };
        let given_up = tokio::select! {
            () = provider.examine(&mut examination) => None,
            error = given_up => Some(error),
        };
        if let Some(error) = given_up {
            // Of several that were looked at together, nothing may be known.
            examination.fail("setup", error);
        }
        let went_well = examination.went_well();
        self.findings.candidates.append(&mut examination.candidates);
        for step in examination.steps {
            let finding = match &step.result {
                Ok(()) => Finding::passed(&step.detail).after(step.took),
                Err(error) => Finding::failed(error),
            };
            self.findings.add(step.step, finding);
        }
        went_well
    }

    fn job(&self, script: &[u8]) -> Job {
        let mut job = Job::new(script);
        job.name = Some("worker-doctor".into());
        job.attributes = self.attributes.clone();
        job.limits.startup = START;
        job.limits.upload = RUN;
        job.limits.hard = Some(RUN);
        job.limits.grace = Duration::from_secs(2);
        job
    }

    /// One job from start to stop; whether all of it went well.
    async fn run(&mut self, provider: &dyn Provider) -> bool {
        let mut output = Vec::new();
        let cancel = self.canceller.cancel_handle();
        let job = self.job(SCRIPT);
        let (events, image_ready) = watch_image();
        let result = run_job(provider, &job, &mut output, &events, &cancel).await;
        let to_image = *image_ready.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.began(provider, &result, to_image) {
            return false;
        }
        let simulated = !provider.capabilities().has(Capability::ExecutesScripts);
        let right = result.exit_code == Some(CODE) && output == b"worker-doctor\n";
        let ran = result.outcome.is_some() && result.ended_by == EndedBy::Script;
        let well = ran && (right || simulated);
        self.findings.add(
            "run",
            if well {
                Finding::passed("").after(result.durations.run)
            } else {
                Finding::failed(&why(&result))
            },
        );
        self.stop(&result) && well
    }

    /// Image, start and upload; whether there is a run to look at.
    fn began(
        &mut self,
        provider: &dyn Provider,
        result: &JobResult,
        to_image: Option<Duration>,
    ) -> bool {
        let has_images = provider.capabilities().has(Capability::Images);
        let start = result.durations.start;
        let failed = result.step.map(|_| Finding::failed(&why(result)));
        match (result.step, failed) {
            (Some(Step::Start), Some(failed)) => {
                let at_image = has_images && to_image.is_none();
                if has_images && !at_image {
                    self.image(result, to_image);
                }
                let step = if at_image { "image" } else { "start" };
                self.findings.add(step, failed);
                if at_image {
                    self.findings.skip(&["start"]);
                }
                self.findings.skip(&["upload", "run", "stop"]);
                false
            }
            (Some(Step::Upload), Some(failed)) => {
                self.started(has_images, result, start, to_image);
                self.findings.add("upload", failed);
                self.findings.skip(&["run"]);
                self.stop(result);
                false
            }
            _ => {
                self.started(has_images, result, start, to_image);
                let upload = Finding::passed("").after(result.durations.upload);
                self.findings.add("upload", upload);
                true
            }
        }
    }

    fn started(
        &mut self,
        has_images: bool,
        result: &JobResult,
        start: Duration,
        to_image: Option<Duration>,
    ) {
        if has_images {
            self.image(result, to_image);
        }
        let rest = start.saturating_sub(to_image.filter(|_| has_images).unwrap_or_default());
        self.findings.add("start", Finding::passed("").after(rest));
    }

    fn image(&mut self, result: &JobResult, took: Option<Duration>) {
        let name = result.image.as_deref().unwrap_or_default();
        let image = Finding::passed(name).after(took.unwrap_or_default());
        self.findings.add("image", image);
    }

    fn stop(&mut self, result: &JobResult) -> bool {
        let finding = match &result.stop_error {
            None => Finding::passed("").after(result.durations.stop),
            Some(error) => Finding::failed(error),
        };
        self.findings.add("stop", finding);
        result.stop_error.is_none()
    }

    /// A script that would run on is cancelled once it has begun.
    async fn cancel(&mut self, provider: &dyn Provider) {
        let began = Instant::now();
        let canceller = Canceller::new();
        let mut sink = CancelOnOutput(canceller.clone());
        let cancel = canceller.cancel_handle();
        let job = self.job(ENDLESS);
        if !provider.capabilities().has(Capability::ExecutesScripts) {
            return self
                .findings
                .add("cancel", Finding::skipped("its runs are simulated"));
        }
        let events = EventLog::none();
        let run = run_job(provider, &job, &mut sink, &events, &cancel);
        let interrupted = async {
            let cause = self.canceller.cancel_handle().requested().await;
            canceller.cancel(cause);
            std::future::pending::<()>().await;
        };
        let result = tokio::select! {
            result = run => result,
            () = interrupted => return,
        };
        let finding = match &result.stop_error {
            Some(error) => Finding::failed(error),
            None if result.ended_by == EndedBy::Cancel => {
                Finding::passed("").after(began.elapsed())
            }
            None => Finding::failed(&why(&result)),
        };
        self.findings.add("cancel", finding);
    }

    /// What earlier workers have left behind.
    async fn leftovers(&mut self, provider: &dyn Provider) {
        let began = Instant::now();
        let scope = ReapScope::Owner(OwnerId::current());
        let left: Result<Vec<_>> = provider.list().await.map(|found| {
            let now = SystemTime::now();
            let gone = found
                .iter()
                .filter(|found| decide(found, &scope, now).removes());
            gone.map(|found| found.marks.instance.to_string()).collect()
        });
        let finding = match left {
            Ok(left) if left.is_empty() => Finding::passed("none").after(began.elapsed()),
            Ok(left) => {
                let what = format!("left behind by earlier workers: {}", left.join(", "));
                let hint = format!("`worker reap -b {}` removes them", self.backend.alias);
                Finding::failed(&Error::new(ErrorKind::Leftover, what).with_hint(hint))
            }
            Err(error) => Finding::failed(&error),
        };
        self.findings.add("leftovers", finding);
    }
}

/// When a start had its image, counted from the beginning of the job, which is
/// that of the start: from then on it creates the instance.
type ImageReady = Arc<Mutex<Option<Duration>>>;

fn watch_image() -> (EventLog, ImageReady) {
    let ready = ImageReady::default();
    let noted = ready.clone();
    let events = EventLog::new(move |event| {
        if let EventKind::Progress(progress) = &event.kind
            && matches!(progress.phase, Phase::Queued | Phase::Creating)
        {
            let mut noted = noted.lock().unwrap_or_else(PoisonError::into_inner);
            noted.get_or_insert(Duration::from_millis(event.elapsed_ms));
        }
    });
    (events, ready)
}

/// Why a job did not go well, as an error.
fn why(result: &JobResult) -> Error {
    if let Some(error) = &result.error {
        return error.clone();
    }
    let (kind, what) = match (result.limit, &result.outcome) {
        (Some(limit), _) => (
            ErrorKind::TimedOut,
            format!("the {limit} limit was reached"),
        ),
        (None, Some(Outcome::Lost(loss))) => {
            let what = format!(
                "how the script ended is not known: {}: {}",
                loss.cause, loss.detail
            );
            (ErrorKind::Unreachable, what)
        }
        (None, Some(outcome)) => {
            let what = format!(
                "the script {outcome}, with {} bytes of output",
                result.output_bytes
            );
            (ErrorKind::Protocol, what)
        }
        (None, None) => (ErrorKind::Cancelled, "it was cancelled".to_owned()),
    };
    Error::new(kind, what)
}

/// Cancels as soon as there is output.
struct CancelOnOutput(Canceller);

#[async_trait::async_trait]
impl backend_core::OutputSink for CancelOnOutput {
    async fn write(&mut self, _: &[u8]) -> std::io::Result<()> {
        self.0.cancel(CancelCause::Caller);
        Ok(())
    }
}
