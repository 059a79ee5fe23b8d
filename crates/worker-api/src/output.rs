//! One answer with output: its headers, and what must hold of its bytes.

use crate::Digest;
use crate::header;

/// The headers of an answer with output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChunkHead {
    /// The offset of the first byte.
    pub offset: u64,
    /// The offset behind the last byte.
    pub next_offset: u64,
    /// Whether no byte will come at `next_offset` any more.
    pub complete: bool,
    /// The digest of the bytes, if the server says it.
    pub digest: Option<Digest>,
}

/// A piece of output that is known to be the right one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk<B> {
    /// The bytes; may be none.
    pub bytes: B,
    /// Where to go on.
    pub next_offset: u64,
    /// Whether this is all.
    pub complete: bool,
}

/// An answer that is not the piece of output that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidChunk {
    /// A header is missing.
    #[error("the answer has no header `{0}`")]
    Missing(&'static str),
    /// A header cannot be read.
    #[error("the header `{0}` of the answer makes no sense")]
    Malformed(&'static str),
    /// It begins elsewhere.
    #[error("the answer is for offset {got}, not {asked}")]
    OtherOffset {
        /// What was asked for.
        asked: u64,
        /// What came.
        got: u64,
    },
    /// The headers and the length do not fit together.
    #[error("the answer has {got} bytes, and its headers speak of {said}")]
    Length {
        /// By the headers.
        said: u64,
        /// What came.
        got: u64,
    },
    /// The bytes are not those that were sent.
    #[error("the bytes of the answer do not have the digest that it says")]
    Digest,
}

impl ChunkHead {
    /// Reads the headers; `get` gives the value of a header by its name.
    ///
    /// # Errors
    ///
    /// If one is missing or makes no sense.
    pub fn read<'a>(get: impl Fn(&str) -> Option<&'a str>) -> Result<Self, InvalidChunk> {
        let number = |name| {
            get(name)
                .ok_or(InvalidChunk::Missing(name))?
                .parse()
                .map_err(|_| InvalidChunk::Malformed(name))
        };
        let complete = match get(header::COMPLETE) {
            Some("true") => true,
            Some("false") => false,
            Some(_) => return Err(InvalidChunk::Malformed(header::COMPLETE)),
            None => return Err(InvalidChunk::Missing(header::COMPLETE)),
        };
        let digest = get(header::CONTENT_DIGEST)
            .map(Digest::from_header)
            .transpose()
            .map_err(|_| InvalidChunk::Malformed(header::CONTENT_DIGEST))?;
        Ok(Self {
            offset: number(header::OFFSET)?,
            next_offset: number(header::NEXT_OFFSET)?,
            complete,
            digest,
        })
    }

    /// Whether an answer with these headers and so many bytes can be the piece
    /// at the offset `asked`.
    ///
    /// # Errors
    ///
    /// If it is for another offset, or of another length than it says.
    pub fn fits(&self, asked: u64, length: usize) -> Result<(), InvalidChunk> {
        if self.offset != asked {
            return Err(InvalidChunk::OtherOffset {
                asked,
                got: self.offset,
            });
        }
        let got = length as u64;
        if self.offset.checked_add(got) != Some(self.next_offset) {
            return Err(InvalidChunk::Length {
                said: self.next_offset.saturating_sub(self.offset),
                got,
            });
        }
        Ok(())
    }

    /// The piece at the offset `asked`, if these bytes are it.
    ///
    /// # Errors
    ///
    /// If they are for another offset, of another length, or not those that
    /// were sent: the caller asks again.
    pub fn admit<B: AsRef<[u8]>>(self, asked: u64, bytes: B) -> Result<Chunk<B>, InvalidChunk> {
        self.fits(asked, bytes.as_ref().len())?;
        if self
            .digest
            .is_some_and(|said| said != Digest::of(bytes.as_ref()))
        {
            return Err(InvalidChunk::Digest);
        }
        Ok(Chunk {
            bytes,
            next_offset: self.next_offset,
            complete: self.complete,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn head(offset: u64, bytes: &[u8]) -> Vec<(&'static str, String)> {
        vec![
            (header::OFFSET, offset.to_string()),
            (
                header::NEXT_OFFSET,
                (offset + bytes.len() as u64).to_string(),
            ),
            (header::COMPLETE, "false".into()),
            (header::CONTENT_DIGEST, Digest::of(bytes).to_header()),
        ]
    }

    fn read(pairs: &[(&str, String)]) -> Result<ChunkHead, InvalidChunk> {
        ChunkHead::read(|name| {
            let found = pairs.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| value.as_str())
        })
    }

    proptest! {
        #[test]
        fn any_headers_are_read_or_refused(
            values in proptest::collection::vec(".{0,40}", 4), bytes: Vec<u8>, asked: u64,
        ) {
            let names = [header::OFFSET, header::NEXT_OFFSET, header::COMPLETE, header::CONTENT_DIGEST];
            let pairs: Vec<_> = names.into_iter().zip(values).collect();
            if let Ok(head) = read(&pairs) {
                let _ = head.admit(asked, bytes);
            }
        }

        #[test]
        fn bytes_pass_only_whole_unchanged_and_in_their_place(
            bytes in proptest::collection::vec(any::<u8>(), 1..300),
            offset in 0_u64..1 << 40,
            at: prop::sample::Index,
        ) {
            let head = read(&head(offset, &bytes)).unwrap();
            let chunk = head.clone().admit(offset, bytes.clone()).unwrap();
            prop_assert_eq!(&chunk.bytes, &bytes);
            prop_assert_eq!(chunk.next_offset, offset + bytes.len() as u64);
            prop_assert!(head.clone().admit(offset + 1, bytes.clone()).is_err());
            let at = at.index(bytes.len());
            prop_assert!(head.clone().admit(offset, bytes[..at].to_vec()).is_err(), "cut");
            let mut doubled = bytes.clone();
            doubled.insert(at, bytes[at]);
            prop_assert!(head.clone().admit(offset, doubled).is_err(), "doubled");
            let mut flipped = bytes.clone();
            flipped[at] ^= 1;
            prop_assert_eq!(head.admit(offset, flipped), Err(InvalidChunk::Digest));
        }
    }

    #[test]
    fn no_header_may_lack_but_the_digest() {
        let all = head(7, b"abc");
        for index in 0..3 {
            let mut fewer = all.clone();
            let (name, _) = fewer.remove(index);
            assert_eq!(read(&fewer), Err(InvalidChunk::Missing(name)));
        }
        assert_eq!(read(&all[..3]).unwrap().digest, None);
        let beyond = ChunkHead {
            offset: u64::MAX,
            next_offset: 1,
            complete: true,
            digest: None,
        };
        assert!(beyond.admit(u64::MAX, b"ab").is_err());
    }
}
