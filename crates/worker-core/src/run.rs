//! One job from start to stop: the sequence.

use std::time::{Duration, SystemTime};

use backend_core::{
    Capability, Error, ErrorKind, Instance, Loss, LossCause, Outcome, OutputSink, ProgressReporter,
    Provider, RunOptions, RunResult, StartContext, unix_seconds,
};
use tokio::time::Instant;
use tracing::Instrument as _;

use crate::event::FORMAT_VERSION;
use crate::ladder::{END_PATIENCE, Trigger, Watch, Watched};
use crate::pipeline::{OutputSummary, Pipeline};
use crate::tries::Tries;
use crate::{
    Cancel, CancelCause, EndedBy, EventKind, EventLog, Job, JobResult, Kept, Limit, OnMaxOutput,
    Step,
};

/// How long a stop may take: longer than any deadline of its own.
const STOP_PATIENCE: Duration = Duration::from_mins(5);

/// Runs one job on an instance of its own: start, upload, run, and stop,
/// always.
///
/// Whatever happens, there is one result, and by then the instance is removed
/// or [`JobResult::stop_error`] says what may be left of it. Call
/// [`Provider::settle`] before the process ends.
///
/// # Cancel safety
///
/// Cancel by `cancel`, which ends the script with grace. A dropped future
/// ends nothing gracefully, but the instance is removed all the same by a task
/// of the provider.
pub async fn run_job(
    provider: &dyn Provider,
    job: &Job,
    sink: &mut dyn OutputSink,
    events: &EventLog,
    cancel: &Cancel,
) -> JobResult {
    let span = tracing::info_span!("job", name = job.name.as_deref());
    carry_out(provider, job, sink, events, cancel)
        .instrument(span)
        .await
}

async fn carry_out(
    provider: &dyn Provider,
    job: &Job,
    sink: &mut dyn OutputSink,
    events: &EventLog,
    cancel: &Cancel,
) -> JobResult {
    let began = Instant::now();
    let mut result = JobResult::of(job);
    let events = &events.masking(&job.secrets);
    events.emit(EventKind::JobStarted {
        version: FORMAT_VERSION,
        job: job.name.clone(),
    });
    let pipeline = Pipeline::new(sink, job, events);
    let steps = Steps {
        provider,
        job,
        events,
        cancel,
    };
    let started = match job.limits.check() {
        Ok(()) => steps.start(&mut result).await,
        Err(invalid) => {
            let what = "the limits of the job cannot hold";
            let error = Error::new(ErrorKind::InvalidInput, what).caused_by(invalid);
            Err(Ended::Failed(error))
        }
    };
    match started {
        Ok(instance) => {
            let span = tracing::info_span!("instance", id = %instance.id());
            steps
                .use_instance(&*instance, pipeline, &mut result)
                .instrument(span)
                .await;
        }
        Err(ended) => {
            ended.tell(&mut result, Step::Start);
            let nothing = pipeline.finish().await;
            tell_output(&mut result, nothing, job);
        }
    }
    result.mask(&job.secrets);
    result.durations.total = began.elapsed();
    events.emit(EventKind::JobEnded {
        ended_by: result.ended_by,
    });
    result
}

/// Why a step before the run did not come to its end.
enum Ended {
    Failed(Error),
    Limit(Limit),
    Cancel(CancelCause),
}

struct Steps<'a> {
    provider: &'a dyn Provider,
    job: &'a Job,
    events: &'a EventLog,
    cancel: &'a Cancel,
}

impl Steps<'_> {
    async fn start(&self, result: &mut JobResult) -> Result<Box<dyn Instance>, Ended> {
        let can_keep = || self.provider.capabilities().has(Capability::Keeps);
        if self.job.keep.may_keep() && !can_keep() {
            return Err(Ended::Failed(Error::unsupported(Capability::Keeps)));
        }
        let mut context = StartContext::new().lifetime(self.job.limits.lifetime());
        context.keep = self.job.keep.may_keep();
        context.job.clone_from(&self.job.name);
        let tries = Tries::new(self.events);
        context.progress = ProgressReporter::new(tries.clone());
        if let Some(owner) = &self.job.owner {
            context = context.owner(owner.clone());
        }
        let start = self.provider.start(&self.job.attributes, &context);
        let (started, duration) = self
            .step(
                Step::Start,
                (self.job.limits.startup, Limit::Startup),
                start,
            )
            .await;
        result.durations.start = duration;
        if let Err(Ended::Limit(_)) = started {
            result.error = tries.last_failure();
        }
        let instance = started?;
        result.instance = Some(instance.id().to_string());
        result.image = instance.image_name().map(str::to_owned);
        self.events.emit(EventKind::InstanceReady {
            instance: instance.id().to_string(),
            image: result.image.clone(),
        });
        Ok(instance)
    }

    /// Upload, run, and stop, always.
    async fn use_instance(
        &self,
        instance: &dyn Instance,
        mut pipeline: Pipeline<'_>,
        result: &mut JobResult,
    ) {
        // Before the run: its marks are as old as this, or younger.
        let expires = SystemTime::now() + self.job.limits.lifetime() - result.durations.start;
        let stopped = self.upload_and_run(instance, &mut pipeline, result).await;
        if !stopped && self.job.keep.keeps(result) {
            result.kept = Some(Kept {
                expires: unix_seconds(expires),
            });
            let output = self.last_bytes(pipeline).await;
            return tell_output(result, output, self.job);
        }
        // At once: the last bytes need not wait for the stop, and a sink that
        // takes nothing must not hold it up.
        let stop = self.stop(instance);
        let ((stopped, duration), output) = tokio::join!(stop, self.last_bytes(pipeline));
        result.durations.stop = duration;
        result.stop_error = stopped.err();
        tell_output(result, output, self.job);
    }

    /// Delivers what the pipeline still holds. A job that is cancelled waits
    /// only so long for its sink.
    async fn last_bytes(&self, pipeline: Pipeline<'_>) -> OutputSummary {
        let gauge = pipeline.gauge();
        let mut finish = std::pin::pin!(pipeline.finish());
        let cancelled = async {
            self.cancel.requested().await;
            tokio::time::sleep(END_PATIENCE).await;
        };
        tokio::select! {
            biased;
            output = &mut finish => return output,
            () = cancelled => gauge.give_up(),
        }
        finish.await
    }

    /// Says whether the instance had to be stopped to end the run.
    async fn upload_and_run(
        &self,
        instance: &dyn Instance,
        pipeline: &mut Pipeline<'_>,
        result: &mut JobResult,
    ) -> bool {
        let upload = instance.upload_script(&self.job.script);
        let (uploaded, duration) = self
            .step(
                Step::Upload,
                (self.job.limits.upload, Limit::Upload),
                upload,
            )
            .await;
        result.durations.upload = duration;
        if let Err(ended) = uploaded {
            ended.tell(result, Step::Upload);
            return false;
        }

        let began = Instant::now();
        self.events.emit(EventKind::StepStarted { step: Step::Run });
        let options = RunOptions {
            environment: self.job.environment.clone(),
            drain_window: self.job.limits.drain,
        };
        let gauge = pipeline.gauge();
        let watch = Watch {
            instance,
            limits: &self.job.limits,
            gauge: &gauge,
            cancel: self.cancel,
            events: self.events,
        };
        let watched = {
            let run = std::pin::pin!(instance.run_script(&options, pipeline));
            let span = tracing::info_span!("step", step = %Step::Run);
            watch.to_the_end(run).instrument(span).await
        };
        result.durations.run = began.elapsed();
        let stopped = watched.stopped;
        tell_run(result, watched);
        if let Some(outcome) = &result.outcome {
            self.events.emit(EventKind::RunEnded {
                outcome: outcome.clone(),
            });
            self.ended(Step::Run, result.durations.run);
        }
        stopped
    }

    async fn stop(&self, instance: &dyn Instance) -> (backend_core::Result<()>, Duration) {
        let began = Instant::now();
        self.events
            .emit(EventKind::StepStarted { step: Step::Stop });
        let span = tracing::info_span!("step", step = %Step::Stop);
        // Every stop has its own deadline; one that does not keep it must not
        // hang the job.
        let stop = tokio::time::timeout(STOP_PATIENCE, instance.stop());
        let stopped = stop.instrument(span).await.unwrap_or_else(|_| {
            let what = "the stop did not come to its end, and the instance may be left";
            Err(Error::new(ErrorKind::Leftover, what).on_instance(instance.id()))
        });
        let duration = began.elapsed();
        match &stopped {
            Ok(()) => self.ended(Step::Stop, duration),
            Err(error) => self.failed(Step::Stop, error),
        }
        (stopped, duration)
    }

    /// Runs a step before the run within its limit, unless the job is
    /// cancelled. An end that was seen wins.
    async fn step<T>(
        &self,
        step: Step,
        (patience, limit): (Duration, Limit),
        work: impl Future<Output = backend_core::Result<T>>,
    ) -> (Result<T, Ended>, Duration) {
        let began = Instant::now();
        self.events.emit(EventKind::StepStarted { step });
        let work = work.instrument(tracing::info_span!("step", %step));
        let ended = tokio::select! {
            biased;
            // A cancel that came first must win over work that would begin now.
            cause = self.cancel.requested() => {
                self.events.emit(EventKind::Cancelled { cause });
                Err(Ended::Cancel(cause))
            }
            done = work => done.map_err(|error| {
                self.failed(step, &error);
                Ended::Failed(error)
            }),
            () = tokio::time::sleep(patience) => {
                self.events.emit(EventKind::LimitReached { limit });
                Err(Ended::Limit(limit))
            }
        };
        if ended.is_ok() {
            self.ended(step, began.elapsed());
        }
        (ended, began.elapsed())
    }

    fn ended(&self, step: Step, duration: Duration) {
        let duration_ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        self.events.emit(EventKind::StepEnded { step, duration_ms });
    }

    fn failed(&self, step: Step, error: &Error) {
        let error = backend_core::Chain(error).to_string();
        self.events.emit(EventKind::StepFailed { step, error });
    }
}

impl Ended {
    fn tell(self, result: &mut JobResult, step: Step) {
        result.step = Some(step);
        match self {
            Self::Failed(error) => result.error = Some(error),
            Self::Limit(limit) => {
                result.ended_by = EndedBy::Timeout;
                result.limit = Some(limit);
            }
            Self::Cancel(cause) => {
                result.ended_by = EndedBy::Cancel;
                result.cancelled_by = Some(cause);
            }
        }
    }
}

fn tell_run(result: &mut JobResult, watched: Watched) {
    match watched.result {
        Some(Ok(run)) => tell_run_result(result, run),
        Some(Err(error)) => {
            result.step = Some(Step::Run);
            result.error = Some(error);
        }
        None => {
            let loss = Loss::new(
                LossCause::Stopped,
                "the run did not return although its instance was stopped",
            );
            tell_run_result(result, RunResult::lost(loss, 0));
        }
    }
    match watched.trigger {
        Some(Trigger::Limit(Limit::Output)) => {
            result.ended_by = EndedBy::OutputLimit;
            result.limit = Some(Limit::Output);
        }
        Some(Trigger::Limit(limit)) => {
            result.ended_by = EndedBy::Timeout;
            result.limit = Some(limit);
        }
        Some(Trigger::Cancel(cause)) => {
            result.ended_by = EndedBy::Cancel;
            result.cancelled_by = Some(cause);
        }
        None => {}
    }
}

fn tell_run_result(result: &mut JobResult, run: RunResult) {
    result.ended_by = match &run.outcome {
        Outcome::Lost(_) => EndedBy::Lost,
        _ if run.ended_by_engine => EndedBy::Engine,
        Outcome::Exited { .. } => EndedBy::Script,
        Outcome::Signaled { oom: true, .. } => EndedBy::OutOfMemory,
        Outcome::Signaled { oom: false, .. } => EndedBy::Signal,
    };
    result.exit_code = run.exit_code();
    result.oom_seen = run.oom_seen || result.ended_by == EndedBy::OutOfMemory;
    result.output_complete = run.output_complete;
    result.leftovers = run.leftovers;
    result.reconnects = run.reconnects;
    result.outcome = Some(run.outcome);
}

fn tell_output(result: &mut JobResult, output: OutputSummary, job: &Job) {
    result.output_bytes = output.bytes;
    result.output_sha256 = output.sha256;
    result.output_truncated = output.truncated;
    result.output_complete &= output.sink_error.is_none();
    result.output_error = output.sink_error.map(|error| error.to_string());
    // The script wrote more than it may, and then ended before it was ended:
    // which of the two came first must not depend on the machine's mood.
    let stops = |limit: crate::OutputLimit| limit.on_exceed == OnMaxOutput::Stop;
    let ended_by_itself = matches!(
        result.ended_by,
        EndedBy::Script | EndedBy::Signal | EndedBy::OutOfMemory
    );
    if output.truncated && ended_by_itself && job.limits.output.is_some_and(stops) {
        result.ended_by = EndedBy::OutputLimit;
        result.limit = Some(Limit::Output);
    }
}
