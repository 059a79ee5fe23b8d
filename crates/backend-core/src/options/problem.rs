//! What can be wrong with a configuration, and the reader that finds it.

use std::fmt;

use super::{Kind, OptionField, OptionSpec};
use crate::config::Origin;
use crate::suggest::nearest;
use crate::{Error, ErrorKind, ProviderConfig};

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
        /// Where it came from.
        origin: Origin,
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
        /// Where the value came from.
        origin: Origin,
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
                nearest,
                origin,
            } => {
                write!(f, "unknown option `{key}`{}", Place(origin))?;
                match nearest {
                    Some(near) => write!(f, ": did you mean `{near}`?"),
                    None => Ok(()),
                }
            }
            Self::Malformed {
                key,
                value,
                expected,
                why,
                origin,
            } => {
                write!(f, "option `{key}`{}: ", Place(origin))?;
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

/// Where a key is, for who has to correct it: what stands on the command line
/// they have before them.
struct Place<'a>(&'a Origin);

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Origin::Environment(name) => write!(f, " ({name})"),
            file @ Origin::File { .. } => write!(f, " ({file})"),
            Origin::Program | Origin::Flag | Origin::Default => Ok(()),
        }
    }
}

/// All problems of one configuration, the unknown keys first: the reason under
/// the one [`Error`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.0.iter()
    }

    /// The one error that tells them, for the backend `alias`.
    pub fn into_error(self, alias: &str) -> Error {
        let endpoint = |problem: &Problem| matches!(problem, Problem::Missing { key, .. } if key == "endpoint");
        let kind = if !self.0.is_empty() && self.iter().all(endpoint) {
            ErrorKind::MissingEndpoint
        } else {
            ErrorKind::InvalidOption
        };
        let count = match self.0.len() {
            1 => "1 problem".to_owned(),
            count => format!("{count} problems"),
        };
        let message = format!("{count} with the options of backend `{alias}`");
        Error::new(kind, message)
            .with_hint(format!("`worker backends {alias}` lists its options"))
            .caused_by(self)
    }
}

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
        Self {
            alias,
            specs,
            config,
            problems: unknown_keys(specs, config),
        }
    }

    /// Reads one field; `None` after a problem, which `finish` will tell.
    pub fn read<F: OptionField>(&mut self, field: &str) -> Option<F> {
        // Little is done here, since there is one of this for each type.
        let given = self.given(field)?;
        let problem = match F::read(&given.values) {
            Ok(Some(value)) => return Some(value),
            Ok(None) => given.missing(self.alias),
            Err((value, why)) => malformed(given.spec, value, why, given.origin),
        };
        self.problems.push(problem);
        None
    }

    /// The texts of one field; `None` after a problem.
    fn given(&mut self, field: &str) -> Option<Given<'a>> {
        let key = field.replace('_', "-");
        let spec = self.specs.iter().find(|spec| spec.key == key)?;
        let keys = spec.keys_in(self.specs, self.config);
        if let ([one, other, ..], false) = (keys.as_slice(), spec.family) {
            self.problems.push(Problem::Twice {
                one: (*one).into(),
                other: (*other).into(),
            });
            return None;
        }
        let mut values = Vec::new();
        let mut origin = Origin::Default;
        for key in keys {
            let entry = self.config.entry(key)?;
            if spec.kind == Kind::Secret && entry.origin == Origin::Flag {
                let variable = spec.variable(self.alias);
                self.problems.push(Problem::ExposedSecret {
                    key: spec.key.clone(),
                    variable,
                });
                return None;
            }
            origin.clone_from(&entry.origin);
            let member = key.strip_prefix(&format!("{}-", spec.key)).unwrap_or(key);
            values.extend(entry.values.iter().map(|value| (member, value.as_str())));
        }
        if values.is_empty()
            && let Some(default) = spec.default
        {
            values.push((spec.key.as_str(), default));
        }
        Some(Given {
            spec,
            values,
            origin,
        })
    }

    /// All problems, if there were any.
    pub fn finish(self) -> std::result::Result<(), Problems> {
        let mut problems = self.problems;
        if problems.is_empty() {
            return Ok(());
        }
        problems.sort_by_key(|problem| !matches!(problem, Problem::Unknown { .. }));
        Err(Problems(problems))
    }
}

/// What is given for one field.
struct Given<'a> {
    spec: &'static OptionSpec,
    /// For each text, the member of a family, else the key.
    values: Vec<(&'a str, &'a str)>,
    origin: Origin,
}

impl Given<'_> {
    fn missing(&self, alias: &str) -> Problem {
        Problem::Missing {
            key: self.spec.key.clone(),
            variable: self.spec.variable(alias),
        }
    }
}

/// The keys of `config` that none of the options has.
pub fn unknown_keys(specs: &[OptionSpec], config: &ProviderConfig) -> Vec<Problem> {
    let known = || specs.iter().map(|spec| spec.key.as_str());
    config
        .keys()
        .filter(|key| !specs.iter().any(|spec| spec.takes(key)))
        .filter_map(|key| Some((key, config.entry(key)?)))
        .map(|(key, entry)| Problem::Unknown {
            key: key.to_owned(),
            nearest: nearest(key, known()).map(str::to_owned),
            origin: entry.origin.clone(),
        })
        .collect()
}

/// For a field that was not read and gave no problem: never happens, and is an
/// error all the same, not a panic.
pub fn unread() -> Problems {
    Problems(Vec::new())
}

fn malformed(spec: &OptionSpec, value: String, why: String, origin: Origin) -> Problem {
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
        origin,
    }
}
