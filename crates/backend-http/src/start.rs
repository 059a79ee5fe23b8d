//! A start: asked of one server after another, and waited for.

use std::sync::Arc;
use std::time::Duration;

use backend_core::{InstanceId, Janitor, Phase, Progress, StartAttributes, StartContext};
use tokio_util::sync::CancellationToken;
use worker_api::{CreateInstance, InstanceDocument, InstanceEnd, InstanceEndCause, InstanceState};

use crate::backoff::Backoff;
use crate::call::{Call, seconds};
use crate::error::{CallError, Failure, Retry};
use crate::options::HttpOptions;
use crate::pool::Pool;
use crate::remote::Remote;

/// How often one server is asked before another is.
const ATTEMPTS: u32 = 3;

/// How long a removal may take before it is given up.
pub(crate) const REMOVAL: Duration = Duration::from_mins(1);

/// The longest name of a job, and the longest text of a label, on the wire.
const JOB: usize = 256;
const LABEL: usize = 1024;

/// What is asked of a server.
pub(crate) fn request(
    options: &HttpOptions,
    attributes: &StartAttributes,
    context: &StartContext,
) -> CreateInstance {
    let lease = if context.keep {
        // Nobody will renew it.
        context.lifetime
    } else {
        options.lease
    };
    let cut = |text: &str, most: usize| -> String { text.chars().take(most / 4).collect() };
    let labels = context.marks().to_labels();
    CreateInstance {
        attributes: attributes.into(),
        lease_s: Some(seconds(lease)),
        max_lifetime_s: Some(seconds(context.lifetime)),
        job: context.job.as_deref().map(|job| cut(job, JOB * 4)),
        labels: labels
            .into_iter()
            .map(|(key, value)| {
                let fits = value.len() <= LABEL;
                (key, if fits { value } else { cut(&value, LABEL) })
            })
            .collect(),
        require: options
            .capabilities
            .iter()
            .map(|it| it.0.name().to_owned())
            .collect(),
    }
}

/// Has one of the servers begin with the instance.
pub(crate) async fn create(
    pool: &Pool,
    janitor: &Janitor,
    id: &InstanceId,
    body: &CreateInstance,
    context: &StartContext,
    token: &CancellationToken,
) -> Result<(Arc<Remote>, InstanceDocument), Failure> {
    let call = Call::create(id, body);
    let mut backoff = Backoff::new();
    loop {
        let (mut busy, mut last) = (None, Failure::NoServer);
        for remote in pool.in_turn() {
            let detail = remote.endpoint.to_string();
            context
                .progress
                .report(Progress::new(Phase::Connecting, detail));
            let mut asking = std::pin::pin!(ask(remote, &call));
            let asked = tokio::select! {
                asked = &mut asking => asked,
                () = token.cancelled() => {
                    // A request that is given up may still be carried out, after
                    // the deletion even: so it is waited for.
                    asking.await.ok();
                    undo(janitor, remote, id);
                    return Err(Failure::StartCancelled);
                }
            };
            let error = match asked {
                Ok(document) => return Ok((remote.clone(), document)),
                Err(error) => error,
            };
            if !error.had_no_effect() {
                undo(janitor, remote, id);
            }
            match error.retry() {
                // It is there, and has no room.
                Retry::Later(wait) if error.code().is_some() => {
                    busy = busy.max(Some(wait.unwrap_or_default()));
                }
                Retry::Never if error.code().is_some() => return Err(error.into()),
                _ => {}
            }
            last = Failure::from(error).of_server(&remote.endpoint);
        }
        let Some(wait) = busy else { return Err(last) };
        let detail = "for room on a server".to_owned();
        context
            .progress
            .report(Progress::new(Phase::Queued, detail));
        tokio::select! {
            () = token.cancelled() => return Err(Failure::StartCancelled),
            () = tokio::time::sleep(backoff.pause(Some(wait))) => {}
        }
    }
}

/// Asks one server, a few times where that may help: it is idempotent.
async fn ask(remote: &Remote, call: &Call) -> Result<InstanceDocument, CallError> {
    let mut backoff = Backoff::new();
    let mut left = ATTEMPTS;
    loop {
        let answer = remote.call(call).await.and_then(|reply| reply.json());
        left -= 1;
        match answer {
            Err(error)
                if left > 0
                    && error.code().is_none()
                    && error.retry() != Retry::Never
                    && !matches!(error, CallError::Connect(_)) =>
            {
                tokio::time::sleep(backoff.pause(None)).await;
            }
            answer => return answer,
        }
    }
}

/// Waits until the instance is ready.
pub(crate) async fn ready(
    remote: &Remote,
    mut document: InstanceDocument,
    context: &StartContext,
) -> Result<InstanceDocument, Failure> {
    let mut told = None;
    loop {
        if document.progress.is_some() && document.progress != told {
            told.clone_from(&document.progress);
            if let Some(progress) = told.clone() {
                context.progress.report(Progress {
                    phase: phase(&progress.phase),
                    detail: progress.detail,
                    done: progress.done,
                    total: progress.total,
                });
            }
        }
        match document.state {
            InstanceState::Ready => return Ok(document),
            InstanceState::Starting => {}
            InstanceState::Stopping | InstanceState::Gone => return Err(ended(document.end)),
        }
        let call = Call::show_since(&context.id, document.rev);
        let next: InstanceDocument = remote.document(&call).await?;
        if next.rev == document.rev {
            // A server that does not wait for news is not asked in a frenzy.
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        document = next;
    }
}

fn ended(end: Option<InstanceEnd>) -> Failure {
    match end {
        Some(InstanceEnd {
            problem: Some(problem),
            ..
        }) => CallError::Problem(Box::new(problem)).into(),
        end => Failure::Ended(end.map_or(InstanceEndCause::Other, |end| end.by)),
    }
}

fn phase(name: &str) -> Phase {
    let phases = [
        Phase::Queued,
        Phase::Connecting,
        Phase::Pulling,
        Phase::Creating,
        Phase::Waiting,
        Phase::Ready,
    ];
    let known = phases.into_iter().find(|phase| phase.to_string() == name);
    known.unwrap_or(Phase::Notice)
}

/// Removes, in the background, what a request may have created.
fn undo(janitor: &Janitor, remote: &Arc<Remote>, id: &InstanceId) {
    let (remote, id) = (remote.clone(), id.clone());
    janitor.spawn(async move {
        if let Err(error) = remove(&remote, &id).await {
            tracing::debug!(instance = %id, %error, "its lease will end what may be left");
        }
    });
}

/// Has the server remove the instance, and waits until it is gone.
pub(crate) async fn remove(remote: &Remote, id: &InstanceId) -> Result<(), CallError> {
    let call = Call::delete(id);
    let began = tokio::time::Instant::now();
    let mut backoff = Backoff::new();
    loop {
        let error = match remote.call(&call).await {
            // It takes longer: asked again, the server waits on.
            Ok(reply) if reply.status == 202 => {
                CallError::Transport("the server is still removing the instance".into())
            }
            Ok(_) => return Ok(()),
            Err(error) if error.is_gone() => return Ok(()),
            Err(error) if error.retry() == Retry::Never => return Err(error),
            Err(error) => error,
        };
        let pause = backoff.pause(None);
        if began.elapsed() + pause > REMOVAL {
            return Err(error);
        }
        tokio::time::sleep(pause).await;
    }
}
