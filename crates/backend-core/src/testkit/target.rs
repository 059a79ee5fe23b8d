//! What the suite is run against.

use std::fmt;
use std::sync::Arc;

use crate::{Backend, Provider, ProviderConfig, Result, StartAttributes};

/// A backend with a configuration, against which the suite is run.
#[derive(Clone)]
pub struct Target {
    pub(crate) backend: &'static Backend,
    pub(crate) name: String,
    pub(crate) config: ProviderConfig,
    pub(crate) attributes: StartAttributes,
    pub(crate) processes_visible: Option<bool>,
    pub(crate) unavailable: Option<String>,
}

impl Target {
    /// The backend with an empty configuration, under its alias.
    pub fn new(backend: &'static Backend) -> Self {
        Self {
            backend,
            name: backend.alias.to_owned(),
            config: ProviderConfig::new(),
            attributes: StartAttributes::default(),
            processes_visible: None,
            unavailable: None,
        }
    }

    /// The same under another name, where one backend is run several times.
    #[must_use]
    pub fn named(self, name: impl Into<String>) -> Self {
        let name = name.into();
        Self { name, ..self }
    }

    /// The same with these options over those that it has.
    #[must_use]
    pub fn config<K: AsRef<str>, V: Into<String>>(
        self,
        pairs: impl IntoIterator<Item = (K, V)>,
    ) -> Self {
        self.provider_config(pairs.into_iter().collect())
    }

    /// The same with this configuration over the one that it has, origins
    /// and all: a secret has to come from an environment variable.
    #[must_use]
    pub fn provider_config(mut self, config: ProviderConfig) -> Self {
        self.config.overlay(config);
        self
    }

    /// The same with these attributes for every start.
    #[must_use]
    pub fn attributes(self, attributes: StartAttributes) -> Self {
        Self { attributes, ..self }
    }

    /// Says whether the processes of its instances are seen in this machine's
    /// `/proc`, by which the suite checks that they are gone.
    ///
    /// Unless this is called, the suite looks: where it does not see a process
    /// that it knows to run, it skips the checks that need to see it. With
    /// `true` that is a failure instead, so that the checks cannot be lost in
    /// silence: right for backends whose instances are on this machine.
    #[must_use]
    pub fn processes_visible(self, visible: bool) -> Self {
        Self {
            processes_visible: Some(visible),
            ..self
        }
    }

    /// Says that this target cannot be run here, and why: every case is
    /// skipped for that reason, which is counted and told.
    #[must_use]
    pub fn unavailable(self, reason: impl Into<String>) -> Self {
        Self {
            unavailable: Some(reason.into()),
            ..self
        }
    }

    /// The name in the names of trials and in reports.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A new provider, with `options` over the target's own.
    pub(crate) fn provider(&self, options: &[(&str, &str)]) -> Result<Arc<dyn Provider>> {
        (self.backend.provider)(&self.configuration(options))
    }

    /// The target's configuration, with `options` over it.
    pub(crate) fn configuration(&self, options: &[(&str, &str)]) -> ProviderConfig {
        let mut config = self.config.clone();
        config.overlay(options.iter().copied().collect());
        config
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Target")
            .field("name", &self.name)
            .field("backend", &self.backend.alias)
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}
