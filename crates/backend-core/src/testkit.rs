//! The conformance suite: what every backend must show, as data, and the
//! tools that backends are tested with.
//!
//! A backend's `tests/conformance.rs` (with `harness = false`) is a few lines:
//!
//! ```no_run
//! use backend_core::testkit::{self, Target};
//! # use backend_core::{Backend, Error, ErrorKind};
//! # static BACKEND: Backend = Backend { alias: "x", human_readable_name: "X", options: || &[],
//! #     provider: |_| Err(Error::new(ErrorKind::Unsupported, "only a name")) };
//!
//! fn main() -> std::process::ExitCode {
//!     testkit::main([Target::new(&BACKEND).config([("key", "value")])])
//! }
//! ```
//!
//! [`run`] does the same as a library, for a program that has a runtime.
//! A case that a backend cannot run is skipped by the name of the capability
//! that it lacks, counted, and told in the [`Report`].
//!
//! What flows through: a [`Case`] and a [`Target`] go into the runner, which
//! makes a provider of the case's own, lets the case check it, and then makes
//! sure that nothing is left: no instance of the case's owner, no task.

mod case;
mod cases;
mod console;
mod drops;
mod fixture;
mod harness;
mod junit;
mod ledger;
mod marker;
mod proxy;
mod report;
mod runner;
mod script;
mod second_worker;
mod selection;
mod sinks;
mod target;

pub use case::Case;
pub use cases::all as cases;
pub use drops::{Polled, poll_times};
pub use harness::{main, main_of};
pub use ledger::Ledger;
pub use proxy::{Action, Direction, Endpoint, FaultProxy};
pub use report::{CaseResult, Report, Status, Tally};
pub use runner::run;
pub use second_worker::second_worker;
pub use selection::Selection;
pub use sinks::{Arrival, FailingSink, HashSink, SlowSink, Watch, pseudo_random, sha256_hex};
pub use target::Target;
