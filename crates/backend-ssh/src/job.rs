//! What is done with an instance. It outlives the instance itself where its
//! removal does.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use backend_core::interpreter::Interpreter;
use backend_core::{
    Environment, InstanceId, Operation, OutOfOrder, OutputSink, Result, RunOptions, RunResult,
    Signal,
};
use bytes::{Bytes, BytesMut};
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::conversation::ANSWERS_WITHIN;
use crate::error::{Failure, FarKind};
use crate::flow::Flow;
use crate::link::{Link, Site};
use crate::places::Permit;
use crate::printf;
use crate::pump::pump;
use crate::reply::Line;
use crate::stage::{Beginning, Stages};
use crate::verdict;

/// How much of a file is sent before the far side says that it has it. In
/// between, the lease is renewed.
const PIECE: usize = 1 << 20;

/// How long the far side may take for a piece of a file, on a slow link.
const PIECE_WITHIN: Duration = Duration::from_mins(2);

/// From so many bytes of environment on, the far side tries whether a process can
/// be given it before it begins the script.
const CHECKED_FROM: usize = 64 << 10;

/// How long a stop may take, with all attempts to connect again. A command
/// that reverts the machine is given the time that it takes.
const STOPS_WITHIN: Duration = Duration::from_secs(45);

/// The one script of an instance, and all that belongs to it.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) id: InstanceId,
    pub(crate) site: Arc<Site>,
    pub(crate) link: Link,
    pub(crate) flow: Arc<Flow>,
    pub(crate) stages: Stages,
    /// Called when the instance is being stopped: a run under way returns.
    pub(crate) stopping: CancellationToken,
    /// The place among those that the machine has for us.
    pub(crate) permit: Mutex<Option<Permit>>,
    /// How long the command that reverts the machine may take.
    pub(crate) revert_within: Duration,
}

impl Job {
    pub(crate) async fn upload(&self, script: &[u8]) -> Result<(), Failure> {
        let upload = self.stages.upload()?;
        let put = self.put("job/script", script);
        tokio::select! {
            put = put => put?,
            () = self.stopping.cancelled() => return Err(OutOfOrder::Stopped.into()),
        }
        Ok(upload.commit(Interpreter::of(script))?)
    }

    /// Puts a file there, as a line or in pieces; from the beginning again where
    /// the connection breaks.
    async fn put(&self, file: &str, content: &[u8]) -> Result<(), Failure> {
        if let Some(line) = printf::format(content) {
            let command = format!("text {file}\n{line}\n");
            while !self.was_put(command.clone(), false).await? {}
            return Ok(());
        }
        'whole: loop {
            let mut rest = content;
            let mut place = "first";
            loop {
                let (piece, behind) = rest.split_at(rest.len().min(PIECE));
                let part = if behind.is_empty() { "last" } else { "more" };
                let command = format!("put {file} {place} {part} {}\n", piece.len());
                let mut bytes = BytesMut::with_capacity(command.len() + piece.len());
                bytes.extend_from_slice(command.as_bytes());
                bytes.extend_from_slice(piece);
                if !self.was_put(bytes, true).await? {
                    continue 'whole;
                }
                if behind.is_empty() {
                    return Ok(());
                }
                rest = behind;
                place = "next";
            }
        }
    }

    /// Sends a file or a piece of it; `false` if the connection broke before
    /// that was known to be there, and is up again.
    async fn was_put(&self, bytes: impl Into<Bytes>, exclusive: bool) -> Result<bool, Failure> {
        match self.link.ask(bytes, exclusive, PIECE_WITHIN).await {
            Ok(lines) if lines == [Line::Put] => Ok(true),
            Ok(lines) => Err(self.senseless(&lines)),
            Err(Failure::Broke(failure)) if !matches!(*failure, Failure::Far { .. }) => {
                self.link.up().await?;
                Ok(false)
            }
            Err(failure) => Err(failure),
        }
    }

    pub(crate) async fn run(
        &self,
        options: &RunOptions,
        sink: &mut dyn OutputSink,
    ) -> Result<RunResult, Failure> {
        let environment = environment_text(&options.environment)?;
        let beginning = self.stages.begin()?;
        // From here on nobody else reads the output.
        let _discard = DiscardOnDrop(&self.flow);
        if let Err(lost) = self.begin(beginning, &environment).await? {
            return Ok(lost);
        }
        let pumped = pump(
            &self.flow,
            &self.link,
            options.drain_window,
            &self.stopping,
            sink,
        )
        .await;
        let stopped = self.stopping.is_cancelled();
        let leftovers = if stopped || pumped.exit.is_none() {
            Vec::new()
        } else {
            self.leftovers().await
        };
        Ok(verdict::result(&pumped, stopped, leftovers))
    }

    /// Begins the script. An error means that it has not begun; a result in
    /// place of that, that this cannot be known any more.
    async fn begin(
        &self,
        beginning: Beginning<'_>,
        environment: &str,
    ) -> Result<Result<(), RunResult>, Failure> {
        if !environment.is_empty()
            && let Err(failure) = self.put("environment", environment.as_bytes()).await
        {
            beginning.not_begun();
            return Err(failure);
        }
        let checked = environment.len() > CHECKED_FROM;
        let command = run_command(&beginning.interpreter, checked);
        let mut asked = false;
        loop {
            let answer = tokio::select! {
                answer = self.link.ask(command.clone(), false, ANSWERS_WITHIN) => answer,
                // Counts as begun, which the stop has to end.
                () = self.stopping.cancelled() => return Ok(Err(verdict::lost(&OutOfOrder::Stopped.into()))),
            };
            match answer {
                Ok(lines) => match lines.as_slice() {
                    [Line::Began] => break,
                    [Line::Refused(why)] if why == "environment" => {
                        beginning.not_begun();
                        return Err(Failure::EnvironmentTooLarge(environment.len()));
                    }
                    [Line::Refused(why)] if why == "full" => {
                        beginning.not_begun();
                        return Err(Failure::Far {
                            address: self.site.machine.address.clone(),
                            kind: FarKind::of("full"),
                            text: format!("nothing can be written into {}", self.site.slot),
                        });
                    }
                    // By our own attempt before, of which the answer was lost.
                    [Line::Refused(_)] if asked => break,
                    lines => return Ok(Err(verdict::lost(&self.senseless(lines)))),
                },
                Err(Failure::Broke(_)) => {
                    asked = true;
                    match self.link.up().await {
                        Ok(true) => break,
                        Ok(false) => {}
                        Err(failure) => return Ok(Err(verdict::lost(&failure))),
                    }
                }
                // Nothing was sent.
                Err(failure) if !asked => {
                    beginning.not_begun();
                    return Err(failure);
                }
                Err(failure) => return Ok(Err(verdict::lost(&failure))),
            }
        }
        beginning.begun();
        Ok(Ok(()))
    }

    async fn leftovers(&self) -> Vec<String> {
        let asked = timeout(
            ANSWERS_WITHIN,
            self.link.ask("leftovers\n", false, ANSWERS_WITHIN),
        )
        .await;
        match asked {
            Ok(Ok(lines)) => processes(lines),
            // As far as it can be known.
            Ok(Err(_)) | Err(_) => Vec::new(),
        }
    }

    pub(crate) async fn signal(&self, signal: Signal) -> Result<(), Failure> {
        if !self.stages.has_begun() {
            return Err(OutOfOrder::NotRun.into());
        }
        let command = format!("signal {}\n", signal.number());
        loop {
            // Once the script has ended, there is nothing to do.
            if self.flow.news().exit.is_some() {
                return Ok(());
            }
            match self.link.ask(command.clone(), false, ANSWERS_WITHIN).await {
                Ok(lines) if lines == [Line::Signalled] => return Ok(()),
                Ok(lines) => return Err(self.senseless(&lines)),
                Err(Failure::Broke(_)) => {
                    self.link.up().await?;
                }
                Err(failure) => return Err(failure),
            }
        }
    }

    pub(crate) async fn processes(&self) -> Result<Option<String>, Failure> {
        if !self.stages.has_begun() {
            return Ok(None);
        }
        let lines = processes(self.link.ask("processes\n", false, ANSWERS_WITHIN).await?);
        Ok((!lines.is_empty()).then(|| lines.join("\n") + "\n"))
    }

    /// Ends and removes everything; may be called again after a failure.
    pub(crate) async fn stop(self: Arc<Self>) -> Result<()> {
        self.stages.stop();
        self.stopping.cancel();
        let removed = self.remove().await;
        self.link.end();
        if removed.is_ok() {
            drop(
                self.permit
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .take(),
            );
        }
        removed.map_err(|failure| {
            let what = format!("{} on {}", self.site.slot, self.site.machine.address);
            let source = Box::new(failure);
            Failure::Leftover { what, source }.on(&self.id, Operation::Stop)
        })
    }

    /// Removes over the connection that there is, or over a new one.
    async fn remove(&self) -> Result<(), Failure> {
        let limit = STOPS_WITHIN + self.revert_within;
        if self.link.is_up() {
            let removal = self.link.ask("remove\n", false, limit);
            // Less than all of the time, so that some is left to try otherwise.
            match timeout(ANSWERS_WITHIN / 2 + self.revert_within, removal).await {
                Ok(Ok(lines)) if lines == [Line::Removed] => return Ok(()),
                Ok(Err(Failure::Broke(failure))) if is_final(&failure) => {
                    return Err(Failure::Shared(failure));
                }
                other => {
                    tracing::debug!(instance = %self.id, ?other, "removing over a new connection");
                }
            }
        }
        self.link.end();
        let parameters = [self.site.slot.as_str(), self.site.id.as_str()];
        remove_at(&self.site, &parameters, limit).await
    }

    fn senseless(&self, lines: &[Line]) -> Failure {
        Failure::Garbage {
            address: self.site.machine.address.clone(),
            text: format!("{lines:?}"),
        }
    }
}

/// Removes an instance over a new connection, and tries again until `limit`
/// is over where the machine cannot be reached.
pub(crate) async fn remove_at(
    site: &Site,
    parameters: &[&str],
    limit: Duration,
) -> Result<(), Failure> {
    let deadline = Instant::now() + limit;
    let mut pause = Duration::from_millis(100);
    loop {
        let question = ("remove", site.base.as_str(), parameters);
        let removal = site
            .pool
            .ask(&site.machine, question, limit, &Line::Removed);
        let failure = match timeout_at(deadline, removal).await {
            Ok(Ok(_)) => return Ok(()),
            Ok(Err(failure)) => failure,
            Err(_) => {
                let address = site.machine.address.clone();
                return Err(Failure::Silent { address, limit });
            }
        };
        if !failure.may_pass() || Instant::now() + pause >= deadline {
            return Err(failure);
        }
        sleep(pause).await;
        pause = (pause * 2).min(Duration::from_secs(5));
    }
}

/// Whether the far side has said that it cannot, which another attempt over
/// another connection would not change.
fn is_final(failure: &Failure) -> bool {
    matches!(
        failure,
        Failure::Far {
            kind: FarKind::Revert | FarKind::Leftover,
            ..
        }
    )
}

fn environment_text(environment: &Environment) -> Result<String, Failure> {
    if environment.get("WORKER_INSTANCE_ID").is_some() {
        return Err(Failure::ReservedVariable("WORKER_INSTANCE_ID"));
    }
    Ok(environment.to_shell())
}

fn run_command(interpreter: &Interpreter, checked: bool) -> Bytes {
    let mut command = if checked {
        &b"run checked\n"[..]
    } else {
        b"run\n"
    }
    .to_vec();
    // Without a slash it would be looked for in PATH; the kernel does not.
    if !interpreter.path.contains(&b'/') {
        command.extend_from_slice(b"./");
    }
    command.extend_from_slice(&interpreter.path);
    command.extend_from_slice(if interpreter.argument.is_some() {
        b"\n1\n"
    } else {
        b"\n0\n"
    });
    command.extend(interpreter.argument.iter().flatten());
    command.push(b'\n');
    command.into()
}

fn processes(lines: Vec<Line>) -> Vec<String> {
    let texts = lines.into_iter().filter_map(|line| match line {
        Line::Process(text) => Some(text.trim_end().to_owned()),
        _ => None,
    });
    texts.collect()
}

/// Whatever becomes of the run: its output is in nobody's way.
struct DiscardOnDrop<'a>(&'a Flow);

impl Drop for DiscardOnDrop<'_> {
    fn drop(&mut self) {
        self.0.discard();
    }
}
