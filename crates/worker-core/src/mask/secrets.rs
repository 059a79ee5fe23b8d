//! The secrets of a job.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::automaton::Automaton;
use super::forms;
use super::masker::Masker;

/// The shortest secret that can be masked, in bytes: a shorter one would tear
/// holes into every output, and be guessed from where they are.
pub const MINIMUM_SECRET: usize = 4;

/// The longest secret that can be masked, in bytes: as long as an environment
/// variable can be. What may be the beginning of a secret is held in memory.
pub const MAXIMUM_SECRET: usize = 131_072;

/// The secrets of a job, ready to be masked.
///
/// Clones share one set: a secret that is added while a job runs, as one that
/// was just fetched or issued for it, is masked in everything that comes from
/// then on. `Debug` shows how many there are.
#[derive(Clone, Default)]
pub struct Secrets(Arc<Shared>);

#[derive(Default)]
struct Shared {
    /// How often the set has changed. A masker compares it with each write,
    /// without a lock.
    version: AtomicU64,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    values: BTreeSet<Vec<u8>>,
    /// Built once for all values; rebuilt when one is added.
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

    /// Adds secrets by name and value, at any time. An empty value has no
    /// effect. All at once is quicker than one by one.
    ///
    /// # Errors
    ///
    /// The first that is too short or too long; then none is added.
    pub fn add<'a>(
        &self,
        secrets: impl IntoIterator<Item = (&'a str, &'a [u8])>,
    ) -> Result<(), InvalidSecret> {
        let mut added = BTreeSet::new();
        for (name, value) in secrets {
            match value.len() {
                0 => continue,
                length if length < MINIMUM_SECRET => {
                    return Err(InvalidSecret::TooShort(name.to_owned()));
                }
                length if length > MAXIMUM_SECRET => {
                    return Err(InvalidSecret::TooLong(name.to_owned()));
                }
                _ => added.insert(value.to_vec()),
            };
        }
        let mut known = self.lock();
        if added.is_subset(&known.values) {
            return Ok(());
        }
        known.values.append(&mut added);
        let patterns: BTreeSet<_> = known.values.iter().flat_map(|v| forms::of(v)).collect();
        known.automaton = Some(Arc::new(Automaton::new(&patterns)));
        self.0.version.fetch_add(1, Ordering::Release);
        Ok(())
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.lock().values.is_empty()
    }

    /// A masker for one stream.
    pub fn masker(&self) -> Masker {
        Masker::new(self.clone())
    }

    /// How often the set has changed.
    pub(super) fn version(&self) -> u64 {
        self.0.version.load(Ordering::Acquire)
    }

    /// What finds them, and the version of the set that it is of.
    pub(super) fn automaton(&self) -> (u64, Option<Arc<Automaton>>) {
        let known = self.lock();
        (self.version(), known.automaton.clone())
    }

    /// Secrets of exactly these patterns, without any other form of them.
    #[cfg(test)]
    pub(super) fn of_patterns(patterns: BTreeSet<Vec<u8>>) -> Self {
        let secrets = Self::new();
        secrets.set_patterns(patterns);
        secrets
    }

    #[cfg(test)]
    pub(super) fn set_patterns(&self, patterns: BTreeSet<Vec<u8>>) {
        let mut known = self.lock();
        known.automaton = Some(Arc::new(Automaton::new(&patterns)));
        known.values = patterns;
        self.0.version.fetch_add(1, Ordering::Release);
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.known.lock().unwrap_or_else(PoisonError::into_inner)
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
        write!(f, "Secrets({})", self.lock().values.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_masked_is_refused_by_name_and_adds_nothing() {
        let secrets = Secrets::new();
        let add = |value: &[u8]| secrets.add([("GOOD", b"long enough".as_slice()), ("S", value)]);
        let short = add(b"x").unwrap_err();
        assert_eq!(short, InvalidSecret::TooShort("S".into()));
        assert_eq!(
            add(&vec![b'x'; 16 << 20]),
            Err(InvalidSecret::TooLong("S".into()))
        );
        assert!(secrets.is_empty() && short.to_string().contains("`S`"));
        add(b"").unwrap();
        assert_eq!(format!("{secrets:?}"), "Secrets(1)");
    }

    #[test]
    fn clones_share_what_is_added() {
        let secrets = Secrets::new();
        let clone = secrets.clone();
        clone.add([("S", b"hunter22".as_slice())]).unwrap();
        assert_eq!(secrets.mask_text("a hunter22"), "a ***");
    }
}
