//! The length and the hash of what was delivered, without holding it up.

use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};
use tokio::task::{JoinHandle, spawn_blocking};

/// From this length on it is worth the way to another thread. Smaller pieces
/// take less time than that way, about 30 µs.
const WORTH_A_THREAD: usize = 128 << 10;

/// Hashes a stream. Large pieces are hashed on another thread while the next
/// one is read and written; there is one at a time, so memory is bounded.
#[derive(Debug, Default)]
pub(crate) struct StreamDigest {
    bytes: u64,
    hash: Sha256,
    /// The piece that is being hashed elsewhere, with `hash` gone along.
    elsewhere: Option<JoinHandle<Lent>>,
    /// A buffer to copy the next piece into.
    spare: Vec<u8>,
}

#[derive(Debug)]
struct Lent {
    hash: Sha256,
    buffer: Vec<u8>,
}

impl StreamDigest {
    /// Takes the next bytes.
    pub(crate) async fn update(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len() as u64;
        self.settle().await;
        if bytes.len() < WORTH_A_THREAD {
            self.hash.update(bytes);
            return;
        }
        let mut lent = Lent {
            hash: std::mem::take(&mut self.hash),
            buffer: std::mem::take(&mut self.spare),
        };
        lent.buffer.extend_from_slice(bytes);
        self.elsewhere = Some(spawn_blocking(move || {
            lent.hash.update(&lent.buffer);
            lent.buffer.clear();
            lent
        }));
    }

    /// How many bytes there were, and their SHA-256 in hexadecimal; empty if
    /// the runtime ended on the way, so that no wrong one is ever told.
    pub(crate) async fn finish(mut self) -> (u64, String) {
        if !self.settle().await {
            return (self.bytes, String::new());
        }
        let digest = self.hash.finalize();
        let text = digest.iter().fold(String::new(), |mut text, byte| {
            // Writing to a String does not fail.
            write!(text, "{byte:02x}").ok();
            text
        });
        (self.bytes, text)
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Takes back what was lent, and says whether the hash is whole.
    async fn settle(&mut self) -> bool {
        // Awaited in place, so that a dropped caller does not lose the hash.
        if let Some(handle) = &mut self.elsewhere {
            let Ok(lent) = handle.await else {
                return false;
            };
            self.elsewhere = None;
            self.hash = lent.hash;
            self.spare = lent.buffer;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn pieces_of_all_lengths_make_one_hash() {
        let text = backend_core::testkit::pseudo_random(1, 3 * WORTH_A_THREAD);
        let whole = backend_core::testkit::sha256_hex(&text);
        for lengths in [
            vec![text.len()],
            vec![1, WORTH_A_THREAD, 7, WORTH_A_THREAD + 1],
            vec![WORTH_A_THREAD - 1; 3],
        ] {
            let (mut digest, mut rest) = (StreamDigest::default(), text.as_slice());
            for length in lengths {
                let (piece, behind) = rest.split_at(length);
                digest.update(piece).await;
                rest = behind;
            }
            digest.update(rest).await;
            let (bytes, hash) = digest.finish().await;
            assert_eq!(bytes, text.len() as u64);
            assert_eq!(hash, whole);
        }
    }
}
