//! Puts any of [Worker's backends](backend_core) behind the HTTP API
//! `worker/1`, of which [`worker_api::OPENAPI`] is the reference.
//!
//! ```no_run
//! use std::sync::Arc;
//! use backend_core::{OwnerId, ProviderConfig};
//! use tokio_util::sync::CancellationToken;
//! use worker_server::{Listen, Server, ServerOptions};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let provider = (backend_fake::BACKEND.provider)(&ProviderConfig::new())?;
//! let mut options = ServerOptions::new("/var/lib/worker", OwnerId::current());
//! options.listen.push(Listen::Tcp("127.0.0.1:8080".parse()?));
//! let server = Server::bind(provider, options).await?;
//! let (shutdown, now) = (CancellationToken::new(), CancellationToken::new());
//! server.serve(shutdown, now).await?;
//! # Ok(())
//! # }
//! ```
//!
//! # What flows through
//!
//! A connection (`transport`) is served by one task; each request passes the
//! guard (`guard`: its name, who makes it, how often) and comes to a handler
//! (`routes`). An instance has a task of its own (`keeper`) from its creation
//! until it is forgotten: the only one that starts and removes it. Handlers
//! tell it what is wanted through the instance's state (`hosted`) and watch
//! what becomes of it. A run has a task too (`hosted_run`), which writes the
//! output into a journal on disk (`journal`) and publishes the verdict after
//! the journal is closed.
//!
//! # What it keeps
//!
//! One directory per instance (`store`): what was asked for, written before
//! anything is created; the output; how it ended. A server that begins removes
//! what an earlier one had started (`recovery`), and answers for it as it was:
//! a run that had ended keeps its verdict, one that had not is lost.
//!
//! A journal that is full (the run's limit, the limit over all, the disk) ends
//! its run as `stopped` by `output-limit`; what had arrived stays.

#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;

mod answer;
mod guard;
mod host;
mod hosted;
mod hosted_run;
mod journal;
mod keeper;
mod options;
mod rate;
mod recovery;
mod request;
mod routes;
mod server;
mod store;
mod tokens;
mod transport;

pub use options::{Limits, Listen, ServerOptions, TlsFiles};
pub use server::{Server, StartError};
pub use tokens::{InvalidTokens, Scope, Tokens};
pub use transport::TlsError;
