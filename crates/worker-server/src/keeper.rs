//! The life of one instance, from start to removal: one task for each.

use std::sync::Arc;
use std::time::Duration;

use backend_core::{
    Chain, Found, Instance, ProgressReporter, Result, Signal, StartAttributes, StartContext,
};
use tokio::time::{Instant, timeout};
use worker_api::{Code, InstanceEnd, InstanceEndCause, LostBy, Problem, StoppedBy};

use crate::host::Host;
use crate::hosted::Hosted;

/// How long a run may take to end after its instance was removed.
const RUN_ENDS: Duration = Duration::from_secs(10);

/// How long nothing must be found of a start that came to nothing, and how long
/// to look at the most.
const ABSENCE: Duration = Duration::from_secs(2);
const UNDONE: Duration = Duration::from_mins(1);

/// The first and the longest pause between two attempts at a removal.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_mins(1));

/// Starts the instance, keeps it while it may live, removes it, remembers it
/// for a while, and forgets it.
pub(crate) async fn keep(host: Arc<Host>, hosted: Arc<Hosted>) {
    let end = live(&host, &hosted).await;
    if let Err(error) = host.write_record(&hosted, Some(end.clone())).await {
        tracing::warn!(instance = %hosted.id, %error, "cannot write down how an instance ended");
    }
    tracing::info!(instance = %hosted.id, by = ?end.by, "an instance is gone");
    hosted.gone(end);
    host.tasks.spawn(forget(host.clone(), hosted));
}

/// Forgets an instance that is gone after a while. A server that ends leaves
/// what it remembers for the next one.
pub(crate) async fn forget(host: Arc<Host>, hosted: Arc<Hosted>) {
    tokio::select! {
        () = tokio::time::sleep(host.options.limits.remembrance) => host.forget(&hosted).await,
        () = host.until_draining() => {}
    }
}

async fn live(host: &Host, hosted: &Hosted) -> InstanceEnd {
    if let Err(error) = host.write_record(hosted, None).await {
        let detail = format!("the server cannot keep the instance: {error}");
        return failed(Problem::new(Code::Internal, detail).in_stage("start"));
    }
    let started = tokio::select! {
        biased;
        cause = hosted.until_end() => Err(cause),
        started = start(host, hosted) => Ok(started),
    };
    match started {
        Ok(Ok(instance)) => {
            let instance: Arc<dyn Instance> = instance.into();
            hosted.ready(instance.clone());
            tracing::info!(instance = %hosted.id, caller = hosted.caller, "an instance is ready");
            let by = hosted.until_end().await;
            remove(host, hosted, &*instance, by).await;
            InstanceEnd { by, problem: None }
        }
        Ok(Err(error)) => {
            tracing::warn!(instance = %hosted.id, error = %Chain(&error), "a start failed");
            let problem = Problem::of(&error, "start");
            hosted.stopping(InstanceEndCause::StartFailed, Some(problem.clone()));
            // What it had created may still be in removal.
            undone(host, hosted).await;
            failed(problem)
        }
        Err(by) => {
            hosted.stopping(by, None);
            // The dropped start is undone by the provider.
            undone(host, hosted).await;
            InstanceEnd { by, problem: None }
        }
    }
}

fn failed(problem: Problem) -> InstanceEnd {
    InstanceEnd {
        by: InstanceEndCause::StartFailed,
        problem: Some(problem),
    }
}

/// Waits until nothing is left of a start that came to nothing. The provider
/// settles when it has nothing at all to do, which on a busy server may be
/// never: so it is also enough that nothing was found for a while.
async fn undone(host: &Host, hosted: &Hosted) {
    let absent = async {
        let mut since = Instant::now();
        while since.elapsed() < ABSENCE {
            let ours = |found: &Found| found.marks.instance == hosted.id;
            match host.provider.list().await {
                Ok(found) if !found.iter().any(ours) => {}
                _ => since = Instant::now(),
            }
            tokio::time::sleep(ABSENCE / 10).await;
        }
    };
    tokio::select! {
        () = host.provider.settle() => {}
        _ = timeout(UNDONE, absent) => {}
    }
}

async fn start(host: &Host, hosted: &Hosted) -> Result<Box<dyn Instance>> {
    let attributes = StartAttributes::from(&hosted.request.attributes);
    // News goes through a channel of one: the latest is what counts.
    let (news, mut heard) = tokio::sync::watch::channel(None);
    let progress = ProgressReporter::new(move |progress| {
        news.send_replace(Some(progress));
    });
    let mut context = StartContext::new()
        .owner(host.options.owner.clone())
        .lifetime(host.options.limits.max_lifetime)
        .progress(progress);
    context.id = hosted.id.clone();
    context.job.clone_from(&hosted.request.job);
    if let Some(seconds) = hosted.request.max_lifetime_s {
        let lifetime = Duration::from_secs(seconds.into());
        context.lifetime = lifetime.min(context.lifetime);
    }
    let listen = async {
        while heard.changed().await.is_ok() {
            if let Some(progress) = heard.borrow_and_update().clone() {
                hosted.progressed(progress);
            }
        }
        std::future::pending().await
    };
    tokio::select! {
        started = host.provider.start(&attributes, &context) => started,
        never = listen => never,
    }
}

/// Ends what runs, as the cause wants it, and removes the instance, however
/// often that has to be tried.
async fn remove(host: &Host, hosted: &Hosted, instance: &dyn Instance, by: InstanceEndCause) {
    hosted.stopping(by, None);
    let run = hosted.run().filter(|run| !run.has_ended());
    if let Some(run) = &run {
        let (stopped, gently) = match by {
            InstanceEndCause::Lease => (StoppedBy::Lease, true),
            InstanceEndCause::Lifetime => (StoppedBy::Timeout, true),
            InstanceEndCause::Drain => (StoppedBy::Drain, true),
            _ => (StoppedBy::Cancel, false),
        };
        run.stop(stopped, stopped.describe(), gently);
        if gently {
            match instance.signal(Signal::TERM).await {
                Ok(()) => {
                    let grace = host.options.limits.grace;
                    timeout(grace, run.until_ended()).await.ok();
                }
                Err(error) => {
                    tracing::debug!(instance = %hosted.id, error = %Chain(&error), "no TERM");
                }
            }
        }
    }
    let mut pause = PAUSES.0;
    while let Err(error) = instance.stop().await {
        tracing::warn!(instance = %hosted.id, error = %Chain(&error), "cannot remove an instance; trying again");
        hosted.stopping(by, Some(Problem::of(&error, "stop")));
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = hosted.again.notified() => {}
        }
        pause = (pause * 2).min(PAUSES.1);
    }
    if let Some(run) = &run
        && timeout(RUN_ENDS, run.until_ended()).await.is_err()
    {
        let detail = "the instance is gone, and its run did not end";
        run.publish(run.lost(LostBy::InstanceGone, detail, None));
    }
}
