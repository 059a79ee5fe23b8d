//! The program, tested as a process: what it prints, its exit status, and what
//! it leaves behind.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod bad_input;
mod common;
mod config;
mod doctor;
mod examples;
mod live;
mod matrix;
#[cfg(feature = "docker")]
mod pull;
mod run;
#[cfg(feature = "http")]
mod serve;
mod shell;
mod shells;
mod terminal;
