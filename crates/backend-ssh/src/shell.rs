//! A shell on a machine, beside the script of an instance: a channel of its own
//! on a connection of its own, on a terminal or on pipes.

use std::future::pending;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use backend_core::{
    DEFAULT_DRAIN_WINDOW, ErrorKind, Janitor, Loss, LossCause, Outcome, SHELL_LINE, ShellOptions,
    ShellStreams, Signal, Terminal,
};
use bytes::Bytes;
use russh::client::Msg;
use russh::{Channel, ChannelMsg, ChannelReadHalf, ChannelWriteHalf, Sig};
use tokio::io::{AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::timeout;

use crate::connect::connect;
use crate::connection::Connection;
use crate::conversation::ANSWERS_WITHIN;
use crate::error::Failure;
use crate::link::Site;
use crate::program::entrance;
use crate::reply::{Line, Preamble};

/// How long the end of a shell that is hung up may take: the far side's grace
/// is five seconds.
const ENDS_WITHIN: Duration = Duration::from_secs(10);

const BUFFER: usize = 32 << 10;

/// What a command on pipes waits for, once it has begun.
const GO: &[u8] = b"go\n";

type Output<'a> = &'a mut (dyn AsyncWrite + Send + Unpin);

/// Opens a shell in the slot, and stays with it until it has ended.
pub(crate) async fn shell(
    site: Site,
    janitor: &Janitor,
    options: &ShellOptions,
    streams: ShellStreams<'_>,
) -> Result<Outcome, Failure> {
    let site = Arc::new(site);
    let connection = connect(&site.machine).await?;
    let terminal = options.terminal.as_ref();
    let described = terminal.map(|it| (it.name.as_str(), *it.size.borrow()));
    let silent = || Failure::Silent {
        address: site.machine.address.clone(),
        limit: ANSWERS_WITHIN,
    };
    let opened = timeout(ANSWERS_WITHIN, connection.shell(described)).await;
    let channel = opened.map_err(|_| silent())??;
    let nonce = format!("{:032x}", fastrand::u128(..));
    let mut hanging = Hanging {
        site: site.clone(),
        nonce: nonce.clone(),
        janitor: janitor.clone(),
        over: false,
    };
    let mut far = Far::new(channel, connection, &nonce, terminal.is_some());
    let on = if terminal.is_some() {
        "terminal"
    } else {
        "pipes"
    };
    let parameters = [&*site.slot, &*site.id, &nonce, on, SHELL_LINE];
    let begun = async {
        far.send(entrance(parameters, &options.command)).await;
        far.begun().await
    };
    let Ok(begun) = timeout(ANSWERS_WITHIN, begun).await else {
        return Err(silent());
    };
    if !begun? {
        // It says why, if that is why.
        alive(&site).await?;
        return Err(far.refused());
    }
    let carried = carry(&mut far, terminal, streams).await;
    let end = match carried {
        Carried::Ended => far.end.take(),
        Carried::Closed => {
            hang_up(&site, &nonce).await;
            let ended = timeout(ENDS_WITHIN, far.until_closed()).await;
            ended.ok().and_then(|()| far.end.take())
        }
        Carried::Unwritten(error) => return Err(Failure::ShellOutput(error)),
    };
    let outcome = outcome(end, &site, far.connection.is_closed()).await;
    hanging.over = far.end_seen;
    Ok(outcome)
}

/// Why nothing is carried any more.
enum Carried {
    /// The channel is closed.
    Ended,
    /// The terminal was closed on this side.
    Closed,
    /// The output could not be written.
    Unwritten(io::Error),
}

async fn carry(far: &mut Far, terminal: Option<&Terminal>, streams: ShellStreams<'_>) -> Carried {
    let ShellStreams {
        input,
        output,
        errors,
    } = streams;
    let writer = far.writer.clone();
    let typed = async {
        if terminal.is_none() && writer.data_bytes(GO).await.is_err() {
            pending::<()>().await;
        }
        let mut buffer = vec![0; BUFFER];
        while let Ok(length @ 1..) = input.read(&mut buffer).await {
            let keys = Bytes::copy_from_slice(buffer.get(..length).unwrap_or_default());
            if writer.data_bytes(keys).await.is_err() {
                // The end of the channel says why.
                pending::<()>().await;
            }
        }
        if terminal.is_none() {
            writer.eof().await.ok();
            pending::<()>().await;
        }
    };
    let resized = async {
        if let Some(mut size) = terminal.map(|terminal| terminal.size.clone()) {
            while size.changed().await.is_ok() {
                let now = *size.borrow_and_update();
                let (columns, rows) = (u32::from(now.columns), u32::from(now.rows));
                if let Err(error) = writer.window_change(columns, rows, 0, 0).await {
                    tracing::debug!(%error, "the size of a terminal stays as it was");
                }
            }
        }
        pending::<()>().await;
    };
    let shown = async {
        for (bytes, is_error) in std::mem::take(&mut far.early) {
            write(if is_error { &mut *errors } else { &mut *output }, &bytes).await?;
        }
        loop {
            let next = far.reader.wait();
            // Its exit is told before what its children hold open is at its end.
            let message = match &far.end {
                None => next.await,
                Some(_) => match timeout(DEFAULT_DRAIN_WINDOW, next).await {
                    Ok(message) => message,
                    Err(_) => return Ok(()),
                },
            };
            match message {
                Some(ChannelMsg::Data { data }) => write(output, &data).await?,
                Some(ChannelMsg::ExtendedData { data, .. }) => write(errors, &data).await?,
                Some(ChannelMsg::Close) | None => return Ok(()),
                Some(other) => far.hear(&other),
            }
        }
    };
    tokio::select! {
        shown = shown => shown.err().map_or(Carried::Ended, Carried::Unwritten),
        () = typed => Carried::Closed,
        () = resized => Carried::Closed,
    }
}

async fn write(output: Output<'_>, bytes: &[u8]) -> io::Result<()> {
    output.write_all(bytes).await?;
    output.flush().await
}

/// The far end of a shell.
struct Far {
    reader: ChannelReadHalf,
    writer: Arc<ChannelWriteHalf<Msg>>,
    connection: Connection,
    /// A terminal is one stream.
    terminal: bool,
    /// For each stream, what is before its beginning.
    output: Preamble,
    errors: Preamble,
    /// What came behind the beginning, and of which stream.
    early: Vec<(Bytes, bool)>,
    /// What is said where it does not begin.
    remarks: String,
    end: Option<End>,
    end_seen: bool,
}

/// How the far side says that the shell has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
enum End {
    Code(u32),
    Signal(Option<Signal>),
}

impl Far {
    fn new(channel: Channel<Msg>, connection: Connection, nonce: &str, terminal: bool) -> Self {
        let (reader, writer) = channel.split();
        // A terminal ends its lines by both.
        let end = if terminal { "\r" } else { "" };
        let mark = format!("worker-begins-{nonce}{end}");
        Self {
            reader,
            writer: Arc::new(writer),
            connection,
            terminal,
            output: Preamble::new(&mark),
            errors: Preamble::new(&mark),
            early: Vec::new(),
            remarks: String::new(),
            end: None,
            end_seen: false,
        }
    }

    /// A failure to send is one of the channel, whose end says why.
    async fn send(&self, bytes: Vec<u8>) {
        self.writer.data_bytes(bytes).await.ok();
    }

    /// Waits for the beginning: `false` if the shell ends before.
    async fn begun(&mut self) -> Result<bool, Failure> {
        while !self.output.is_over() || !(self.terminal || self.errors.is_over()) {
            let (data, is_error) = match self.reader.wait().await {
                Some(ChannelMsg::Data { data }) => (data, false),
                Some(ChannelMsg::ExtendedData { data, .. }) => (data, true),
                Some(ChannelMsg::Close) | None => return Ok(false),
                Some(other) => {
                    self.hear(&other);
                    continue;
                }
            };
            let preamble = if is_error {
                &mut self.errors
            } else {
                &mut self.output
            };
            let skipped = preamble.skip(&data).map_err(|_| Failure::Garbage {
                address: self.connection.address().to_owned(),
                text: "a MiB of noise before the beginning of a shell".into(),
            });
            match skipped? {
                Some(index) => self.early.push((data.slice(index..), is_error)),
                None => self.remark(&data),
            }
        }
        Ok(true)
    }

    fn remark(&mut self, data: &[u8]) {
        const MOST: usize = 1000;
        if self.remarks.len() < MOST {
            self.remarks.push_str(&String::from_utf8_lossy(data));
        }
    }

    fn hear(&mut self, message: &ChannelMsg) {
        self.end = match message {
            ChannelMsg::ExitStatus { exit_status } => Some(End::Code(*exit_status)),
            ChannelMsg::ExitSignal { signal_name, .. } => Some(End::Signal(signal(signal_name))),
            _ => return,
        };
        self.end_seen = true;
    }

    /// Drops what comes until the channel is closed.
    async fn until_closed(&mut self) {
        while let Some(message) = self.reader.wait().await {
            if matches!(message, ChannelMsg::Close) {
                return;
            }
            self.hear(&message);
        }
    }

    /// Why no shell begins in an instance that is there.
    fn refused(&self) -> Failure {
        let remarks = self
            .remarks
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ");
        Failure::NoShell {
            address: self.connection.address().to_owned(),
            remarks,
        }
    }
}

/// The signal of this name.
fn signal(name: &Sig) -> Option<Signal> {
    let name = match name {
        Sig::Custom(name) => name.clone(),
        other => format!("{other:?}"),
    };
    Signal::from_name(&name)
}

/// A shell that is to be ended, should nobody be there to do it.
struct Hanging {
    site: Arc<Site>,
    nonce: String,
    janitor: Janitor,
    /// Whether its end was seen.
    over: bool,
}

impl Drop for Hanging {
    fn drop(&mut self) {
        if !self.over {
            let (site, nonce) = (self.site.clone(), self.nonce.clone());
            self.janitor
                .spawn(async move { hang_up(&site, &nonce).await });
        }
    }
}

/// Ends the shell as the end of its terminal does.
async fn hang_up(site: &Site, nonce: &str) {
    let question = ("hangup", site.base.as_str(), &[&*site.slot, nonce][..]);
    let asked = site
        .pool
        .ask(&site.machine, question, ANSWERS_WITHIN, &Line::Checked);
    if let Err(failure) = asked.await {
        tracing::debug!(%failure, "a shell is left until its instance is removed");
    }
}

/// Fails if the instance is not there any more, or nobody can say.
async fn alive(site: &Site) -> Result<(), Failure> {
    let question = ("alive", site.base.as_str(), &[&*site.slot, &*site.id][..]);
    let asked = site
        .pool
        .ask(&site.machine, question, ANSWERS_WITHIN, &Line::Checked);
    asked.await.map(drop)
}

/// How the shell ended, unless it was its instance that did.
async fn outcome(end: Option<End>, site: &Site, cut: bool) -> Outcome {
    let lost = |cause, text: String| Outcome::Lost(Loss::new(cause, text));
    if end.as_ref().is_none_or(End::may_be_a_removal) {
        match alive(site).await {
            Err(failure) if failure.kind() == ErrorKind::Gone => {
                return Outcome::Lost(Loss::removed_under_a_shell());
            }
            Err(failure) if end.is_none() => {
                let text = format!("the shell was lost: {}", backend_core::Chain(&failure));
                return lost(LossCause::Connection, text);
            }
            _ => {}
        }
    }
    match end {
        Some(End::Code(code)) => {
            let code = i32::try_from(code).unwrap_or(-1);
            Outcome::Exited {
                code,
                maybe_signal: Signal::from_exit_code(code),
            }
        }
        Some(End::Signal(Some(signal))) => Outcome::Signaled { signal, oom: false },
        None if cut => lost(
            LossCause::Connection,
            "the connection was lost while the shell was open".into(),
        ),
        Some(End::Signal(None)) | None => lost(
            LossCause::StatusMissing,
            "the machine did not say how the shell ended".into(),
        ),
    }
}

impl End {
    fn may_be_a_removal(&self) -> bool {
        match self {
            Self::Code(code) => *code == 128 + 9,
            Self::Signal(signal) => signal.is_none_or(|signal| signal == Signal::KILL),
        }
    }
}
