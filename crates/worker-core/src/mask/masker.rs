//! The masker of one stream.

use std::borrow::Cow;
use std::sync::Arc;

use super::automaton::{Automaton, State};

/// What stands for a secret in the output.
const MASK: &[u8] = b"***";

/// Masks the secrets in one stream, however it is cut into pieces.
///
/// Every byte that belongs to an occurrence of a secret is masked, also where
/// occurrences overlap; those that overlap are one `***`.
#[derive(Debug)]
pub struct Masker {
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
    pub(super) fn new(automaton: Option<Arc<Automaton>>) -> Self {
        Self {
            automaton,
            state: 0,
            held: Vec::new(),
            spans: Vec::new(),
            announced: false,
        }
    }

    /// Whether there is anything to mask at all.
    pub fn is_idle(&self) -> bool {
        self.automaton.is_none()
    }

    /// Takes the next bytes of the stream, and gives all that can be passed on
    /// now: everything but what may be the beginning of a secret.
    pub fn push<'a>(&mut self, bytes: &'a [u8]) -> Cow<'a, [u8]> {
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
    fn cover(&mut self, mut begin: usize, end: usize) {
        while let Some((last_begin, last_end)) = self.spans.last().copied()
            && begin < last_end
        {
            begin = begin.min(last_begin);
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::Secrets;
    use super::*;

    fn secrets(values: &[&[u8]]) -> Secrets {
        let mut secrets = Secrets::new();
        secrets
            .add(values.iter().map(|value| ("S", *value)))
            .unwrap();
        secrets
    }

    fn masked<'a>(secrets: &Secrets, chunks: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
        let mut masker = secrets.masker();
        let mut output = Vec::new();
        for chunk in chunks {
            output.extend_from_slice(&masker.push(chunk));
        }
        output.extend(masker.finish());
        output
    }

    /// What masking means, without any cleverness: every byte of every
    /// occurrence is covered, and what is covered together is one mask.
    fn model(patterns: &[Vec<u8>], text: &[u8]) -> Vec<u8> {
        let mut spans: Vec<(usize, usize)> = Vec::new();
        for begin in 0..text.len() {
            let longest = patterns
                .iter()
                .filter(|pattern| text[begin..].starts_with(pattern));
            let Some(length) = longest.map(Vec::len).max() else {
                continue;
            };
            match spans.last_mut() {
                Some((_, end)) if begin < *end => *end = (*end).max(begin + length),
                _ => spans.push((begin, begin + length)),
            }
        }
        let mut output = Vec::new();
        let mut position = 0;
        for (begin, end) in spans {
            output.extend_from_slice(&text[position..begin]);
            output.extend_from_slice(MASK);
            position = end;
        }
        output.extend_from_slice(&text[position..]);
        output
    }

    #[test]
    fn what_cannot_be_a_secret_passes_at_once() {
        let secrets = secrets(&[b"hunter22"]);
        let mut masker = secrets.masker();
        assert_eq!(&*masker.push(b"abc"), b"abc");
        assert_eq!(&*masker.push(b"xhunt"), b"x");
        assert_eq!(&*masker.push(b"s"), b"hunts");
        assert_eq!(&*masker.push(b"hunter2"), b"");
        assert_eq!(&*masker.push(b"2"), b"***");
        assert_eq!(masker.finish(), b"");
    }

    #[test]
    fn a_secret_is_found_across_every_border() {
        let secrets = secrets(&[b"hunter22"]);
        let text = b"a hunter22hunter22 hunter2 hunter22";
        for border in 0..text.len() {
            let (head, tail) = text.split_at(border);
            assert_eq!(masked(&secrets, [head, tail]), b"a ****** hunter2 ***");
        }
        assert_eq!(masked(&secrets, text.chunks(1)), b"a ****** hunter2 ***");
    }

    #[test]
    fn a_long_secret_is_found_byte_by_byte() {
        let long: Vec<u8> = (0..16_384_u32)
            .map(|n| b'a' + u8::try_from(n % 23).unwrap())
            .collect();
        let text = [b"<".as_slice(), &long, b">"].concat();
        assert_eq!(masked(&secrets(&[&long]), text.chunks(1)), b"<***>");
    }

    proptest! {
        #[test]
        fn masking_is_what_the_model_says(
            patterns in proptest::collection::vec("[ab]{4,7}", 1..4),
            text in "[abc]{0,60}",
            chunk in 1_usize..9,
        ) {
            let patterns: Vec<_> = patterns.into_iter().map(String::into_bytes).collect();
            let set = patterns.iter().cloned().collect();
            let mut masker = Masker::new(Some(Arc::new(Automaton::new(&set))));
            let mut output = Vec::new();
            for chunk in text.as_bytes().chunks(chunk) {
                output.extend_from_slice(&masker.push(chunk));
            }
            output.extend(masker.finish());
            prop_assert_eq!(output, model(&patterns, text.as_bytes()));
        }

        #[test]
        fn no_secret_survives_any_cut(
            values in proptest::collection::vec("[a-c/+ \\\"é]{4,9}", 1..5),
            filler in "[a-c]{0,8}",
            chunk in 1_usize..9,
        ) {
            let slices: Vec<_> = values.iter().map(String::as_bytes).collect();
            let secrets = secrets(&slices);
            let text = values.join(&filler).repeat(2);
            let output = masked(&secrets, text.as_bytes().chunks(chunk));
            let output = String::from_utf8_lossy(&output);
            for value in &values {
                prop_assert!(!output.contains(value.as_str()), "{value:?} is in {output:?}");
            }
        }
    }
}
