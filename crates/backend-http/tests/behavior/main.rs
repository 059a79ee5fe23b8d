//! The backend `http` and real servers: what the suite cannot show, since it
//! takes faults, other clients, or a server that ends.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, and prints its seed"
)]

mod access;
mod bad_input;
mod client;
mod client_killed;
mod faults;
mod load;
mod lying;
mod machines;
mod pool;
mod proxies;
mod restart;
mod schemathesis;
#[path = "../support/mod.rs"]
mod support;
mod transcripts;
mod transport;

/// Not a test: the server process of the others.
#[test]
fn serving() {
    support::serve_if_asked();
    client_killed::run_if_asked();
}
