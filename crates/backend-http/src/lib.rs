//! A backend for [Worker](backend_core): instances behind an HTTP API that
//! speaks `worker/1`, such as `worker serve`, or a service of your own.
//!
//! # Options
//!
//! See [`HttpOptions`]. The token is a secret: it comes from
//! `WORKER_HTTP_TOKEN` or a file, never from the command line, and is in no
//! URL, message or log.
//!
//! # How output comes
//!
//! By long-poll: the client asks for the bytes from an offset on, and gets a
//! piece with a length and a SHA-256. Whatever happens to the connection, it
//! asks again at the same offset, for `resume-window` at the most; then the
//! run is lost. A piece for another offset, of another length or with another
//! hash is dropped. At the end length and SHA-256 of all of it must be the
//! server's: then nothing was lost and nothing came twice.
//!
//! # How nothing is left behind
//!
//! The instance lives while its lease is renewed: every third of `lease`, for
//! as long as the handle lives. When this process is killed, the server
//! removes the instance as soon as its lease has run out.
//!
//! # Two data planes
//!
//! A service that only creates, shows and deletes machines answers with
//! `connect.kind` `ssh`: address, account and host key of a machine. Upload and
//! run then go over SSH (`backend-ssh`, by the feature `ssh`), with that host
//! key and no other; the lease, the list and the removal stay with the service.
//!
//! # Capabilities
//!
//! What a server can do is known only once it is asked, and capabilities are
//! known before that: so they are an option, `capabilities`, and `setup`
//! refuses a server that lacks one of them. What is given is also required of
//! every instance.

#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;

mod backoff;
mod call;
mod endpoint;
mod error;
mod examine;
mod instance;
mod lease;
mod options;
mod output;
mod plane;
mod pool;
mod provider;
mod remote;
mod stage;
mod start;

use backend_core::{Backend, Options as _};

pub use endpoint::{Endpoint, Endpoints};
pub use options::{CapabilityName, HttpOptions};
pub use provider::HttpProvider;

/// The backend `http`.
pub static BACKEND: Backend = Backend {
    alias: "http",
    human_readable_name: "HTTP (worker/1)",
    options: HttpOptions::specs,
    provider: HttpProvider::from_config,
};

backend_core::register!(BACKEND);
