//! The marker behind the last byte of the script's output: pure, in pieces of
//! any size.
//!
//! The gate writes it once the script has ended. That it arrives proves that
//! all of the output did; a stream that merely ends proves nothing.

use memchr::memmem::Finder;

/// Finds the marker in a stream, and takes it out.
#[derive(Debug)]
pub(crate) struct Marker {
    text: Vec<u8>,
    finder: Finder<'static>,
    /// How many bytes at the end of what was fed may be its beginning; they
    /// were held back.
    held: usize,
    seen: bool,
}

impl Marker {
    pub(crate) fn new(text: &str) -> Self {
        Self {
            text: text.into(),
            finder: Finder::new(text).into_owned(),
            held: 0,
            seen: false,
        }
    }

    /// Whether it has come.
    pub(crate) fn is_seen(&self) -> bool {
        self.seen
    }

    /// Takes the next piece of the stream, and hands on, in order, what is
    /// surely not the marker.
    pub(crate) fn feed<'a>(&'a mut self, piece: &'a [u8]) -> [&'a [u8]; 3] {
        const NOTHING: &[u8] = &[];
        if self.seen || piece.is_empty() {
            return [piece, NOTHING, NOTHING];
        }
        let before = self.held;
        if before > 0 {
            // Does it go on as it began? What was held back is a beginning of
            // the marker, so its bytes are the marker's own.
            let wanted = self.text.get(before..).unwrap_or_default();
            let common = wanted.len().min(piece.len());
            if wanted.get(..common) == piece.get(..common) {
                if common == wanted.len() {
                    self.seen = true;
                    self.held = 0;
                    return [piece.get(common..).unwrap_or_default(), NOTHING, NOTHING];
                }
                self.held += common;
                return [NOTHING, NOTHING, NOTHING];
            }
        }
        // The marker has no beginning that is also inside of it (its first
        // character is nowhere else in it), so it does not begin in what was
        // held back.
        if let Some(at) = self.finder.find(piece) {
            self.seen = true;
            self.held = 0;
            let held = self.text.get(..before).unwrap_or_default();
            let (passed, rest) = piece.split_at(at);
            let behind = rest.get(self.text.len()..).unwrap_or_default();
            return [held, passed, behind];
        }
        self.held = self.beginning_at_end(piece);
        let passed = piece.len().saturating_sub(self.held);
        let held = self.text.get(..before).unwrap_or_default();
        [held, piece.get(..passed).unwrap_or_default(), NOTHING]
    }

    /// What is still held back: it turned out not to be the marker.
    pub(crate) fn rest(&mut self) -> &[u8] {
        let held = std::mem::take(&mut self.held);
        self.text.get(..held).unwrap_or_default()
    }

    /// How many of the last bytes of `piece` may be the marker's beginning.
    fn beginning_at_end(&self, piece: &[u8]) -> usize {
        let longest = piece.len().min(self.text.len().saturating_sub(1));
        (1..=longest)
            .rev()
            .find(|length| piece.ends_with(self.text.get(..*length).unwrap_or_default()))
            .unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TEXT: &str = "<end:01234>";

    fn feed_all<'a>(marker: &mut Marker, pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
        let mut out = Vec::new();
        for piece in pieces {
            out.extend(marker.feed(piece).concat());
        }
        out.extend(marker.rest());
        out
    }

    proptest! {
        #[test]
        fn it_is_found_across_every_border_and_taken_out(
            before in "[<end:0-4x]{0,30}",
            after in "[<end:0-4x]{0,10}",
            cuts in proptest::collection::vec(1_usize..8, 1..20),
        ) {
            prop_assume!(!before.contains(TEXT));
            let stream = format!("{before}{TEXT}{after}");
            let mut pieces = Vec::new();
            let (mut rest, mut cuts) = (stream.as_bytes(), cuts.iter().cycle());
            while !rest.is_empty() {
                let (now, later) = rest.split_at(rest.len().min(*cuts.next().unwrap()));
                pieces.push(now);
                rest = later;
            }
            let mut marker = Marker::new(TEXT);
            let out = feed_all(&mut marker, pieces);
            prop_assert!(marker.is_seen());
            prop_assert_eq!(String::from_utf8(out).unwrap(), format!("{before}{after}"));
        }

        #[test]
        fn a_stream_without_it_passes_whole(
            parts in proptest::collection::vec("[<end:0-4x]{0,8}", 0..12),
        ) {
            let stream = parts.concat();
            prop_assume!(!stream.contains(TEXT));
            let mut marker = Marker::new(TEXT);
            let out = feed_all(&mut marker, parts.iter().map(String::as_bytes));
            prop_assert!(!marker.is_seen());
            prop_assert_eq!(String::from_utf8(out).unwrap(), stream);
        }
    }
}
