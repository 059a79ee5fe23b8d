//! How far an instance has come, and what may come next. Every transition is
//! a short one under a lock that is never held while anything is waited for,
//! so that no caller that is not polled any more can keep another from going on.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use backend_core::OutOfOrder;
use backend_core::interpreter::Interpreter;
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::error::Failure;
use crate::process::Process;

#[derive(Debug, Default)]
enum Stage {
    #[default]
    Empty,
    Uploaded(Interpreter),
    /// A thread is beginning the script; it always says how that went.
    Beginning,
    /// The script has begun, and may have ended.
    Begun(Arc<Process>),
    Stopped {
        /// A thread is still beginning the script.
        beginning: bool,
        /// There if the script had begun.
        process: Option<Arc<Process>>,
    },
}

/// The stage of one instance, to be shared.
#[derive(Debug, Default)]
pub(crate) struct Stages {
    stage: Mutex<Stage>,
    /// Called after each change.
    changed: Notify,
}

impl Stages {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Whether there is room for a script.
    pub(crate) fn takes_script(&self) -> Result<(), OutOfOrder> {
        match &*self.lock() {
            Stage::Empty => Ok(()),
            Stage::Uploaded(_) | Stage::Beginning | Stage::Begun(_) => Err(OutOfOrder::Stale),
            Stage::Stopped { .. } => Err(OutOfOrder::Stopped),
        }
    }

    /// Takes a script, if there is room and `commit` succeeds.
    pub(crate) fn upload(
        &self,
        interpreter: Interpreter,
        commit: impl FnOnce() -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        self.change(|stage| match stage {
            Stage::Empty => {
                commit()?;
                *stage = Stage::Uploaded(interpreter);
                Ok(())
            }
            Stage::Uploaded(_) | Stage::Beginning | Stage::Begun(_) => {
                Err(OutOfOrder::Stale.into())
            }
            Stage::Stopped { .. } => Err(OutOfOrder::Stopped.into()),
        })
    }

    /// Claims the one run. Who has it must call [`begun`](Self::begun).
    pub(crate) fn begin(&self) -> Result<Interpreter, OutOfOrder> {
        self.change(|stage| match stage {
            Stage::Uploaded(interpreter) => {
                let interpreter = interpreter.clone();
                *stage = Stage::Beginning;
                Ok(interpreter)
            }
            Stage::Empty => Err(OutOfOrder::NoScript),
            Stage::Beginning | Stage::Begun(_) => Err(OutOfOrder::RunBefore),
            Stage::Stopped { .. } => Err(OutOfOrder::Stopped),
        })
    }

    /// Says how the beginning went: with a process, or with nothing of the
    /// script run, so that it may be tried again. `false` if the instance has
    /// been stopped meanwhile.
    pub(crate) fn begun(&self, result: Result<Arc<Process>, Interpreter>) -> bool {
        self.change(|stage| {
            if let Stage::Stopped { beginning, process } = stage {
                *beginning = false;
                *process = result.ok();
                return false;
            }
            *stage = match result {
                Ok(process) => Stage::Begun(process),
                Err(interpreter) => Stage::Uploaded(interpreter),
            };
            true
        })
    }

    /// The process of the run, if there is one.
    pub(crate) fn process(&self) -> Option<Arc<Process>> {
        match &*self.lock() {
            Stage::Begun(process) => Some(process.clone()),
            Stage::Stopped { process, .. } => process.clone(),
            Stage::Empty | Stage::Uploaded(_) | Stage::Beginning => None,
        }
    }

    /// Waits while the script is being begun.
    pub(crate) async fn settled(&self, most: Duration) -> bool {
        let settled = async {
            loop {
                // Listening begins before the look, so that no change is missed.
                let changed = self.changed.notified();
                tokio::pin!(changed);
                changed.as_mut().enable();
                if !self.is_beginning() {
                    return;
                }
                changed.await;
            }
        };
        timeout(most, settled).await.is_ok()
    }

    /// Lets nothing begin any more.
    pub(crate) fn stop(&self) {
        self.change(|stage| {
            let (beginning, process) = match stage {
                Stage::Empty | Stage::Uploaded(_) => (false, None),
                Stage::Beginning => (true, None),
                Stage::Begun(process) => (false, Some(process.clone())),
                Stage::Stopped { .. } => return,
            };
            *stage = Stage::Stopped { beginning, process };
        });
    }

    fn is_beginning(&self) -> bool {
        matches!(
            &*self.lock(),
            Stage::Beginning
                | Stage::Stopped {
                    beginning: true,
                    ..
                }
        )
    }

    fn change<T>(&self, change: impl FnOnce(&mut Stage) -> T) -> T {
        let result = change(&mut self.lock());
        self.changed.notify_waiters();
        result
    }

    fn lock(&self) -> MutexGuard<'_, Stage> {
        self.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell() -> Interpreter {
        Interpreter::of(b"")
    }

    #[tokio::test]
    async fn each_step_comes_once_and_in_order() {
        let stages = Stages::new();
        assert!(matches!(stages.begin(), Err(OutOfOrder::NoScript)));
        let full = || Err(Failure::NoCgroup);
        assert!(matches!(
            stages.upload(shell(), full),
            Err(Failure::NoCgroup)
        ));
        assert!(
            stages.takes_script().is_ok(),
            "a failed commit takes no room"
        );
        stages.upload(shell(), || Ok(())).unwrap();
        assert!(matches!(
            stages.upload(shell(), || Ok(())),
            Err(Failure::Order(OutOfOrder::Stale))
        ));
        let interpreter = stages.begin().unwrap();
        assert!(matches!(stages.begin(), Err(OutOfOrder::RunBefore)));
        assert!(!stages.settled(Duration::ZERO).await);
        assert!(stages.begun(Err(interpreter)));
        assert!(stages.settled(Duration::ZERO).await);
        stages.begin().unwrap();
    }

    #[tokio::test]
    async fn a_stop_waits_for_a_beginning_and_ends_it() {
        let stages = Stages::new();
        stages.upload(shell(), || Ok(())).unwrap();
        let interpreter = stages.begin().unwrap();
        stages.stop();
        assert!(!stages.settled(Duration::ZERO).await);
        assert!(!stages.begun(Err(interpreter)), "it has been stopped");
        assert!(stages.settled(Duration::ZERO).await);
        assert!(matches!(stages.begin(), Err(OutOfOrder::Stopped)));
        assert!(matches!(stages.takes_script(), Err(OutOfOrder::Stopped)));
        stages.stop();
    }
}
