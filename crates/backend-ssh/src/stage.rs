//! How far an instance has come, and what may come next.

use std::sync::{Mutex, MutexGuard, PoisonError};

use backend_core::OutOfOrder;
use backend_core::interpreter::Interpreter;

#[derive(Debug, Default)]
enum Stage {
    #[default]
    Empty,
    /// Someone is uploading.
    Uploading,
    Uploaded(Interpreter),
    /// Whether the script has begun is not known yet.
    Beginning,
    Begun,
    Stopped {
        begun: bool,
    },
}

/// The stage of one instance, to be shared.
#[derive(Debug, Default)]
pub(crate) struct Stages(Mutex<Stage>);

/// The right to upload. Dropped before its commit, the instance has no script.
#[derive(Debug)]
#[must_use]
pub(crate) struct Upload<'a>(&'a Stages);

/// The right to begin the script. Dropped before it is known whether it has
/// begun, it counts as begun.
#[derive(Debug)]
#[must_use]
pub(crate) struct Beginning<'a> {
    stages: &'a Stages,
    pub(crate) interpreter: Interpreter,
}

impl Stages {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn upload(&self) -> Result<Upload<'_>, OutOfOrder> {
        let mut stage = self.lock();
        match *stage {
            Stage::Empty => {
                *stage = Stage::Uploading;
                Ok(Upload(self))
            }
            Stage::Uploading | Stage::Uploaded(_) | Stage::Beginning | Stage::Begun => {
                Err(OutOfOrder::Stale)
            }
            Stage::Stopped { .. } => Err(OutOfOrder::Stopped),
        }
    }

    pub(crate) fn begin(&self) -> Result<Beginning<'_>, OutOfOrder> {
        let mut stage = self.lock();
        match &*stage {
            Stage::Uploaded(interpreter) => {
                let interpreter = interpreter.clone();
                *stage = Stage::Beginning;
                Ok(Beginning {
                    stages: self,
                    interpreter,
                })
            }
            Stage::Empty | Stage::Uploading => Err(OutOfOrder::NoScript),
            Stage::Beginning | Stage::Begun => Err(OutOfOrder::RunBefore),
            Stage::Stopped { .. } => Err(OutOfOrder::Stopped),
        }
    }

    /// Whether the script has begun, or may have.
    pub(crate) fn has_begun(&self) -> bool {
        matches!(
            *self.lock(),
            Stage::Beginning | Stage::Begun | Stage::Stopped { begun: true }
        )
    }

    /// Lets nothing begin any more.
    pub(crate) fn stop(&self) {
        let begun = self.has_begun();
        *self.lock() = Stage::Stopped { begun };
    }

    fn lock(&self) -> MutexGuard<'_, Stage> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Upload<'_> {
    /// The script is there as a whole.
    pub(crate) fn commit(self, interpreter: Interpreter) -> Result<(), OutOfOrder> {
        let mut stage = self.0.lock();
        match *stage {
            Stage::Uploading => {
                *stage = Stage::Uploaded(interpreter);
                Ok(())
            }
            _ => Err(OutOfOrder::Stopped),
        }
    }
}

impl Drop for Upload<'_> {
    fn drop(&mut self) {
        let mut stage = self.0.lock();
        if matches!(*stage, Stage::Uploading) {
            *stage = Stage::Empty;
        }
    }
}

impl Beginning<'_> {
    /// It has begun, for certain.
    pub(crate) fn begun(self) {
        let mut stage = self.stages.lock();
        if matches!(*stage, Stage::Beginning) {
            *stage = Stage::Begun;
        }
    }

    /// It has not, for certain, and may be tried again.
    pub(crate) fn not_begun(self) {
        let mut stage = self.stages.lock();
        if matches!(*stage, Stage::Beginning) {
            *stage = Stage::Uploaded(self.interpreter.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell() -> Interpreter {
        Interpreter::of(b"")
    }

    #[test]
    fn each_step_comes_once_and_in_order() {
        let stages = Stages::new();
        assert!(matches!(stages.begin(), Err(OutOfOrder::NoScript)));
        let upload = stages.upload().unwrap();
        assert!(matches!(stages.upload(), Err(OutOfOrder::Stale)));
        drop(upload);
        stages.upload().unwrap().commit(shell()).unwrap();
        assert!(matches!(stages.upload(), Err(OutOfOrder::Stale)));
        stages.begin().unwrap().not_begun();
        assert!(!stages.has_begun());
        drop(stages.begin().unwrap());
        assert!(stages.has_begun(), "a dropped beginning may have begun");
        assert!(matches!(stages.begin(), Err(OutOfOrder::RunBefore)));
        stages.stop();
        assert!(stages.has_begun());
        assert!(matches!(stages.begin(), Err(OutOfOrder::Stopped)));
    }

    #[test]
    fn a_stop_during_an_upload_is_told_at_its_end() {
        let stages = Stages::new();
        let upload = stages.upload().unwrap();
        stages.stop();
        assert!(matches!(upload.commit(shell()), Err(OutOfOrder::Stopped)));
        assert!(matches!(stages.upload(), Err(OutOfOrder::Stopped)));
    }
}
