//! `worker doctor`: tries each step of a backend for real, and explains.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use anyhow::Context as _;
use backend_core::reap::{ReapScope, decide};
use backend_core::{
    Backend, Capability, Error, ErrorKind, Outcome, OwnerId, Provider, Result, StartAttributes,
};
use worker_core::{CancelCause, Canceller, EndedBy, EventLog, Job, JobResult, Step, run_job};

use super::backends::explain;
use crate::args::DoctorArguments;
use crate::exit::{ExitStatus, FAILURE, SUCCESS};
use crate::findings::{Finding, Findings};
use crate::{providers, signals, stderr};

/// How long all of it may take.
const PATIENCE: Duration = Duration::from_secs(55);
/// How long one start may take, and one run.
const START: Duration = Duration::from_secs(30);
const RUN: Duration = Duration::from_secs(10);

/// An exit code that nothing else gives by chance.
const CODE: i32 = 43;
const SCRIPT: &[u8] = b"#!/bin/sh\necho worker-doctor\nexit 43\n";
const ENDLESS: &[u8] = b"#!/bin/sh\necho worker-doctor\nsleep 600\n";

/// Runs the command.
pub(super) async fn doctor(arguments: &DoctorArguments) -> anyhow::Result<ExitStatus> {
    let canceller = Canceller::new();
    signals::cancel_on_signals(&canceller).context("cannot listen for signals")?;
    let attributes = StartAttributes {
        image_name: arguments.image.clone().unwrap_or_default(),
        ..StartAttributes::default()
    };
    let mut status = SUCCESS;
    let mut text = format!(
        "worker {} on {} {}\n",
        env!("CARGO_PKG_VERSION"),
        std::env::consts::OS,
        std::env::consts::ARCH
    );
    let began = Instant::now();
    for (backend, provider) in providers::selected(&arguments.backends)? {
        let mut findings = Findings::default();
        let left = PATIENCE.saturating_sub(began.elapsed());
        let mut patient = Patient {
            backend,
            attributes: attributes.clone(),
            canceller: &canceller,
            findings: &mut findings,
        };
        let examined = tokio::time::timeout(left, patient.examine(provider.as_ref()));
        if examined.await.is_err() {
            findings.add(
                "time",
                Finding::failed(&Error::new(
                    ErrorKind::TimedOut,
                    "the steps took longer than a minute in all",
                )),
            );
        }
        if let Ok(provider) = &provider {
            super::settle(&**provider).await;
        }
        if !findings.healthy() {
            status = FAILURE;
        }
        let config = providers::configuration(backend.alias, &arguments.backends.options)?;
        writeln!(
            text,
            "\n{} ({})",
            backend.alias, backend.human_readable_name
        )?;
        for row in explain::set((backend.options)(), &config) {
            if let [key, value, origin] = &row[..] {
                writeln!(text, "  {key} = {value} ({origin})")?;
            }
        }
        text.push_str(&findings.text());
    }
    super::print(&stderr::secrets().mask_text(&text))?;
    Ok(status)
}

/// One backend under examination.
struct Patient<'a> {
    backend: &'static Backend,
    attributes: StartAttributes,
    canceller: &'a Canceller,
    findings: &'a mut Findings,
}

impl Patient<'_> {
    async fn examine(&mut self, provider: std::result::Result<&Arc<dyn Provider>, &Error>) {
        let provider = match provider {
            Ok(provider) => {
                self.findings.add("configuration", Finding::passed(""));
                &**provider
            }
            Err(error) => {
                self.findings.add("configuration", Finding::failed(error));
                return self.findings.skip(&[
                    "setup",
                    "start",
                    "upload",
                    "run",
                    "stop",
                    "cancel",
                    "leftovers",
                ]);
            }
        };
        let began = Instant::now();
        let setup = provider.setup().await;
        if !self.findings.took("setup", began, &setup) {
            return self
                .findings
                .skip(&["start", "upload", "run", "stop", "cancel", "leftovers"]);
        }
        if self.run(provider).await {
            self.cancel(provider).await;
        } else {
            self.findings.skip(&["cancel"]);
        }
        self.leftovers(provider).await;
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
        let result = run_job(provider, &job, &mut output, &EventLog::none(), &cancel).await;
        let mut well = true;
        for (step, name, took) in [
            (Step::Start, "start", result.durations.start),
            (Step::Upload, "upload", result.durations.upload),
        ] {
            if result.step == Some(step) {
                self.findings.add(name, Finding::failed(&why(&result)));
                let later: &[&str] = if step == Step::Start {
                    &["upload", "run", "stop"]
                } else {
                    &["run"]
                };
                self.findings.skip(later);
                if step == Step::Upload {
                    self.stop(&result);
                }
                return false;
            }
            let detail = match (step, &result.image) {
                (Step::Start, Some(image)) => image.as_str(),
                _ => "",
            };
            self.findings.add(name, Finding::passed(detail).after(took));
        }
        let simulated = !provider.capabilities().has(Capability::ExecutesScripts);
        let right = result.exit_code == Some(CODE) && output == b"worker-doctor\n";
        let ran = result.outcome.is_some() && result.ended_by == EndedBy::Script;
        if ran && (right || simulated) {
            self.findings
                .add("run", Finding::passed("").after(result.durations.run));
        } else {
            well = false;
            self.findings.add("run", Finding::failed(&why(&result)));
        }
        self.stop(&result) && well
    }

    fn stop(&mut self, result: &JobResult) -> bool {
        let stopped = result.stop_error.clone().map_or(Ok(()), Err);
        let finding = match &stopped {
            Ok(()) => Finding::passed("").after(result.durations.stop),
            Err(error) => Finding::failed(error),
        };
        self.findings.add("stop", finding);
        stopped.is_ok()
    }

    /// A script that would run on is cancelled once it has begun.
    async fn cancel(&mut self, provider: &dyn Provider) {
        let began = Instant::now();
        let canceller = Canceller::new();
        let mut sink = CancelOnOutput(canceller.clone());
        let cancel = canceller.cancel_handle();
        let mut job = self.job(ENDLESS);
        if !provider.capabilities().has(Capability::ExecutesScripts) {
            return self
                .findings
                .add("cancel", Finding::skipped("its runs are simulated"));
        }
        job.limits.hard = Some(RUN);
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
        let scope = ReapScope::Owner(OwnerId::current());
        let left: Result<Vec<_>> = provider.list().await.map(|found| {
            let now = SystemTime::now();
            let gone = found
                .iter()
                .filter(|found| decide(found, &scope, now).removes());
            gone.map(|found| found.marks.instance.to_string()).collect()
        });
        let finding = match left {
            Ok(left) if left.is_empty() => Finding::passed("none"),
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
