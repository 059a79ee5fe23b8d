//! The cases, in the order of the behaviour list.

mod environment;
mod exit;
mod output;
mod upload;

use super::case::Case;

/// All cases, in the order of the behaviour list.
pub fn all() -> impl Iterator<Item = &'static Case> {
    [
        exit::CASES,
        output::CASES,
        upload::CASES,
        environment::CASES,
    ]
    .into_iter()
    .flatten()
}
