//! What is done with an instance. It outlives the instance itself where its
//! removal does.

use std::sync::Arc;
use std::time::{Duration, Instant};

use backend_core::interpreter::Interpreter;
use backend_core::{InstanceId, Operation, OutOfOrder, Result, RunOptions, RunResult, Signal};
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;

use crate::account::Account;
use crate::environment;
use crate::error::Failure;
use crate::launch::Launch;
use crate::options::LocalOptions;
use crate::process::Process;
use crate::processes;
use crate::pump::Pumped;
use crate::remains::Remains;
use crate::stage::Stages;
use crate::upload;
use crate::verdict::After;

/// How long a process that was killed may take to end, and one that is begun
/// to begin.
const ENDS_WITHIN: Duration = Duration::from_secs(10);

/// The one script of an instance, and all that belongs to it.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) id: InstanceId,
    pub(crate) options: Arc<LocalOptions>,
    pub(crate) account: Arc<Account>,
    pub(crate) remains: Remains,
    pub(crate) stages: Stages,
    /// Meant to outlive this process.
    pub(crate) kept: bool,
    /// Called when the instance is being stopped: a run under way returns.
    pub(crate) stopping: CancellationToken,
}

impl Job {
    pub(crate) async fn upload(&self, script: &[u8]) -> Result<(), Failure> {
        self.stages.takes_script()?;
        let interpreter = Interpreter::of(script);
        let (layout, script) = (self.remains.layout.clone(), script.to_vec());
        let written = blocking(move || upload::write(&layout, &script)).await??;
        // No await from here on: it happens as a whole, or not at all.
        self.stages
            .upload(interpreter, || written.commit(&self.remains.layout))
    }

    /// Begins the script. Should the caller go away meanwhile, it is begun
    /// all the same, and the stage knows of it.
    pub(crate) async fn begin(
        self: &Arc<Self>,
        options: &RunOptions,
    ) -> Result<Arc<Process>, Failure> {
        let layout = &self.remains.layout;
        let environment = environment::build(
            &self.options,
            &self.account,
            layout,
            &self.id,
            &options.environment,
        )?;
        let interpreter = self.stages.begin()?;
        let launch = Launch {
            interpreter: interpreter.clone(),
            script: layout.script(),
            directory: layout.work(),
            environment,
            groups: self.remains.containment.groups().to_vec(),
        };
        let job = self.clone();
        let begun = blocking(move || job.launch(&launch)).await;
        begun.unwrap_or_else(|failure| {
            // The thread has panicked or was never run: no process, then.
            self.stages.begun(Err(interpreter));
            Err(failure)
        })
    }

    fn launch(&self, launch: &Launch) -> Result<Arc<Process>, Failure> {
        if self.kept
            && let Err(error) = environment::keep(&self.remains.layout, &launch.environment)
        {
            tracing::debug!(%error, "a shell will not have the environment of the script");
        }
        let process = match launch.begin() {
            Ok(process) => Arc::new(process),
            Err(failure) => {
                self.stages.begun(Err(launch.interpreter.clone()));
                return Err(failure);
            }
        };
        if !self.stages.begun(Ok(process.clone())) {
            // The stop may have given up waiting.
            process.stopping();
            self.remains.containment.kill(process.leader());
        }
        Ok(process)
    }

    /// Why a step really failed: nothing works in an instance that someone
    /// else has removed.
    pub(crate) async fn explain(&self, failure: Failure) -> Failure {
        if !failure.lacks_something() {
            return failure;
        }
        let remains = self.remains.clone();
        match blocking(move || remains.gone()).await {
            Ok(true) => Failure::Gone(Box::new(failure)),
            _ => failure,
        }
    }

    /// The result of a run whose output was pumped.
    pub(crate) async fn conclude(&self, process: &Process, pumped: Pumped) -> RunResult {
        let (remains, leader) = (self.remains.clone(), process.leader());
        let after = blocking(move || After::look(&remains, leader, pumped.end)).await;
        after.unwrap_or_default().result(pumped)
    }

    pub(crate) async fn signal(&self, signal: Signal) -> Result<(), Failure> {
        // A script that is just beginning gets it too.
        self.stages.settled(ENDS_WITHIN).await;
        let process = self.stages.process().ok_or(OutOfOrder::NotRun)?;
        let containment = self.remains.containment.clone();
        blocking(move || {
            if process.is_over() {
                return Ok(());
            }
            let number = to_rustix(signal);
            process
                .signal_group(number)
                .map_err(|source| Failure::Signal { signal, source })?;
            // What left the group; the group itself has the signal already.
            let leader = process.leader();
            if signal == Signal::KILL {
                containment.kill(leader);
            } else {
                containment.signal(leader, number, |pid| {
                    let group = rustix::process::getpgid(Some(pid)).ok();
                    group.is_some() && group != leader
                });
            }
            Ok(())
        })
        .await?
    }

    pub(crate) async fn processes(&self) -> Result<Option<String>, Failure> {
        self.stages.settled(ENDS_WITHIN).await;
        let Some(process) = self.stages.process() else {
            return Ok(None);
        };
        let (containment, leader) = (self.remains.containment.clone(), process.leader());
        blocking(move || processes::table(&containment.members(leader))).await
    }

    /// Ends and removes everything; may be called again after a failure.
    pub(crate) async fn stop(self: Arc<Self>) -> Result<()> {
        self.stages.stop();
        if let Some(process) = self.stages.process() {
            // Before anything is killed, and before a run under way looks.
            process.stopping();
        }
        self.stopping.cancel();
        let settled = self.stages.settled(ENDS_WITHIN).await;
        let (remains, process) = (self.remains.clone(), self.stages.process());
        if let Some(process) = &process {
            // One that was just beginning.
            process.stopping();
        }
        let removed = blocking(move || {
            let leader = process.as_deref().and_then(Process::leader);
            remains.remove(leader)?;
            let deadline = Instant::now() + ENDS_WITHIN;
            if settled && process.is_none_or(|process| process.reap(deadline)) {
                return Ok(());
            }
            let text = "the script's process, which neither begins nor ends";
            Err(Failure::Leftover(vec![text.into()]))
        })
        .await;
        removed
            .and_then(|result| result)
            .map_err(|failure| failure.on(&self.id, Operation::Stop))
    }
}

#[expect(unsafe_code, reason = "rustix names no real-time signals")]
fn to_rustix(signal: Signal) -> rustix::process::Signal {
    // SAFETY: the number is one of 1 to 64, by the type; sending it to another
    // process cannot upset the C library of this one.
    unsafe { rustix::process::Signal::from_raw_unchecked(signal.number()) }
}

/// Runs what blocks where it may.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Failure> {
    spawn_blocking(work).await.map_err(|error| {
        tracing::debug!(%error, "blocking work did not finish");
        Failure::RuntimeEnded
    })
}
