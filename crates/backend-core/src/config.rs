//! The configuration of a provider, before it is understood: keys and texts.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

/// What a provider is configured with: texts by key, and where each came from.
///
/// Keys are matched in any case, with `-` or `_` (`STARTUP_DURATION` is
/// `startup-duration`); values are taken literally. `Debug` shows keys and
/// origins only, since a value may be a secret.
///
/// ```
/// use backend_core::ProviderConfig;
///
/// let config = ProviderConfig::from([("STARTUP_DURATION", "1s")]);
/// assert_eq!(config.get("startup-duration"), Some("1s"));
/// ```
#[derive(Clone, Default)]
pub struct ProviderConfig {
    entries: BTreeMap<String, ConfigEntry>,
}

/// What is configured for one key.
#[derive(Clone)]
pub struct ConfigEntry {
    /// The texts given for the key at one origin, in order. A list takes all
    /// of them, everything else the last.
    pub values: Vec<String>,
    /// Where they came from.
    pub origin: Origin,
}

/// Where the value of an option came from.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Origin {
    /// Set by the program that embeds the backend.
    Program,
    /// Given on the command line.
    Flag,
    /// Read from this environment variable.
    Environment(String),
    /// Read from a file.
    File {
        /// The file.
        path: PathBuf,
        /// The line on which the key stands, from 1.
        line: usize,
    },
    /// The option's own default.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Program => f.write_str("program"),
            Self::Flag => f.write_str("command line"),
            Self::Environment(name) => write!(f, "environment variable {name}"),
            Self::File { path, line } => write!(f, "{}, line {line}", path.display()),
            Self::Default => f.write_str("default"),
        }
    }
}

impl ProviderConfig {
    /// Nothing is configured.
    pub fn new() -> Self {
        Self::default()
    }

    /// The options of the backend `alias` in an environment: every variable
    /// whose name begins with `WORKER_<ALIAS>_`.
    pub fn from_environment(
        alias: &str,
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Self {
        let prefix = format!("WORKER_{}_", alias.to_ascii_uppercase().replace('-', "_"));
        let mut config = Self::new();
        for (name, value) in variables {
            if let Some(key) = name.strip_prefix(&prefix).filter(|key| !key.is_empty()) {
                config.add(key, value, Origin::Environment(name.clone()));
            }
        }
        config
    }

    /// Sets one option; what was there before for the key is forgotten.
    pub fn set(&mut self, key: &str, value: impl Into<String>) -> &mut Self {
        self.entries.remove(&normalize(key));
        self.add(key, value, Origin::Program)
    }

    /// Adds one value from `origin`. A further value from an equal origin goes
    /// behind the first (for lists); from another origin it takes its place.
    pub fn add(&mut self, key: &str, value: impl Into<String>, origin: Origin) -> &mut Self {
        let value = value.into();
        match self.entries.get_mut(&normalize(key)) {
            Some(entry) if entry.origin == origin => entry.values.push(value),
            _ => {
                let entry = ConfigEntry {
                    values: vec![value],
                    origin,
                };
                self.entries.insert(normalize(key), entry);
            }
        }
        self
    }

    /// Puts all of `other` over what is here: its keys win.
    pub fn overlay(&mut self, other: Self) -> &mut Self {
        self.entries.extend(other.entries);
        self
    }

    /// The last value of `key`, if it is set.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.entry(key)?.values.last().map(String::as_str)
    }

    /// All that is set for `key`.
    pub fn entry(&self, key: &str) -> Option<&ConfigEntry> {
        self.entries.get(&normalize(key))
    }

    /// The keys that are set, in their normal form, sorted.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }
}

/// The normal form of a key: lower case, with `-`.
fn normalize(key: &str) -> String {
    key.to_ascii_lowercase().replace('_', "-")
}

impl<K: AsRef<str>, V: Into<String>> FromIterator<(K, V)> for ProviderConfig {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(pairs: I) -> Self {
        let mut config = Self::new();
        for (key, value) in pairs {
            config.set(key.as_ref(), value);
        }
        config
    }
}

impl<K: AsRef<str>, V: Into<String>, const N: usize> From<[(K, V); N]> for ProviderConfig {
    fn from(pairs: [(K, V); N]) -> Self {
        pairs.into_iter().collect()
    }
}

impl fmt::Debug for ProviderConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map()
            .entries(self.entries.iter().map(|(key, entry)| (key, &entry.origin)))
            .finish()
    }
}

impl fmt::Debug for ConfigEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConfigEntry")
            .field("origin", &self.origin)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_is_taken_literally_and_only_under_the_prefix() {
        let variables = [
            ("WORKER_FAKE_LOG_OUTPUT", "100%25 $HOME"),
            ("WORKER_FAKE_", "x"),
            ("WORKER_FAKER_EXIT", "x"),
            ("FAKE_EXIT_CODE", "1"),
        ];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let config = ProviderConfig::from_environment("fake", variables);
        assert_eq!(config.keys().collect::<Vec<_>>(), ["log-output"]);
        assert_eq!(config.get("LOG_OUTPUT"), Some("100%25 $HOME"));
    }

    #[test]
    fn later_origins_replace_and_equal_ones_add() {
        let mut config = ProviderConfig::new();
        config.add("bind", "a", Origin::Environment("X".into()));
        config
            .add("BIND", "b", Origin::Flag)
            .add("bind", "c", Origin::Flag);
        assert_eq!(config.entry("bind").unwrap().values, ["b", "c"]);
    }

    #[test]
    fn debug_hides_values() {
        let config = ProviderConfig::from([("token", "hunter2")]);
        assert_eq!(format!("{config:?}"), r#"{"token": Program}"#);
    }
}
