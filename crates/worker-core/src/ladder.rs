//! How a run is watched, and how it is ended: note, TERM, grace, KILL, stop.

use std::pin::{Pin, pin};
use std::time::Duration;

use backend_core::{Chain, ErrorKind, Instance, Result, RunResult, Signal};

use crate::gauge::{Alarm, Gauge};
use crate::{Cancel, CancelCause, EventKind, EventLog, Limit, Limits};

/// How long the listing before the first signal may take.
const LISTING_PATIENCE: Duration = Duration::from_secs(2);
/// How long sending a signal may take.
const SIGNAL_PATIENCE: Duration = Duration::from_secs(5);
/// How long it may still take once the run has ended.
const LATE_SIGNAL_PATIENCE: Duration = Duration::from_millis(500);
/// How long a run may take to return after KILL, beside its drain window.
pub(crate) const END_PATIENCE: Duration = Duration::from_secs(5);
/// The same where the job is to end at once.
const URGENT_PATIENCE: Duration = Duration::from_secs(2);

/// Why a run is ended before its script ends by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trigger {
    Limit(Limit),
    Cancel(CancelCause),
}

/// A run under way.
pub(crate) type Running<'a> = Pin<&'a mut (dyn Future<Output = Result<RunResult>> + Send)>;

/// What is needed to watch a run.
pub(crate) struct Watch<'a> {
    pub(crate) instance: &'a dyn Instance,
    pub(crate) limits: &'a Limits,
    pub(crate) gauge: &'a Gauge,
    pub(crate) cancel: &'a Cancel,
    pub(crate) events: &'a EventLog,
}

/// How a watched run came to its end.
pub(crate) struct Watched {
    /// What the run returned; `None` if it had not even after a stop.
    pub(crate) result: Option<Result<RunResult>>,
    /// What ended it, if it was not the script by itself.
    pub(crate) trigger: Option<Trigger>,
    /// Whether the instance was stopped to end it.
    pub(crate) stopped: bool,
}

impl Watched {
    fn by_itself(result: Result<RunResult>) -> Self {
        Self {
            result: Some(result),
            trigger: None,
            stopped: false,
        }
    }
}

impl Watch<'_> {
    /// Waits for the end of the run, and brings it about if a limit is
    /// reached or the job is cancelled. An end that was seen wins over a
    /// limit in the same instant.
    pub(crate) async fn to_the_end(&self, mut run: Running<'_>) -> Watched {
        let trigger = tokio::select! {
            biased;
            result = &mut run => return Watched::by_itself(result),
            trigger = self.trigger() => trigger,
        };
        self.events.emit(match trigger {
            Trigger::Limit(limit) => EventKind::LimitReached { limit },
            Trigger::Cancel(cause) => EventKind::Cancelled { cause },
        });
        // Until the first signal, the script may still end by itself.
        tokio::select! {
            biased;
            result = &mut run => return Watched::by_itself(result),
            () = self.note() => {}
        }
        let (result, stopped) = self.end(run).await;
        Watched {
            result,
            trigger: Some(trigger),
            stopped,
        }
    }

    async fn trigger(&self) -> Trigger {
        tokio::select! {
            biased;
            cause = self.cancel.requested() => Trigger::Cancel(cause),
            alarm = self.gauge.alarm() => match alarm {
                Alarm::OutputLimit => Trigger::Limit(Limit::Output),
                Alarm::SinkFailed => Trigger::Cancel(CancelCause::OutputClosed),
            },
            () = after(self.limits.hard) => Trigger::Limit(Limit::Hard),
            () = self.silence() => Trigger::Limit(Limit::Silence),
        }
    }

    async fn silence(&self) {
        match self.limits.silence {
            Some(silence) => self.gauge.silent_for(silence).await,
            None => std::future::pending().await,
        }
    }

    /// Tells what runs, for who has to find out why it hung.
    async fn note(&self) {
        tokio::select! {
            biased;
            () = self.cancel.urgent() => {}
            listing = tokio::time::timeout(LISTING_PATIENCE, self.instance.processes()) => {
                if let Ok(Ok(Some(listing))) = listing {
                    self.events.emit(EventKind::Processes { listing });
                }
            }
        }
    }

    async fn end(&self, mut run: Running<'_>) -> (Option<Result<RunResult>>, bool) {
        tokio::select! {
            biased;
            () = self.cancel.urgent() => {}
            sent = self.send_during(&mut run, Signal::TERM) => match sent {
                Err(result) => return (Some(result), false),
                Ok(false) => {}
                Ok(true) => tokio::select! {
                    biased;
                    result = &mut run => return (Some(result), false),
                    () = self.cancel.urgent() => {}
                    () = tokio::time::sleep(self.limits.grace) => {}
                },
            },
        }
        let sent = match self.send_during(&mut run, Signal::KILL).await {
            Err(result) => return (Some(result), false),
            Ok(sent) => sent,
        };
        let forceful = async {
            if sent {
                self.killed_for_long().await;
            }
            // The script is dead, and its output goes nowhere: the run has to
            // come back with its verdict.
            self.gauge.give_up();
            tokio::time::sleep(END_PATIENCE).await;
        };
        tokio::select! {
            biased;
            result = &mut run => return (Some(result), false),
            () = forceful => {}
        }
        // The last rung: the run returns because its instance goes. The stop
        // that every job ends with reports what may be left.
        self.events.emit(EventKind::RunAbandoned);
        let stopping = async {
            self.instance.stop().await.ok();
            tokio::time::sleep(END_PATIENCE).await;
        };
        let result = tokio::select! {
            biased;
            result = &mut run => Some(result),
            () = stopping => None,
        };
        (result, true)
    }

    async fn killed_for_long(&self) {
        let urgent = async {
            self.cancel.urgent().await;
            tokio::time::sleep(URGENT_PATIENCE).await;
        };
        tokio::select! {
            () = tokio::time::sleep(self.limits.drain + END_PATIENCE) => {}
            () = urgent => {}
        }
    }

    /// Sends a signal while the run goes on; gives what [`send`](Self::send)
    /// says, or else how the run has ended meanwhile.
    async fn send_during(
        &self,
        run: &mut Running<'_>,
        signal: Signal,
    ) -> std::result::Result<bool, Result<RunResult>> {
        // To a run that has ended already nothing is sent.
        tokio::select! {
            biased;
            result = &mut *run => return Err(result),
            () = std::future::ready(()) => {}
        }
        let mut sending = pin!(self.send(signal));
        tokio::select! {
            biased;
            result = run => {
                // It may have ended of this very signal, which is told of.
                tokio::time::timeout(LATE_SIGNAL_PATIENCE, sending).await.ok();
                Err(result)
            }
            sent = &mut sending => Ok(sent),
        }
    }

    /// Sends a signal, and says whether there is anything to wait for: a
    /// backend that cannot signal at all can only be stopped.
    async fn send(&self, signal: Signal) -> bool {
        let sent = tokio::time::timeout(SIGNAL_PATIENCE, self.instance.signal(signal)).await;
        let error = match &sent {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(Chain(error).to_string()),
            Err(_) => Some("sending it took too long".to_owned()),
        };
        self.events.emit(EventKind::SignalSent { signal, error });
        !matches!(sent, Ok(Err(error)) if error.kind() == ErrorKind::Unsupported)
    }
}

/// Waits for `limit`, forever if there is none.
async fn after(limit: Option<Duration>) {
    match limit {
        Some(limit) => tokio::time::sleep(limit).await,
        None => std::future::pending().await,
    }
}
