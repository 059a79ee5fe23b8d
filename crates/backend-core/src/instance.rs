//! The contract of an instance.

use std::fmt::Debug;
use std::time::Duration;

use async_trait::async_trait;

use crate::{Capability, Environment, Error, InstanceId, OutputSink, Result, RunResult, Signal};

/// How long a run waits for the end of its output after the script has ended.
pub const DEFAULT_DRAIN_WINDOW: Duration = Duration::from_secs(5);

/// How a script is to be run.
#[derive(Debug, Clone)]
pub struct RunOptions {
    /// What to add to the environment of the instance. It travels as the
    /// script does: it is in no argument, label or inspection.
    pub environment: Environment,
    /// How long to wait for the end of the output after the script has ended,
    /// while a child of it still holds the output open. Default: 5 s.
    pub drain_window: Duration,
}

impl Default for RunOptions {
    fn default() -> Self {
        Self {
            environment: Environment::new(),
            drain_window: DEFAULT_DRAIN_WINDOW,
        }
    }
}

/// A disposable place in which one script runs once.
///
/// The order is `upload_script`, `run_script`, `stop`; `stop` from any state.
/// All methods take `&self`, since a script is signalled and an instance is
/// stopped while `run_script` still streams.
///
/// An instance that is dropped without `stop` is stopped by a task that its
/// provider owns, with a warning; [`Provider::settle`](crate::Provider::settle)
/// waits for it.
#[async_trait]
pub trait Instance: Debug + Send + Sync {
    /// The id from the start's context.
    fn id(&self) -> &InstanceId;

    /// The image that the instance was made from, with its digest where one is
    /// known; `None`, the default, where there are no images.
    fn image_name(&self) -> Option<&str> {
        None
    }

    /// How long the instance took from its creation until it was ready; zero,
    /// the default, where it is ready at once.
    fn startup_duration(&self) -> Duration {
        Duration::ZERO
    }

    /// Puts the script onto the instance.
    ///
    /// # Behavior
    ///
    /// - Takes any bytes and stores them exactly.
    /// - Atomic: it either all becomes runnable, or none of it.
    /// - On an instance that already has a script it fails as stale, and the
    ///   first script stays intact.
    ///
    /// # Errors
    ///
    /// `Stale`; `InvalidState` after `stop`; `Exhausted` for a full disk;
    /// `Gone`, `Unreachable`.
    ///
    /// # Cancel safety
    ///
    /// A dropped upload leaves nothing that can run, and no stale mark that
    /// was not there before.
    async fn upload_script(&self, script: &[u8]) -> Result<()>;

    /// Runs the uploaded script once and streams its output into `sink`.
    ///
    /// # Behavior
    ///
    /// - The script runs by its `#!` line, without one by `/bin/sh`; stdin is
    ///   at its end, there is no terminal, it has its own session and process
    ///   group, and an empty working directory where one can be made.
    /// - stdout and stderr arrive as one stream, in the order written, raw,
    ///   within 100 ms (500 ms where the backend is
    ///   [`Polling`](crate::Capability::Polling)).
    /// - A slow sink slows the script; it never fills memory. After a sink
    ///   that fails, the rest is read and dropped, and the result says
    ///   `output_complete: false`.
    /// - Returns after the last byte was handed over, and not before the
    ///   script has ended: the end of the output is not the end of the script.
    /// - A child that holds the output open delays the return by the drain
    ///   window at the most; what is left over is reported.
    /// - Fails only if the script never began. Once it may have begun there is
    ///   a [`RunResult`]: exited, signaled, or lost with the reason. So a
    ///   retry after an `Err` runs nothing twice.
    ///
    /// # Errors
    ///
    /// `InvalidState` before an upload, on a second run, after `stop`;
    /// `InvalidInput` for an environment too large; `Gone`, `Unreachable`.
    ///
    /// # Cancel safety
    ///
    /// A dropped run leaves the script running and its output unread; `stop`
    /// ends it.
    async fn run_script(
        &self,
        options: &RunOptions,
        sink: &mut dyn OutputSink,
    ) -> Result<RunResult>;

    /// Sends a signal to the running script and its whole process group.
    ///
    /// # Behavior
    ///
    /// - Works while `run_script` streams.
    /// - Once the script has ended it does nothing and succeeds.
    ///
    /// # Errors
    ///
    /// `InvalidState` before the run; `Unsupported` without
    /// [`Signals`](crate::Capability::Signals); `Gone`, `Unreachable`.
    ///
    /// # Cancel safety
    ///
    /// A dropped call may or may not have sent the signal.
    ///
    /// By default it is refused.
    async fn signal(&self, signal: Signal) -> Result<()> {
        let _ = signal;
        Err(Error::unsupported(Capability::Signals))
    }

    /// A list of the processes in the instance, for a person to read.
    ///
    /// # Behavior
    ///
    /// - `None` where nothing runs; text with one process a line otherwise.
    /// - Bounded: an answer within seconds, a few hundred lines at the most.
    ///
    /// # Errors
    ///
    /// `Unsupported` without [`ListsProcesses`](crate::Capability::ListsProcesses).
    ///
    /// # Cancel safety
    ///
    /// Safe: it only reads.
    ///
    /// By default it is refused.
    async fn processes(&self) -> Result<Option<String>> {
        Err(Error::unsupported(Capability::ListsProcesses))
    }

    /// Ends whatever runs in the instance and removes all of it.
    ///
    /// # Behavior
    ///
    /// - Idempotent: works from every state, twice, and from two tasks at once.
    /// - Has its own deadline, and verifies that the instance is gone.
    /// - A `run_script` under way returns promptly, as lost unless the end of
    ///   the script was seen.
    ///
    /// # Errors
    ///
    /// `Leftover` or `Unreachable`; the message names what may be left. A
    /// later `stop` tries again.
    ///
    /// # Cancel safety
    ///
    /// The removal goes on when the future is dropped;
    /// [`Provider::settle`](crate::Provider::settle) waits for it.
    async fn stop(&self) -> Result<()>;
}
