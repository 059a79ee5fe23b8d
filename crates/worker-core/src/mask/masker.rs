//! The masker of one stream.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use super::Secrets;
use super::automaton::{Automaton, State};

/// What stands for a secret in the output.
pub(crate) const MASK: &[u8] = b"***";

/// Masks the secrets in one stream, however it is cut into pieces.
///
/// Every byte that belongs to an occurrence of a secret is masked, also where
/// occurrences overlap; those that overlap are one `***`.
pub struct Masker {
    secrets: Secrets,
    /// Which version of the secrets the automaton is of.
    version: u64,
    automaton: Option<Arc<Automaton>>,
    state: State,
    /// The end of the text so far that may be the beginning of a secret.
    held: Vec<u8>,
    /// Occurrences in `held` and behind it, by where they begin and end, in
    /// order and apart from each other.
    spans: Vec<(usize, usize)>,
    /// Whether the mask of the first span was already written: it began before
    /// `held`.
    announced: bool,
}

impl Masker {
    pub(super) fn new(secrets: Secrets) -> Self {
        let (version, automaton) = secrets.automaton();
        Self {
            secrets,
            version,
            automaton,
            state: 0,
            held: Vec::new(),
            spans: Vec::new(),
            announced: false,
        }
    }

    /// Takes the next bytes of the stream, and gives all that can be passed on
    /// now: everything but what may be the beginning of a secret.
    pub fn push<'a>(&mut self, bytes: &'a [u8]) -> Cow<'a, [u8]> {
        if self.secrets.version() != self.version {
            self.renew();
        }
        let Some(automaton) = self.automaton.clone() else {
            return Cow::Borrowed(bytes);
        };
        self.search(&automaton, bytes);
        let open = automaton.open(self.state);
        if self.held.is_empty() && self.spans.is_empty() && open <= bytes.len() {
            // Nothing to mask: the bytes pass as they are.
            let (passed, held) = bytes.split_at(bytes.len() - open);
            self.held.extend_from_slice(held);
            return Cow::Borrowed(passed);
        }
        self.held.extend_from_slice(bytes);
        Cow::Owned(self.release(self.held.len() - open))
    }

    /// What is still held, at the end of the stream.
    pub fn finish(&mut self) -> Vec<u8> {
        self.state = 0;
        self.release(self.held.len())
    }

    /// Goes on with the secrets as they are now, and looks for them in what is
    /// still held as well.
    fn renew(&mut self) {
        (self.version, self.automaton) = self.secrets.automaton();
        let Some(automaton) = self.automaton.clone() else {
            return;
        };
        let held = std::mem::take(&mut self.held);
        // Secrets are never taken out: all but the one whose beginning was
        // passed on as a mask is found again.
        self.spans.truncate(usize::from(self.announced));
        self.state = 0;
        self.search(&automaton, &held);
        self.held = held;
    }

    /// Finds the occurrences that end in `bytes`.
    fn search(&mut self, automaton: &Automaton, bytes: &[u8]) {
        let before = self.held.len();
        let mut position = 0;
        while let Some(rest) = bytes.get(position..) {
            if self.state == 0 {
                position += automaton.skip(rest);
            }
            let Some(byte) = bytes.get(position) else {
                break;
            };
            position += 1;
            self.state = automaton.step(self.state, *byte);
            let found = automaton.found(self.state);
            if found > 0 {
                let end = before + position;
                self.cover(end - found, end);
            }
        }
    }

    /// Adds an occurrence, joined with those that it overlaps.
    fn cover(&mut self, mut begin: usize, mut end: usize) {
        while let Some((last_begin, last_end)) = self.spans.last().copied()
            && begin < last_end
        {
            (begin, end) = (begin.min(last_begin), end.max(last_end));
            self.spans.pop();
        }
        self.spans.push((begin, end));
    }

    /// The first `end` bytes of what is held, masked; they are held no longer.
    fn release(&mut self, end: usize) -> Vec<u8> {
        let mut masked = Vec::with_capacity(end);
        let mut position = 0;
        let mut kept = Vec::new();
        for (begin, span_end) in std::mem::take(&mut self.spans) {
            if begin >= end {
                kept.push((begin - end, span_end - end));
                continue;
            }
            masked.extend_from_slice(self.held.get(position..begin).unwrap_or_default());
            if !std::mem::take(&mut self.announced) {
                masked.extend_from_slice(MASK);
            }
            position = span_end.min(end);
            if span_end > end {
                kept.push((0, span_end - end));
                self.announced = true;
            }
        }
        masked.extend_from_slice(self.held.get(position..end).unwrap_or_default());
        self.held.drain(..end);
        self.spans = kept;
        masked
    }
}

impl fmt::Debug for Masker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What is held may be most of a secret.
        f.debug_struct("Masker")
            .field("secrets", &self.secrets)
            .field("held_bytes", &self.held.len())
            .finish_non_exhaustive()
    }
}
