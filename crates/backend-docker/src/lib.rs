//! Worker's backend `docker`.

mod attached;
mod config;
mod container;
mod discovery;
mod docker_config;
mod docker_context;
mod endpoint;
mod engine;
mod error;
mod frames;
mod gate;
mod hexadecimal;
mod image;
mod inspection;
mod instance;
mod job;
mod marker;
mod options;
mod program;
mod provider;
mod pulse;
mod reports;
mod run;
mod start;
mod transport;
mod verdict;
mod watch;

use backend_core::{Backend, Options};

pub use options::{
    BindMount, Cpus, DockerOptions, ImageSelector, MemoryLimit, PidsLimit, PullPolicy, Setting,
    TmpfsMount, Ulimit,
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
