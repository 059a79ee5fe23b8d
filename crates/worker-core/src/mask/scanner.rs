//! Skipping over text in which no pattern can begin (Wu and Manber, 1994).
//!
//! Only the first `window` bytes of each pattern count, `window` being the
//! length of the shortest. The last bytes of the window under the text tell by
//! how much it can be moved without passing over any pattern's beginning.

use std::collections::BTreeSet;

/// Bytes that are looked at together.
const BLOCK: usize = 3;

/// A longer window skips hardly more, and its table fills up.
const WINDOW_LIMIT: usize = 32;

#[derive(Debug)]
pub(super) struct Scanner {
    window: usize,
    /// By the hash of a block: how far the window may move.
    shifts: Vec<u8>,
    /// What is left of a hash: the table's length is a power of two.
    mask: usize,
}

impl Scanner {
    pub(super) fn new(patterns: &BTreeSet<Vec<u8>>) -> Self {
        let shortest = patterns.iter().map(Vec::len).min().unwrap_or(BLOCK);
        let window = shortest.clamp(BLOCK, WINDOW_LIMIT);
        // Few enough entries for the first cache, and a table that is never
        // more than a sixteenth full, up to a megabyte.
        let blocks = patterns.len() * (window - BLOCK + 1);
        let size = (blocks * 16).next_power_of_two().clamp(1 << 14, 1 << 20);
        let farthest = u8::try_from(window - BLOCK + 1).unwrap_or(u8::MAX);
        let mut scanner = Self {
            window,
            shifts: vec![farthest; size],
            mask: size - 1,
        };
        for pattern in patterns {
            for (begin, block) in pattern.windows(BLOCK).enumerate().take(window - BLOCK + 1) {
                let shift = u8::try_from(window - BLOCK - begin).unwrap_or(u8::MAX);
                let index = hash(block) & scanner.mask;
                if let Some(entry) = scanner.shifts.get_mut(index) {
                    *entry = shift.min(*entry);
                }
            }
        }
        scanner
    }

    /// How many bytes at the beginning of `text` no pattern can begin in. What
    /// is left is a candidate, or shorter than the window.
    pub(super) fn skip(&self, text: &[u8]) -> usize {
        let mut position = 0;
        while let Some(block) = text.get(position + self.window - BLOCK..position + self.window) {
            match self.shifts.get(hash(block) & self.mask) {
                Some(0) | None => return position,
                Some(shift) => position += usize::from(*shift),
            }
        }
        position.min(text.len())
    }
}

/// Spreads the bits of a block over a number.
#[inline]
fn hash(block: &[u8]) -> usize {
    let value = block
        .iter()
        .fold(0_u32, |value, byte| value << 8 | u32::from(*byte));
    // A multiplier from Knuth, TAOCP 6.4: the golden ratio of 2^32.
    (value.wrapping_mul(0x9E37_79B1) >> 12) as usize
}
