//! The output limit: cut exactly, and no character in half.

/// Lets bytes through until a limit, and cuts there.
///
/// Where the limit falls into a UTF-8 character, the cut is before that
/// character; else, and so in all that is not UTF-8, it is at the limit. It
/// does not depend on how the output comes in pieces.
#[derive(Debug)]
pub(crate) struct Cutter {
    /// How many more bytes may pass.
    left: usize,
    /// The beginning of a character close to the limit, held back until it is
    /// known whether all of it fits, or is there at all.
    held: Vec<u8>,
    cut: bool,
}

impl Cutter {
    pub(crate) fn new(limit: u64) -> Self {
        Self {
            // More than an address space has is no limit.
            left: usize::try_from(limit).unwrap_or(usize::MAX),
            held: Vec::new(),
            cut: false,
        }
    }

    /// Whether anything was cut off.
    pub(crate) fn has_cut(&self) -> bool {
        self.cut
    }

    /// What of `bytes` (and of what was held back) may pass now.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Vec<u8> {
        if self.cut && self.held.is_empty() {
            return Vec::new();
        }
        let mut pending = std::mem::take(&mut self.held);
        pending.extend_from_slice(bytes);
        self.cut |= pending.len() > self.left;
        let open = open_tail(pending.get(..self.left).unwrap_or(&pending));
        // Near the limit only: elsewhere output stays live to the byte.
        if open == 0 || self.left.saturating_sub(pending.len()) >= LONGEST - 1 {
            pending.truncate(self.left);
            self.left -= pending.len();
            return pending;
        }
        let begins = pending.len().min(self.left) - open;
        let mut character = pending.split_off(begins);
        self.left -= begins;
        if character.len() <= self.left {
            self.held = character;
        } else {
            match whole(&character) {
                // It is there, and does not fit.
                Some(true) => self.left = 0,
                // It is no character after all.
                Some(false) => {
                    pending.extend(character.drain(..self.left));
                    self.left = 0;
                }
                None => self.held = character,
            }
        }
        pending
    }

    /// What was held back, at the end of the output: a character that never
    /// came to its end is none.
    pub(crate) fn finish(&mut self) -> Vec<u8> {
        let mut held = std::mem::take(&mut self.held);
        held.truncate(self.left);
        held
    }
}

/// The most bytes that a character has.
const LONGEST: usize = 4;

/// Whether a character begins `bytes` and comes to its end; `None` if more
/// bytes are needed to know.
fn whole(bytes: &[u8]) -> Option<bool> {
    let needed = bytes.first().map_or(0, |lead| length(*lead));
    match std::str::from_utf8(bytes.get(..needed).unwrap_or(bytes)) {
        Ok(_) => Some(true),
        Err(error) => error.error_len().map(|_| false),
    }
}

/// How many bytes at the end of `bytes` begin a character and do not end it.
fn open_tail(bytes: &[u8]) -> usize {
    let tail = bytes.iter().rev().take(LONGEST - 1);
    let continuations = tail.take_while(|byte| **byte & 0xC0 == 0x80).count();
    let have = continuations + 1;
    match bytes
        .len()
        .checked_sub(have)
        .and_then(|lead| bytes.get(lead))
    {
        Some(lead) if length(*lead) > have => have,
        _ => 0,
    }
}

/// How many bytes a character has whose first byte this is. Source: Unicode
/// 15, table 3-7.
fn length(lead: u8) -> usize {
    match lead {
        0xC2..=0xDF => 2,
        0xE0..=0xEF => 3,
        0xF0..=0xF4 => 4,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::fuzzing::cut as model;

    fn cut(chunks: &[&[u8]], limit: usize) -> (Vec<u8>, bool) {
        let mut cutter = Cutter::new(limit as u64);
        let mut passed: Vec<u8> = chunks.iter().flat_map(|chunk| cutter.push(chunk)).collect();
        passed.extend(cutter.finish());
        (passed, cutter.has_cut())
    }

    #[test]
    fn no_character_is_cut_in_half() {
        assert_eq!(cut(&[b"abcdef"], 6), (b"abcdef".to_vec(), false));
        assert_eq!(cut(&[b"abcdef"], 5), (b"abcde".to_vec(), true));
        assert_eq!(cut(&["aé".as_bytes()], 2), (b"a".to_vec(), true));
        let one_more = cut(&["a😀b".as_bytes()], 5);
        assert_eq!(one_more, ("a😀".as_bytes().to_vec(), true));
        for limit in 1..5 {
            let half = cut(&["a😀".as_bytes()], limit);
            assert_eq!(half, (b"a".to_vec(), true), "{limit}");
        }
        // Not UTF-8: cut at the limit.
        assert_eq!(cut(&[b"a\xE2zzz"], 2), (b"a\xE2".to_vec(), true));
        let continuations = cut(&[b"\x80\x80\x80\x80\x80"], 3);
        assert_eq!(continuations, (b"\x80\x80\x80".to_vec(), true));
        // An unfinished character at the very end is the script's own.
        assert_eq!(cut(&[b"a\xE2"], 2), (b"a\xE2".to_vec(), false));
        assert_eq!(cut(&[b"a\xE2\x82"], 2), (b"a\xE2".to_vec(), true));
    }

    #[test]
    fn output_far_from_the_limit_passes_at_once() {
        let mut cutter = Cutter::new(100);
        assert_eq!(cutter.push(b"a\xE2"), b"a\xE2");
        assert_eq!(cutter.push(b"\x82\xAC"), b"\x82\xAC");
    }

    #[test]
    fn every_text_is_cut_as_the_model_says_at_every_border() {
        let texts: [&[u8]; 5] = [
            "aé€😀b€".as_bytes(),
            b"a\xE2\x82z\xF0\x9F\x98",
            b"\xF0\x9F\x98\x80\xF0\x9F",
            b"\xE2\xE2\x82\xAC\xED\xA0\x80",
            b"\x80\xC3\xA9\xFF\xF4\x90\x80\x80",
        ];
        for text in texts {
            for limit in 1..=text.len() + 1 {
                let expected = model(text, limit);
                for first in 0..=text.len() {
                    for second in first..=text.len() {
                        let chunks = [&text[..first], &text[first..second], &text[second..]];
                        assert_eq!(cut(&chunks, limit), expected, "{text:x?} at {limit}");
                    }
                }
            }
        }
    }

    fn bytes_near_utf_8() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            "[a-zé€😀]{1,3}".prop_map(String::into_bytes),
            proptest::collection::vec(any::<u8>(), 1..3),
            Just(b"\xE2\x82".to_vec()),
            Just(b"\xF0\x9F\x98".to_vec()),
        ];
        proptest::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn any_bytes_are_cut_as_the_model_says(
            text in bytes_near_utf_8(),
            limit in 1_usize..40,
            chunk in 1_usize..7,
        ) {
            let chunks: Vec<_> = text.chunks(chunk).collect();
            prop_assert_eq!(cut(&chunks, limit), model(&text, limit));
        }

        #[test]
        fn text_stays_text(
            text in "[a-zé€😀]{0,12}",
            limit in 1_usize..40,
            chunk in 1_usize..7,
        ) {
            let chunks: Vec<_> = text.as_bytes().chunks(chunk).collect();
            let (passed, truncated) = cut(&chunks, limit);
            prop_assert!(text.as_bytes().starts_with(&passed));
            prop_assert!(String::from_utf8(passed).is_ok());
            prop_assert_eq!(truncated, text.len() > limit);
        }
    }
}
