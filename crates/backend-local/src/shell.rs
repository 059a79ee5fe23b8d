//! A shell in an instance that was found: begun in its directory and in its
//! cgroups, so that it ends with it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::future::pending;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use backend_core::{
    DEFAULT_DRAIN_WINDOW, Janitor, Loss, LossCause, Outcome, SHELL_LINE, ShellOptions,
    ShellStreams, Signal, Terminal,
};
use rustix::fd::OwnedFd;
use rustix::pipe::{PipeFlags, pipe_with};
use tokio::io::{AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::unix::pipe::{Receiver, Sender};
use tokio::time::{sleep, timeout};

use crate::child_setup::{ChildSetup, decode, wait_for_children};
use crate::error::Failure;
use crate::job::blocking;
use crate::new_process::{NewProcess, text, variables};
use crate::process::{End, Process};
use crate::pty::{self, Master};
use crate::remains::Remains;

/// How long a shell that is hung up may take to end, before it is killed.
const GRACE: Duration = Duration::from_secs(5);

/// How often is looked whether the instance is still there, beside a shell
/// that its removal may have missed.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How long after the death of a shell its instance may take to be seen to go.
const GOES_WITHIN: Duration = Duration::from_secs(1);

const BUFFER: usize = 64 << 10;

/// An instance that can be entered.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) remains: Remains,
    /// What the script was given, as far as it is known.
    pub(crate) environment: BTreeMap<OsString, OsString>,
}

/// Opens a shell, and stays with it until it has ended.
pub(crate) async fn shell(
    entry: Entry,
    janitor: &Janitor,
    options: &ShellOptions,
    streams: ShellStreams<'_>,
) -> Result<Outcome, Failure> {
    let remains = entry.remains.clone();
    let (janitor, wanted) = (janitor.clone(), options.clone());
    let (shell, ends) = blocking(move || begin(entry, janitor, &wanted)).await??;
    let process = &shell.process;
    let carrying = async {
        match ends {
            Ends::Terminal(master, terminal) => {
                on_terminal(master, process, terminal, streams).await
            }
            Ends::Pipes(pipes) => on_pipes(pipes, process, streams).await,
        }
    };
    let carried = tokio::select! {
        biased;
        carried = carrying => carried,
        () = until_gone(&remains) => Carried::Gone,
    };
    let end = match carried {
        Carried::Ended(end) => end,
        Carried::Closed => hang_up(process).await,
        Carried::Unwritten(error) => {
            hang_up(process).await;
            return Err(Failure::ShellOutput(error));
        }
        Carried::Gone => {
            kill(process);
            return Ok(Outcome::Lost(Loss::removed_under_a_shell()));
        }
    };
    Ok(outcome(end, remains).await)
}

/// Why nothing is carried any more.
enum Carried {
    /// The shell has ended, and its output with it.
    Ended(End),
    /// The terminal was closed on this side.
    Closed,
    /// The output could not be written.
    Unwritten(io::Error),
    /// The instance is not there any more.
    Gone,
}

/// Dropping it hangs the terminal up.
async fn on_terminal(
    master: Master,
    process: &Process<()>,
    terminal: Terminal,
    streams: ShellStreams<'_>,
) -> Carried {
    let ShellStreams { input, output, .. } = streams;
    let shown = async {
        let mut buffer = vec![0; BUFFER];
        let mut at_end = false;
        loop {
            let length = tokio::select! {
                biased;
                // The end first: a child that writes without pause must not hide it.
                end = process.ended() => {
                    show_rest(&master, &mut buffer, output).await?;
                    return Ok(end);
                }
                read = master.read(&mut buffer), if !at_end => read.unwrap_or(0),
            };
            at_end = length == 0;
            write(output, buffer.get(..length)).await?;
        }
    };
    let typed = async {
        let mut buffer = vec![0; BUFFER];
        while let Ok(length @ 1..) = input.read(&mut buffer).await {
            let keys = buffer.get(..length).unwrap_or_default();
            if master.write_all(keys).await.is_err() {
                // Nobody is there to read them: the end of the shell is near.
                pending::<()>().await;
            }
        }
    };
    let resized = async {
        let mut size = terminal.size;
        while size.changed().await.is_ok() {
            master.resize(*size.borrow_and_update());
        }
    };
    tokio::select! {
        shown = shown => shown.map_or_else(Carried::Unwritten, Carried::Ended),
        () = typed => Carried::Closed,
        () = async { resized.await; pending().await } => Carried::Closed,
    }
}

/// What was written before the end of the shell. Children of it may go on.
async fn show_rest(master: &Master, buffer: &mut [u8], output: Output<'_>) -> io::Result<()> {
    /// More than the kernel holds back of a terminal.
    const MOST: usize = 256 << 10;
    let mut shown = 0;
    while shown < MOST
        && let Some(length) = master.read_now(buffer)
    {
        write(output, buffer.get(..length)).await?;
        shown += length;
    }
    Ok(())
}

/// Dropping it closes the pipes.
async fn on_pipes(pipes: Pipes, process: &Process<()>, streams: ShellStreams<'_>) -> Carried {
    let Pipes {
        input: mut stdin,
        output: mut from_output,
        errors: mut from_errors,
    } = pipes;
    let fed = async {
        // It may end without having read all of it.
        tokio::io::copy(streams.input, &mut stdin).await.ok();
        drop(stdin);
        pending::<()>().await;
    };
    let outputs = async {
        tokio::try_join!(
            carry(&mut from_output, streams.output),
            carry(&mut from_errors, streams.errors),
        )
    };
    let shown = async {
        tokio::pin!(outputs);
        tokio::select! {
            shown = &mut outputs => {
                shown?;
                Ok(process.ended().await)
            }
            end = process.ended() => {
                if let Ok(shown) = timeout(DEFAULT_DRAIN_WINDOW, outputs).await {
                    shown?;
                }
                Ok(end)
            }
        }
    };
    tokio::select! {
        shown = shown => shown.map_or_else(Carried::Unwritten, Carried::Ended),
        () = fed => Carried::Closed,
    }
}

/// Carries one stream to its end. An error is one of writing.
async fn carry(from: &mut Receiver, to: Output<'_>) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        write(to, buffer.get(..length)).await?;
    }
    Ok(())
}

type Output<'a> = &'a mut (dyn AsyncWrite + Send + Unpin);

/// Writes, for a person to see it now.
async fn write(output: Output<'_>, bytes: Option<&[u8]>) -> io::Result<()> {
    output.write_all(bytes.unwrap_or_default()).await?;
    output.flush().await
}

/// The process of a shell. Dropped, it is hung up and reaped by the janitor.
struct Shell {
    process: Arc<Process<()>>,
    janitor: Janitor,
}

/// Our ends of what the shell reads and writes.
enum Ends {
    Terminal(Master, Terminal),
    Pipes(Pipes),
}

struct Pipes {
    input: Sender,
    output: Receiver,
    errors: Receiver,
}

/// Begins the process. Blocks; needs the context of a runtime.
fn begin(entry: Entry, janitor: Janitor, options: &ShellOptions) -> Result<(Shell, Ends), Failure> {
    wait_for_children();
    let mut environment = entry.environment;
    let (ends, theirs) = match options.terminal.clone() {
        Some(mut terminal) => {
            environment.insert("TERM".into(), terminal.name.clone().into());
            let size = *terminal.size.borrow_and_update();
            let (master, end) = pty::open(size).map_err(Failure::Terminal)?;
            let copy = || end.try_clone().map_err(Failure::Terminal);
            let theirs = [copy()?, copy()?, copy()?];
            (Ends::Terminal(master, terminal), theirs)
        }
        None => connect().map_err(Failure::Pipe)?,
    };
    let [input, output, errors] = theirs;
    let groups = entry.remains.containment.groups();
    let mut setup = ChildSetup::new(&entry.remains.layout.work(), groups)?;
    setup.terminal = options.terminal.is_some();
    let line = ["/bin/sh", "-c", SHELL_LINE, "sh"].into_iter();
    let words = options.command.iter().map(String::as_str);
    let new = NewProcess {
        program: text("/bin/sh")?,
        arguments: line.chain(words).map(text).collect::<Result<_, _>>()?,
        environment: variables(&environment)?,
        input,
        output,
        errors,
        setup,
    };
    let leader = match new.begin() {
        Ok(leader) => leader,
        Err(error) => return Err(decode(error).map_or_else(|failure| failure, Failure::Spawn)),
    };
    let process = Arc::new(Process::new(leader, ())?);
    Ok((Shell { process, janitor }, ends))
}

/// Pipes: our ends, and those of the command.
fn connect() -> io::Result<(Ends, [OwnedFd; 3])> {
    let pipe = || pipe_with(PipeFlags::CLOEXEC);
    let (their_input, input) = pipe()?;
    let (output, their_output) = pipe()?;
    let (errors, their_errors) = pipe()?;
    let pipes = Pipes {
        input: Sender::from_owned_fd(input)?,
        output: Receiver::from_owned_fd(output)?,
        errors: Receiver::from_owned_fd(errors)?,
    };
    Ok((
        Ends::Pipes(pipes),
        [their_input, their_output, their_errors],
    ))
}

/// Ends a shell as the end of its terminal does: HUP, and KILL for what does
/// not care.
async fn hang_up(process: &Process<()>) -> End {
    use rustix::process::Signal;
    // One that is stopped has to go on, to hear of it.
    for signal in [Signal::HUP, Signal::CONT] {
        signal_group(process, signal);
    }
    if let Ok(end) = timeout(GRACE, process.ended()).await {
        return end;
    }
    kill(process);
    process.ended().await
}

fn kill(process: &Process<()>) {
    signal_group(process, rustix::process::Signal::KILL);
}

fn signal_group(process: &Process<()>, signal: rustix::process::Signal) {
    if let Err(error) = process.signal_group(signal) {
        tracing::debug!(%error, "cannot signal a shell");
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        let process = self.process.clone();
        self.janitor.spawn(async move {
            hang_up(&process).await;
            let reaped = blocking(move || process.reap(Instant::now() + GRACE)).await;
            if !reaped.unwrap_or(false) {
                tracing::debug!("a shell was not reaped");
            }
        });
    }
}

/// Returns when the instance is not there any more. Only a shell that was
/// begun in the middle of its removal comes so far.
async fn until_gone(remains: &Remains) {
    loop {
        sleep(LOOK_EVERY).await;
        let remains = remains.clone();
        if blocking(move || remains.gone()).await.unwrap_or(false) {
            return;
        }
    }
}

async fn outcome(end: End, remains: Remains) -> Outcome {
    match end {
        End::Exited(code) => Outcome::Exited {
            code,
            maybe_signal: None,
        },
        // What a removal sends.
        End::Signaled {
            signal: Signal::KILL,
            by_us: false,
        } if blocking(move || is_going(&remains)).await.unwrap_or(false) => {
            Outcome::Lost(Loss::removed_under_a_shell())
        }
        End::Signaled { signal, .. } => Outcome::Signaled { signal, oom: false },
        End::Stopped | End::Unknown => Outcome::Lost(Loss::new(
            LossCause::StatusMissing,
            "the shell ended, and something else in this program took its status",
        )),
    }
}

/// Whether the instance is being removed: waits for a moment to see it. Blocks.
fn is_going(remains: &Remains) -> bool {
    let deadline = Instant::now() + GOES_WITHIN;
    loop {
        let groups = remains.containment.groups();
        if remains.announced() || remains.gone() || groups.iter().any(|group| !group.path.exists())
        {
            return true;
        }
        if Instant::now() >= deadline {
            return false;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}
