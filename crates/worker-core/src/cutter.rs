//! The output limit: cut exactly, and no character in half.

/// Lets bytes through until a limit, and cuts there.
///
/// The cut falls at the limit, or up to three bytes before it if a UTF-8
/// character would otherwise be cut in half. Bytes that are not UTF-8 are cut
/// at the limit.
#[derive(Debug)]
pub(crate) struct Cutter {
    /// How many more bytes may pass.
    left: u64,
    /// The beginning of a character close to the limit, held back until it is
    /// known whether all of it fits.
    held: Vec<u8>,
    cut: bool,
}

impl Cutter {
    pub(crate) fn new(limit: u64) -> Self {
        Self {
            left: limit,
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
        if self.cut {
            return Vec::new();
        }
        let mut pending = std::mem::take(&mut self.held);
        pending.extend_from_slice(bytes);
        let fits = usize::try_from(self.left).unwrap_or(usize::MAX);
        if pending.len() > fits {
            pending.truncate(border(&pending, fits));
            self.cut = true;
        } else if fits - pending.len() < 3 {
            // Near the limit only: elsewhere output stays live to the byte.
            self.held = pending.split_off(pending.len() - open_tail(&pending));
        }
        self.left -= pending.len() as u64;
        pending
    }

    /// What was held back, at the end of the output.
    pub(crate) fn finish(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.held)
    }
}

/// Where to cut `bytes`, which are longer than `limit`: at `limit`, or before
/// the character that lies across it.
fn border(bytes: &[u8], limit: usize) -> usize {
    let (head, tail) = bytes.split_at(limit);
    let begun = open_tail(head);
    let lead = limit - begun;
    let missing = bytes.get(lead).map_or(0, |byte| length(*byte)) - begun;
    let continues =
        tail.len() >= missing && tail.iter().take(missing).all(|byte| is_continuation(*byte));
    // With fewer bytes than the character needs, what is there decides.
    let may_continue = tail.len() < missing && tail.iter().all(|byte| is_continuation(*byte));
    if begun > 0 && (continues || may_continue) {
        lead
    } else {
        limit
    }
}

/// How many bytes at the end of `bytes` begin a character and do not end it.
fn open_tail(bytes: &[u8]) -> usize {
    for (index, byte) in bytes.iter().rev().take(3).enumerate() {
        if is_continuation(*byte) {
            continue;
        }
        let have = index + 1;
        return if length(*byte) > have { have } else { 0 };
    }
    0
}

/// How many bytes a character has whose first byte this is.
fn length(lead: u8) -> usize {
    match lead {
        0xC2..=0xDF => 2,
        0xE0..=0xEF => 3,
        0xF0..=0xF4 => 4,
        _ => 1,
    }
}

fn is_continuation(byte: u8) -> bool {
    byte & 0xC0 == 0x80
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cut(chunks: &[&[u8]], limit: u64) -> (Vec<u8>, bool) {
        let mut cutter = Cutter::new(limit);
        let mut passed: Vec<u8> = chunks.iter().flat_map(|chunk| cutter.push(chunk)).collect();
        passed.extend(cutter.finish());
        (passed, cutter.has_cut())
    }

    #[test]
    fn no_character_is_cut_in_half() {
        assert_eq!(cut(&[b"abcdef"], 6), (b"abcdef".to_vec(), false));
        assert_eq!(cut(&[b"abcdef"], 5), (b"abcde".to_vec(), true));
        assert_eq!(cut(&["aé".as_bytes()], 2), (b"a".to_vec(), true));
        assert_eq!(
            cut(&["a😀b".as_bytes()], 5),
            ("a😀".as_bytes().to_vec(), true)
        );
        for limit in 1..5 {
            assert_eq!(
                cut(&["a😀".as_bytes()], limit),
                (b"a".to_vec(), true),
                "{limit}"
            );
        }
        // Not UTF-8: cut at the limit.
        assert_eq!(cut(&[b"a\xE2zzz"], 2), (b"a\xE2".to_vec(), true));
        assert_eq!(
            cut(&[b"\x80\x80\x80\x80\x80"], 3),
            (b"\x80\x80\x80".to_vec(), true)
        );
        // An unfinished character at the very end is the script's own.
        assert_eq!(cut(&[b"a\xE2"], 2), (b"a\xE2".to_vec(), false));
    }

    proptest! {
        #[test]
        fn text_is_cut_at_the_last_border_that_fits(
            text in "[a-zé€😀]{0,12}",
            limit in 1_u64..40,
            chunk in 1_usize..7,
        ) {
            let chunks: Vec<_> = text.as_bytes().chunks(chunk).collect();
            let (passed, truncated) = cut(&chunks, limit);
            let mut end = text.len().min(usize::try_from(limit).unwrap());
            while !text.is_char_boundary(end) {
                end -= 1;
            }
            prop_assert_eq!(&passed, &text.as_bytes()[..end]);
            prop_assert_eq!(truncated, text.len() as u64 > limit);
        }

        #[test]
        fn any_bytes_are_cut_within_three_of_the_limit(
            bytes in proptest::collection::vec(any::<u8>(), 0..40),
            limit in 1_u64..40,
            chunk in 1_usize..7,
        ) {
            let chunks: Vec<_> = bytes.chunks(chunk).collect();
            let (passed, truncated) = cut(&chunks, limit);
            prop_assert!(bytes.starts_with(&passed));
            prop_assert_eq!(truncated, bytes.len() as u64 > limit);
            let least = (bytes.len() as u64).min(limit.saturating_sub(3));
            prop_assert!(passed.len() as u64 >= least && passed.len() as u64 <= limit);
        }
    }
}
