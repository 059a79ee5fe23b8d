//! Throw-away daemons for the tests of this workspace.
//!
//! Each module starts one kind of real server, with its files in a directory
//! of its own and its address on this machine only. A [`Daemon`] is ended by
//! its process id when it is dropped, and by its guard when the process that
//! started it is killed, so that no test leaves one running.

pub mod certificates;
pub mod dockerd;
pub mod engine_client;
pub mod podman;
pub mod registry;
pub mod rootfs;

mod daemon;
mod faketime;
mod need;
mod nginx;
mod place;
mod program;
mod seeds;
mod ssh_server;
mod tmpfs;
mod worker_server;

pub use daemon::{Daemon, free_port, with_default_signals};
pub use faketime::{at_another_time, faketime_library};
pub use need::{is_required, missing};
pub use nginx::Nginx;
pub use program::find_program;
pub use seeds::{FuzzTarget, replay_seeds};
pub use ssh_server::{SshKind, SshServer, SshSetup, make_key};
pub use tmpfs::Tmpfs;
pub use worker_server::WorkerServer;
