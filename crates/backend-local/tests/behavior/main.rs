//! What is special to this backend, or can only be seen from the machine it
//! runs on. What all backends share is in `conformance.rs`.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "these are tests")]

mod end;
mod inherited;
mod leftovers;
mod limits;
mod output;
mod places;
mod processes;
mod script;
mod support;
