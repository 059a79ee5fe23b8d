//! What only a real engine shows, and faults between the worker and it, caused
//! on purpose: whatever happens, no verdict is one that the script did not give,
//! and no container is left.

#![expect(clippy::unwrap_used, reason = "tests fail by it")]

mod connection;
mod engine;
mod liar;
mod lies;
mod network;
mod places;
mod support;
