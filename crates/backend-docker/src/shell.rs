//! A shell in a container: an exec of its engine, on a terminal or on pipes.
//!
//! Nothing of an engine ends what an exec has begun, so the shell says its
//! number in its first line, by which another exec ends it.

use std::io;
use std::time::Duration;

use backend_core::{
    Chain, InstanceId, Janitor, Loss, LossCause, Outcome, SHELL_LINE, ShellOptions, ShellStreams,
    Signal, Terminal,
};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadHalf, WriteHalf};
use tokio::time::{Instant, sleep, timeout};

use crate::container::Container;
use crate::engine_error::EngineError;
use crate::error::Failure;
use crate::exec::{Exec, Process};
use crate::frames::{Channel, Frames};
use crate::pulse::engine_lost;

const PROGRAM: &str = include_str!("shell.sh");

/// What a command on pipes waits for, once its first line has come.
const GO: &[u8] = b"go\n";

/// How long a shell may take to say its first line.
const BEGINS_WITHIN: Duration = Duration::from_secs(30);

/// How long after the end of a shell its engine may take to say how it ended,
/// and that its container is on the way out.
const SAYS_WITHIN: Duration = Duration::from_secs(5);
const GOES_WITHIN: Duration = Duration::from_secs(2);

const PAUSE: Duration = Duration::from_millis(50);

const BUFFER: usize = 64 << 10;

type Output<'a> = &'a mut (dyn AsyncWrite + Send + Unpin);

/// Opens a shell, and stays with it until it has ended.
pub(crate) async fn shell(
    container: Container,
    id: &InstanceId,
    janitor: &Janitor,
    options: &ShellOptions,
    streams: ShellStreams<'_>,
) -> Result<Outcome, Failure> {
    let word = format!("{:016x}", fastrand::u64(..));
    let on = match options.terminal {
        Some(_) => "terminal",
        None => "pipes",
    };
    let line = [
        "/bin/sh",
        "-c",
        PROGRAM,
        "sh",
        id.as_str(),
        &word,
        on,
        SHELL_LINE,
    ];
    let words = line.into_iter().map(str::to_owned);
    let process = Process {
        words: words.chain(options.command.iter().cloned()).collect(),
        terminal: options.terminal.as_ref().map(|it| it.name.clone()),
    };
    let failed = |step: &str, source| Failure::Engine {
        step: format!("{step} in container {}", container.name()),
        source,
    };
    let exec = Exec::create(&container, process).await;
    let exec = exec.map_err(|source| failed("make a shell", source))?;
    let stream = exec.start().await;
    let stream = stream.map_err(|source| failed("begin a shell", source))?;
    let mut far = Far::new(stream, options.terminal.is_some());
    // From here on something runs that no engine ends.
    let mut hanging = Hanging {
        container: container.clone(),
        janitor: janitor.clone(),
        group: None,
    };
    let begun = timeout(BEGINS_WITHIN, far.first_line(&word)).await;
    let carried = match begun {
        Ok(Ok(Some(group))) => {
            hanging.group = Some(group);
            let carrying = carry(far, &exec, options, streams);
            tokio::select! {
                carried = carrying => carried,
                lost = engine_lost(container.engine()) => Carried::Lost(lost),
            }
        }
        Ok(Ok(None)) => Carried::Ended,
        Ok(Err(error)) => Carried::Broken(error),
        Err(_) => {
            let source = container.engine().timed_out(BEGINS_WITHIN);
            return Err(failed("begin a shell", source));
        }
    };
    match carried {
        Carried::Ended => {}
        Carried::Closed => {
            hanging.hang_up().await;
        }
        Carried::Unwritten(error) => return Err(Failure::ShellOutput(error)),
        Carried::Broken(error) => {
            tracing::debug!(%error, "the stream of a shell broke");
        }
        Carried::Lost(error) => return Ok(lost(LossCause::BackendGone, &error)),
    }
    let outcome = outcome(&exec, &container).await;
    if !matches!(&outcome, Outcome::Lost(loss) if loss.cause == LossCause::Connection) {
        hanging.group = None;
    }
    Ok(outcome)
}

/// Why nothing is carried any more.
enum Carried {
    /// The stream is at its end.
    Ended,
    /// The terminal was closed on this side.
    Closed,
    /// The output could not be written.
    Unwritten(io::Error),
    /// The stream broke.
    Broken(io::Error),
    /// The engine does not answer.
    Lost(EngineError),
}

/// Carries both ways.
async fn carry(
    far: Far,
    exec: &Exec,
    options: &ShellOptions,
    streams: ShellStreams<'_>,
) -> Carried {
    let Far {
        mut reader,
        mut writer,
        mut frames,
    } = far;
    let ShellStreams {
        input,
        output,
        errors,
    } = streams;
    let shown = async {
        let mut buffer = vec![0; BUFFER];
        loop {
            let length = reader.read(&mut buffer).await.map_err(Carried::Broken)?;
            if length == 0 {
                return Ok(());
            }
            let bytes = buffer.get(..length).unwrap_or_default();
            show(bytes, &mut frames, output, errors).await?;
        }
    };
    let typed = async {
        let begun = match &options.terminal {
            // Before the first key, which may ask for it.
            Some(terminal) => {
                resize(exec, terminal).await;
                Ok(())
            }
            None => send(&mut writer, Some(GO)).await,
        };
        if begun.is_err() {
            std::future::pending::<()>().await;
        }
        let mut buffer = vec![0; BUFFER];
        while let Ok(length @ 1..) = input.read(&mut buffer).await {
            if send(&mut writer, buffer.get(..length)).await.is_err() {
                // The end of the stream says why.
                std::future::pending::<()>().await;
            }
        }
        if options.terminal.is_none() {
            writer.shutdown().await.ok();
            std::future::pending::<()>().await;
        }
    };
    let resized = async {
        if let Some(mut terminal) = options.terminal.clone() {
            while terminal.size.changed().await.is_ok() {
                resize(exec, &terminal).await;
                terminal.size.borrow_and_update();
            }
        }
        std::future::pending::<()>().await;
    };
    let shown: Result<(), Carried> = tokio::select! {
        shown = shown => shown,
        () = typed => Err(Carried::Closed),
        () = resized => Ok(()),
    };
    shown.err().unwrap_or(Carried::Ended)
}

async fn send(writer: &mut WriteHalf<TokioIo<Upgraded>>, bytes: Option<&[u8]>) -> io::Result<()> {
    writer.write_all(bytes.unwrap_or_default()).await?;
    writer.flush().await
}

/// Shows bytes of the stream: as they are, or out of their frames.
async fn show(
    mut bytes: &[u8],
    frames: &mut Option<Frames>,
    output: Output<'_>,
    errors: Output<'_>,
) -> Result<(), Carried> {
    let Some(frames) = frames else {
        return write(output, bytes).await;
    };
    loop {
        let piece = frames.next(&mut bytes);
        let piece = piece.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error));
        match piece.map_err(Carried::Broken)? {
            Some((Channel::Stdout, piece)) => write(output, piece).await?,
            Some((Channel::Stderr, piece)) => write(errors, piece).await?,
            None => return Ok(()),
        }
    }
}

async fn write(output: Output<'_>, bytes: &[u8]) -> Result<(), Carried> {
    let written = async {
        output.write_all(bytes).await?;
        output.flush().await
    };
    written.await.map_err(Carried::Unwritten)
}

async fn resize(exec: &Exec, terminal: &Terminal) {
    let size = *terminal.size.borrow();
    if let Err(error) = exec.resize(size).await {
        tracing::debug!(%error, "the size of a terminal stays as it was");
    }
}

/// The stream of an exec.
struct Far {
    reader: ReadHalf<TokioIo<Upgraded>>,
    writer: WriteHalf<TokioIo<Upgraded>>,
    /// None on a terminal, which has one stream only.
    frames: Option<Frames>,
}

impl Far {
    fn new(stream: TokioIo<Upgraded>, terminal: bool) -> Self {
        let (reader, writer) = tokio::io::split(stream);
        Self {
            reader,
            writer,
            frames: (!terminal).then(Frames::default),
        }
    }

    /// Reads the line with which it begins, and gives the number in it. `None`
    /// if the stream ends before.
    async fn first_line(&mut self, word: &str) -> io::Result<Option<u32>> {
        let mut line = Vec::new();
        // One by one: what is behind the line is not ours, and may be anything.
        while line.len() < BUFFER {
            let Some(byte) = self.next_byte().await? else {
                return Ok(None);
            };
            line.push(byte);
            if byte == b'\n' {
                if let Some(group) = number(&line, word) {
                    return Ok(Some(group));
                }
                line.clear();
            }
        }
        Err(io::ErrorKind::InvalidData.into())
    }

    async fn next_byte(&mut self) -> io::Result<Option<u8>> {
        loop {
            let mut byte = [0];
            if self.reader.read(&mut byte).await? == 0 {
                return Ok(None);
            }
            let Some(frames) = &mut self.frames else {
                return Ok(Some(byte[0]));
            };
            let piece = frames.next(&mut byte.as_slice());
            let piece = piece.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
            if let Some((Channel::Stderr, [byte])) = piece {
                return Ok(Some(*byte));
            }
        }
    }
}

/// The number in the first line of a shell: pure.
pub(crate) fn number(line: &[u8], word: &str) -> Option<u32> {
    let line = std::str::from_utf8(line).ok()?;
    let number = line.trim_end().strip_prefix(word)?.strip_prefix(' ')?;
    // No group of 0 or 1 is ever ended by us.
    number.parse().ok().filter(|number| *number > 1)
}

/// A shell that is to be ended, should nobody be there to do it: a group of
/// processes in its container.
struct Hanging {
    container: Container,
    janitor: Janitor,
    group: Option<u32>,
}

impl Hanging {
    async fn hang_up(&mut self) {
        if let Some(group) = self.group {
            hang_up(&self.container, group).await;
            // Not before: if this is dropped half way, it is done anew.
            self.group = None;
        }
    }
}

impl Drop for Hanging {
    fn drop(&mut self) {
        if let Some(group) = self.group.take() {
            let container = self.container.clone();
            self.janitor
                .spawn(async move { hang_up(&container, group).await });
        }
    }
}

async fn hang_up(container: &Container, group: u32) {
    if let Err(error) = container.hang_up(group).await {
        tracing::debug!(%error, "a shell is left until its container is removed");
    }
}

/// How the shell ended, by its engine, unless it was its container that did.
async fn outcome(exec: &Exec, container: &Container) -> Outcome {
    let deadline = Instant::now() + SAYS_WITHIN;
    let code = loop {
        match exec.exit_code().await {
            Ok(Some(code)) => {
                let Ok(code) = i32::try_from(code) else {
                    let error = EngineError::Missing("a code that a process can exit with");
                    return lost(LossCause::StatusMissing, &error);
                };
                break code;
            }
            Err(error) if error.is_gone() => return Outcome::Lost(Loss::removed_under_a_shell()),
            Err(error) if Instant::now() >= deadline => {
                return lost(LossCause::Connection, &error);
            }
            Ok(None) if Instant::now() >= deadline => {
                let error = EngineError::Missing("how the shell ended");
                return lost(LossCause::Connection, &error);
            }
            // It says so a little later than the stream ends.
            Ok(None) | Err(_) => sleep(PAUSE).await,
        }
    };
    let by_signal = Signal::from_exit_code(code);
    // What the end of a container does to all that is in it.
    if by_signal == Some(Signal::KILL) {
        let deadline = Instant::now() + GOES_WITHIN;
        while Instant::now() < deadline {
            if container.has_ended().await {
                return Outcome::Lost(Loss::removed_under_a_shell());
            }
            sleep(PAUSE).await;
        }
    }
    Outcome::Exited {
        code,
        maybe_signal: by_signal,
    }
}

fn lost(cause: LossCause, error: &EngineError) -> Outcome {
    let detail = format!("the shell was lost: {}", Chain(error));
    Outcome::Lost(Loss::new(cause, detail))
}

#[cfg(test)]
mod tests {
    use super::number;

    #[test]
    fn only_a_number_behind_the_word_is_ours() {
        assert_eq!(number(b"word 17\r\n", "word"), Some(17));
        assert_eq!(number(b"word 17\n", "word"), Some(17));
        for line in [
            &b"17\n"[..],
            b"word\n",
            b"word 1\n",
            b"word 0\n",
            b"word -5\n",
            b"\xff\n",
        ] {
            assert_eq!(number(line, "word"), None, "{line:?}");
        }
    }
}
