//! Whether a file is a tar archive, by its beginning.

/// The length of a header, and of what [`is_archive`] has to see.
pub(super) const HEADER: usize = 512;

/// What engines decompress: gzip, bzip2, xz, zstd.
const COMPRESSED: [&[u8]; 4] = [b"\x1f\x8b", b"BZh", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd"];
/// Where the checksum of a header is: octal digits.
const CHECKSUM: std::ops::Range<usize> = 148..156;

/// Whether a file that begins like this may be a tar archive, compressed or not.
pub(super) fn is_archive(beginning: &[u8]) -> bool {
    COMPRESSED.iter().any(|magic| beginning.starts_with(magic)) || has_header(beginning)
}

/// Every format of tar has the checksum; not all of them have a magic word.
fn has_header(beginning: &[u8]) -> bool {
    let (Some(header), Some(checksum)) = (beginning.get(..HEADER), beginning.get(CHECKSUM)) else {
        return false;
    };
    let digits = checksum.iter().copied();
    let digits: String = digits
        .skip_while(|byte| *byte == b' ')
        .take_while(u8::is_ascii_digit)
        .map(char::from)
        .collect();
    let outside = |(place, byte): (usize, &u8)| {
        if CHECKSUM.contains(&place) {
            u32::from(b' ')
        } else {
            u32::from(*byte)
        }
    };
    let sum: u32 = header.iter().enumerate().map(outside).sum();
    u32::from_str_radix(&digits, 8) == Ok(sum)
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// An archive of one file, `x`.
    pub(in super::super) fn archive(content: &[u8]) -> Vec<u8> {
        let mut header = vec![0; HEADER];
        let mut put = |place: usize, text: &str| {
            header[place..place + text.len()].copy_from_slice(text.as_bytes());
        };
        put(0, "x");
        put(100, "0000644\0");
        put(124, &format!("{:011o}\0", content.len()));
        put(148, "        ");
        put(156, "0");
        put(257, "ustar\x0000");
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
        header.extend(content);
        let length = header.len().next_multiple_of(HEADER) + 2 * HEADER;
        header.resize(length, 0);
        header
    }

    #[test]
    fn archives_are_told_from_other_files() {
        assert!(is_archive(&archive(b"hello")));
        assert!(is_archive(b"\x1f\x8b\x08"));
        let zeros = vec![0; HEADER];
        for other in [
            b"".as_slice(),
            b"#!/bin/sh\n",
            b"\x7fELF",
            &zeros,
            &archive(b"")[..511],
        ] {
            assert!(!is_archive(other));
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_judged(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
            is_archive(&bytes);
        }

        #[test]
        fn one_wrong_byte_is_seen(place in 0..HEADER, change in 1_u8..) {
            prop_assume!(!CHECKSUM.contains(&place));
            let mut archive = archive(b"");
            archive[place] = archive[place].wrapping_add(change);
            // The first byte may now be that of a compressed file.
            prop_assert!(place == 0 || !is_archive(&archive));
        }
    }
}
