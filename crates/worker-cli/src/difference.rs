//! Where two outputs first differ.

use std::io::{self, BufReader, Read, Seek, SeekFrom};

/// How much of a line is shown.
const SHOWN: usize = 48;

/// The first difference of two outputs.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Difference {
    /// The first byte that is not the same, from 0.
    pub(crate) offset: u64,
    /// The line that it is in, from 1.
    pub(crate) line: u64,
    /// That line on either side, as far as it can be shown; in quotes, or
    /// `(end)`.
    pub(crate) left: String,
    pub(crate) right: String,
}

/// Compares two files from their beginning; `None` if they are the same.
/// Bounded in memory, whatever their length.
pub(crate) fn first_difference<F>(left: &F, right: &F) -> io::Result<Option<Difference>>
where
    for<'a> &'a F: Read + Seek,
{
    let rewound = |mut file: &F| file.seek(SeekFrom::Start(0)).map(drop);
    rewound(left)?;
    rewound(right)?;
    let mut bytes = BufReader::new(left).bytes();
    let mut others = BufReader::new(right).bytes();
    let (mut offset, mut line, mut line_begin) = (0, 1, 0);
    loop {
        let (one, other) = (bytes.next().transpose()?, others.next().transpose()?);
        match (one, other) {
            (None, None) => return Ok(None),
            (one, other) if one != other => {
                return Ok(Some(Difference {
                    offset,
                    line,
                    left: excerpt(left, line_begin, offset)?,
                    right: excerpt(right, line_begin, offset)?,
                }));
            }
            (one, _) => {
                offset += 1;
                if one == Some(b'\n') {
                    line += 1;
                    line_begin = offset;
                }
            }
        }
    }
}

/// The line that begins at `begin`, around `offset`.
fn excerpt<F>(mut file: &F, begin: u64, offset: u64) -> io::Result<String>
where
    for<'a> &'a F: Read + Seek,
{
    let half = SHOWN as u64 / 2;
    file.seek(SeekFrom::Start(begin.max(offset.saturating_sub(half))))?;
    let mut bytes = Vec::new();
    file.take(SHOWN as u64).read_to_end(&mut bytes)?;
    if bytes.is_empty() {
        return Ok("(end)".into());
    }
    let line = bytes.split_inclusive(|byte| *byte == b'\n').next();
    let line = line.unwrap_or_default();
    Ok(format!("\"{}\"", line.escape_ascii()))
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Write as _;

    use super::*;

    fn file(bytes: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file
    }

    fn compared(left: &[u8], right: &[u8]) -> Option<Difference> {
        first_difference(&file(left), &file(right)).unwrap()
    }

    #[test]
    fn the_first_difference_is_found_with_its_line() {
        assert_eq!(compared(b"", b""), None);
        assert_eq!(compared(b"a\nb\n", b"a\nb\n"), None);
        assert_eq!(
            compared(b"same\none\n", b"same\nother\n"),
            Some(Difference {
                offset: 6,
                line: 2,
                left: r#""one\n""#.into(),
                right: r#""other\n""#.into(),
            })
        );
        assert_eq!(
            compared(b"a\n", b"a\n\xff\0"),
            Some(Difference {
                offset: 2,
                line: 2,
                left: "(end)".into(),
                right: r#""\xff\x00""#.into(),
            })
        );
    }

    #[test]
    fn a_long_line_is_shown_around_the_difference() {
        let mut other = vec![b'x'; 1 << 20];
        other.push(b'y');
        let found = compared(&vec![b'x'; (1 << 20) + 1], &other).unwrap();
        assert_eq!((found.offset, found.line), (1 << 20, 1));
        assert!(found.right.ends_with("y\"") && found.right.len() < 60);
    }
}
