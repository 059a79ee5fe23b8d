//! The link to one instance: a task that holds the conversation, keeps the
//! lease alive, and makes the connection again when it breaks.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use backend_core::OutOfOrder;
use bytes::Bytes;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use crate::connect::connect;
use crate::conversation::{ANSWERS_WITHIN, Conversation, Heard};
use crate::error::Failure;
use crate::flow::{End, Exit, Flow, Turn};
use crate::machine::Machine;
use crate::pool::Pool;
use crate::reply::Line;

/// The longest pause between two attempts to connect again.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// What the link is to ask the far side.
#[derive(Debug)]
pub(crate) struct Request {
    /// The command, and what follows it.
    bytes: Bytes,
    /// Nothing else may be sent before the answer.
    exclusive: bool,
    limit: Duration,
    answer: oneshot::Sender<Result<Vec<Line>, Failure>>,
}

/// How the link is.
#[derive(Debug, Clone)]
pub(crate) enum State {
    /// Connected; whether the script was begun when this connection was made.
    Up { run: bool },
    /// Being connected again.
    Down,
    /// Given up.
    Dead(Arc<Failure>),
}

/// What the link needs to know to connect again.
#[derive(Debug)]
pub(crate) struct Site {
    pub(crate) machine: Arc<Machine>,
    pub(crate) base: String,
    pub(crate) slot: String,
    pub(crate) id: String,
    pub(crate) resume_window: Duration,
    /// How often the lease is renewed.
    pub(crate) beat: Duration,
    pub(crate) pool: Pool,
}

/// The end by which an instance holds its link. Dropping it ends the task.
#[derive(Debug)]
pub(crate) struct Link {
    requests: mpsc::Sender<Request>,
    state: watch::Receiver<State>,
    ending: CancellationToken,
}

impl Link {
    /// Takes over a conversation that has just been started.
    pub(crate) fn start(conversation: Conversation, site: Arc<Site>, flow: Arc<Flow>) -> Self {
        let (requests, receiver) = mpsc::channel(4);
        let (sender, state) = watch::channel(State::Up { run: false });
        let ending = CancellationToken::new();
        let keeper = Keeper {
            site,
            flow,
            requests: receiver,
            state: sender,
            waiting: None,
            outbox: VecDeque::new(),
        };
        let ended = ending.clone();
        tokio::spawn(async move {
            // Whatever it waits for: dropped, it closes its connection.
            ended.run_until_cancelled(keeper.run(conversation)).await;
        });
        Self {
            requests,
            state,
            ending,
        }
    }

    /// Asks the far side, and waits for its answer. While the connection is
    /// being made again, it waits for that.
    ///
    /// # Errors
    ///
    /// `Broke` if the connection broke before the answer: what was asked for
    /// may have been done.
    ///
    /// # Cancel safety
    ///
    /// What was asked for may be done all the same.
    pub(crate) async fn ask(
        &self,
        bytes: impl Into<Bytes>,
        exclusive: bool,
        limit: Duration,
    ) -> Result<Vec<Line>, Failure> {
        let (answer, answered) = oneshot::channel();
        let request = Request {
            bytes: bytes.into(),
            exclusive,
            limit,
            answer,
        };
        if self.requests.send(request).await.is_err() {
            return Err(self.dead());
        }
        answered.await.unwrap_or_else(|_| Err(self.dead()))
    }

    /// Waits until it is up again, and says whether the script was begun.
    pub(crate) async fn up(&self) -> Result<bool, Failure> {
        let mut state = self.state.clone();
        loop {
            match &*state.borrow_and_update() {
                State::Up { run } => return Ok(*run),
                State::Dead(failure) => return Err(Failure::Shared(failure.clone())),
                State::Down => {}
            }
            if state.changed().await.is_err() {
                return Err(self.dead());
            }
        }
    }

    pub(crate) fn is_up(&self) -> bool {
        matches!(&*self.state.borrow(), State::Up { .. })
    }

    /// Ends the task, and with it the connection.
    pub(crate) fn end(&self) {
        self.ending.cancel();
    }

    fn dead(&self) -> Failure {
        match &*self.state.borrow() {
            State::Dead(failure) => Failure::Shared(failure.clone()),
            State::Up { .. } | State::Down => OutOfOrder::Stopped.into(),
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.end();
    }
}

type Writing = Pin<Box<dyn Future<Output = Result<(), russh::Error>> + Send>>;

/// The other end.
struct Keeper {
    site: Arc<Site>,
    flow: Arc<Flow>,
    requests: mpsc::Receiver<Request>,
    state: watch::Sender<State>,
    waiting: Option<Waiting>,
    outbox: VecDeque<Bytes>,
}

/// The request that waits for its answer.
struct Waiting {
    answer: oneshot::Sender<Result<Vec<Line>, Failure>>,
    exclusive: bool,
    deadline: Instant,
    limit: Duration,
    lines: Vec<Line>,
}

/// How a conversation ended.
enum Ended {
    /// The instance was removed, as it was asked for.
    Removed,
    Broken(Failure),
}

impl Keeper {
    async fn run(mut self, mut conversation: Conversation) {
        loop {
            match self.serve(&mut conversation).await {
                Ended::Removed => {
                    let connection = conversation.end().await;
                    self.site.pool.put(&self.site.machine, connection);
                    // Only now, so that the next start finds the connection.
                    self.answer();
                    return;
                }
                Ended::Broken(failure) => {
                    drop(conversation);
                    tracing::info!(instance = self.site.id, %failure, "the connection broke");
                    self.state.send_replace(State::Down);
                    let failure = Arc::new(failure);
                    if let Some(waiting) = self.waiting.take() {
                        // Nobody may be waiting any more.
                        waiting
                            .answer
                            .send(Err(Failure::Broke(failure.clone())))
                            .ok();
                    }
                    match self.connect_again(failure).await {
                        Ok((again, run)) => {
                            conversation = again;
                            self.flow.tell(|news| news.reconnects += 1);
                            self.state.send_replace(State::Up { run });
                        }
                        Err(failure) => return self.give_up(failure).await,
                    }
                }
            }
        }
    }

    /// Serves until the conversation ends.
    async fn serve(&mut self, conversation: &mut Conversation) -> Ended {
        let writer = conversation.writer();
        let mut writing: Option<Writing> = None;
        let mut beat = interval(self.site.beat);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // The first is at once, and so is the first beat.
        beat.reset();
        let flow = self.flow.clone();
        loop {
            let may_write = self
                .waiting
                .as_ref()
                .is_none_or(|waiting| !waiting.exclusive);
            if writing.is_none()
                && may_write
                && let Some(bytes) = self.outbox.pop_front()
            {
                let writer = writer.clone();
                writing = Some(Box::pin(async move { writer.data_bytes(bytes).await }));
            }
            let deadline = self.waiting.as_ref().map(|waiting| waiting.deadline);
            tokio::select! {
                heard = conversation.next() => match heard {
                    Ok(Heard::Output(bytes)) => {
                        if !flow.push(bytes) {
                            return Ended::Broken(self.garbage("output that does not pause"));
                        }
                    }
                    Ok(Heard::Line(line)) => match self.take(line) {
                        Ok(false) => {}
                        Ok(true) => return Ended::Removed,
                        Err(line) => return Ended::Broken(conversation.unexpected(&line)),
                    },
                    Err(failure) => return Ended::Broken(failure),
                },
                written = pending_or(writing.as_mut()), if writing.is_some() => {
                    writing = None;
                    if let Err(error) = written {
                        return Ended::Broken(self.lost(&format!("cannot write: {error}")));
                    }
                }
                request = self.requests.recv(), if self.waiting.is_none() && writing.is_none() && self.outbox.is_empty() => {
                    let Some(request) = request else {
                        // The link was dropped, which ends this task.
                        std::future::pending::<()>().await;
                        continue;
                    };
                    self.waiting = Some(Waiting {
                        answer: request.answer,
                        exclusive: request.exclusive,
                        deadline: Instant::now() + request.limit,
                        limit: request.limit,
                        lines: Vec::new(),
                    });
                    let (writer, bytes) = (writer.clone(), request.bytes);
                    writing = Some(Box::pin(async move { writer.data_bytes(bytes).await }));
                }
                _ = beat.tick() => self.outbox.push_back(Bytes::from_static(b"beat\n")),
                turn = flow.turn() => self.outbox.push_back(Bytes::from_static(match turn {
                    Turn::Pause => b"pause\n",
                    Turn::Resume => b"resume\n",
                })),
                () = sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => {
                    let limit = self.waiting.as_ref().map_or(ANSWERS_WITHIN, |waiting| waiting.limit);
                    let address = self.site.machine.address.clone();
                    return Ended::Broken(Failure::Silent { address, limit });
                }
            }
        }
    }

    /// Takes a line: an event, or (part of) the answer. Says whether it was
    /// that the instance is removed; hands back what is neither.
    fn take(&mut self, line: Line) -> Result<bool, Line> {
        match line {
            Line::Exit { code, size } => {
                self.flow.tell(|news| {
                    // Said again after a new connection, and still the same.
                    news.exit.get_or_insert(Exit { code, size });
                });
                return Ok(false);
            }
            Line::End { size, intact } => {
                self.flow.tell(|news| {
                    news.end.get_or_insert(End { size, intact });
                });
                return Ok(false);
            }
            _ => {}
        }
        let Some(waiting) = &mut self.waiting else {
            return Err(line);
        };
        let is_last = !matches!(line, Line::Process(_));
        let removed = line == Line::Removed;
        waiting.lines.push(line);
        if is_last && !removed {
            self.answer();
        }
        Ok(removed)
    }

    fn answer(&mut self) {
        if let Some(waiting) = self.waiting.take() {
            // Nobody may be waiting any more.
            waiting.answer.send(Ok(waiting.lines)).ok();
        }
    }

    /// Connects again, until the window is over.
    async fn connect_again(
        &mut self,
        broken: Arc<Failure>,
    ) -> Result<(Conversation, bool), Failure> {
        let window = self.site.resume_window;
        let deadline = Instant::now() + window;
        // Who speaks another language would do so again.
        if matches!(*broken, Failure::Garbage { .. }) {
            return Err(Failure::Shared(broken));
        }
        let mut last = Failure::Shared(broken);
        let mut pause = Duration::from_millis(50);
        while Instant::now() < deadline {
            match timeout(deadline - Instant::now(), self.attach()).await {
                Ok(Ok(attached)) => return Ok(attached),
                Ok(Err(failure)) if !failure.may_pass() => return Err(failure),
                Ok(Err(failure)) => {
                    tracing::debug!(instance = self.site.id, %failure, "not connected again yet");
                    last = failure;
                }
                Err(_) => break,
            }
            // Many workers may have lost the same machine at the same time.
            let jittered = pause.mul_f64(fastrand::f64().mul_add(0.5, 0.75));
            sleep(jittered.min(deadline.saturating_duration_since(Instant::now()))).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        Err(Failure::WindowOver {
            window,
            last: Some(Box::new(last)),
        })
    }

    async fn attach(&mut self) -> Result<(Conversation, bool), Failure> {
        let site = &self.site;
        let connection = connect(&site.machine).await?;
        let opened =
            Conversation::open(connection, "attach", &site.base, &[&site.slot, &site.id]).await;
        let mut conversation = opened?;
        let address = &site.machine.address;
        let attached = timeout(ANSWERS_WITHIN, conversation.line()).await;
        let attached = attached.map_err(|_| Failure::Silent {
            address: address.clone(),
            limit: ANSWERS_WITHIN,
        })?;
        let Line::Attached { run } = attached? else {
            return Err(self.garbage("no answer to `attach`"));
        };
        self.outbox.clear();
        let offset = self.flow.begin_again();
        if run {
            let follow = format!("follow {offset}\n");
            self.outbox.push_back(follow.into());
        }
        Ok((conversation, run))
    }

    async fn give_up(mut self, failure: Failure) {
        let failure = Arc::new(failure);
        self.state.send_replace(State::Dead(failure.clone()));
        self.flow.tell(|news| news.dead = Some(failure.clone()));
        while let Some(request) = self.requests.recv().await {
            // Nobody may be waiting any more.
            request
                .answer
                .send(Err(Failure::Shared(failure.clone())))
                .ok();
        }
    }

    fn garbage(&self, text: &str) -> Failure {
        Failure::Garbage {
            address: self.site.machine.address.clone(),
            text: text.to_owned(),
        }
    }

    fn lost(&self, reason: &str) -> Failure {
        Failure::Lost {
            address: self.site.machine.address.clone(),
            reason: reason.to_owned(),
        }
    }
}

async fn pending_or(writing: Option<&mut Writing>) -> Result<(), russh::Error> {
    match writing {
        Some(writing) => writing.await,
        None => std::future::pending().await,
    }
}
