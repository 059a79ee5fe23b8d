//! Worker's backend `local`: a real process group on this machine.
//!
//! An instance is a private directory (0700) and, where the machine lets us
//! make one, a cgroup; a run is a process in a session of its own, with both
//! output streams in one pipe. Everything that the script starts ends with the
//! instance, also what left its group.
//!
//! ```
//! use backend_core::{InstanceExt, ProviderConfig, ProviderExt, StartAttributes};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> backend_core::Result<()> {
//! # if !cfg!(target_os = "linux") { return Ok(()); }
//! let provider = (backend_local::BACKEND.provider)(&ProviderConfig::new())?;
//! provider.setup().await?;
//!
//! let instance = provider.start_new(&StartAttributes::default()).await?;
//! instance.upload_script(b"#!/bin/sh\necho hello; exit 43\n").await?;
//! let mut output = Vec::new();
//! let result = instance.run_to(&mut output).await?;
//! instance.stop().await?;
//!
//! assert_eq!(output, b"hello\n");
//! assert_eq!(result.exit_code(), Some(43));
//! # Ok(())
//! # }
//! ```
//!
//! # What a script sees
//!
//! | | |
//! |---|---|
//! | directory | `job/work` of the instance's directory: new, empty, its own |
//! | environment | `PATH` (option `path`), `HOME` (option `home`), `TMPDIR` (`job/tmp`), `USER`, `LOGNAME` and `SHELL` of the account, `WORKER_INSTANCE_ID`, and what the run adds; nothing of the worker's |
//! | stdin | `/dev/null` |
//! | stdout, stderr | one pipe of 1 MiB, or of what the kernel allows |
//! | signals | all default, none blocked |
//! | umask | 022 |
//! | soft limits | core 0, open files 1024, stack 8 MiB, all others the hard limit (which is kept) |
//! | descriptors | 0, 1 and 2 only |
//! | session | its own, without a terminal |
//!
//! A shell (`Provider::shell`) has the same directory, the environment of the
//! script, the same limits and containment, and a terminal or pipes of its own.
//! An instance that is to be kept has that environment in a file that only its
//! account can read, until it is removed.
//!
//! # Containment
//!
//! With a cgroup of version 2 (also where it is mounted beside version 1)
//! everything that descends from the script is a member, and ends by one
//! write. Where none can be made, processes are found by their session, their
//! group, and the variable `WORKER_INSTANCE_ID` in their environment: what
//! leaves the session *and* clears its environment is then not found, and the
//! capability `contains-escapees` is not claimed. A process group on a shared
//! machine is no sandbox: a hostile script of the same account can interfere
//! with the worker itself.
//!
//! Only Linux has what this needs. Elsewhere the crate builds, and its
//! provider refuses.

mod options;

#[cfg(target_os = "linux")]
mod account;
#[cfg(target_os = "linux")]
mod attributes;
#[cfg(target_os = "linux")]
mod base;
#[cfg(target_os = "linux")]
mod child_setup;
#[cfg(target_os = "linux")]
mod containment;
#[cfg(target_os = "linux")]
mod environment;
#[cfg(target_os = "linux")]
mod error;
#[cfg(target_os = "linux")]
mod group;
#[cfg(target_os = "linux")]
mod hierarchy;
#[cfg(target_os = "linux")]
mod instance;
#[cfg(target_os = "linux")]
mod job;
#[cfg(target_os = "linux")]
mod launch;
#[cfg(target_os = "linux")]
mod layout;
#[cfg(target_os = "linux")]
mod machine;
#[cfg(target_os = "linux")]
mod new_process;
#[cfg(target_os = "linux")]
mod place;
#[cfg(target_os = "linux")]
mod proc_files;
#[cfg(target_os = "linux")]
mod process;
#[cfg(target_os = "linux")]
mod processes;
#[cfg(target_os = "linux")]
mod provider;
#[cfg(target_os = "linux")]
mod pty;
#[cfg(target_os = "linux")]
mod pump;
#[cfg(target_os = "linux")]
mod record;
#[cfg(target_os = "linux")]
mod remains;
#[cfg(target_os = "linux")]
mod shell;
#[cfg(target_os = "linux")]
mod stage;
#[cfg(target_os = "linux")]
mod tree;
#[cfg(target_os = "linux")]
mod upload;
#[cfg(target_os = "linux")]
mod verdict;

#[cfg(not(target_os = "linux"))]
#[path = "elsewhere.rs"]
mod provider;

use backend_core::{Backend, Options};

pub use options::{ContainmentChoice, Home, LocalOptions, MemoryLimit, ProcessLimit};
pub use provider::LocalProvider;

/// The backend `local`.
pub static BACKEND: Backend = Backend {
    alias: "local",
    human_readable_name: "Process group on this machine",
    options: LocalOptions::specs,
    provider: LocalProvider::from_config,
};

backend_core::register!(BACKEND);
