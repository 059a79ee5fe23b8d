//! A process that we began: its end, seen once and for all, and its output.

use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use backend_core::Signal;
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{
    Pid, PidfdFlags, WaitId, WaitIdOptions, kill_process_group, pidfd_open, waitid,
};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::net::unix::pipe::Receiver;

use crate::error::Failure;

/// A process that leads its session and its group.
///
/// **Invariant:** it is not reaped before [`reap`](Self::reap), so its number
/// means this process, this group and this session until then.
#[derive(Debug)]
pub(crate) struct Process<O = Receiver> {
    leader: Pid,
    /// Becomes readable when the process has ended.
    exit: AsyncFd<OwnedFd>,
    /// The end of the pipe that the script writes into. Kept also when nobody
    /// reads, so that the script is not ended by a broken pipe.
    output: O,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    end: Option<End>,
    reaped: bool,
    /// Whether we have sent KILL.
    killed: bool,
}

/// How the process ended, as far as this side can say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Exited(i32),
    Signaled {
        signal: Signal,
        by_us: bool,
    },
    /// The instance was stopped before an end was seen.
    Stopped,
    /// It ended, and something else in this program took its status.
    Unknown,
}

impl<O> Process<O> {
    /// Takes over a process that was begun; needs the context of a runtime.
    pub(crate) fn new(leader: Pid, output: O) -> Result<Self, Failure> {
        match exit_descriptor(leader).and_then(|exit| watch(exit, Interest::READABLE)) {
            Ok(exit) => Ok(Self {
                leader,
                exit,
                output,
                state: Mutex::new(State {
                    end: None,
                    reaped: false,
                    killed: false,
                }),
            }),
            // It cannot be watched, so it must not live.
            Err(error) => {
                kill_process_group(leader, rustix::process::Signal::KILL).ok();
                waitid(WaitId::Pid(leader), WaitIdOptions::EXITED).ok();
                Err(Failure::Spawn(error))
            }
        }
    }

    pub(crate) fn output(&self) -> &O {
        &self.output
    }

    /// Its number, while that is surely its own.
    pub(crate) fn leader(&self) -> Option<Pid> {
        (!self.lock().reaped).then_some(self.leader)
    }

    /// Waits for its end. Cancel safe, and for any number of callers.
    pub(crate) async fn ended(&self) -> End {
        loop {
            if let Some(end) = self.look() {
                return end;
            }
            match self.exit.readable().await {
                // Readable too early: look, and wait for the next time.
                Ok(mut ready) => match self.look() {
                    Some(end) => return end,
                    None => ready.clear_ready(),
                },
                // The runtime ends; nobody will wake us again.
                Err(_) => return self.look().unwrap_or(End::Stopped),
            }
        }
    }

    /// Says that from now on its end is our doing, unless it is over.
    pub(crate) fn stopping(&self) {
        if self.look().is_none() {
            self.lock().end.get_or_insert(End::Stopped);
        }
    }

    /// Whether its end was seen, or is no longer waited for.
    pub(crate) fn is_over(&self) -> bool {
        self.look().is_some()
    }

    /// Sends a signal to its group; does nothing once it is over.
    pub(crate) fn signal_group(&self, signal: rustix::process::Signal) -> io::Result<()> {
        let mut state = self.lock();
        if state.reaped || peek(self.leader, &mut state).is_some() {
            return Ok(());
        }
        state.killed |= signal == rustix::process::Signal::KILL;
        match kill_process_group(self.leader, signal) {
            Ok(()) | Err(Errno::SRCH) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Waits for a process that was killed, and lets the kernel forget it.
    /// Blocks, at the longest until `deadline`; `false` if it was in vain.
    pub(crate) fn reap(&self, deadline: Instant) -> bool {
        loop {
            let mut state = self.lock();
            if state.reaped {
                return true;
            }
            let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
            match waitid(WaitId::Pid(self.leader), options) {
                Ok(None) | Err(Errno::INTR) => {}
                Ok(Some(_)) | Err(_) => {
                    state.reaped = true;
                    return true;
                }
            }
            drop(state);
            if Instant::now() >= deadline {
                return false;
            }
            thread::sleep(Duration::from_millis(1));
        }
    }

    fn look(&self) -> Option<End> {
        peek(self.leader, &mut self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Its end, without reaping it.
fn peek(leader: Pid, state: &mut State) -> Option<End> {
    if state.end.is_none() {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        state.end = match waitid(WaitId::Pid(leader), options) {
            Ok(None) | Err(Errno::INTR) => None,
            Ok(Some(status)) => Some(match (status.exit_status(), status.terminating_signal()) {
                (Some(code), _) => End::Exited(code),
                (None, Some(number)) => {
                    Signal::from_number(number).map_or(End::Unknown, |signal| End::Signaled {
                        signal,
                        by_us: state.killed && signal == Signal::KILL,
                    })
                }
                (None, None) => End::Unknown,
            }),
            Err(_) => Some(End::Unknown),
        };
    }
    state.end
}

#[expect(unsafe_code, reason = "registration with the runtime trusts the type")]
pub(crate) fn watch(descriptor: OwnedFd, interest: Interest) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an `OwnedFd` that is owned here is open, and stays the same.
    Ok(unsafe { AsyncFd::register_with_interest(descriptor, interest) }?)
}

/// A descriptor that becomes readable when the process ends.
fn exit_descriptor(pid: Pid) -> io::Result<OwnedFd> {
    match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(descriptor) => Ok(descriptor),
        Err(error) => {
            tracing::debug!(%error, "no descriptor for a process; a thread waits for it");
            exit_pipe(pid)
        }
    }
}

/// The same where the kernel has none (before 5.3): a thread waits, and closes
/// a pipe.
fn exit_pipe(pid: Pid) -> io::Result<OwnedFd> {
    let (reader, writer) = pipe_with(PipeFlags::CLOEXEC)?;
    thread::Builder::new()
        .name("worker-wait".into())
        .spawn(move || {
            let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
            while matches!(waitid(WaitId::Pid(pid), options), Err(Errno::INTR)) {}
            drop(writer);
        })?;
    Ok(reader)
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[expect(clippy::zombie_processes, reason = "that is what is under test")]
    fn begin(script: &str, exit: fn(Pid) -> io::Result<OwnedFd>) -> Process {
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC).unwrap();
        let child = Command::new("/bin/sh")
            .args(["-c", script])
            .stdout(Stdio::from(writer))
            .spawn()
            .unwrap();
        let output = Receiver::from_owned_fd(reader).unwrap();
        let process = Process::new(Pid::from_child(&child), output).unwrap();
        let exit = watch(exit(process.leader).unwrap(), Interest::READABLE);
        Process {
            exit: exit.unwrap(),
            ..process
        }
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(10)
    }

    #[tokio::test]
    async fn the_end_is_seen_with_and_without_descriptors_and_stays() {
        for exit in [exit_descriptor, exit_pipe] {
            let process = begin("sleep 0.05; exit 7", exit);
            let both = tokio::join!(process.ended(), process.ended());
            assert_eq!(both, (End::Exited(7), End::Exited(7)));
            process.stopping();
            assert_eq!(process.ended().await, End::Exited(7));
            assert!(process.leader().is_some());
            assert!(process.reap(soon()) && process.leader().is_none());
            assert_eq!(process.ended().await, End::Exited(7));
        }
    }

    #[tokio::test]
    async fn a_stop_comes_first_or_not_at_all() {
        let process = begin("sleep 100", exit_descriptor);
        process.stopping();
        assert_eq!(process.ended().await, End::Stopped);
        rustix::process::kill_process(process.leader, rustix::process::Signal::KILL).unwrap();
        assert!(process.reap(soon()));
        assert_eq!(process.ended().await, End::Stopped);
    }

    #[tokio::test]
    async fn a_status_that_something_else_took_is_not_made_up() {
        let process = begin("exit 0", exit_descriptor);
        waitid(WaitId::Pid(process.leader), WaitIdOptions::EXITED).unwrap();
        assert_eq!(process.ended().await, End::Unknown);
    }
}
