//! What is known about one option.

use serde::Serialize;

use super::OptionField;
use crate::ProviderConfig;

/// The kind of value that an option takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Kind {
    /// Any text.
    Text,
    /// A whole number in a range.
    Integer {
        /// The least.
        min: i64,
        /// The most.
        max: i64,
    },
    /// A number that may have a fraction, not below zero.
    Number,
    /// `true` or `false`.
    Bool,
    /// A length of time, such as `90s` or `1h30m`.
    Duration,
    /// A number of bytes, such as `512M` or `4G`.
    Size,
    /// A path of this machine.
    Path,
    /// A secret: never on the command line, never shown.
    Secret,
    /// One of these words.
    Choice(&'static [&'static str]),
}

impl Kind {
    /// The word for it in listings.
    pub fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Integer { .. } => "integer",
            Self::Number => "number",
            Self::Bool => "bool",
            Self::Duration => "duration",
            Self::Size => "size",
            Self::Path => "path",
            Self::Secret => "secret",
            Self::Choice(_) => "choice",
        }
    }

    /// What a value of this kind looks like, as it reads after "is not".
    pub fn expected(self) -> String {
        match self {
            Self::Text => "text".into(),
            Self::Integer { min, max: i64::MAX } => format!("an integer of at least {min}"),
            Self::Integer { min, max } => format!("an integer from {min} to {max}"),
            Self::Number => "a number of at least 0".into(),
            Self::Bool => "`true` or `false`".into(),
            Self::Duration => "a duration such as `90s`, `10m` or `1h30m`".into(),
            Self::Size => "a size such as `512M`, `4G` or `4500000`".into(),
            Self::Path => "a path".into(),
            Self::Secret => "a secret".into(),
            Self::Choice(words) => {
                let words: Vec<_> = words.iter().map(|word| format!("`{word}`")).collect();
                format!("one of {}", words.join(", "))
            }
        }
    }
}

/// Everything there is to know about one option.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct OptionSpec {
    /// Its key, in lower case with `-`.
    pub key: String,
    /// A second key for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub also: Option<&'static str>,
    /// The kind of its value, or of each of its values.
    pub kind: Kind,
    /// Whether it takes several values, separated by commas (`\,` is a comma).
    pub list: bool,
    /// Whether it is a family: any key that begins with `<key>-`.
    pub family: bool,
    /// Whether it must be given.
    pub required: bool,
    /// The text that holds where none is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default: Option<&'static str>,
    /// A value to show.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub example: Option<&'static str>,
    /// One or a few sentences.
    pub help: String,
}

impl OptionSpec {
    /// For [`options!`](crate::options!): the spec of the field `field`.
    #[doc(hidden)]
    pub fn new<F: OptionField>(
        field: &str,
        help: &str,
        default: Option<&'static str>,
        also: Option<&'static str>,
        example: Option<&'static str>,
    ) -> Self {
        // The rest is done once for all types.
        let spec = Self {
            key: String::new(),
            also,
            kind: F::KIND,
            list: F::LIST,
            family: F::FAMILY,
            required: default.is_none() && !F::MAY_BE_MISSING,
            default,
            example,
            help: String::new(),
        };
        spec.named(field, help)
    }

    fn named(mut self, field: &str, help: &str) -> Self {
        self.key = field.replace('_', "-");
        self.help = help.split_whitespace().collect::<Vec<_>>().join(" ");
        self
    }

    /// The keys of `config` that are this option's. `specs` are all options: a
    /// key that one of them has for itself is of no family.
    pub fn keys_in<'a>(&self, specs: &[Self], config: &'a ProviderConfig) -> Vec<&'a str> {
        let of_another = |key: &str| specs.iter().any(|spec| !spec.family && spec.takes(key));
        config
            .keys()
            .filter(|key| self.takes(key) && !(self.family && of_another(key)))
            .collect()
    }

    /// Whether `key`, in its normal form, is this option's.
    pub(crate) fn takes(&self, key: &str) -> bool {
        if self.family {
            return key.strip_prefix(&self.key).is_some_and(|rest| {
                rest.strip_prefix('-')
                    .is_some_and(|member| !member.is_empty())
            });
        }
        key == self.key || self.also == Some(key)
    }

    /// The environment variable that sets it for the backend `alias`.
    pub fn variable(&self, alias: &str) -> String {
        format!("WORKER_{alias}_{}", self.key)
            .to_ascii_uppercase()
            .replace('-', "_")
    }
}
