//! The environment of a run: what a shell in between can carry, and no more.

use std::collections::BTreeMap;
use std::fmt;

/// The most bytes that one `NAME=VALUE` may have on Linux, without its final
/// NUL: `MAX_ARG_STRLEN` (32 pages of 4 KiB) less one. Source: `execve(2)`.
pub const MAX_VARIABLE_LENGTH: usize = 32 * 4096 - 1;

/// Names that a POSIX shell sets by itself, makes read-only or cannot import.
const TAKEN_BY_SHELLS: [&str; 4] = ["OPTIND", "PPID", "UID", "EUID"];

/// The variables that a run adds to what its instance already has.
///
/// Every entry was checked when it was put in: the same values pass unchanged
/// on every backend. `Debug` shows names only, since a value may be a secret.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Environment(BTreeMap<String, String>);

/// A variable that cannot be passed to every script on every backend.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidVariable {
    /// The name is not a name for a shell.
    #[error(
        "environment variable name {0:?} cannot be used: it may have letters, digits and _, and no digit first"
    )]
    Name(String),
    /// A shell between Worker and the script would not pass it on.
    #[error("environment variable `{0}` cannot be set: shells reserve it for themselves")]
    Reserved(String),
    /// The value holds a NUL byte.
    #[error("environment variable `{0}` holds a NUL byte, which no process can be given")]
    Nul(String),
    /// Name and value together are too long for the kernel.
    #[error(
        "environment variable `{name}` is too long: {length} bytes with its name and `=`, at most {MAX_VARIABLE_LENGTH} are possible"
    )]
    TooLong {
        /// The variable's name.
        name: String,
        /// Bytes of name, `=` and value.
        length: usize,
    },
}

impl Environment {
    /// None at all.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets one variable; the last value given for a name holds.
    ///
    /// # Errors
    ///
    /// [`InvalidVariable`] names the variable, never its value.
    pub fn set(
        &mut self,
        name: impl Into<String>,
        value: impl Into<String>,
    ) -> Result<&mut Self, InvalidVariable> {
        let (name, value) = (name.into(), value.into());
        check(&name, &value)?;
        self.0.insert(name, value);
        Ok(self)
    }

    /// The value of `name`, if it is set.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Names and values, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// `export NAME='VALUE'` lines for a POSIX shell to read from a file.
    ///
    /// Pure text in safe quotes: nothing in a value is ever expanded.
    pub fn to_shell(&self) -> String {
        let mut text = String::new();
        for (name, value) in self.iter() {
            text.push_str("export ");
            text.push_str(name);
            text.push('=');
            text.push_str(&crate::quote::single(value));
            text.push('\n');
        }
        text
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Environment")
            .field(&self.0.keys().collect::<Vec<_>>())
            .finish()
    }
}

fn check(name: &str, value: &str) -> Result<(), InvalidVariable> {
    let mut bytes = name.bytes();
    let begins = bytes
        .next()
        .is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_');
    if !begins || !bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
        return Err(InvalidVariable::Name(name.to_owned()));
    }
    if TAKEN_BY_SHELLS.contains(&name) {
        return Err(InvalidVariable::Reserved(name.to_owned()));
    }
    if value.contains('\0') {
        return Err(InvalidVariable::Nul(name.to_owned()));
    }
    let length = name.len() + 1 + value.len();
    if length > MAX_VARIABLE_LENGTH {
        return Err(InvalidVariable::TooLong {
            name: name.to_owned(),
            length,
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_are_those_of_shells() {
        let mut environment = Environment::new();
        for name in ["A", "_", "a1", "PATH", "X_Y"] {
            environment.set(name, "v").unwrap();
        }
        for name in ["", "1A", "A-B", "A B", "A=B", "Ä", "A\n", "A\0"] {
            let error = environment.set(name, "v").unwrap_err();
            assert!(matches!(error, InvalidVariable::Name(_)), "{name:?}");
        }
        for name in TAKEN_BY_SHELLS {
            let error = environment.set(name, "v").unwrap_err();
            assert!(error.to_string().contains(name));
        }
    }

    #[test]
    fn the_longest_value_of_a_one_letter_name_has_131069_bytes() {
        let mut environment = Environment::new();
        environment.set("X", "x".repeat(131_069)).unwrap();
        let error = environment.set("X", "x".repeat(131_070)).unwrap_err();
        assert!(error.to_string().contains("`X`"));
    }

    #[test]
    fn debug_and_errors_hide_values() {
        let mut environment = Environment::new();
        environment.set("TOKEN", "hunter2").unwrap();
        assert_eq!(format!("{environment:?}"), r#"Environment(["TOKEN"])"#);
        let error = environment.set("TOKEN", "hunter2\0").unwrap_err();
        assert!(!error.to_string().contains("hunter2"));
    }

    proptest! {
        #[test]
        fn the_shell_reads_back_what_was_set(value in "[^\0]{0,64}") {
            let mut environment = Environment::new();
            environment.set("X", value.clone()).unwrap();
            let script = format!("{}printf %s \"$X\"", environment.to_shell());
            let output = std::process::Command::new("/bin/sh").arg("-c").arg(script).output().unwrap();
            prop_assert_eq!(output.stdout, value.as_bytes());
        }
    }
}
