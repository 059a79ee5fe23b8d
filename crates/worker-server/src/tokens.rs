//! Who may: bearer tokens, kept as hashes, compared in constant time.

use std::collections::BTreeSet;
use std::fmt;

use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

/// The shortest token that is taken: at 16 characters nobody guesses one.
const MINIMUM_LENGTH: usize = 16;

/// What a caller may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scope {
    /// Everything, with its own instances.
    Full,
    /// Watch its own instances, runs and output.
    Read,
}

/// Whoever makes a request. Callers of one name share their instances.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Caller {
    pub(crate) name: String,
    pub(crate) scope: Scope,
}

impl Caller {
    /// Whoever reaches a server that has no tokens.
    pub(crate) fn anyone() -> Self {
        Self {
            name: "anyone".into(),
            scope: Scope::Full,
        }
    }
}

/// The tokens that a server knows, each by its SHA-256 only.
#[derive(Clone, Default)]
pub struct Tokens(Vec<Token>);

#[derive(Clone)]
struct Token {
    hash: [u8; 32],
    name: String,
    scope: Scope,
}

/// A token file, or token, that makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidTokens {
    /// The token is too short to be safe.
    #[error("line {line}: the token is shorter than {MINIMUM_LENGTH} characters")]
    Short {
        /// The line, from 1.
        line: usize,
    },
    /// The line has not one or three fields.
    #[error("line {line}: it is neither a token nor `NAME full|read TOKEN`")]
    Fields {
        /// The line, from 1.
        line: usize,
    },
    /// The scope is not one.
    #[error("line {line}: the scope is neither `full` nor `read`")]
    Scope {
        /// The line, from 1.
        line: usize,
    },
    /// A hash is not 64 hexadecimal digits.
    #[error("line {line}: behind `sha256:` stand 64 hexadecimal digits")]
    Hash {
        /// The line, from 1.
        line: usize,
    },
    /// The same token stands twice.
    #[error("line {line}: the token stands there a second time")]
    Twice {
        /// The line, from 1.
        line: usize,
    },
    /// There is none.
    #[error("there is no token in it")]
    Empty,
}

impl Tokens {
    /// No tokens at all.
    pub fn none() -> Self {
        Self::default()
    }

    /// Reads the lines of a token file, or the one line of a variable.
    ///
    /// A line is `TOKEN` (of a caller `default`, who may do everything), or
    /// `NAME full|read TOKEN`, where `sha256:` and 64 hexadecimal digits may
    /// stand for the token. Empty lines and those that begin with `#` do not
    /// count.
    ///
    /// # Errors
    ///
    /// The first line that makes no sense, by its number; never its text.
    pub fn read(text: &SecretString) -> Result<Self, InvalidTokens> {
        let mut tokens: Vec<Token> = Vec::new();
        let mut seen = BTreeSet::new();
        for (line, text) in (1..).zip(text.expose_secret().lines()) {
            let text = text.trim();
            if text.is_empty() || text.starts_with('#') {
                continue;
            }
            let token = token(line, text)?;
            if !seen.insert(token.hash) {
                return Err(InvalidTokens::Twice { line });
            }
            tokens.push(token);
        }
        if tokens.is_empty() {
            return Err(InvalidTokens::Empty);
        }
        Ok(Self(tokens))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whose token this is. It is compared to every one that there is, and in
    /// constant time, so that the time tells nothing.
    pub(crate) fn caller(&self, token: &str) -> Option<Caller> {
        let hash = hash(token);
        let mut found = None;
        for known in &self.0 {
            if bool::from(known.hash.ct_eq(&hash)) {
                found = Some(known);
            }
        }
        found.map(|token| Caller {
            name: token.name.clone(),
            scope: token.scope,
        })
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tokens({})", self.0.len())
    }
}

fn token(line: usize, text: &str) -> Result<Token, InvalidTokens> {
    let fields: Vec<_> = text.split_ascii_whitespace().collect();
    let (name, scope, secret) = match fields.as_slice() {
        [secret] => ("default", Scope::Full, *secret),
        [name, "full", secret] => (*name, Scope::Full, *secret),
        [name, "read", secret] => (*name, Scope::Read, *secret),
        [_, _, _] => return Err(InvalidTokens::Scope { line }),
        _ => return Err(InvalidTokens::Fields { line }),
    };
    let hash = match secret.strip_prefix("sha256:") {
        Some(digits) => from_hex(digits).ok_or(InvalidTokens::Hash { line })?,
        None if secret.len() < MINIMUM_LENGTH => return Err(InvalidTokens::Short { line }),
        None => hash(secret),
    };
    Ok(Token {
        hash,
        name: name.to_owned(),
        scope,
    })
}

fn hash(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

fn from_hex(digits: &str) -> Option<[u8; 32]> {
    // For Rust a number may have a sign.
    if digits.len() != 64 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let mut bytes = [0; 32];
    for (index, byte) in bytes.iter_mut().enumerate() {
        let pair = digits.get(index * 2..index * 2 + 2)?;
        *byte = u8::from_str_radix(pair, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Result<Tokens, InvalidTokens> {
        Tokens::read(&text.into())
    }

    #[test]
    fn a_file_names_callers_and_scopes() {
        let hashed = worker_api::Digest::of(b"the-hashed-token").to_hex();
        let tokens = read(&format!(
            "# who may\n\nci full 0123456789abcdef\nci read fedcba9876543210\nops full sha256:{hashed}\n"
        ))
        .unwrap();
        let caller = |token| {
            tokens
                .caller(token)
                .map(|caller| (caller.name, caller.scope))
        };
        assert_eq!(caller("0123456789abcdef"), Some(("ci".into(), Scope::Full)));
        assert_eq!(caller("fedcba9876543210"), Some(("ci".into(), Scope::Read)));
        assert_eq!(
            caller("the-hashed-token"),
            Some(("ops".into(), Scope::Full))
        );
        assert_eq!(caller("0123456789abcdeF"), None);
        assert_eq!(caller(""), None);
        assert_eq!(format!("{tokens:?}"), "Tokens(3)");
    }

    #[test]
    fn what_makes_no_sense_is_named_by_its_line() {
        let line = 2;
        let signed = format!("\nci full sha256:{}", "+f".repeat(32));
        for (text, error) in [
            ("\nshort", InvalidTokens::Short { line }),
            ("\na b", InvalidTokens::Fields { line }),
            ("\nci write 0123456789abcdef", InvalidTokens::Scope { line }),
            ("\nci full sha256:12", InvalidTokens::Hash { line }),
            (signed.as_str(), InvalidTokens::Hash { line }),
            (
                "0123456789abcdef\nx read 0123456789abcdef",
                InvalidTokens::Twice { line },
            ),
            ("# nothing\n", InvalidTokens::Empty),
        ] {
            assert_eq!(read(text).unwrap_err(), error, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused_without_being_told(text in ".{0,90}") {
            if let Err(error) = read(&text) {
                prop_assert!(text.len() < 12 || !error.to_string().contains(&text));
            }
        }
    }
}
