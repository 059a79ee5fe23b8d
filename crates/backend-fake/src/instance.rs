//! One simulated instance.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use backend_core::{
    Instance, InstanceId, Janitor, LossCause, Operation, OutputSink, Removal, Result, RunOptions,
    RunResult, Signal,
};

use crate::error::Failure;
use crate::place::{Place, Removed, Signals, Slot, State};
use crate::run::Simulation;

/// The handle of one simulated instance.
#[derive(Debug)]
pub(crate) struct FakeInstance {
    slot: Arc<Slot>,
    place: Arc<Place>,
    removal: Removal,
    startup_duration: Duration,
}

impl FakeInstance {
    pub(crate) fn new(slot: Arc<Slot>, place: Arc<Place>, janitor: Janitor) -> Self {
        let id = slot.marks.instance.clone();
        let removed = (slot.clone(), place.clone());
        let remove = move || remove(removed.0.clone(), removed.1.clone());
        Self {
            slot,
            place,
            removal: Removal::new(id, janitor, remove),
            startup_duration: Duration::ZERO,
        }
    }

    /// It can take a script.
    pub(crate) fn is_ready(&mut self, startup_duration: Duration) {
        self.startup_duration = startup_duration;
        self.removal.hand_over(false);
    }

    /// Its start has failed: it is removed.
    pub(crate) fn never_was(&self) {
        self.place.remove(&self.slot.marks, LossCause::Stopped);
    }

    fn error(&self, error: Failure) -> backend_core::Error {
        error.into_error(Some(&self.slot.marks.instance))
    }
}

/// What is done to remove an instance. Of one that is gone nothing is left.
async fn remove(slot: Arc<Slot>, place: Arc<Place>) -> Result<()> {
    if matches!(slot.state(), State::Gone(_)) {
        return Ok(());
    }
    if place.options.stop_hang {
        std::future::pending::<()>().await;
    }
    tokio::time::sleep(place.options.stop_duration).await;
    match place.remove(&slot.marks, LossCause::Stopped) {
        Removed::Gone => Ok(()),
        Removed::Failed => {
            Err(Failure::Stop(Operation::Stop).into_error(Some(&slot.marks.instance)))
        }
    }
}

#[async_trait]
impl Instance for FakeInstance {
    fn id(&self) -> &InstanceId {
        &self.slot.marks.instance
    }

    fn image_name(&self) -> Option<&str> {
        None
    }

    fn startup_duration(&self) -> Duration {
        self.startup_duration
    }

    async fn upload_script(&self, _: &[u8]) -> Result<()> {
        let options = &self.place.options;
        let used_before = options.stale;
        self.slot
            .change(|state| match state {
                State::Empty if used_before => Err(Failure::Stale),
                State::Empty => Ok(State::Uploading),
                State::Uploading => Err(Failure::Uploading),
                State::Uploaded | State::Running(_) | State::Ended => Err(Failure::Stale),
                State::Gone(_) => Err(Failure::Stopped(Operation::Upload)),
            })
            .map_err(|error| self.error(error))?;
        // Until it is through, there is no script, also after a drop.
        let undo = Undo(&self.slot);
        let mut state = self.slot.watch();
        tokio::select! {
            biased;
            _ = state.wait_for(|state| matches!(state, State::Gone(_))) => {
                return Err(self.error(Failure::Stopped(Operation::Upload)));
            }
            () = upload_takes(options.upload_duration, options.upload_hang) => {}
        }
        if let Some(text) = &options.upload_error {
            return Err(self.error(Failure::Upload(text.clone())));
        }
        self.slot
            .change(|state| match state {
                State::Uploading => Ok(State::Uploaded),
                _ => Err(Failure::Stopped(Operation::Upload)),
            })
            .map_err(|error| self.error(error))?;
        drop(undo);
        Ok(())
    }

    async fn run_script(
        &self,
        options: &RunOptions,
        sink: &mut dyn OutputSink,
    ) -> Result<RunResult> {
        let run_error = self.place.options.run_error.clone();
        // Before the script runs, so that no signal is missed.
        let state = self.slot.watch();
        self.slot
            .change(|state| match state {
                State::Uploaded => match run_error {
                    Some(text) => Err(Failure::Run(text)),
                    None => Ok(State::Running(Signals::default())),
                },
                State::Empty | State::Uploading => Err(Failure::NoScript(Operation::Run)),
                State::Running(_) | State::Ended => Err(Failure::RunTwice),
                State::Gone(_) => Err(Failure::Stopped(Operation::Run)),
            })
            .map_err(|error| self.error(error))?;
        let simulation = Simulation::new(&self.place.options, state, options.drain_window);
        let result = simulation.run(sink, || self.slot.end_script()).await;
        Ok(result)
    }

    async fn signal(&self, signal: Signal) -> Result<()> {
        if let Some(text) = &self.place.options.signal_error {
            return Err(self.error(Failure::Signal(text.clone())));
        }
        self.slot
            .change(|state| match state {
                State::Running(sent) => Ok(State::Running(sent.with(signal))),
                State::Ended => Ok(State::Ended),
                State::Empty | State::Uploading | State::Uploaded => {
                    Err(Failure::NotBegun(Operation::Signal))
                }
                State::Gone(_) => Err(Failure::Stopped(Operation::Signal)),
            })
            .map_err(|error| self.error(error))
    }

    async fn processes(&self) -> Result<Option<String>> {
        if self.place.options.processes_hang {
            std::future::pending::<()>().await;
        }
        match self.slot.state() {
            State::Running(_) => Ok(Some("1 the simulated script\n".into())),
            State::Gone(_) => Err(self.error(Failure::Stopped(Operation::Processes))),
            State::Empty | State::Uploading | State::Uploaded | State::Ended => Ok(None),
        }
    }

    async fn stop(&self) -> Result<()> {
        self.removal.stop().await
    }
}

async fn upload_takes(duration: Duration, hang: bool) {
    if hang {
        std::future::pending::<()>().await;
    }
    tokio::time::sleep(duration).await;
}

/// Takes back an upload that did not come to its end.
struct Undo<'a>(&'a Slot);

impl Drop for Undo<'_> {
    fn drop(&mut self) {
        self.0
            .go_on(|state| state == State::Uploading, State::Empty);
    }
}
