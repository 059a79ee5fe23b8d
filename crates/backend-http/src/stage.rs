//! The order of an instance's calls, on this side of the connection.

use std::sync::{Mutex, MutexGuard, PoisonError};

use backend_core::OutOfOrder;
use worker_api::RunId;

use crate::error::Failure;

/// Where an instance is in its life, and the rules of the order: one script,
/// one run, nothing after the end.
#[derive(Debug, Default)]
pub(crate) struct Stages(Mutex<Stage>);

#[derive(Debug, Clone, PartialEq, Eq, Default)]
enum Stage {
    #[default]
    Empty,
    Uploading,
    /// An upload was given up, and may be there or not: nothing may run.
    Spoiled,
    Uploaded,
    Running(RunId),
    Ended(RunId),
    Stopped,
}

impl Stages {
    /// An upload begins. Unless it is [settled](Upload::settle), it spoils
    /// the instance when it is dropped.
    pub(crate) fn upload(&self) -> Result<Upload<'_>, Failure> {
        let mut stage = self.lock();
        match *stage {
            Stage::Empty => {
                *stage = Stage::Uploading;
                Ok(Upload(self))
            }
            Stage::Uploading => Err(OutOfOrder::Uploading.into()),
            Stage::Spoiled => Err(Failure::Spoiled),
            Stage::Uploaded | Stage::Running(_) | Stage::Ended(_) => Err(OutOfOrder::Stale.into()),
            Stage::Stopped => Err(OutOfOrder::Stopped.into()),
        }
    }

    /// A run begins.
    pub(crate) fn begin(&self, id: &RunId) -> Result<(), Failure> {
        let mut stage = self.lock();
        match *stage {
            Stage::Uploaded => {
                *stage = Stage::Running(id.clone());
                Ok(())
            }
            Stage::Empty | Stage::Uploading => Err(OutOfOrder::NoScript.into()),
            Stage::Spoiled => Err(Failure::Spoiled),
            Stage::Running(_) | Stage::Ended(_) => Err(OutOfOrder::RunBefore.into()),
            Stage::Stopped => Err(OutOfOrder::Stopped.into()),
        }
    }

    /// The run never began: another may.
    pub(crate) fn never_began(&self) {
        let mut stage = self.lock();
        if matches!(*stage, Stage::Running(_)) {
            *stage = Stage::Uploaded;
        }
    }

    /// The run has ended.
    pub(crate) fn ended(&self) {
        let mut stage = self.lock();
        if let Stage::Running(id) = &*stage {
            *stage = Stage::Ended(id.clone());
        }
    }

    /// The run to be signalled; `None` once it has ended.
    pub(crate) fn running(&self) -> Result<Option<RunId>, Failure> {
        match &*self.lock() {
            Stage::Running(id) => Ok(Some(id.clone())),
            Stage::Ended(_) => Ok(None),
            Stage::Stopped => Err(OutOfOrder::Stopped.into()),
            _ => Err(OutOfOrder::NotRun.into()),
        }
    }

    /// The instance is being stopped.
    pub(crate) fn stop(&self) {
        *self.lock() = Stage::Stopped;
    }

    /// Whether it is being stopped from this side.
    pub(crate) fn is_stopped(&self) -> bool {
        *self.lock() == Stage::Stopped
    }

    fn lock(&self) -> MutexGuard<'_, Stage> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An upload under way.
pub(crate) struct Upload<'a>(&'a Stages);

impl Upload<'_> {
    /// It is known whether the script is there.
    pub(crate) fn settle(self, is_there: bool) {
        self.change(if is_there {
            Stage::Uploaded
        } else {
            Stage::Empty
        });
    }

    fn change(&self, to: Stage) {
        let mut stage = self.0.lock();
        if *stage == Stage::Uploading {
            *stage = to;
        }
    }
}

impl Drop for Upload<'_> {
    fn drop(&mut self) {
        // After `settle` the stage is another already.
        self.change(Stage::Spoiled);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_goes_in_once_and_runs_once() {
        let (stages, id) = (Stages::default(), RunId::random());
        assert!(matches!(
            stages.begin(&id),
            Err(Failure::Order(OutOfOrder::NoScript))
        ));
        assert!(matches!(
            stages.running(),
            Err(Failure::Order(OutOfOrder::NotRun))
        ));
        let upload = stages.upload().unwrap();
        assert!(matches!(
            stages.upload().err(),
            Some(Failure::Order(OutOfOrder::Uploading))
        ));
        upload.settle(true);
        assert!(matches!(
            stages.upload().err(),
            Some(Failure::Order(OutOfOrder::Stale))
        ));
        stages.begin(&id).unwrap();
        assert!(matches!(
            stages.begin(&id),
            Err(Failure::Order(OutOfOrder::RunBefore))
        ));
        assert_eq!(stages.running().unwrap(), Some(id));
        stages.ended();
        assert_eq!(stages.running().unwrap(), None);
        stages.stop();
        assert!(matches!(
            stages.upload().err(),
            Some(Failure::Order(OutOfOrder::Stopped))
        ));
    }

    #[test]
    fn an_upload_that_is_given_up_spoils_and_one_that_was_refused_does_not() {
        let stages = Stages::default();
        stages.upload().unwrap().settle(false);
        drop(stages.upload().unwrap());
        assert!(matches!(
            stages.begin(&RunId::random()),
            Err(Failure::Spoiled)
        ));
        assert!(matches!(stages.upload().err(), Some(Failure::Spoiled)));
    }

    #[test]
    fn a_stop_outlives_what_was_under_way() {
        let stages = Stages::default();
        let upload = stages.upload().unwrap();
        stages.stop();
        upload.settle(true);
        assert!(stages.is_stopped());
    }
}
