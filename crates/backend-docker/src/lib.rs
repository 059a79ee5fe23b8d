//! Worker's backend `docker`: a script in a container of a Docker or Podman
//! engine.
//!
//! An instance is a container whose first process is the gate, a small shell
//! program in place of the image's entrypoint. `start` creates the container,
//! attaches to it, starts it, and returns when the gate has said hello;
//! `upload_script` returns when the gate has stored the script; `run_script`
//! sends the environment and an explicit go, and streams what comes. The
//! verdict is the status that the gate read, or else the engine's.
//!
//! ```no_run
//! use backend_core::{InstanceExt, ProviderConfig, ProviderExt, StartAttributes};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> backend_core::Result<()> {
//! let config = ProviderConfig::from([("default-image", "debian:12"), ("network", "none")]);
//! let provider = (backend_docker::BACKEND.provider)(&config)?;
//! provider.setup().await?;
//!
//! let instance = provider.start_new(&StartAttributes::default()).await?;
//! instance.upload_script(b"#!/bin/sh\necho hello; exit 43\n").await?;
//! let mut output = Vec::new();
//! let result = instance.run_to(&mut output).await?;
//! instance.stop().await?;
//! assert_eq!(result.exit_code(), Some(43));
//! # Ok(())
//! # }
//! ```
//!
//! # What a script sees
//!
//! | | |
//! |---|---|
//! | directory | new and empty, below the first place that can be written of: the image's working directory, `/tmp`, `/var/tmp`; else the image's own; with the option `working-directory`, that one |
//! | environment | the image's, that of the options, `WORKER_INSTANCE_ID`, and what the run adds |
//! | stdin | `/dev/null` |
//! | stdout, stderr | one pipe |
//! | umask | 022 |
//! | session | its own, where the image has `setsid`; no terminal |
//! | `/.worker` | a file system in memory (512 MiB at the most), where script and environment are |
//!
//! A shell (`Provider::shell`) is an exec in the same directory, with the same
//! environment and limits, as the same user.
//!
//! # Time
//!
//! An answer of the engine may take `request-timeout` (60 s), and so may a container
//! that takes nothing of a script that it is given; an engine that
//! stops answering is noticed within 35 s; a run goes on without it for
//! `reconnect-window` (1 min); a removal is tried for 20 s.

#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;

mod admission;
mod attached;
mod attributes;
mod config;
mod container;
mod diagnosis;
mod discovery;
mod docker_config;
mod docker_context;
mod endpoint;
mod engine;
mod engine_error;
mod error;
mod exec;
mod frames;
mod gate;
mod hexadecimal;
mod image;
mod inspection;
mod instance;
mod job;
mod marker;
mod network;
mod options;
mod program;
mod provider;
mod pulse;
mod reports;
mod run;
mod shell;
mod shells;
mod start;
mod transport;
mod verdict;
mod watch;

use backend_core::{Backend, Options};

pub use options::{
    BindMount, Cpus, DockerOptions, ImageSelector, MemoryLimit, PidsLimit, PullPolicy, Setting,
    StartLimit, TmpfsMount, Ulimit,
};
pub use provider::DockerProvider;

/// The oldest version of the engine's API that is spoken (docker-engine 1.12).
pub const MIN_SUPPORTED_API_VERSION: &str = "1.24";

/// The backend `docker`.
pub static BACKEND: Backend = Backend {
    alias: "docker",
    human_readable_name: "Container on a Docker or Podman engine",
    options: DockerOptions::specs,
    provider: DockerProvider::from_config,
};

backend_core::register!(BACKEND);
