//! What was learned of the shells of images.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::image::Image;

/// The images whose shell says so when a child dies of a signal. Finding that
/// out takes the gate a child that does: once for an image is enough. That a
/// shell says nothing is not remembered, since it may not have come to it.
/// Clones share what they know.
#[derive(Debug, Clone, Default)]
pub(crate) struct Shells(Arc<Mutex<HashSet<String>>>);

/// More images than this are learned anew.
const MOST: usize = 1024;

impl Shells {
    /// Whether the shell of this image is known to tell of deaths.
    pub(crate) fn tell_deaths(&self, image: &Image) -> bool {
        self.lock().contains(&image.reference)
    }

    /// Remembers that the shell of this image tells of deaths.
    pub(crate) fn learn(&self, image: &Image) {
        let mut known = self.lock();
        if known.len() >= MOST {
            known.clear();
        }
        known.insert(image.reference.clone());
    }

    fn lock(&self) -> MutexGuard<'_, HashSet<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
