//! The servers of a configuration.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use backend_core::SecretString;
use reqwest::Certificate;

use crate::error::Failure;
use crate::options::HttpOptions;
use crate::remote::Remote;

/// The servers, and the one whose turn it is.
#[derive(Debug)]
pub(crate) struct Pool {
    remotes: Vec<Arc<Remote>>,
    turn: AtomicUsize,
}

impl Pool {
    /// Reads the files that the options name. Blocks.
    pub(crate) fn new(options: &HttpOptions) -> Result<Self, Failure> {
        let token = token(options)?;
        let authorities = options.ca_file.as_deref().map(authorities).transpose()?;
        let remotes = options.endpoint.0.iter().map(|endpoint| {
            let remote = Remote::new(
                endpoint.clone(),
                options,
                token.as_ref(),
                authorities.as_deref(),
            );
            remote.map(Arc::new)
        });
        let remotes: Vec<_> = remotes.collect::<Result<_, _>>()?;
        if token.is_some() {
            for remote in remotes.iter().filter(|remote| remote.endpoint.is_exposed()) {
                tracing::warn!(endpoint = %remote.endpoint, "the token is sent in the clear: use https");
            }
        }
        Ok(Self {
            // Many clients begin with different servers.
            turn: AtomicUsize::new(fastrand::usize(..remotes.len().max(1))),
            remotes,
        })
    }

    /// All of them.
    pub(crate) fn all(&self) -> &[Arc<Remote>] {
        &self.remotes
    }

    /// All of them, each time with another one first.
    pub(crate) fn in_turn(&self) -> impl Iterator<Item = &Arc<Remote>> {
        let first = self.turn.fetch_add(1, Ordering::Relaxed) % self.remotes.len().max(1);
        self.remotes
            .iter()
            .cycle()
            .skip(first)
            .take(self.remotes.len())
    }
}

fn token(options: &HttpOptions) -> Result<Option<SecretString>, Failure> {
    match (&options.token, &options.token_file) {
        (Some(_), Some(_)) => Err(Failure::TwoTokens),
        (Some(token), None) => Ok(Some(token.clone())),
        (None, Some(path)) => {
            let text = std::fs::read_to_string(path)
                .map_err(|error| unreadable("token-file", path, &error))?;
            Ok(Some(text.trim().into()))
        }
        (None, None) => Ok(None),
    }
}

fn authorities(path: &Path) -> Result<Vec<Certificate>, Failure> {
    let bytes = std::fs::read(path).map_err(|error| unreadable("ca-file", path, &error))?;
    match Certificate::from_pem_bundle(&bytes) {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        _ => Err(Failure::NoCertificate("ca-file", path.to_owned())),
    }
}

fn unreadable(option: &'static str, path: &Path, error: &std::io::Error) -> Failure {
    Failure::File {
        option,
        path: path.to_owned(),
        why: backend_core::why_unusable(path, error),
    }
}
