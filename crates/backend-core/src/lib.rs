//! The contract of Worker's compute backends.
//!
//! A [`Backend`] is registered under an alias and makes a [`Provider`] from a
//! [`ProviderConfig`]; the provider starts an [`Instance`]; the instance takes
//! a script, runs it while streaming its output, and says by a [`RunResult`]
//! how it ended.
//!
//! Two promises hold for every backend: **the verdict is never wrong** (what
//! was not observed is [`Outcome::Lost`], never an exit code) and **nothing is
//! left behind** (everything created carries [`Marks`], by which it is removed
//! or found later).
//!
//! # Example
//!
//! ```standalone_crate
//! use backend_core::{InstanceExt, ProviderConfig, ProviderExt, StartAttributes, new_provider};
//! use backend_fake as _; // links the backend, which registers itself
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> backend_core::Result<()> {
//! let config = ProviderConfig::from([
//!     ("STARTUP_DURATION", "1s"),
//!     ("LOG_OUTPUT", "Hello, world!"),
//! ]);
//! let provider = new_provider("fake", &config)?;
//! provider.setup().await?;
//!
//! let attributes = StartAttributes {
//!     language: "go".into(),
//!     os: "linux".into(),
//!     ..StartAttributes::default()
//! };
//! let instance = provider.start_new(&attributes).await?;
//! instance.upload_script(b"#!/bin/sh\necho 'Hello, world!'\n").await?;
//! let result = instance.run_to(tokio::io::stdout()).await?;
//! instance.stop().await?;
//!
//! assert_eq!(result.exit_code(), Some(0));
//! # Ok(())
//! # }
//! ```
//!
//! # Writing a backend
//!
//! Implement [`Provider`] and [`Instance`], declare the options with
//! [`options!`], register with [`register!`], and run the conformance suite of
//! the feature `testkit`. Each method lists the behavior that the suite checks.

#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
pub mod interpreter;
pub mod quote;
pub mod reap;
#[cfg(feature = "testkit")]
pub mod testkit;
pub mod without_images;

mod attributes;
mod capability;
mod config;
mod context;
mod denied;
mod environment;
mod error;
mod examination;
mod found;
mod id;
mod instance;
mod janitor;
mod marks;
mod options;
mod order;
mod outcome;
mod owner;
mod progress;
mod provider;
mod registry;
mod removal;
mod script_slot;
mod shell;
mod signal;
mod sink;
mod sugar;
mod suggest;
mod worker_process;

pub use attributes::StartAttributes;
pub use capability::{Capabilities, Capability};
pub use config::{ConfigEntry, Origin, ProviderConfig};
pub use context::{DEFAULT_LIFETIME, StartContext};
pub use denied::{why_unusable, with_permissions};
pub use environment::{Environment, InvalidVariable, MAX_VARIABLE_LENGTH};
pub use error::{Chain, Error, ErrorKind, Operation, Result};
pub use examination::{Candidate, Examination, Examined, MOST_CLOCK_SKEW, Verdict};
pub use found::{Found, FoundState, Listing};
pub use id::{InstanceId, InvalidId};
pub use instance::{DEFAULT_DRAIN_WINDOW, Instance, RunOptions};
pub use janitor::Janitor;
pub use marks::{Marks, unix_seconds};
pub use options::{
    ByteSize, Family, Kind, OptionField, OptionSpec, OptionValue, Options, Problem, Problems,
    schema, unknown_keys,
};
pub use order::OutOfOrder;
pub use outcome::{Loss, LossCause, Outcome, RunResult};
pub use owner::{OwnerId, state_directory};
pub use progress::{Phase, Progress, ProgressReporter, ProgressSink};
pub use provider::Provider;
pub use registry::{Backend, backend, backends, new_provider};
pub use removal::Removal;
pub use script_slot::ScriptSlot;
pub use secrecy::{ExposeSecret, SecretString};
pub use shell::{SHELL_LINE, ShellOptions, ShellStreams, Terminal, TerminalSize};
pub use signal::Signal;
pub use sink::{Delivery, OutputSink, WriterSink};
pub use sugar::{InstanceExt, ProviderExt};
pub use suggest::nearest;
pub use worker_process::{Liveness, WorkerProcess};

/// For the macros of this crate only.
#[doc(hidden)]
pub mod __private {
    pub use linkme;

    pub use crate::options::problem::{Reader, unread};
    pub use crate::registry::BACKENDS;
}
