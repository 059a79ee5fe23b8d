//! Masking secrets in a stream of bytes.
//!
//! [`Secrets`] are the values and every form in which they may be printed
//! (`forms.rs`). [`Masker`] replaces each occurrence by `***`, wherever the
//! borders between two writes fall: it holds back exactly what may be the
//! beginning of a secret, and passes everything else on at once. An automaton
//! (`automaton.rs`) remembers where in which secret the stream is; where it is
//! in none, a scanner (`scanner.rs`) skips ahead by several bytes at a time.

mod automaton;
mod forms;
mod masker;
mod scanner;
mod secrets;
#[cfg(test)]
mod tests;

#[cfg(any(test, fuzzing))]
pub(crate) use forms::of as patterns;
#[cfg(any(test, fuzzing))]
pub(crate) use masker::MASK;
pub use masker::Masker;
pub use secrets::{InvalidSecret, MAXIMUM_SECRET, MINIMUM_SECRET, Secrets};
