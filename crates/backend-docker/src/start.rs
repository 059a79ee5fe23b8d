//! A start: a container, its gate, and nothing left if it comes to nothing.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use backend_core::{Chain, InstanceId, Janitor, Phase, Progress, ProgressReporter};
use bollard::models::ContainerCreateBody;
use tokio::sync::oneshot;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::attached::{Attach, Attached};
use crate::container::Container;
use crate::diagnosis::diagnose;
use crate::engine_error::EngineError;
use crate::error::Failure;
use crate::gate::{Broken, Gate, Greeting, Then};
use crate::image::Image;
use crate::instance::Parts;
use crate::job::Job;
use crate::options::DockerOptions;
use crate::pulse::engine_lost;
use crate::shells::Shells;

/// How long attaching may take.
const ATTACH: Duration = Duration::from_secs(30);

/// What to start.
pub(crate) struct Order {
    pub(crate) container: Container,
    pub(crate) body: ContainerCreateBody,
    pub(crate) image: Image,
    pub(crate) shells: Shells,
    pub(crate) options: Arc<DockerOptions>,
    pub(crate) id: InstanceId,
    pub(crate) kept: bool,
    pub(crate) progress: ProgressReporter,
    pub(crate) janitor: Janitor,
    pub(crate) began: Instant,
}

/// Starts a container, up to a gate that takes a script. Whatever was made is
/// removed if that fails, or is cancelled.
pub(crate) async fn start(order: Order, cancelled: &CancellationToken) -> Result<Parts, Failure> {
    let (container, options) = (&order.container, &order.options);
    let created = container
        .create(order.body.clone(), options.platform.as_deref())
        .await;
    let started = match created {
        Ok(()) => unless(cancelled, open(&order)).await,
        Err(source) => Err(Failure::Engine {
            step: format!("create a container of `{}`", order.image.name),
            source,
        }),
    };
    match started {
        Ok((gate, then)) => {
            note_place(&order, &gate);
            Ok(Parts {
                image: order.image.name,
                startup_duration: order.began.elapsed(),
                kept: order.kept,
                reconnect_window: options.reconnect_window,
                then,
                janitor: order.janitor,
                job: Job::new(order.id, order.container, gate),
            })
        }
        Err(failure) => {
            undo(container, &failure).await;
            Err(failure)
        }
    }
}

/// Attaches, starts, greets.
async fn open(order: &Order) -> Result<(Gate, Then), Failure> {
    let container = &order.container;
    let attach_failed = |source| Failure::Engine {
        step: format!("attach to a container of `{}`", order.image.name),
        source,
    };
    // Before the start, where the engine allows it; some do not (Podman 4.3).
    // Behind the gate nothing can be missed then. It is missed at the other end
    // there: what a container writes last is dropped as it ends, unless its
    // gate lingers.
    let early = match container.attach(Attach::Both, ATTACH).await {
        Ok(attached) => Some(attached),
        Err(EngineError::Status { status, .. }) if status != 404 => None,
        Err(source) => return Err(attach_failed(source)),
    };
    order
        .progress
        .report(Progress::new(Phase::Waiting, &order.image.name));
    // On a task of its own: a start call that is let go of may start nothing.
    let (sender, receiver) = oneshot::channel();
    let starting = container.clone();
    order.janitor.spawn(async move {
        // Nobody waits for it any more once the gate has spoken.
        sender.send(starting.start().await).ok();
    });
    let started = async {
        let started = receiver.await.map_err(|_| Failure::RuntimeEnded)?;
        started.map_err(|source| start_failed(order, source))
    };
    let Some(attached) = early else {
        started.await?;
        let attached = container.attach(Attach::Both, ATTACH).await;
        let attached = attached.map_err(attach_failed)?;
        return tokio::select! {
            gate = greet(order, attached) => Ok((gate?, Then::Linger)),
            failure = never_ran(order) => Err(failure),
        };
    };
    let not_started = async {
        match started.await {
            Ok(()) => never_ran(order).await,
            Err(failure) => failure,
        }
    };
    // The gate speaks before the start call returns.
    tokio::select! {
        gate = greet(order, attached) => Ok((gate?, Then::Exit)),
        failure = not_started => Err(failure),
    }
}

/// Completes if a container that was said to be started does not run, or its
/// engine is lost.
async fn never_ran(order: &Order) -> Failure {
    /// How often it is looked after it, while its gate says nothing.
    const PAUSE: Duration = Duration::from_secs(2);
    let container = &order.container;
    let idle = async {
        loop {
            sleep(PAUSE).await;
            if let Ok(found) = container.inspect().await
                && !found.state.running
                && !found.state.has_ended()
            {
                return EngineError::Missing("why the container that it has started does not run");
            }
        }
    };
    let source = tokio::select! {
        source = engine_lost(container.engine()) => source,
        source = idle => source,
    };
    start_failed(order, source)
}

async fn greet(order: &Order, attached: Attached) -> Result<Gate, Failure> {
    const DURING: &str = "before its gate was ready";
    let greeting = Greeting {
        id: &order.id,
        new_directory: order.options.working_directory.is_none(),
        tells_deaths: order.shells.tell_deaths(&order.image),
        writes_hosts: order.body.network_disabled == Some(true),
        patience: order.options.request_timeout,
    };
    let broken = match Gate::greet(attached, &greeting).await {
        Ok(gate) => {
            if gate.tells_deaths() {
                order.shells.learn(&order.image);
            }
            return Ok(gate);
        }
        Err(broken) => broken,
    };
    let ended = matches!(broken, Broken::Ended(_));
    match diagnose(&order.container, DURING, Some(broken)).await {
        // With an init process, an image without a shell starts, and ends.
        Failure::EndedEarly { reason, .. } if ended => Err(Failure::NoShell {
            image: order.image.name.clone(),
            reason,
        }),
        other => Err(other),
    }
}

/// Without an init process, it is the start itself that fails for lack of a shell.
fn start_failed(order: &Order, source: EngineError) -> Failure {
    match source {
        EngineError::Status { message, .. } if message.contains("/bin/sh") => Failure::NoShell {
            image: order.image.name.clone(),
            reason: message,
        },
        source => Failure::Engine {
            step: format!("start a container of `{}`", order.image.name),
            source,
        },
    }
}

/// Says what of the container is not as it should be.
fn note_place(order: &Order, gate: &Gate) {
    let Some(hello) = gate.hello() else {
        return;
    };
    let note = |text: String| order.progress.report(Progress::new(Phase::Notice, text));
    if !hello.directory_is_right {
        note(format!(
            "no new directory can be made in this container: the script runs in {}",
            hello.directory
        ));
    }
    if !hello.knows_localhost {
        note("nothing can be written to /etc/hosts: `localhost` has no address".into());
    }
}

/// Removes what a start has made, or may have made although it was not told so.
async fn undo(container: &Container, failure: &Failure) {
    if let Err(error) = container.remove().await {
        tracing::warn!(
            container = container.name(),
            %failure,
            error = %Chain(&error),
            "a start that failed may have left its container: `worker reap` finds it"
        );
    }
}

async fn unless<T>(
    cancelled: &CancellationToken,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    tokio::select! {
        done = work => done,
        () = cancelled.cancelled() => Err(Failure::Cancelled),
    }
}
