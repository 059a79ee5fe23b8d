//! A backend for [Worker](backend_core) without side effects.
//!
//! Nothing is executed: an instance is an entry in a table, and a run is
//! simulated from the [`FakeOptions`]. By them every fault can be had at every
//! step: delays, failures that pass and failures that stay, output of any size
//! and speed, deaths by signal, lost connections. Programs that use Worker are
//! tested with it, and so is Worker itself.
//!
//! ```
//! use backend_core::{InstanceExt, ProviderConfig, ProviderExt, StartAttributes};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> backend_core::Result<()> {
//! let config = ProviderConfig::from([("LOG_OUTPUT", "Hello, world!\n"), ("EXIT_CODE", "3")]);
//! let provider = (backend_fake::BACKEND.provider)(&config)?;
//! let instance = provider.start_new(&StartAttributes::default()).await?;
//! instance.upload_script(b"anything").await?;
//! let mut output = Vec::new();
//! let result = instance.run_to(&mut output).await?;
//! instance.stop().await?;
//!
//! assert_eq!(output, b"Hello, world!\n");
//! assert_eq!(result.exit_code(), Some(3));
//! # Ok(())
//! # }
//! ```
//!
//! All waiting is by the runtime's clock, so tests with paused time do not wait.

mod error;
mod instance;
mod options;
mod output;
mod place;
mod provider;
mod run;

use backend_core::{Backend, Options as _};

pub use options::{FakeOptions, FakeSignal, HexBytes};
pub use provider::FakeProvider;

/// The backend `fake`.
pub static BACKEND: Backend = Backend {
    alias: "fake",
    human_readable_name: "Fake (simulated)",
    options: FakeOptions::specs,
    provider: FakeProvider::from_config,
};

backend_core::register!(BACKEND);
