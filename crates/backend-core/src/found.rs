//! What a provider finds of what exists.

use serde::Serialize;

use crate::{Error, Marks, Result};

/// An instance that a provider found, alive or not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Found {
    /// The marks that it carries.
    pub marks: Marks,
    /// Whether anything runs in it.
    pub state: FoundState,
    /// Where it is, in the backend's own words (a container id, a directory,
    /// `host:slot`). [`Provider::remove`](crate::Provider::remove) finds it by this.
    pub location: String,
    /// The image it was made from, if it has one.
    pub image: Option<String>,
}

impl Found {
    /// An instance with these marks, at this place.
    pub fn new(marks: Marks, state: FoundState, location: impl Into<String>) -> Self {
        Self {
            marks,
            state,
            location: location.into(),
            image: None,
        }
    }
}

/// Whether a found instance is alive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum FoundState {
    /// Something runs in it.
    Running,
    /// Nothing runs in it.
    Stopped,
    /// It cannot be told.
    Unknown,
}

/// What exists at the places of a provider that answer, and why the others do
/// not.
#[derive(Debug, Clone, Default)]
#[must_use = "a place that does not answer may hold instances"]
pub struct Listing {
    /// What was found.
    pub found: Vec<Found>,
    /// How many places answered.
    pub answered: usize,
    /// Why each of the others did not. What is there is not known.
    pub unanswered: Vec<Error>,
}

impl Listing {
    /// Takes the answer of one more place.
    pub fn add(&mut self, answer: Result<Vec<Found>>) {
        match answer {
            Ok(found) => {
                self.answered += 1;
                self.found.extend(found);
            }
            Err(error) => self.unanswered.push(error),
        }
    }

    /// All that exists.
    ///
    /// # Errors
    ///
    /// Why the first of the places did not answer that did not.
    pub fn complete(self) -> Result<Vec<Found>> {
        match self.unanswered.into_iter().next() {
            Some(error) => Err(error),
            None => Ok(self.found),
        }
    }
}

/// The answer of the only place that there is.
impl From<Result<Vec<Found>>> for Listing {
    fn from(answer: Result<Vec<Found>>) -> Self {
        let mut listing = Self::default();
        listing.add(answer);
        listing
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Capability, StartContext};

    #[test]
    fn a_listing_is_complete_if_every_place_answered() {
        let found = Found::new(StartContext::new().marks(), FoundState::Running, "here");
        let mut listing = Listing::from(Ok(vec![found.clone()]));
        listing.add(Ok(Vec::new()));
        assert_eq!(listing.answered, 2);
        assert_eq!(listing.clone().complete().unwrap(), [found]);
        listing.add(Err(Error::unsupported(Capability::Keeps)));
        assert_eq!((listing.answered, listing.found.len()), (2, 1));
        assert!(listing.complete().is_err());
    }
}
