//! The backend `ssh` from outside, against real servers.

#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test fails by panicking, and prints its seed"
)]

mod cuts;
mod far_sides;
mod identities;
mod leases;
mod liars;
mod support;
