//! From the command line, the environment and `worker.toml` to providers.

use std::collections::HashSet;
use std::sync::Arc;

use backend_core::{
    Backend, Chain, Error, ErrorKind, OptionSpec, Options as _, Origin, Problems, Provider,
    ProviderConfig, Result, backend, backends,
};

use crate::args::{BackendSelection, BackendsSelection};
use crate::config_file::{self, ConfigFile};
use crate::job_settings::{self, JobSettings};

/// The backend where nothing names one.
const DEFAULT: &str = "local";

/// What is configured for the backend `alias`: from `-o`, then from the
/// environment (`WORKER_<BACKEND>_<KEY>`), then from the file.
pub(crate) fn configuration(alias: &str, options: &[(String, String)]) -> Result<ProviderConfig> {
    Ok(layered(config_file::current()?, alias, options))
}

fn layered(file: &ConfigFile, alias: &str, options: &[(String, String)]) -> ProviderConfig {
    let specs = backend(alias).map_or(&[][..], |backend| (backend.options)());
    let mut flags = ProviderConfig::new();
    for (key, value) in options {
        flags.add(key, value, Origin::Flag);
    }
    let environment = ProviderConfig::from_environment(alias, variables());
    over(
        &over(&file.backend(alias), environment, specs),
        flags,
        specs,
    )
}

/// `upper` over `lower`. An option that has two keys is one option: under
/// whichever of them `upper` sets it, what `lower` says of it is gone.
fn over(lower: &ProviderConfig, upper: ProviderConfig, specs: &[OptionSpec]) -> ProviderConfig {
    let set: HashSet<String> = specs
        .iter()
        .filter(|spec| !spec.family && !spec.keys_in(specs, &upper).is_empty())
        .flat_map(|spec| std::iter::once(spec.key.clone()).chain(spec.also.map(str::to_owned)))
        .collect();
    let mut config = ProviderConfig::new();
    for key in lower.keys().filter(|key| !set.contains(*key)) {
        let Some(entry) = lower.entry(key) else {
            continue;
        };
        for value in &entry.values {
            config.add(key, value, entry.origin.clone());
        }
    }
    config.overlay(upper);
    config
}

/// What is configured for the job beside the command line.
pub(crate) fn job_configuration() -> Result<ProviderConfig> {
    let mut config = config_file::current()?.job().clone();
    config.overlay(job_settings::from_environment(variables()));
    Ok(config)
}

/// The environment. A variable that is not text cannot be the value of any
/// option.
fn variables() -> Vec<(String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

/// The alias of the backend: the one that the command line or `WORKER_BACKEND`
/// names, else the configured one.
pub(crate) fn alias(selection: &BackendSelection) -> Result<String> {
    if let Some(alias) = &selection.backend {
        return Ok(alias.clone());
    }
    default_alias()
}

/// The configured backend.
pub(crate) fn default_alias() -> Result<String> {
    let job = job_configuration()?;
    Ok(job.get("backend").unwrap_or(DEFAULT).to_owned())
}

/// Whether the file can be used at all.
pub(crate) fn check_file() -> Result<()> {
    let found = config_file::current()?.problems();
    if found.is_empty() {
        return Ok(());
    }
    Err(together(found, &[]))
}

/// All that is configured for one job.
#[derive(Debug)]
pub(crate) struct Configured {
    pub(crate) settings: JobSettings,
    pub(crate) provider: Arc<dyn Provider>,
}

/// The chosen backend, its provider and the settings of the job: all that is
/// wrong with them in one error.
pub(crate) fn configured(selection: &BackendSelection) -> Result<Configured> {
    let file = config_file::current()?;
    let job = job_configuration()?;
    let settings = JobSettings::read(job_settings::SECTION, &job);
    let alias = selection.backend.as_deref().or(job.get("backend"));
    let alias = alias.unwrap_or(DEFAULT);
    let made = backend(alias).and_then(|backend| {
        let config = layered(file, alias, &selection.options.options);
        (backend.provider)(&config)
    });
    let settings = settings.map_err(|problems| {
        Error::new(ErrorKind::InvalidOption, "the settings of the job").caused_by(problems)
    });
    let found = file.problems();
    match (settings, made) {
        (Ok(settings), Ok(provider)) if found.is_empty() => Ok(Configured { settings, provider }),
        (Ok(_), Err(error)) if found.is_empty() => Err(error),
        (settings, made) => Err(together(found, &[settings.err(), made.err()])),
    }
}

/// The provider of the backend `alias`, or all that is wrong with its options
/// and with the file.
pub(crate) fn provider(alias: &str, options: &[(String, String)]) -> Result<Arc<dyn Provider>> {
    let file = config_file::current()?;
    let made =
        backend(alias).and_then(|backend| (backend.provider)(&layered(file, alias, options)));
    let found = file.problems();
    if found.is_empty() {
        return made;
    }
    Err(together(found, &[made.err()]))
}

/// One backend, and its provider unless that cannot be made.
pub(crate) type Candidate = (&'static Backend, Result<Arc<dyn Provider>>);

/// The chosen backend, or every one that is configured: one that lacks an
/// option it cannot do without is left out, unless it was asked for by name.
pub(crate) fn selected(selection: &BackendsSelection) -> Result<Vec<Candidate>> {
    let file = config_file::current()?;
    if let Some(alias) = &selection.backend {
        let backend = backend(alias)?;
        return Ok(vec![(backend, provider(alias, &selection.options))]);
    }
    check_file()?;
    let candidates = backends()?.into_iter().map(|backend| {
        let config = layered(file, backend.alias, &[]);
        (backend, (backend.provider)(&config))
    });
    Ok(candidates
        .filter(|(_, provider)| !provider.as_ref().is_err_and(is_unconfigured))
        .collect())
}

fn is_unconfigured(error: &Error) -> bool {
    error.kind() == ErrorKind::MissingEndpoint
}

/// One error for what was found in the file and what came of it later. The same
/// problem may be in both.
fn together(found: Vec<String>, errors: &[Option<Error>]) -> Error {
    let mut texts = found;
    for error in errors.iter().flatten() {
        let source = std::error::Error::source(error);
        match source.and_then(|source| source.downcast_ref::<Problems>()) {
            Some(problems) => texts.extend(problems.iter().map(ToString::to_string)),
            None => texts.push(Chain(error).to_string()),
        }
    }
    let mut seen = HashSet::new();
    texts.retain(|text| seen.insert(text.clone()));
    let count = match texts.len() {
        1 => "1 problem".to_owned(),
        count => format!("{count} problems"),
    };
    Error::new(ErrorKind::InvalidOption, format!("{count} with the configuration"))
        .with_hint("`worker backends --template` shows every setting, `worker backends ALIAS` the options of one backend")
        .caused_by(Several(texts))
}

/// Problems, as they are told.
#[derive(Debug)]
struct Several(Vec<String>);

impl std::fmt::Display for Several {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0.join("; "))
    }
}

impl std::error::Error for Several {}

#[cfg(test)]
mod tests {
    use super::*;

    backend_core::options! {
        struct TestOptions {
            /// Where.
            endpoint: Option<String>, also "host";
            /// Several.
            image: backend_core::Family;
        }
    }

    #[test]
    fn an_option_with_two_keys_is_one_option_over_all_layers() {
        let config = |key: &str, value: &str, origin| {
            let mut config = ProviderConfig::new();
            config.add(key, value, origin);
            config.add("image-os", value, Origin::Program);
            config
        };
        let lower = config("host", "file", Origin::Program);
        let upper = config("endpoint", "flag", Origin::Flag);
        let config = over(&lower, upper, TestOptions::specs());
        let options = TestOptions::read("test", &config).unwrap();
        assert_eq!(options.endpoint.as_deref(), Some("flag"));
        assert_eq!(options.image.get("os"), Some("flag"));
    }
}
