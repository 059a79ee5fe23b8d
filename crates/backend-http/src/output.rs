//! The output of a run, followed to its end across whatever happens.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use backend_core::{Delivery, InstanceId, Loss, LossCause, OutputSink, RunResult};
use sha2::{Digest as _, Sha256};
use tokio::task::spawn_blocking;
use tokio::time::Instant;
use worker_api::{Chunk, ChunkHead, Digest, Problem, RunDocument, RunId, RunState};

use crate::call::Call;
use crate::error::CallError;
use crate::remote::Remote;

/// Pieces from this size on are hashed on a thread of their own.
const LARGE: usize = 64 << 10;

/// A run under way.
#[derive(Debug)]
pub(crate) struct Follow<'a> {
    pub(crate) remote: &'a Remote,
    pub(crate) instance: &'a InstanceId,
    pub(crate) run: &'a RunId,
    /// How often a request had to be repeated.
    reconnects: AtomicU32,
}

/// The shortest pause between two requests that bring nothing.
const POLL: Duration = Duration::from_millis(100);

/// An answer whose bytes are not yet checked.
struct Answer {
    head: ChunkHead,
    body: Vec<u8>,
}

/// All pieces so far.
#[derive(Clone)]
struct Progress {
    offset: u64,
    hash: Sha256,
}

impl<'a> Follow<'a> {
    pub(crate) fn new(remote: &'a Remote, instance: &'a InstanceId, run: &'a RunId) -> Self {
        Self {
            remote,
            instance,
            run,
            reconnects: AtomicU32::new(0),
        }
    }

    /// Delivers all of the output, and then asks how the run ended. `asked`
    /// tells whether its end was asked for from this side.
    ///
    /// # Errors
    ///
    /// The problem of a run that never began.
    pub(crate) async fn to_the_end(
        &self,
        sink: &mut dyn OutputSink,
        asked: impl Fn() -> bool,
    ) -> Result<RunResult, Problem> {
        let mut delivery = Delivery::new(sink);
        let told = match self.deliver(&mut delivery).await {
            Ok((length, digest)) => self.document().await.map(|told| (told, length, digest)),
            Err(error) => Err(error),
        };
        let mut result = match told {
            Ok((told, length, digest)) => {
                conclude(told, length, digest, asked(), delivery.delivered())?
            }
            Err(error) => RunResult::lost(loss(&error, asked()), delivery.delivered()),
        };
        result.output_complete &= delivery.intact();
        result.reconnects = self.reconnects.load(Ordering::Relaxed);
        Ok(result)
    }

    /// The result of a run of which nobody can say whether it began.
    pub(crate) fn lost(error: &CallError, asked: bool) -> RunResult {
        RunResult::lost(loss(error, asked), 0)
    }

    /// Delivers all pieces. While one is checked and taken by the sink, the
    /// next is under way.
    async fn deliver(&self, delivery: &mut Delivery<'_>) -> Result<(u64, Digest), CallError> {
        let mut progress = Progress {
            offset: 0,
            hash: Sha256::new(),
        };
        let mut patience = self.remote.patience();
        let mut answer = self.fetch(0).await?;
        loop {
            let (next_offset, complete) = (answer.head.next_offset, answer.head.complete);
            let taking = async {
                let checked = check(answer, progress.clone()).await?;
                delivery.write(&checked.0.bytes).await;
                Ok(checked.1)
            };
            let fetching = async {
                if complete {
                    return None;
                }
                Some(self.fetch(next_offset).await)
            };
            let (taken, next) = tokio::join!(taking, fetching);
            match taken {
                Ok(further) => {
                    progress = further;
                    let Some(next) = next else { break };
                    answer = next?;
                    patience = self.remote.patience();
                }
                // Not the bytes that were sent: what came after them may be
                // anything too.
                Err(error) => {
                    patience.after(error).await?;
                    self.reconnects.fetch_add(1, Ordering::Relaxed);
                    answer = self.fetch(progress.offset).await?;
                }
            }
        }
        Ok((progress.offset, Digest(progress.hash.finalize().into())))
    }

    /// The next answer that may be the right one.
    async fn fetch(&self, offset: u64) -> Result<Answer, CallError> {
        let call = Call::output(self.instance, self.run, offset);
        let mut patience = self.remote.patience();
        loop {
            let asked = Instant::now();
            match self.answer(&call, offset).await {
                Ok(answer) if answer.body.is_empty() && !answer.head.complete => {
                    // A server that does not wait is not asked in a frenzy.
                    tokio::time::sleep_until(asked + POLL).await;
                    return Ok(answer);
                }
                Ok(answer) => return Ok(answer),
                Err(error) => {
                    patience.after(error).await?;
                    self.reconnects.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
    }

    async fn answer(&self, call: &Call, offset: u64) -> Result<Answer, CallError> {
        let reply = self.remote.call(call).await?;
        let head = ChunkHead::read(|name| reply.header(name))?;
        head.fits(offset, reply.body.len())?;
        Ok(Answer {
            head,
            body: reply.body,
        })
    }

    async fn document(&self) -> Result<RunDocument, CallError> {
        let call = Call::ended(self.instance, self.run);
        loop {
            let told: RunDocument = self.remote.document(&call).await?;
            if told.state == RunState::Ended {
                return Ok(told);
            }
            // It says that there is no more output, and waits with its
            // verdict: never faster than this.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// The piece in an answer, and how far we are with it.
async fn check(
    answer: Answer,
    mut progress: Progress,
) -> Result<(Chunk<Vec<u8>>, Progress), CallError> {
    let Answer { head, body } = answer;
    heavy(body.len(), move || {
        let chunk = head.admit(progress.offset, body)?;
        progress.hash.update(&chunk.bytes);
        progress.offset = chunk.next_offset;
        Ok((chunk, progress))
    })
    .await?
}

/// What came of a run, by what the server tells of it and what arrived.
fn conclude(
    told: RunDocument,
    length: u64,
    digest: Digest,
    asked: bool,
    delivered: u64,
) -> Result<RunResult, Problem> {
    let same_hash = told
        .output
        .sha256
        .is_none_or(|sha256| sha256 == digest.to_hex());
    if told.output.bytes != length || !same_hash {
        let detail = format!(
            "{length} bytes of output arrived, and the server speaks of {} with another SHA-256 or length",
            told.output.bytes
        );
        let loss = Loss::new(LossCause::Protocol, detail);
        return Ok(RunResult::lost(loss, delivered));
    }
    let Some(outcome) = told.outcome else {
        let detail = "the server says that the run has ended, and not how";
        let loss = Loss::new(LossCause::StatusMissing, detail);
        return Ok(RunResult::lost(loss, delivered));
    };
    let mut result = RunResult::new(outcome.into_outcome(asked)?, delivered);
    result.output_complete = told.output.complete.unwrap_or(true);
    result.oom_seen = told.oom_seen;
    result.ended_by_engine = told.ended_by_engine;
    result.leftovers = told.leftovers;
    Ok(result)
}

/// What is lost with the connection.
fn loss(error: &CallError, asked: bool) -> Loss {
    let cause = match error {
        _ if asked => LossCause::Stopped,
        error if error.is_gone() => LossCause::InstanceGone,
        CallError::Malformed(_) | CallError::Foreign { .. } => LossCause::Protocol,
        _ => LossCause::Connection,
    };
    Loss::new(cause, error.to_string())
}

/// Does what takes time for many bytes where it holds nobody up.
async fn heavy<T: Send + 'static>(
    length: usize,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, CallError> {
    if length < LARGE {
        return Ok(work());
    }
    spawn_blocking(work)
        .await
        .map_err(|error| CallError::Transport(error.to_string()))
}

#[cfg(test)]
mod tests {
    use backend_core::Outcome;
    use worker_api::{OutputSummary, RunTimings, WireOutcome};

    use super::*;

    fn told(bytes: u64, sha256: Option<String>, outcome: Option<WireOutcome>) -> RunDocument {
        RunDocument {
            id: RunId::random(),
            state: RunState::Ended,
            outcome,
            output: OutputSummary {
                bytes,
                sha256,
                complete: Some(true),
            },
            oom_seen: false,
            ended_by_engine: false,
            leftovers: Vec::new(),
            timings: RunTimings::default(),
        }
    }

    #[test]
    fn an_exit_is_believed_only_with_all_of_the_output() {
        let exit = || {
            Some(WireOutcome::Exit {
                code: 0,
                maybe_signal: None,
            })
        };
        let digest = Digest::of(b"abc");
        let concluded = |told| conclude(told, 3, digest, false, 3).unwrap();
        assert!(concluded(told(3, Some(digest.to_hex()), exit())).success());
        assert!(concluded(told(3, None, exit())).success());
        for wrong in [
            told(4, Some(digest.to_hex()), exit()),
            told(3, Some(Digest::of(b"abd").to_hex()), exit()),
            told(3, Some(digest.to_hex()), None),
        ] {
            let result = concluded(wrong);
            assert!(matches!(result.outcome, Outcome::Lost(_)), "{result:?}");
            assert!(!result.output_complete);
        }
    }
}
