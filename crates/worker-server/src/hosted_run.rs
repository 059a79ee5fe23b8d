//! One run as the server knows it: driven to its end, and told of.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use backend_core::{ErrorKind, Instance, RunOptions, RunResult, Signal};
use tokio::sync::watch;
use tokio::time::Instant;
use worker_api::{
    Digest, LostBy, OutputSummary, Problem, RunDocument, RunId, RunLimits, RunState, RunTimings,
    StoppedBy, WireOutcome,
};

use crate::hosted::{lock, milliseconds};
use crate::journal::{Journal, JournalWriter};

/// The one run of an instance.
#[derive(Debug)]
pub(crate) struct HostedRun {
    pub(crate) id: RunId,
    /// The SHA-256 of what was asked for, in hexadecimal.
    pub(crate) request: String,
    pub(crate) journal: Arc<Journal>,
    began: Instant,
    ended: watch::Sender<Option<RunDocument>>,
    stop: Mutex<Option<Stop>>,
}

/// That the server ends the run, and why.
#[derive(Debug, Clone)]
struct Stop {
    by: StoppedBy,
    detail: String,
    /// Whether an exit or a signal that comes from now on is the server's
    /// doing: a client that asked for the end itself hears of it as it is.
    overrules: bool,
}

impl HostedRun {
    pub(crate) fn new(id: RunId, request: String, journal: Arc<Journal>) -> Self {
        Self {
            id,
            request,
            journal,
            began: Instant::now(),
            ended: watch::Sender::new(None),
            stop: Mutex::new(None),
        }
    }

    /// One of an earlier server, which has ended.
    pub(crate) fn remembered(
        id: RunId,
        request: String,
        journal: Arc<Journal>,
        ended: RunDocument,
    ) -> Self {
        let run = Self::new(id, request, journal);
        run.ended.send_replace(Some(ended));
        run
    }

    /// What is told of it now.
    pub(crate) fn document(&self) -> RunDocument {
        if let Some(ended) = &*self.ended.borrow() {
            return ended.clone();
        }
        RunDocument {
            id: self.id.clone(),
            state: RunState::Running,
            outcome: None,
            output: OutputSummary {
                bytes: self.journal.extent().length,
                ..OutputSummary::default()
            },
            oom_seen: false,
            ended_by_engine: false,
            leftovers: Vec::new(),
            timings: self.timings(),
        }
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.ended.borrow().is_some()
    }

    /// Waits for its end.
    pub(crate) async fn until_ended(&self) {
        // The sender is in `self`.
        self.ended.subscribe().wait_for(Option::is_some).await.ok();
    }

    /// Says that the server ends the run; the first reason holds.
    pub(crate) fn stop(&self, by: StoppedBy, detail: impl Into<String>, overrules: bool) {
        lock(&self.stop).get_or_insert_with(|| Stop {
            by,
            detail: detail.into(),
            overrules,
        });
    }

    /// What to tell of a run that is over.
    pub(crate) fn conclude(
        &self,
        result: backend_core::Result<RunResult>,
        digest: Option<Digest>,
    ) -> RunDocument {
        let stop = lock(&self.stop).clone();
        let stopped = stop.as_ref().map(|stop| (stop.by, stop.detail.as_str()));
        let overrules = stop.as_ref().is_some_and(|stop| stop.overrules);
        let mut document = self.document();
        document.state = RunState::Ended;
        document.output.bytes = self.journal.extent().length;
        document.output.sha256 = digest.map(Digest::to_hex);
        match result {
            Ok(result) => {
                let whole = self.journal.full().is_none() && digest.is_some();
                document.output.complete = Some(result.output_complete && whole);
                document.outcome = Some(WireOutcome::new(&result.outcome, stopped, overrules));
                document.oom_seen = result.oom_seen;
                document.ended_by_engine = result.ended_by_engine;
                document.leftovers = result.leftovers;
            }
            Err(error) => {
                document.output.complete = Some(true);
                let problem = Problem::of(&error, "run");
                document.outcome = Some(WireOutcome::NotStarted { problem });
            }
        }
        document
    }

    /// What to tell of a run whose end nobody will know.
    pub(crate) fn lost(&self, by: LostBy, detail: &str, digest: Option<Digest>) -> RunDocument {
        let mut document = self.document();
        document.state = RunState::Ended;
        document.output.sha256 = digest.map(Digest::to_hex);
        document.output.complete = Some(false);
        document.outcome = Some(WireOutcome::Lost {
            by,
            detail: detail.to_owned(),
        });
        document
    }

    /// Tells how it ended; only the first call counts.
    pub(crate) fn publish(&self, document: RunDocument) {
        self.ended.send_if_modified(|ended| {
            let first = ended.is_none();
            ended.get_or_insert(document);
            first
        });
    }

    fn timings(&self) -> RunTimings {
        RunTimings {
            elapsed_ms: milliseconds(self.began.elapsed()),
        }
    }

    /// Runs the script on `instance`, and watches the limits. What it gives is
    /// to be published; the journal is closed by then.
    pub(crate) async fn drive(
        &self,
        instance: &dyn Instance,
        options: &RunOptions,
        limits: RunLimits,
        grace: Duration,
        mut writer: JournalWriter,
    ) -> RunDocument {
        let result = tokio::select! {
            result = instance.run_script(options, &mut writer) => result,
            never = self.enforce(instance, limits, grace) => match never {},
        };
        let digest = writer.digest();
        drop(writer);
        self.conclude(result, digest)
    }

    /// Waits for a limit, and then ends the script: TERM, grace, KILL.
    async fn enforce(
        &self,
        instance: &dyn Instance,
        limits: RunLimits,
        grace: Duration,
    ) -> std::convert::Infallible {
        let (by, detail) = tokio::select! {
            full = self.journal.until_full() => (StoppedBy::OutputLimit, full.to_string()),
            () = sleep(limits.time()) => {
                (StoppedBy::Timeout, StoppedBy::Timeout.describe().to_owned())
            }
            () = self.silence(limits.silence()) => {
                (StoppedBy::Silence, StoppedBy::Silence.describe().to_owned())
            }
        };
        self.stop(by, detail, true);
        for (signal, pause) in [(Signal::TERM, grace), (Signal::KILL, grace)] {
            match instance.signal(signal).await {
                Ok(()) => tokio::time::sleep(pause).await,
                Err(error) if error.kind() == ErrorKind::Unsupported => break,
                Err(error) => tracing::warn!(%error, %signal, "cannot signal a run at its limit"),
            }
        }
        // Deaf to signals, or without them: only the
        // end of the instance ends it.
        if let Err(error) = instance.stop().await {
            tracing::warn!(%error, "cannot stop an instance whose run is at its limit");
        }
        std::future::pending().await
    }

    /// Waits until there was no output for so long.
    async fn silence(&self, limit: Option<Duration>) {
        let mut extent = self.journal.watch();
        loop {
            tokio::select! {
                () = sleep(limit) => return,
                changed = extent.changed() => if changed.is_err() {
                    std::future::pending::<()>().await;
                },
            }
        }
    }
}

/// What is told of a run whose end an earlier server wrote down, with so much
/// left of its output; `None` if that is no end.
///
/// Record and output are two files, and a machine that loses its power may keep
/// the one without the other. The verdict was read and holds, but output that
/// is not what was written is never said to be complete.
pub(crate) fn recalled(ended: RunDocument, length: u64, digest: Digest) -> Option<RunDocument> {
    if ended.state != RunState::Ended || ended.outcome.is_none() {
        return None;
    }
    let output = &ended.output;
    let found = digest.to_hex();
    if output.bytes == length && output.sha256.as_ref().is_none_or(|told| *told == found) {
        return Some(ended);
    }
    let output = OutputSummary {
        bytes: length,
        sha256: Some(found),
        complete: Some(false),
    };
    Some(RunDocument { output, ..ended })
}

async fn sleep(limit: Option<Duration>) {
    match limit {
        Some(limit) => tokio::time::sleep(limit).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(output: OutputSummary) -> RunDocument {
        RunDocument {
            id: RunId::random(),
            state: RunState::Ended,
            outcome: Some(WireOutcome::Exit {
                code: 0,
                maybe_signal: None,
            }),
            output,
            oom_seen: false,
            ended_by_engine: false,
            leftovers: Vec::new(),
            timings: RunTimings::default(),
        }
    }

    #[test]
    fn output_that_is_not_what_was_written_is_not_complete_and_the_verdict_holds() {
        let digest = Digest::of(b"hello");
        let told = ended(OutputSummary {
            bytes: 5,
            sha256: Some(digest.to_hex()),
            complete: Some(true),
        });
        assert_eq!(recalled(told.clone(), 5, digest), Some(told.clone()));
        for left in [&b"hell"[..], b"hello!", b"", b"jello"] {
            let digest = Digest::of(left);
            let now = recalled(told.clone(), left.len() as u64, digest).unwrap();
            let expected = OutputSummary {
                bytes: left.len() as u64,
                sha256: Some(digest.to_hex()),
                complete: Some(false),
            };
            assert_eq!((now.output, now.outcome), (expected, told.outcome.clone()));
        }
    }

    #[test]
    fn what_does_not_say_how_it_ended_is_no_end() {
        let digest = Digest::of(b"");
        let ended = ended(OutputSummary::default());
        let running = RunDocument {
            state: RunState::Running,
            ..ended.clone()
        };
        assert_eq!(recalled(running, 0, digest), None);
        let outcome = None;
        assert_eq!(recalled(RunDocument { outcome, ..ended }, 0, digest), None);
    }
}
