//! The provider on systems that have neither process groups with pidfds nor
//! cgroups: it refuses.

use std::sync::Arc;

use backend_core::{Error, ErrorKind, Options, Provider, ProviderConfig, Result};

use crate::LocalOptions;

/// The provider of the backend `local`; there is none on this system.
#[derive(Debug)]
pub enum LocalProvider {}

impl LocalProvider {
    pub(crate) fn from_config(config: &ProviderConfig) -> Result<Arc<dyn Provider>> {
        LocalOptions::parse("local", config)?;
        Err(
            Error::new(ErrorKind::Unsuitable, "the backend `local` needs Linux")
                .with_hint("run scripts with another backend, such as `docker` or `ssh`"),
        )
    }
}
