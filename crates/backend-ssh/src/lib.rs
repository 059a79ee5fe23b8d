//! Worker's backend `ssh`: a leased slot on any Linux machine with an SSH
//! server, `/bin/sh` and `setsid`.
//!
//! Host keys are checked, a lost connection is told from an exit status, and
//! the run goes on without it: when the connection is back, so is the output,
//! at the byte where it stopped. Nothing has to be installed over there.
//!
//! ```no_run
//! use backend_core::{InstanceExt, ProviderConfig, ProviderExt, StartAttributes};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> backend_core::Result<()> {
//! let config = ProviderConfig::from([("hosts", "ci@build1:22")]);
//! let provider = (backend_ssh::BACKEND.provider)(&config)?;
//! provider.setup().await?;
//!
//! let instance = provider.start_new(&StartAttributes::default()).await?;
//! instance.upload_script(b"#!/bin/sh\necho hello; exit 43\n").await?;
//! let result = instance.run_to(tokio::io::stdout()).await?;
//! instance.stop().await?;
//!
//! assert_eq!(result.exit_code(), Some(43));
//! # Ok(())
//! # }
//! ```
//!
//! # How a run survives its connection
//!
//! One program of POSIX shell (`src/far/`) is sent through the channel's input
//! and does everything over there. What the login shell sees is one fixed
//! command without any value in it, which sh, bash, ash, fish and csh read
//! alike.
//!
//! - The **keeper** is the other end of the conversation: it leases a slot (a
//!   directory made by `mkdir`), takes script and environment, begins the run,
//!   follows the output and answers. It ends with its connection; another one
//!   takes over.
//! - The **supervisor** runs the script in a session of its own. The output
//!   goes through a pipe into a file, the status into the *name* of a file, by
//!   a rename, which works on a full disk too. A connection that is dead can
//!   neither stop nor block the script.
//! - The **switch** counts its own pauses since the last sign of life. When
//!   nobody has renewed the lease, it ends what runs and removes the files.
//!   It goes by no clock, and needs nobody to connect.
//!
//! The end of the script and of its output are the ends of two pipes that the
//! supervisor holds open: an event, not a poll. The output is followed by GNU
//! `tail`, which is told of each write; where there is another `tail`, the file
//! is read each 50 ms.
//!
//! # What a script sees
//!
//! | | |
//! |---|---|
//! | directory | `job/work` of its slot: new, empty, its own |
//! | environment | what the account has in a session without a terminal; `TMPDIR` (`job/temporary`, its own), `WORKER_INSTANCE_ID`, and what the run adds |
//! | stdin | `/dev/null` |
//! | stdout, stderr | one pipe |
//! | umask | 022 |
//! | limits | those of the account |
//! | session | its own, without a terminal |
//!
//! A shell is between the script and its status, so a death by signal is an
//! exit with 128+n that says which signal it may have been. Processes are found
//! by their session and by `WORKER_INSTANCE_ID` in their environment; what
//! leaves the one and clears the other stays, so `contains-escapees` is not
//! claimed. On systems where `KillUserProcesses=yes` ends what a session leaves
//! behind, a run does not outlive its connection.
//!
//! A shell (`Provider::shell`) is a channel of its own on a connection of its
//! own, in the same directory and with the same environment. It has the marker
//! from its first process on, so it ends with the instance.
//!
//! # A machine that is known beforehand
//!
//! [`SshProvider::pinned`] is for programs that are told of a machine by
//! someone they trust, such as the service that has created it:
//!
//! ```no_run
//! use backend_core::{Options, Provider, ProviderConfig, SecretString};
//! use backend_ssh::{PinnedMachine, SshOptions, SshProvider};
//!
//! # fn provider(private_key: SecretString) -> backend_core::Result<SshProvider> {
//! let machine = PinnedMachine {
//!     host: "192.0.2.7".into(),
//!     port: 22,
//!     user: "worker".into(),
//!     host_key: "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ…".into(),
//!     private_key: Some(private_key),
//! };
//! let options = SshOptions::parse("ssh", &ProviderConfig::new())?;
//! SshProvider::pinned(&machine, options)
//! # }
//! ```
//!
//! Its `start` leases a slot as any other; the instance's `upload_script`,
//! `run_script`, `signal` and `stop` are those of the contract.

#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;

mod attributes;
mod auth;
mod connect;
mod connection;
mod conversation;
mod error;
mod examine;
mod flow;
mod found;
mod hint;
mod host;
mod instance;
mod job;
mod keys;
mod known_hosts;
mod lease;
mod link;
mod logout;
mod machine;
mod options;
mod pattern;
mod pinned;
mod places;
mod pool;
mod printf;
mod program;
mod prompt;
mod provider;
mod pump;
mod reply;
mod shell;
mod ssh_config;
mod stage;
mod trust;
mod verdict;

use backend_core::{Backend, Options};

pub use host::HostSpec;
pub use options::{FarPath, Fingerprint, HostKeyPolicy, OneLine, Positive, Slots, SshOptions};
pub use pinned::PinnedMachine;
pub use provider::SshProvider;

/// The backend `ssh`.
pub static BACKEND: Backend = Backend {
    alias: "ssh",
    human_readable_name: "Account on a machine reached over SSH",
    options: SshOptions::specs,
    provider: SshProvider::from_config,
};

backend_core::register!(BACKEND);
