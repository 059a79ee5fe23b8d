//! One job, from start to stop.
//!
//! [`run_job`] takes a [`Job`] (a script with its attributes, environment and
//! [`Limits`]) to a [`Provider`](backend_core::Provider): start, upload, run,
//! and stop, always. The output flows through a [pipeline](self) of bounded
//! stages into a sink of the caller's; what happens on the way is told as
//! [`Event`]s; what came of it is one [`JobResult`].
//!
//! ```
//! use backend_core::ProviderConfig;
//! use worker_core::{Cancel, EndedBy, EventLog, Job, run_job};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> backend_core::Result<()> {
//! let provider = (backend_fake::BACKEND.provider)(&ProviderConfig::from([("exit-code", "43")]))?;
//! let mut output = Vec::new();
//! let job = Job::new("#!/bin/sh\nexit 43\n");
//! let result = run_job(&*provider, &job, &mut output, &EventLog::none(), &Cancel::never()).await;
//! provider.settle().await;
//!
//! assert_eq!(result.ended_by, EndedBy::Script);
//! assert_eq!(result.exit_code, Some(43));
//! # Ok(())
//! # }
//! ```

#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;

mod cancel;
mod cutter;
mod digest;
mod event;
mod gauge;
mod job;
mod keep;
mod ladder;
mod layers;
mod limits;
mod mask;
mod pipeline;
mod reap;
mod result;
mod run;
mod tee;
mod tries;

pub use cancel::{Cancel, CancelCause, Canceller};
pub use event::{EVENT_SCHEMA, Event, EventKind, EventLog, Listener};
pub use job::Job;
pub use keep::{Keep, Kept};
pub use layers::{LimitConcurrency, RetryStart};
pub use limits::{InvalidLimits, Limits, OnMaxOutput, OutputLimit};
pub use mask::{InvalidSecret, MAXIMUM_SECRET, MINIMUM_SECRET, Masker, Secrets};
pub use reap::{Reaped, Reaping, reap, reap_kept, reap_named};
pub use result::{Durations, EndedBy, JobResult, Limit, RESULT_SCHEMA, Step};
pub use run::run_job;
pub use tee::Tee;

/// The examples of the guide, compiled and run.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/embedding.md")]
mod embedding {}
