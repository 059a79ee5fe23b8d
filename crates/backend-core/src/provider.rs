//! The contract of a provider.

use std::fmt::Debug;

use async_trait::async_trait;

use crate::{
    Capabilities, Capability, Error, Examination, Found, Instance, Listing, Outcome, Result,
    ShellOptions, ShellStreams, StartAttributes, StartContext,
};

/// Starts instances of one kind, at one place, with one configuration.
///
/// Made by [`new_provider`](crate::new_provider) or by a backend's own
/// constructor; making one does nothing but look at its configuration.
#[async_trait]
pub trait Provider: Debug + Send + Sync {
    /// What this provider can do.
    ///
    /// # Behavior
    ///
    /// - Depends on the configuration only, and is known before `setup`.
    /// - What is not claimed is refused when it is asked for, never ignored.
    ///
    /// None by default.
    fn capabilities(&self) -> Capabilities {
        Capabilities::default()
    }

    /// Makes sure that instances can be started.
    ///
    /// # Behavior
    ///
    /// - Verifies reachability, versions and credentials.
    /// - May be called again at any time, also after a failure.
    /// - Creates nothing that outlives it.
    ///
    /// # Errors
    ///
    /// `Unreachable`, `Unsuitable`, `Untrusted`, `Denied`: each says what was
    /// tried, and has a hint.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves nothing behind.
    ///
    /// By default there is nothing to verify.
    async fn setup(&self) -> Result<()> {
        Ok(())
    }

    /// Does what `setup` does, step by step, and tells what it would use:
    /// endpoints, hosts, keys, files, who named each, and why one was not
    /// taken.
    ///
    /// # Behavior
    ///
    /// - Creates nothing that outlives it.
    /// - Goes on to the end where one of several fails, and tells of each.
    /// - Tells no secret: only that there is one.
    /// - Every step went well exactly if `setup` would, and all there is to use
    ///   is of use.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves nothing behind; what was found by then is
    /// kept.
    ///
    /// By default one step, `setup`, and nothing to use.
    async fn examine(&self, examination: &mut Examination) {
        examination.begin("setup");
        let result = self.setup().await;
        examination.end(result);
    }

    /// Starts an instance, and returns when `upload_script` can work on it.
    ///
    /// # Behavior
    ///
    /// - The instance has the context's id; everything created carries its marks.
    /// - If it fails, whatever it had created is removed before or after it
    ///   returns; [`settle`](Self::settle) waits for that.
    /// - Reports progress to the context's sink.
    /// - Waits for a free place where there is a limit on concurrency; it does
    ///   not fail for the lack of one.
    /// - Does not retry; says by [`Error::is_retryable`](crate::Error::is_retryable)
    ///   whether a caller may.
    ///
    /// # Errors
    ///
    /// `InvalidInput`, `NotFound`, `Unsupported` for what was asked for;
    /// `Stale` for a place that holds an earlier job's leftovers; `Exhausted`,
    /// `Unreachable`, `TimedOut`, `Denied` for the far side.
    ///
    /// # Cancel safety
    ///
    /// Whatever a dropped start had created is removed by a task that the
    /// provider owns.
    async fn start(
        &self,
        attributes: &StartAttributes,
        context: &StartContext,
    ) -> Result<Box<dyn Instance>>;

    /// Finds what exists of everything that carries Worker's marks, alive or
    /// not, whoever made it.
    ///
    /// # Behavior
    ///
    /// - Changes nothing.
    /// - Leaves out what lacks a mark or cannot be read as ours.
    /// - What it does not list was not there: it fails if any of the provider's
    ///   places (machines, servers) does not answer.
    ///
    /// # Errors
    ///
    /// `Unreachable`, `TimedOut`, `Denied`, `Untrusted`, `Protocol` for a place
    /// that does not answer, or not as it should.
    ///
    /// # Cancel safety
    ///
    /// Safe: it only reads.
    async fn list(&self) -> Result<Vec<Found>>;

    /// The same as [`list`](Self::list), place by place: one that does not
    /// answer does not keep what is found at the others.
    ///
    /// By default all is one place.
    async fn list_reachable(&self) -> Listing {
        self.list().await.into()
    }

    /// Removes a found instance with all that belongs to it.
    ///
    /// # Behavior
    ///
    /// - Ends what runs in it; succeeds when it is gone, also when it was gone
    ///   before.
    /// - Makes sure that what is at the place is still the instance that was
    ///   found, by its marks.
    ///
    /// # Errors
    ///
    /// `Leftover` names what could not be removed.
    ///
    /// # Cancel safety
    ///
    /// May be repeated after it was dropped.
    async fn remove(&self, found: &Found) -> Result<()>;

    /// Opens a shell, or runs a command, in a found instance, beside its
    /// script, and returns when it has ended.
    ///
    /// # Behavior
    ///
    /// - It begins in the script's working directory, as the script's user,
    ///   and with the script's environment where that can be known.
    /// - With a terminal it is the leader of a session of its own, on a
    ///   terminal of that kind and size, which follows each change of size;
    ///   without, it has pipes, which carry any bytes.
    /// - It ends with the instance: then the outcome is lost, since the
    ///   instance is gone.
    /// - What it leaves running in the background ends with the instance.
    /// - All that was written before it ended is handed over. A child that
    ///   holds a pipe open delays the return by
    ///   [`DEFAULT_DRAIN_WINDOW`](crate::DEFAULT_DRAIN_WINDOW) at the most.
    ///
    /// # Errors
    ///
    /// `Unsupported` without [`Shell`](crate::Capability::Shell); `Gone` if the
    /// instance is no longer there; `InvalidState` if nothing can be run in it;
    /// `Io` if the output cannot be written; `Unreachable`, `Denied`.
    ///
    /// # Cancel safety
    ///
    /// A dropped shell is ended as by a terminal that is closed: it is sent
    /// HUP, and after a grace KILL. [`settle`](Self::settle) waits for that.
    ///
    /// By default it is refused.
    async fn shell(
        &self,
        found: &Found,
        options: &ShellOptions,
        streams: ShellStreams<'_>,
    ) -> Result<Outcome> {
        let _ = (found, options, streams);
        Err(Error::unsupported(Capability::Shell))
    }

    /// Waits for the clean-up of dropped futures and instances.
    ///
    /// # Behavior
    ///
    /// - Returns at once where there is nothing to wait for.
    /// - Call it before the runtime ends.
    ///
    /// # Cancel safety
    ///
    /// Safe: the clean-up goes on without it.
    ///
    /// By default there is nothing to wait for.
    async fn settle(&self) {}
}
