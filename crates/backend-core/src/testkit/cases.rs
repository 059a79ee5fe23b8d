//! The cases, in the order of the behaviour list.

mod exit;

use super::case::Case;

/// All cases, in the order of the behaviour list.
pub fn all() -> impl Iterator<Item = &'static Case> {
    [exit::CASES].into_iter().flatten()
}
