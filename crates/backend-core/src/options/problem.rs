//! What can be wrong with a configuration, and the reader that finds it.

use std::fmt;

use super::{Kind, OptionField, OptionSpec};
use crate::config::Origin;
use crate::suggest::nearest;
use crate::{Error, ErrorKind, Operation, ProviderConfig, Result};

/// One thing that is wrong with a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Problem {
    /// No option has this key.
    Unknown {
        /// The key.
        key: String,
        /// The nearest right one.
        nearest: Option<String>,
    },
    /// A value cannot be read.
    Malformed {
        /// The key.
        key: String,
        /// The value; `None` for a secret.
        value: Option<String>,
        /// What would be right.
        expected: String,
        /// What more there is to say.
        why: String,
    },
    /// An option that must be given is not.
    Missing {
        /// The key.
        key: String,
        /// The variable that would set it.
        variable: String,
    },
    /// A secret was given on the command line.
    ExposedSecret {
        /// The key.
        key: String,
        /// The variable that would set it.
        variable: String,
    },
    /// Both keys of one option were given.
    Twice {
        /// One key.
        one: String,
        /// The other.
        other: String,
    },
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown {
                key,
                nearest: Some(near),
            } => {
                write!(f, "unknown option `{key}`: did you mean `{near}`?")
            }
            Self::Unknown { key, nearest: None } => write!(f, "unknown option `{key}`"),
            Self::Malformed {
                key,
                value,
                expected,
                why,
            } => {
                write!(f, "option `{key}`: ")?;
                match value {
                    Some(value) => write!(f, "`{value}` is not {expected}")?,
                    None => write!(f, "its value is not {expected}")?,
                }
                if why.is_empty() {
                    Ok(())
                } else {
                    write!(f, " ({why})")
                }
            }
            Self::Missing { key, variable } => {
                write!(
                    f,
                    "expected config key {key}: set `-o {key}=…` or {variable}"
                )
            }
            Self::ExposedSecret { key, variable } => write!(
                f,
                "option `{key}` is a secret and would be seen in the list of processes: set {variable} instead"
            ),
            Self::Twice { one, other } => {
                write!(
                    f,
                    "`{one}` and `{other}` are the same option: give one of them"
                )
            }
        }
    }
}

/// All problems of one configuration: the reason under the one [`Error`].
#[derive(Debug)]
struct Problems(Vec<Problem>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let texts: Vec<_> = self.0.iter().map(Problem::to_string).collect();
        f.write_str(&texts.join("; "))
    }
}

impl std::error::Error for Problems {}

/// Reads the fields of an options struct, and collects what is wrong.
#[derive(Debug)]
pub struct Reader<'a> {
    alias: &'a str,
    specs: &'static [OptionSpec],
    config: &'a ProviderConfig,
    problems: Vec<Problem>,
}

impl<'a> Reader<'a> {
    /// Begins with the keys that no option has.
    pub fn new(alias: &'a str, specs: &'static [OptionSpec], config: &'a ProviderConfig) -> Self {
        // An exact key wins over a family: `image-selector` is no image.
        let unknown = config
            .keys()
            .filter(|key| !specs.iter().any(|spec| spec.takes(key)));
        let known = || specs.iter().map(|spec| spec.key.as_str());
        let problems = unknown
            .map(|key| Problem::Unknown {
                key: key.to_owned(),
                nearest: nearest(key, known()).map(str::to_owned),
            })
            .collect();
        Self {
            alias,
            specs,
            config,
            problems,
        }
    }

    /// Reads one field; `None` after a problem, which `finish` will tell.
    pub fn read<F: OptionField>(&mut self, field: &str) -> Option<F> {
        let key = field.replace('_', "-");
        let spec = self.specs.iter().find(|spec| spec.key == key)?;
        let keys: Vec<_> = self
            .config
            .keys()
            .filter(|key| spec.takes(key) && (!spec.family || !self.is_exact(key)))
            .collect();
        if let ([one, other, ..], false) = (keys.as_slice(), spec.family) {
            self.problems.push(Problem::Twice {
                one: (*one).into(),
                other: (*other).into(),
            });
            return None;
        }
        let mut values = Vec::new();
        for key in &keys {
            let entry = self.config.entry(key)?;
            if spec.kind == Kind::Secret && entry.origin == Origin::Flag {
                let variable = spec.variable(self.alias);
                self.problems.push(Problem::ExposedSecret {
                    key: spec.key.clone(),
                    variable,
                });
                return None;
            }
            let member = key.strip_prefix(&format!("{}-", spec.key)).unwrap_or(key);
            values.extend(entry.values.iter().map(|value| (member, value.as_str())));
        }
        if values.is_empty()
            && let Some(default) = spec.default
        {
            values.push((spec.key.as_str(), default));
        }
        match F::read(&values) {
            Ok(Some(value)) => Some(value),
            Ok(None) => {
                let variable = spec.variable(self.alias);
                self.problems.push(Problem::Missing {
                    key: spec.key.clone(),
                    variable,
                });
                None
            }
            Err((value, why)) => {
                self.problems.push(malformed(spec, value, why));
                None
            }
        }
    }

    /// One error for all problems, if there were any.
    pub fn finish(self) -> Result<()> {
        let mut problems = self.problems;
        if problems.is_empty() {
            return Ok(());
        }
        problems.sort_by_key(|problem| !matches!(problem, Problem::Unknown { .. }));
        let endpoint = |problem: &Problem| matches!(problem, Problem::Missing { key, .. } if key == "endpoint");
        let kind = if problems.iter().all(endpoint) {
            ErrorKind::MissingEndpoint
        } else {
            ErrorKind::InvalidOption
        };
        let count = match problems.len() {
            1 => "1 problem".to_owned(),
            count => format!("{count} problems"),
        };
        let message = format!("{count} with the options of backend `{}`", self.alias);
        Err(Error::new(kind, message)
            .with_hint(format!(
                "`worker backends {}` lists its options",
                self.alias
            ))
            .caused_by(Problems(problems)))
    }

    fn is_exact(&self, key: &str) -> bool {
        self.specs
            .iter()
            .any(|spec| !spec.family && spec.takes(key))
    }
}

/// A field that was not read and gave no problem: never happens, and is an
/// error all the same, not a panic.
pub fn unread(alias: &str) -> Error {
    Error::failed(
        ErrorKind::InvalidOption,
        alias,
        Operation::Configure,
        std::io::Error::other("an option was not read"),
    )
}

fn malformed(spec: &OptionSpec, value: String, why: String) -> Problem {
    let mut expected = spec.kind.expected();
    let has_example = matches!(
        spec.kind,
        Kind::Integer { .. } | Kind::Number | Kind::Text | Kind::Path
    );
    if let (Some(example), true) = (spec.example, has_example) {
        expected = format!("{expected}, such as `{example}`");
    }
    let secret = spec.kind == Kind::Secret;
    Problem::Malformed {
        key: spec.key.clone(),
        value: (!secret).then_some(value),
        expected,
        why,
    }
}
