//! The place where the instances of one provider are: a table in memory.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::{Mutex, MutexGuard, PoisonError};

use backend_core::{Found, FoundState, InstanceId, LossCause, Marks, Signal};
use tokio::sync::{OwnedSemaphorePermit, watch};

use crate::FakeOptions;

/// Where the instances of one provider are.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) options: FakeOptions,
    slots: Mutex<BTreeMap<InstanceId, Arc<Slot>>>,
}

/// One instance, as the place holds it.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) marks: Marks,
    state: watch::Sender<State>,
    /// How many more stops fail.
    stop_failures: Mutex<u32>,
    /// Its share of the limited number of instances. Given back when the
    /// instance is removed, though its handle may live on.
    permit: Mutex<Option<OwnedSemaphorePermit>>,
}

/// What an instance is doing, and the only thing that its methods agree by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// No script was uploaded.
    Empty,
    /// An upload is under way.
    Uploading,
    /// A script was uploaded.
    Uploaded,
    /// The script runs, and was sent these signals.
    Running(Signals),
    /// The script has ended.
    Ended,
    /// The instance is gone, for this reason.
    Gone(LossCause),
}

/// A set of signals. None is ever taken out: a script that has not ended by
/// one ignores it, and does so the next time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Signals(u64);

impl Signals {
    pub(crate) fn with(self, signal: Signal) -> Self {
        Self(self.0 | 1 << (signal.number() - 1))
    }

    /// In the order of their numbers: KILL before TERM.
    pub(crate) fn iter(self) -> impl Iterator<Item = Signal> {
        (1..=64)
            .filter(move |number| self.0 & (1 << (number - 1)) != 0)
            .filter_map(Signal::from_number)
    }
}

/// What came of a removal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Removed {
    /// It is gone, now or since before.
    Gone,
    /// It failed, as it was told to.
    Failed,
}

impl Place {
    pub(crate) fn new(options: FakeOptions) -> Self {
        Self {
            options,
            slots: Mutex::default(),
        }
    }

    /// Puts a new instance there.
    pub(crate) fn create(&self, marks: Marks, permit: Option<OwnedSemaphorePermit>) -> Arc<Slot> {
        let slot = Arc::new(Slot {
            marks: marks.clone(),
            state: watch::Sender::new(State::Empty),
            stop_failures: Mutex::new(self.options.stop_failures),
            permit: Mutex::new(permit),
        });
        lock(&self.slots).insert(marks.instance, slot.clone());
        slot
    }

    /// All that is there.
    pub(crate) fn found(&self) -> Vec<Found> {
        lock(&self.slots)
            .values()
            .map(|slot| {
                let state = match slot.state() {
                    State::Running(_) => FoundState::Running,
                    _ => FoundState::Stopped,
                };
                let location = slot.marks.instance.to_string();
                Found::new(slot.marks.clone(), state, location)
            })
            .collect()
    }

    /// Takes an instance away. One that only has the same id stays: what was
    /// meant is gone then.
    pub(crate) fn remove(&self, marks: &Marks, why: LossCause) -> Removed {
        let mut slots = lock(&self.slots);
        match slots.get(&marks.instance) {
            Some(slot) if slot.marks == *marks => {
                if slot.fails_to_stop() {
                    return Removed::Failed;
                }
                slot.state.send_replace(State::Gone(why));
                lock(&slot.permit).take();
                slots.remove(&marks.instance);
                Removed::Gone
            }
            _ => Removed::Gone,
        }
    }
}

impl Slot {
    pub(crate) fn state(&self) -> State {
        *self.state.borrow()
    }

    pub(crate) fn watch(&self) -> watch::Receiver<State> {
        self.state.subscribe()
    }

    /// Goes on to another state, if `next` gives one for the present one; else
    /// gives back what `next` has against it.
    pub(crate) fn change<E>(&self, next: impl FnOnce(State) -> Result<State, E>) -> Result<(), E> {
        let mut outcome = Ok(());
        self.state.send_if_modified(|state| match next(*state) {
            Ok(new) => {
                let changed = new != *state;
                *state = new;
                changed
            }
            Err(error) => {
                outcome = Err(error);
                false
            }
        });
        outcome
    }

    /// The script has ended, unless the instance is gone by now.
    pub(crate) fn end_script(&self) {
        self.go_on(|state| matches!(state, State::Running(_)), State::Ended);
    }

    /// Goes on from `from` to `to`; does nothing in any other state.
    pub(crate) fn go_on(&self, from: impl Fn(State) -> bool, to: State) {
        self.state.send_if_modified(|state| {
            let fits = from(*state);
            if fits {
                *state = to;
            }
            fits
        });
    }

    fn fails_to_stop(&self) -> bool {
        let mut left = lock(&self.stop_failures);
        let fails = *left > 0;
        *left = left.saturating_sub(1);
        fails
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
