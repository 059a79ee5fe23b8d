//! An instance: a directory, cgroups, and at most one run.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use backend_core::interpreter::Interpreter;
use backend_core::{
    Instance, InstanceId, Janitor, Loss, LossCause, Once, Operation, Outcome, OutputSink, Result,
    RunOptions, RunResult, Signal,
};
use tokio::sync::{Mutex, MutexGuard, OwnedMutexGuard};
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;

use crate::account::Account;
use crate::environment;
use crate::error::Failure;
use crate::launch::Launch;
use crate::options::LocalOptions;
use crate::process::{End, Process};
use crate::processes;
use crate::pump::{Pumped, pump};
use crate::remains::Remains;
use crate::upload;

/// How long a process that was killed may take to end.
const ENDS_WITHIN: Duration = Duration::from_secs(10);

/// A private directory in which one script runs once.
#[derive(Debug)]
pub(crate) struct LocalInstance {
    id: InstanceId,
    startup_duration: Duration,
    /// Meant to outlive this process: then a drop removes nothing.
    kept: bool,
    janitor: Janitor,
    stopped: Arc<Once>,
    shared: Arc<Shared>,
}

/// What the removal needs, which may outlive the instance itself.
#[derive(Debug)]
struct Shared {
    id: InstanceId,
    options: Arc<LocalOptions>,
    account: Arc<Account>,
    remains: Remains,
    /// Called when the instance is being stopped: a run under way returns.
    stopping: CancellationToken,
    stage: Arc<Mutex<Stage>>,
}

/// How far the instance has come.
#[derive(Debug)]
enum Stage {
    Empty,
    Uploaded(Interpreter),
    /// The script has begun, and may have ended.
    Begun(Arc<Process>),
    /// The process is there if the script had begun.
    Stopped(Option<Arc<Process>>),
}

/// What an instance is made of.
pub(crate) struct Parts {
    pub(crate) id: InstanceId,
    pub(crate) kept: bool,
    pub(crate) began: Instant,
    pub(crate) janitor: Janitor,
    pub(crate) options: Arc<LocalOptions>,
    pub(crate) account: Arc<Account>,
    pub(crate) remains: Remains,
}

impl LocalInstance {
    pub(crate) fn new(parts: Parts) -> Self {
        Self {
            id: parts.id.clone(),
            startup_duration: parts.began.elapsed(),
            kept: parts.kept,
            janitor: parts.janitor,
            stopped: Arc::new(Once::new()),
            shared: Arc::new(Shared {
                id: parts.id,
                options: parts.options,
                account: parts.account,
                remains: parts.remains,
                stopping: CancellationToken::new(),
                stage: Arc::new(Mutex::new(Stage::Empty)),
            }),
        }
    }

    fn failed(&self, operation: Operation) -> impl Fn(Failure) -> backend_core::Error {
        move |failure| failure.on(&self.id, operation)
    }
}

#[async_trait]
impl Instance for LocalInstance {
    fn id(&self) -> &InstanceId {
        &self.id
    }

    fn image_name(&self) -> Option<&str> {
        None
    }

    fn startup_duration(&self) -> Duration {
        self.startup_duration
    }

    async fn upload_script(&self, script: &[u8]) -> Result<()> {
        self.shared
            .upload(script)
            .await
            .map_err(self.failed(Operation::Upload))
    }

    async fn run_script(
        &self,
        options: &RunOptions,
        sink: &mut dyn OutputSink,
    ) -> Result<RunResult> {
        let process = self
            .shared
            .begin(options)
            .await
            .map_err(self.failed(Operation::Run))?;
        let pumped = pump(&process, options.drain_window, &self.shared.stopping, sink).await;
        Ok(self.shared.conclude(&process, pumped).await)
    }

    async fn signal(&self, signal: Signal) -> Result<()> {
        self.shared
            .signal(signal)
            .await
            .map_err(self.failed(Operation::Signal))
    }

    async fn processes(&self) -> Result<Option<String>> {
        self.shared
            .processes()
            .await
            .map_err(self.failed(Operation::Processes))
    }

    async fn stop(&self) -> Result<()> {
        self.stopped
            .run(&self.janitor, self.shared.clone().stop())
            .await
    }
}

impl Drop for LocalInstance {
    fn drop(&mut self) {
        if self.stopped.begun() || self.kept {
            return;
        }
        tracing::warn!(instance = %self.id, "an instance was dropped without stop; it is stopped now");
        let (stopped, janitor) = (self.stopped.clone(), self.janitor.clone());
        let work = self.shared.clone().stop();
        self.janitor.spawn(async move {
            if let Err(error) = stopped.run(&janitor, work).await {
                tracing::warn!(error = %backend_core::Chain(&error), "cannot remove a dropped instance");
            }
        });
    }
}

impl Shared {
    async fn upload(&self, script: &[u8]) -> Result<(), Failure> {
        // Held over the write: a second upload waits, and then is stale.
        let mut stage = self.stage.lock().await;
        match &*stage {
            Stage::Empty => {}
            Stage::Uploaded(_) | Stage::Begun(_) => return Err(Failure::Stale),
            Stage::Stopped(_) => return Err(Failure::Stopped),
        }
        let interpreter = Interpreter::of(script);
        let (layout, script) = (self.remains.layout.clone(), script.to_vec());
        let written = blocking(move || upload::write(&layout, &script)).await??;
        // No await from here on: it happens as a whole, or not at all.
        written.commit(&self.remains.layout)?;
        *stage = Stage::Uploaded(interpreter);
        Ok(())
    }

    /// Begins the script. Should the caller go away meanwhile, it is begun
    /// all the same, and the stage knows of it.
    async fn begin(&self, options: &RunOptions) -> Result<Arc<Process>, Failure> {
        let mut stage: OwnedMutexGuard<Stage> = self.stage.clone().lock_owned().await;
        let interpreter = match &*stage {
            Stage::Uploaded(interpreter) => interpreter.clone(),
            Stage::Empty => return Err(Failure::NoScript),
            Stage::Begun(_) => return Err(Failure::RunBefore),
            Stage::Stopped(_) => return Err(Failure::Stopped),
        };
        let layout = &self.remains.layout;
        let launch = Launch {
            interpreter,
            script: layout.script(),
            directory: layout.work(),
            environment: environment::build(
                &self.options,
                &self.account,
                layout,
                &self.id,
                &options.environment,
            )?,
            groups: self.remains.containment.groups().to_vec(),
        };
        blocking(move || {
            let process = Arc::new(launch.begin()?);
            *stage = Stage::Begun(process.clone());
            Ok(process)
        })
        .await?
    }

    /// The result of a run whose output was pumped.
    async fn conclude(&self, process: &Arc<Process>, pumped: Pumped) -> RunResult {
        let remains = self.remains.clone();
        let leader = process.leader();
        let after = blocking(move || After::look(&remains, leader, pumped.end)).await;
        let after = after.unwrap_or_default();
        let outcome = outcome(pumped.end, &after);
        let mut result = RunResult::new(outcome, pumped.bytes);
        result.output_complete = pumped.complete && result.completed();
        result.oom_seen = after.oom;
        result.leftovers = after.leftovers;
        result
    }

    async fn signal(&self, signal: Signal) -> Result<(), Failure> {
        let process = match &*self.stage.lock().await {
            Stage::Begun(process) | Stage::Stopped(Some(process)) => process.clone(),
            Stage::Empty | Stage::Uploaded(_) | Stage::Stopped(None) => {
                return Err(Failure::NotRun);
            }
        };
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

    async fn processes(&self) -> Result<Option<String>, Failure> {
        let leader = match &*self.stage.lock().await {
            Stage::Begun(process) => process.leader(),
            Stage::Empty | Stage::Uploaded(_) | Stage::Stopped(_) => return Ok(None),
        };
        let containment = self.remains.containment.clone();
        blocking(move || processes::table(&containment.members(leader))).await
    }

    async fn stop(self: Arc<Self>) -> Result<()> {
        let mut stage = self.stage.lock().await;
        let process = take_process(&mut stage);
        if let Some(process) = &process {
            // Before anything is killed, and before a run under way looks.
            process.stopping();
        }
        drop(stage);
        self.stopping.cancel();
        let remains = self.remains.clone();
        let removed = blocking(move || {
            let leader = process.as_deref().and_then(Process::leader);
            let result = remains.remove(leader);
            let reaped = process.is_none_or(|process| process.reap(Instant::now() + ENDS_WITHIN));
            match result {
                Ok(()) if !reaped => Err(Failure::Leftover(vec![
                    "the script's process, which does not end".into(),
                ])),
                result => result,
            }
        })
        .await;
        removed
            .and_then(|result| result)
            .map_err(|failure| failure.on(&self.id, Operation::Stop))
    }
}

/// What is to be seen after a run.
#[derive(Debug, Default)]
struct After {
    /// Someone else removed the instance, so the end was their doing.
    taken_away: bool,
    oom: bool,
    leftovers: Vec<String>,
}

impl After {
    fn look(remains: &Remains, leader: Option<rustix::process::Pid>, end: End) -> Self {
        if end == End::Stopped {
            return Self::default();
        }
        let killed = matches!(
            end,
            End::Signaled {
                signal: Signal::KILL,
                by_us: false
            }
        );
        Self {
            taken_away: remains.announced() || (killed && remains.gone()),
            oom: remains.containment.oom_kills() > 0,
            leftovers: processes::lines(&remains.containment.members(leader)),
        }
    }
}

fn outcome(end: End, after: &After) -> Outcome {
    match end {
        _ if after.taken_away => Outcome::Lost(Loss::new(
            LossCause::InstanceGone,
            "the instance was removed by someone else while the script ran",
        )),
        End::Exited(code) => Outcome::Exited {
            code,
            maybe_signal: None,
        },
        End::Signaled { signal, by_us } => Outcome::Signaled {
            signal,
            oom: signal == Signal::KILL && !by_us && after.oom,
        },
        End::Stopped => Outcome::Lost(Loss::new(
            LossCause::Stopped,
            "the instance was stopped while the script ran",
        )),
        End::Unknown => Outcome::Lost(Loss::new(
            LossCause::StatusMissing,
            "the script ended, and something else in this program took its status",
        )),
    }
}

fn take_process(stage: &mut MutexGuard<'_, Stage>) -> Option<Arc<Process>> {
    let process = match &**stage {
        Stage::Begun(process) | Stage::Stopped(Some(process)) => Some(process.clone()),
        Stage::Empty | Stage::Uploaded(_) | Stage::Stopped(None) => None,
    };
    **stage = Stage::Stopped(process.clone());
    process
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
