//! A conversation with the program at the far side, over one channel.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use russh::client::Msg;
use russh::{ChannelMsg, ChannelReadHalf, ChannelWriteHalf};
use tokio::time::timeout;

use crate::connection::Connection;
use crate::error::{Failure, FarKind};
use crate::program;
use crate::reply::{Line, Lines, Preamble};

/// How long the far side may take to answer where it has little to do.
pub(crate) const ANSWERS_WITHIN: Duration = Duration::from_secs(30);

/// How long a channel may take to close after its program has ended.
const CLOSES_WITHIN: Duration = Duration::from_secs(1);

/// One program at the far side, and the connection that leads to it.
#[derive(Debug)]
pub(crate) struct Conversation {
    connection: Connection,
    reader: ChannelReadHalf,
    writer: Arc<ChannelWriteHalf<Msg>>,
    output: Preamble,
    replies: Preamble,
    lines: Lines,
    heard: VecDeque<Heard>,
    exit: Option<String>,
}

/// What came from the far side.
#[derive(Debug)]
pub(crate) enum Heard {
    /// Bytes of the script's output.
    Output(Bytes),
    /// A line of the program.
    Line(Line),
}

impl Conversation {
    /// Starts the program in `mode`.
    pub(crate) async fn open(
        connection: Connection,
        mode: &str,
        base: &str,
        parameters: &[&str],
    ) -> Result<Self, Failure> {
        let channel = match timeout(ANSWERS_WITHIN, connection.exec()).await {
            Ok(Ok(channel)) => channel,
            Ok(Err(failure)) => return Err(failure),
            Err(_) => return Err(silent(&connection)),
        };
        let (reader, writer) = channel.split();
        // Nobody who writes into the channel can know it.
        let nonce = format!("worker-{:032x}", fastrand::u128(..));
        let opening = program::opening(mode, &nonce, base, parameters);
        let sent = timeout(ANSWERS_WITHIN, writer.data_bytes(opening)).await;
        match sent {
            Ok(Ok(())) => Ok(Self {
                connection,
                reader,
                writer: Arc::new(writer),
                output: Preamble::new(&nonce),
                replies: Preamble::new(&nonce),
                lines: Lines::default(),
                heard: VecDeque::new(),
                exit: None,
            }),
            Ok(Err(source)) => Err(Failure::Session {
                address: connection.address().to_owned(),
                source: Box::new(source),
            }),
            Err(_) => Err(silent(&connection)),
        }
    }

    /// The way to the program's input.
    pub(crate) fn writer(&self) -> Arc<ChannelWriteHalf<Msg>> {
        self.writer.clone()
    }

    /// Ends a conversation whose program has come to its end, and hands back
    /// the connection: only when the channel is closed on both sides, so that
    /// nothing of it meets the next.
    pub(crate) async fn end(mut self) -> Option<Connection> {
        let closed = async {
            while let Some(message) = self.reader.wait().await {
                if matches!(message, ChannelMsg::Close) {
                    return true;
                }
            }
            !self.connection.is_closed()
        };
        let closed = timeout(CLOSES_WITHIN, closed).await;
        closed.unwrap_or(false).then_some(self.connection)
    }

    /// What comes next. An error is the end of the conversation.
    ///
    /// # Cancel safety
    ///
    /// Safe: nothing is lost.
    pub(crate) async fn next(&mut self) -> Result<Heard, Failure> {
        loop {
            if let Some(heard) = self.heard.pop_front() {
                return match heard {
                    Heard::Line(Line::Error { kind, text }) => Err(self.far(&kind, text)),
                    heard => Ok(heard),
                };
            }
            match self.reader.wait().await {
                Some(ChannelMsg::Data { data }) => self.take_output(&data)?,
                Some(ChannelMsg::ExtendedData { data, .. }) => self.take_replies(&data)?,
                Some(ChannelMsg::ExitStatus { exit_status }) => {
                    self.exit = Some(format!("exit status {exit_status}"));
                }
                Some(ChannelMsg::ExitSignal { signal_name, .. }) => {
                    self.exit = Some(format!("signal {signal_name:?}"));
                }
                // The program begins with a word on the output, or not at all.
                Some(ChannelMsg::Eof) if !self.output.is_over() => {
                    timeout(CLOSES_WITHIN, self.until_closed()).await.ok();
                    return Err(self.ended());
                }
                // Later, the end of the output is not that of the other stream.
                Some(ChannelMsg::Close) | None => return Err(self.ended()),
                Some(_) => {}
            }
        }
    }

    /// Waits for what a channel says at its end.
    async fn until_closed(&mut self) {
        loop {
            match self.reader.wait().await {
                Some(ChannelMsg::ExitStatus { exit_status }) => {
                    self.exit = Some(format!("exit status {exit_status}"));
                }
                Some(ChannelMsg::ExtendedData { data, .. }) => {
                    drop(self.lines.feed(&without_marks(&data)));
                }
                Some(ChannelMsg::Close) | None => return,
                Some(_) => {}
            }
        }
    }

    /// The next line, for who expects nothing else.
    pub(crate) async fn line(&mut self) -> Result<Line, Failure> {
        loop {
            if let Heard::Line(line) = self.next().await? {
                return Ok(line);
            }
        }
    }

    /// What was heard and does not belong here.
    pub(crate) fn unexpected(&self, line: &Line) -> Failure {
        self.garbage(&format!("{line:?} where it does not belong"))
    }

    fn take_output(&mut self, data: &Bytes) -> Result<(), Failure> {
        let skipped = self.output.skip(data);
        let skipped = skipped.map_err(|_| self.garbage("a MiB of noise before the beginning"))?;
        if let Some(index) = skipped {
            let rest = data.slice(index..);
            if !rest.is_empty() {
                self.heard.push_back(Heard::Output(rest));
            }
        }
        Ok(())
    }

    fn take_replies(&mut self, data: &[u8]) -> Result<(), Failure> {
        let began = self.replies.is_over();
        let skipped = self.replies.skip(data);
        let skipped = skipped.map_err(|_| self.garbage("a MiB of noise before the beginning"))?;
        let Some(rest) = skipped.and_then(|index| data.get(index..)) else {
            // Why there is no shell is said here, if anywhere.
            drop(self.lines.feed(&without_marks(data)));
            return Ok(());
        };
        if !began {
            self.lines = Lines::default();
        }
        for line in self.lines.feed(rest) {
            match line {
                Ok(line) => self.heard.push_back(Heard::Line(line)),
                Err(text) => return Err(self.garbage(&text)),
            }
        }
        Ok(())
    }

    fn far(&self, kind: &str, text: String) -> Failure {
        let remarks = self.lines.remarks();
        let text = if remarks.is_empty() {
            text
        } else {
            format!("{text} ({remarks})")
        };
        Failure::Far {
            address: self.connection.address().to_owned(),
            kind: FarKind::of(kind),
            text,
        }
    }

    fn ended(&self) -> Failure {
        let address = self.connection.address().to_owned();
        let exit = self.exit.clone();
        let remarks = self.lines.remarks();
        if !self.replies.is_over() && !self.connection.is_closed() {
            // The first thing that the program does is to say that it is there.
            let exit = exit.unwrap_or_else(|| "the channel was closed".into());
            let remarks = if remarks.is_empty() {
                exit
            } else {
                format!("{remarks} ({exit})")
            };
            return Failure::NoShell { address, remarks };
        }
        let mut reason = if self.connection.is_closed() {
            "the connection is closed".to_owned()
        } else {
            exit.map_or_else(
                || "the channel was closed".into(),
                |exit| format!("the program at the far side ended with {exit}"),
            )
        };
        if !remarks.is_empty() {
            reason = format!("{reason} ({remarks})");
        }
        Failure::Lost { address, reason }
    }

    fn garbage(&self, text: &str) -> Failure {
        let text = text.chars().take(200).collect();
        let address = self.connection.address().to_owned();
        Failure::Garbage { address, text }
    }
}

fn silent(connection: &Connection) -> Failure {
    Failure::Silent {
        address: connection.address().to_owned(),
        limit: ANSWERS_WITHIN,
    }
}

/// Lines before the beginning are noise, whatever they look like.
fn without_marks(data: &[u8]) -> Vec<u8> {
    data.iter().copied().filter(|byte| *byte != b'@').collect()
}
