//! What an instance does, in the order that the contract has.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use backend_core::interpreter::Interpreter;
use backend_core::{Environment, InstanceId, Janitor, Operation, OutOfOrder, Result, Signal};
use tokio::sync::{Mutex as AsyncMutex, oneshot};
use tokio_util::sync::CancellationToken;

use crate::container::Container;
use crate::diagnosis::diagnose;
use crate::error::Failure;
use crate::gate::{Broken, Gate, Opened, Then};
use crate::pulse::engine_lost;

/// One container and its gate.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) id: InstanceId,
    pub(crate) container: Container,
    /// Cancelled when the instance is stopped.
    pub(crate) stopping: CancellationToken,
    stage: Mutex<Stage>,
    /// The gate until the script begins. Whoever talks to it has it.
    gate: Arc<AsyncMutex<Option<Gate>>>,
}

/// How far the instance has come.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Stage {
    Empty,
    /// A script is on its way.
    Uploading,
    Uploaded(Interpreter),
    /// The environment is on its way.
    Beginning,
    Begun,
    Stopped,
}

impl Job {
    pub(crate) fn new(id: InstanceId, container: Container, gate: Gate) -> Self {
        Self {
            id,
            container,
            stopping: CancellationToken::new(),
            stage: Mutex::new(Stage::Empty),
            gate: Arc::new(AsyncMutex::new(Some(gate))),
        }
    }

    /// Stores the script. The exchange runs on a task of its own: half of one
    /// would leave the gate waiting for the rest for good. What a caller that
    /// has gone away had sent is replaced by the next script, and runs never.
    pub(crate) async fn upload(
        self: &Arc<Self>,
        janitor: &Janitor,
        script: &[u8],
    ) -> Result<(), Failure> {
        let mut claim = self.claim(|stage| match stage {
            Stage::Empty => Ok(Stage::Uploading),
            Stage::Stopped => Err(OutOfOrder::Stopped.into()),
            _ => Err(OutOfOrder::Stale.into()),
        })?;
        let (sender, receiver) = oneshot::channel();
        let (job, bytes) = (self.clone(), script.to_vec());
        janitor.spawn(async move {
            let mut gate = job.gate.lock().await;
            let stored = job.exchange(&mut gate, Exchange::Script(&bytes)).await;
            // Nobody may be waiting any more.
            sender.send(stored).ok();
        });
        receiver.await.map_err(|_| Failure::RuntimeEnded)??;
        claim.become_stage(Stage::Uploaded(Interpreter::of(script)));
        Ok(())
    }

    /// Lets the script begin. After an error it has not.
    pub(crate) async fn begin(
        &self,
        environment: &Environment,
        then: Then,
    ) -> Result<Opened, Failure> {
        let mut interpreter = None;
        let mut claim = self.claim(|stage| match stage {
            Stage::Uploaded(uploaded) => {
                interpreter = Some(uploaded.clone());
                Ok(Stage::Beginning)
            }
            Stage::Empty | Stage::Uploading => Err(OutOfOrder::NoScript.into()),
            Stage::Beginning | Stage::Begun => Err(OutOfOrder::RunBefore.into()),
            Stage::Stopped => Err(OutOfOrder::Stopped.into()),
        })?;
        let interpreter = interpreter.ok_or(OutOfOrder::NoScript)?;
        let mut gate = self.gate.lock().await;
        let item = Exchange::Environment(environment, &interpreter);
        let stored = self.exchange(&mut gate, item).await;
        stored?;
        let Some(ready) = gate.take() else {
            return Err(self.broken("before the script began", None).await);
        };
        if !claim.become_stage(Stage::Begun) {
            return Err(OutOfOrder::Stopped.into());
        }
        // From here on the script may have begun, whatever the write says.
        let (opened, written) = ready.go(then).await;
        if let Err(error) = written {
            tracing::debug!(%error, "the connection broke as the script was to begin");
        }
        Ok(opened)
    }

    /// Signals what runs.
    pub(crate) async fn signal(&self, signal: Signal) -> Result<(), Failure> {
        match &*self.lock() {
            Stage::Begun => {}
            Stage::Stopped => return Err(OutOfOrder::Stopped.into()),
            _ => return Err(OutOfOrder::NotRun.into()),
        }
        let sent = if signal == Signal::KILL {
            self.container.kill().await
        } else {
            self.container.signal_all(signal).await
        };
        match sent {
            Err(_) if self.container.has_ended().await => Ok(()),
            Err(source) => Err(Failure::Engine {
                step: format!("send {signal} to container {}", self.container.name()),
                source,
            }),
            Ok(()) => Ok(()),
        }
    }

    /// What runs, for a person.
    pub(crate) async fn processes(&self) -> Result<Option<String>, Failure> {
        let listed = self.container.processes().await;
        listed.map_err(|source| Failure::Engine {
            step: format!("list the processes of container {}", self.container.name()),
            source,
        })
    }

    /// Removes the container.
    pub(crate) async fn stop(self: Arc<Self>) -> Result<()> {
        *self.lock() = Stage::Stopped;
        self.stopping.cancel();
        let removed = self.container.remove().await;
        removed.map_err(|source| {
            let failure = Failure::Leftover {
                name: self.container.name().to_owned(),
                endpoint: self.container.engine().endpoint().to_string(),
                source,
            };
            failure.on(&self.id, Operation::Stop)
        })
    }

    /// One exchange with the gate. A gate that broke is let go of.
    async fn exchange(&self, gate: &mut Option<Gate>, item: Exchange<'_>) -> Result<(), Failure> {
        let during = item.during();
        // Taken out, so that one that was dropped half way is not used again.
        let Some(mut talking) = gate.take() else {
            return Err(self.broken(during, None).await);
        };
        let talked = async {
            match item {
                Exchange::Script(script) => talking.store_script(script).await,
                Exchange::Environment(environment, interpreter) => {
                    let stored = talking.store_environment(&self.id, environment, interpreter);
                    stored.await
                }
            }
        };
        let broken = tokio::select! {
            talked = talked => match talked {
                Ok(()) => {
                    *gate = Some(talking);
                    return Ok(());
                }
                Err(broken) => broken,
            },
            source = engine_lost(self.container.engine()) => {
                return Err(Failure::Engine { step: format!("talk to the container {during}"), source });
            }
            () = self.stopping.cancelled() => return Err(OutOfOrder::Stopped.into()),
        };
        if let Broken::Refused(why, _) = &broken
            && matches!(why.as_str(), "environment" | "size")
        {
            // It still listens.
            *gate = Some(talking);
        }
        Err(self.broken(during, Some(broken)).await)
    }

    async fn broken(&self, during: &'static str, broken: Option<Broken>) -> Failure {
        if self.stopping.is_cancelled() {
            return OutOfOrder::Stopped.into();
        }
        diagnose(&self.container, during, broken).await
    }

    /// Goes to another stage, which lasts until the claim is dropped: then the
    /// stage is what it was, unless the claim has made it another.
    fn claim(
        &self,
        to: impl FnOnce(&Stage) -> Result<Stage, Failure>,
    ) -> Result<Claim<'_>, Failure> {
        let mut stage = self.lock();
        let next = to(&stage)?;
        let before = std::mem::replace(&mut *stage, next.clone());
        Ok(Claim {
            job: self,
            claimed: next,
            before: Some(before),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Stage> {
        self.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the gate is told before the go.
enum Exchange<'a> {
    Script(&'a [u8]),
    Environment(&'a Environment, &'a Interpreter),
}

impl Exchange<'_> {
    fn during(&self) -> &'static str {
        match self {
            Self::Script(_) => "while the script was uploaded",
            Self::Environment(..) => "before the script began",
        }
    }
}

/// A stage that is held by a call under way.
struct Claim<'a> {
    job: &'a Job,
    claimed: Stage,
    before: Option<Stage>,
}

impl Claim<'_> {
    /// Makes it the stage for good; `false` if the instance was stopped meanwhile.
    fn become_stage(&mut self, next: Stage) -> bool {
        self.before = None;
        let mut stage = self.job.lock();
        if *stage != self.claimed {
            return false;
        }
        *stage = next;
        true
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        let mut stage = self.job.lock();
        if let Some(before) = self.before.take()
            && *stage == self.claimed
        {
            *stage = before;
        }
    }
}
