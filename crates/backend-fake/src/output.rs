//! What a simulated script prints: any amount of it in bounded memory.

use std::fmt::Write as _;

use sha2::{Digest, Sha256};

use crate::FakeOptions;

/// The output of one run, piece by piece.
pub(crate) struct Output {
    /// What is printed before the pseudo-random bytes.
    head: Vec<u8>,
    /// How much of the head was given out.
    given: usize,
    random: fastrand::Rng,
    random_left: u64,
    /// The hash so far, unless none is printed, or it was printed already.
    checksum: Option<Sha256>,
    chunk: usize,
}

/// The seed of the pseudo-random bytes: the same in each run.
const SEED: u64 = 0x57_6f_72_6b_65_72;

/// The most bytes in one piece: more would only cost memory.
const MOST: u64 = 1 << 20;

impl Output {
    pub(crate) fn of(options: &FakeOptions) -> Self {
        let mut head = options.log_output.clone().into_bytes();
        head.extend_from_slice(&options.output_bytes.0);
        let chunk = options.output_chunk.0.clamp(1, MOST);
        Self {
            head,
            given: 0,
            random: fastrand::Rng::with_seed(SEED),
            random_left: options.output_size.0,
            checksum: options.output_checksum.then(Sha256::new),
            chunk: usize::try_from(chunk).unwrap_or(1 << 20),
        }
    }

    /// The next piece; `None` after the last one.
    pub(crate) fn next(&mut self) -> Option<Vec<u8>> {
        let rest = self.head.get(self.given..).unwrap_or_default();
        let mut piece = rest.get(..self.chunk).unwrap_or(rest).to_vec();
        self.given += piece.len();
        let room = (self.chunk - piece.len()) as u64;
        let random = room.min(self.random_left);
        self.random_left -= random;
        // Byte by byte, so that the bytes do not depend on the pieces.
        piece.extend((0..random).map(|_| self.random.u8(..)));
        if piece.is_empty() {
            let hash = self.checksum.take()?.finalize();
            return Some(hexadecimal_line(&hash));
        }
        if let Some(hash) = &mut self.checksum {
            hash.update(&piece);
        }
        Some(piece)
    }
}

fn hexadecimal_line(bytes: &[u8]) -> Vec<u8> {
    let mut line = String::new();
    for byte in bytes {
        // Writing to a string cannot fail.
        write!(line, "{byte:02x}").ok();
    }
    line.push('\n');
    line.into_bytes()
}

#[cfg(test)]
mod tests {
    use backend_core::{Options as _, ProviderConfig};
    use proptest::prelude::*;

    use super::*;

    fn pieces(pairs: &[(&str, String)]) -> Vec<Vec<u8>> {
        let config: ProviderConfig = pairs.iter().cloned().collect();
        let mut output = Output::of(&FakeOptions::parse("fake", &config).unwrap());
        std::iter::from_fn(|| output.next()).collect()
    }

    proptest! {
        #[test]
        fn the_bytes_do_not_depend_on_the_pieces(
            text in "[a-z]{0,20}", size in 0_u64..300, chunk in 1_u64..100,
        ) {
            let options = |chunk: u64| [
                ("log-output", text.clone()),
                ("output-bytes", "00ff".to_owned()),
                ("output-size", size.to_string()),
                ("output-checksum", "true".to_owned()),
                ("output-chunk", chunk.to_string()),
            ];
            let in_pieces = pieces(&options(chunk));
            let whole = in_pieces.concat();
            prop_assert_eq!(&whole, &pieces(&options(1 << 20)).concat());
            let (bytes, line) = whole.split_at(whole.len() - 65);
            prop_assert_eq!(bytes.len() as u64, text.len() as u64 + 2 + size);
            prop_assert_eq!(line, hexadecimal_line(&Sha256::digest(bytes)));
            let most = usize::try_from(chunk).unwrap();
            prop_assert!(in_pieces.iter().rev().skip(1).all(|piece| piece.len() <= most));
        }
    }

    #[test]
    fn without_any_there_is_none() {
        assert!(pieces(&[]).is_empty());
    }
}
