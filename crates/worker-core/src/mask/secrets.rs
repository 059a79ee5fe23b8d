//! The secrets of a job.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use super::automaton::Automaton;
use super::forms;
use super::masker::Masker;

/// The shortest secret that can be masked, in bytes: a shorter one would tear
/// holes into every output, and be guessed from where they are.
pub const MINIMUM_SECRET: usize = 4;

/// The longest secret that can be masked, in bytes: as long as an environment
/// variable can be. What may be the beginning of a secret is held in memory.
pub const MAXIMUM_SECRET: usize = 131_072;

/// The secrets of a job, ready to be masked. Cheap to clone. `Debug` shows how
/// many there are.
#[derive(Clone, Default)]
pub struct Secrets {
    values: BTreeSet<Vec<u8>>,
    // Built once for all values; rebuilt when one is added.
    automaton: Option<Arc<Automaton>>,
}

/// A secret that cannot be masked. The name is shown, the value never.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidSecret {
    /// It would be found everywhere.
    #[error(
        "the secret `{0}` is too short to be masked safely: it has fewer than {MINIMUM_SECRET} bytes"
    )]
    TooShort(String),
    /// It would have to be held in memory.
    #[error("the secret `{0}` is too long to be masked: it has more than {MAXIMUM_SECRET} bytes")]
    TooLong(String),
}

impl Secrets {
    /// None.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds secrets by name and value. An empty value has no effect.
    ///
    /// # Errors
    ///
    /// The first that is too short or too long; then none is added.
    pub fn add<'a>(
        &mut self,
        secrets: impl IntoIterator<Item = (&'a str, &'a [u8])>,
    ) -> Result<(), InvalidSecret> {
        let mut values = self.values.clone();
        for (name, value) in secrets {
            match value.len() {
                0 => continue,
                length if length < MINIMUM_SECRET => {
                    return Err(InvalidSecret::TooShort(name.to_owned()));
                }
                length if length > MAXIMUM_SECRET => {
                    return Err(InvalidSecret::TooLong(name.to_owned()));
                }
                _ => values.insert(value.to_vec()),
            };
        }
        if values != self.values {
            let patterns: BTreeSet<_> = values.iter().flat_map(|value| forms::of(value)).collect();
            self.automaton = Some(Arc::new(Automaton::new(&patterns)));
            self.values = values;
        }
        Ok(())
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// A masker for one stream.
    pub fn masker(&self) -> Masker {
        Masker::new(self.automaton.clone())
    }

    /// `text` with every secret masked: for messages.
    pub fn mask_text(&self, text: &str) -> String {
        let mut masker = self.masker();
        let mut passed = masker.push(text.as_bytes()).into_owned();
        passed.extend(masker.finish());
        String::from_utf8_lossy(&passed).into_owned()
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secrets({})", self.values.len())
    }
}
