//! From the command line and the environment to providers.

use std::sync::Arc;

use backend_core::{
    Backend, Error, ErrorKind, Origin, Provider, ProviderConfig, Result, backend, backends,
};

use crate::args::BackendsSelection;

/// What is configured for the backend `alias`: from `-o`, then from the
/// environment (`WORKER_<BACKEND>_<KEY>`).
pub(crate) fn configuration(alias: &str, options: &[(String, String)]) -> ProviderConfig {
    // A variable that is not text cannot be the value of any option.
    let variables = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    let mut config = ProviderConfig::from_environment(alias, variables);
    let mut flags = ProviderConfig::new();
    for (key, value) in options {
        flags.add(key, value, Origin::Flag);
    }
    config.overlay(flags);
    config
}

/// The provider of the backend `alias`.
pub(crate) fn provider(alias: &str, options: &[(String, String)]) -> Result<Arc<dyn Provider>> {
    let backend = backend(alias)?;
    (backend.provider)(&configuration(alias, options))
}

/// One backend, and its provider unless that cannot be made.
pub(crate) type Candidate = (&'static Backend, Result<Arc<dyn Provider>>);

/// The chosen backend, or every one that is configured: one that lacks an
/// option it cannot do without is left out, unless it was asked for by name.
pub(crate) fn selected(selection: &BackendsSelection) -> Result<Vec<Candidate>> {
    if let Some(alias) = &selection.backend {
        let backend = backend(alias)?;
        return Ok(vec![(backend, provider(alias, &selection.options))]);
    }
    let candidates = backends()?
        .into_iter()
        .map(|backend| (backend, provider(backend.alias, &[])));
    Ok(candidates
        .filter(|(_, provider)| !provider.as_ref().is_err_and(is_unconfigured))
        .collect())
}

fn is_unconfigured(error: &Error) -> bool {
    error.kind() == ErrorKind::MissingEndpoint
}
