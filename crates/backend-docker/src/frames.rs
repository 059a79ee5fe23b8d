//! The frames of an attached container: pure, in pieces of any size.
//!
//! A frame is a header of eight bytes (the stream's number, three zeros, the
//! length as a big-endian number) and so many bytes of that stream. Source:
//! the Docker Engine API, "Attach to a container", "Stream format". A payload
//! is handed on in the pieces in which it comes, so that no length that an
//! engine names takes memory.

/// One of the two streams of output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Channel {
    Stdout,
    Stderr,
}

/// A header that no engine sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the attached stream is not in frames: a header begins with {0:02x?}")]
pub(crate) struct NotAFrame([u8; 4]);

const HEADER: usize = 8;

/// Takes frames apart.
#[derive(Debug, Default)]
pub(crate) struct Frames {
    header: [u8; HEADER],
    /// How many bytes of the header are there.
    known: usize,
    /// The stream and the bytes still to come, once the header is whole.
    payload: Option<(Channel, usize)>,
}

impl Frames {
    /// Takes the next piece of a payload from the front of `input`. `None`
    /// once all of `input` is used up.
    pub(crate) fn next<'a>(
        &mut self,
        input: &mut &'a [u8],
    ) -> Result<Option<(Channel, &'a [u8])>, NotAFrame> {
        loop {
            if input.is_empty() {
                return Ok(None);
            }
            if let Some((channel, left)) = self.payload {
                let (piece, rest) = input.split_at(left.min(input.len()));
                *input = rest;
                self.payload = (left > piece.len()).then(|| (channel, left - piece.len()));
                return Ok(Some((channel, piece)));
            }
            self.read_header(input)?;
        }
    }

    /// Whether a frame has begun and is not whole.
    pub(crate) fn is_inside(&self) -> bool {
        self.known > 0 || self.payload.is_some()
    }

    fn read_header(&mut self, input: &mut &[u8]) -> Result<(), NotAFrame> {
        let (piece, rest) = input.split_at((HEADER - self.known).min(input.len()));
        *input = rest;
        for (to, from) in self.header.iter_mut().skip(self.known).zip(piece) {
            *to = *from;
        }
        self.known += piece.len();
        if self.known < HEADER {
            return Ok(());
        }
        self.known = 0;
        let [stream, a, b, c, length @ ..] = self.header;
        let channel = match (stream, a, b, c) {
            (1, 0, 0, 0) => Channel::Stdout,
            (2, 0, 0, 0) => Channel::Stderr,
            _ => return Err(NotAFrame([stream, a, b, c])),
        };
        let length = u32::from_be_bytes(length) as usize;
        self.payload = (length > 0).then_some((channel, length));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all(frames: &mut Frames, mut input: &[u8]) -> Result<Vec<(Channel, Vec<u8>)>, NotAFrame> {
        let mut pieces = Vec::new();
        while let Some((channel, piece)) = frames.next(&mut input)? {
            pieces.push((channel, piece.to_vec()));
        }
        Ok(pieces)
    }

    fn frame(channel: Channel, bytes: &[u8]) -> Vec<u8> {
        let number = if channel == Channel::Stdout { 1 } else { 2 };
        let mut frame = vec![number, 0, 0, 0];
        frame.extend(u32::try_from(bytes.len()).unwrap().to_be_bytes());
        frame.extend(bytes);
        frame
    }

    #[test]
    fn what_is_no_frame_is_told() {
        for header in [[0, 0, 0, 0], [3, 0, 0, 0], [1, 0, 1, 0], *b"HTTP"] {
            let mut input = header.to_vec();
            input.extend([0; 4]);
            assert_eq!(all(&mut Frames::default(), &input), Err(NotAFrame(header)));
        }
    }

    #[test]
    fn a_cut_inside_a_frame_is_seen() {
        let bytes = frame(Channel::Stdout, b"abc");
        for cut in 1..bytes.len() {
            let mut frames = Frames::default();
            all(&mut frames, &bytes[..cut]).unwrap();
            assert!(frames.is_inside(), "{cut}");
            all(&mut frames, &bytes[cut..]).unwrap();
            assert!(!frames.is_inside());
        }
    }

    proptest! {
        #[test]
        fn each_stream_comes_out_as_it_went_in(
            parts in proptest::collection::vec((any::<bool>(), proptest::collection::vec(any::<u8>(), 0..20)), 0..12),
            cuts in proptest::collection::vec(1_usize..9, 1..40),
        ) {
            let mut stream = Vec::new();
            let mut expected: [Vec<u8>; 2] = Default::default();
            for (error, bytes) in &parts {
                let channel = if *error { Channel::Stderr } else { Channel::Stdout };
                stream.extend(frame(channel, bytes));
                expected[usize::from(*error)].extend(bytes);
            }
            let (mut frames, mut got) = (Frames::default(), [Vec::new(), Vec::new()]);
            let (mut rest, mut cuts) = (stream.as_slice(), cuts.iter().cycle());
            while !rest.is_empty() {
                let (now, later) = rest.split_at(rest.len().min(*cuts.next().unwrap()));
                rest = later;
                for (channel, piece) in all(&mut frames, now).unwrap() {
                    got[usize::from(channel == Channel::Stderr)].extend(piece);
                }
            }
            prop_assert_eq!(got, expected);
            prop_assert!(!frames.is_inside());
        }

        #[test]
        fn any_bytes_are_taken_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = all(&mut Frames::default(), &bytes);
        }
    }
}
