//! What the far side says on its second stream: lines, of which ours begin
//! with `@`. Pure: bytes in, lines out.

/// One line of ours, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Line {
    /// The lease was given: number of the slot, and its path.
    Started { number: u32, slot: String },
    /// All slots are leased.
    Busy,
    /// Connected again; whether the script was begun before.
    Attached { run: bool },
    /// A file, or a part of it, is there.
    Put,
    /// The script has begun.
    Began,
    /// The script was not begun, and will not be: `environment` or `run`.
    Refused(String),
    /// The script has ended with this code, `None` if its status is missing;
    /// so much output was there by then.
    Exit { code: Option<i32>, size: u64 },
    /// The output is at its end, with so many bytes; whether all of it could
    /// be kept.
    End { size: u64, intact: bool },
    /// How much output there is.
    Size(u64),
    /// The signal was sent, or came too late.
    Signalled,
    /// A process, for a person.
    Process(String),
    /// An instance that was found: whether it runs, its slot.
    Slot { running: bool, slot: String },
    /// The marks of the slot before.
    Marks(String),
    /// The end of a list.
    Listed,
    /// The machine's clock, in seconds of Unix time; `None` if it has none.
    Clock(Option<u64>),
    /// All is well.
    Checked,
    /// Nothing is left.
    Removed,
    /// A refusal: its kind, and a text.
    Error { kind: String, text: String },
}

/// The longest line that is kept; the rest of it is dropped. Marks are the
/// longest of ours, and are far shorter.
const LINE_LIMIT: usize = 64 << 10;

/// How much noise is read before the line that begins the conversation.
const NOISE_LIMIT: usize = 1 << 20;

/// How much of what tools say is kept, for the message of an error.
const REMARKS_LIMIT: usize = 2 << 10;

/// Finds the line that begins a stream, and drops what was before it.
#[derive(Debug)]
pub(crate) struct Preamble {
    mark: Vec<u8>,
    /// How much of `\nmark\n` was seen.
    matched: usize,
    dropped: usize,
}

/// The stream does not begin as it should.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TooMuchNoise;

impl Preamble {
    pub(crate) fn new(nonce: &str) -> Self {
        Self {
            mark: format!("\n{nonce}\n").into_bytes(),
            matched: 0,
            dropped: 0,
        }
    }

    /// The part of `bytes` that is behind the mark; `None` while it was not seen.
    pub(crate) fn skip(&mut self, bytes: &[u8]) -> Result<Option<usize>, TooMuchNoise> {
        if self.is_over() {
            return Ok(Some(0));
        }
        for (index, byte) in bytes.iter().enumerate() {
            // The mark has a line break at its beginning and end only, so a
            // failed match can only begin again with this byte.
            if self.mark.get(self.matched) == Some(byte) {
                self.matched += 1;
            } else {
                self.matched = usize::from(*byte == b'\n');
            }
            if self.is_over() {
                return Ok(Some(index + 1));
            }
        }
        self.dropped += bytes.len();
        if self.dropped > NOISE_LIMIT {
            return Err(TooMuchNoise);
        }
        Ok(None)
    }

    pub(crate) fn is_over(&self) -> bool {
        self.matched == self.mark.len()
    }
}

/// Cuts a stream into lines.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    partial: Vec<u8>,
    /// Whether something of the line was dropped.
    cut: bool,
    remarks: String,
}

impl Lines {
    /// Takes bytes, and hands out the lines of ours that they complete. A line
    /// that begins with `@` and makes no sense is an error, with its text.
    pub(crate) fn feed(&mut self, bytes: &[u8]) -> Vec<Result<Line, String>> {
        let mut lines = Vec::new();
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (text, is_whole) = match piece.strip_suffix(b"\n") {
                Some(text) => (text, true),
                None => (piece, false),
            };
            let room = LINE_LIMIT.saturating_sub(self.partial.len());
            self.partial.extend(text.iter().take(room));
            self.cut |= text.len() > room;
            if is_whole {
                let line = std::mem::take(&mut self.partial);
                let cut = std::mem::take(&mut self.cut);
                let line = String::from_utf8_lossy(&line);
                match line.strip_prefix('@') {
                    // What is left of a number is another number.
                    Some(_) if cut => lines.push(Err(line.into_owned())),
                    Some(ours) => lines.push(parse(ours).ok_or_else(|| line.to_string())),
                    None => self.remark(&line),
                }
            }
        }
        lines
    }

    /// What tools have said, on one line.
    pub(crate) fn remarks(&self) -> String {
        let rest = String::from_utf8_lossy(&self.partial);
        let rest: String = shown(&rest).collect();
        format!("{}{rest}", self.remarks).trim().to_owned()
    }

    fn remark(&mut self, line: &str) {
        if self.remarks.len() < REMARKS_LIMIT && !line.trim().is_empty() {
            self.remarks.extend(shown(line));
            self.remarks.push_str("; ");
        }
    }
}

/// What is shown of a line that is not ours: not much, and nothing that a
/// terminal would take for a command.
fn shown(line: &str) -> impl Iterator<Item = char> {
    line.chars().filter(|c| !c.is_control()).take(400)
}

fn parse(line: &str) -> Option<Line> {
    let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
    let pair = || rest.split_once(' ');
    Some(match word {
        "started" => {
            let (number, slot) = pair()?;
            let number = number.parse().ok()?;
            let slot = slot.starts_with('/').then(|| slot.to_owned())?;
            Line::Started { number, slot }
        }
        "busy" => Line::Busy,
        "attached" => Line::Attached {
            run: match rest {
                "run" => true,
                "fresh" => false,
                _ => return None,
            },
        },
        "put" => Line::Put,
        "began" => Line::Began,
        "refused" => Line::Refused(rest.to_owned()),
        "exit" => {
            let (code, size) = pair()?;
            let code = match code {
                "none" => None,
                code => Some(code.parse().ok().filter(|code| (0..=255).contains(code))?),
            };
            let size = size.parse().ok()?;
            Line::Exit { code, size }
        }
        "end" => {
            let (size, intact) = pair()?;
            let size = size.parse().ok()?;
            let intact = match intact {
                "intact" => true,
                "damaged" => false,
                _ => return None,
            };
            Line::End { size, intact }
        }
        "size" => Line::Size(rest.parse().ok()?),
        "signalled" => Line::Signalled,
        "process" => Line::Process(rest.to_owned()),
        "slot" => {
            let (state, slot) = pair()?;
            let running = match state {
                "running" => true,
                "stopped" => false,
                _ => return None,
            };
            let slot = slot.to_owned();
            Line::Slot { running, slot }
        }
        "marks" => Line::Marks(rest.to_owned()),
        "listed" => Line::Listed,
        "clock" => Line::Clock(rest.parse().ok()),
        "checked" => Line::Checked,
        "removed" => Line::Removed,
        "error" => {
            let (kind, text) = pair().unwrap_or((rest, ""));
            let (kind, text) = (kind.to_owned(), text.to_owned());
            Line::Error { kind, text }
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lines_are_read() {
        let mut lines = Lines::default();
        let read =
            lines.feed(b"noise\n@exit 43 7\n@exit none 0\n@end 7 intact\n@started 2 /a b\n@pu");
        let expected = [
            Line::Exit {
                code: Some(43),
                size: 7,
            },
            Line::Exit {
                code: None,
                size: 0,
            },
            Line::End {
                size: 7,
                intact: true,
            },
            Line::Started {
                number: 2,
                slot: "/a b".into(),
            },
        ];
        assert_eq!(read, expected.map(Ok));
        assert_eq!(lines.feed(b"t\n"), [Ok(Line::Put)]);
        assert_eq!(lines.remarks(), "noise;");
    }

    #[test]
    fn a_line_without_an_end_is_shown_as_any_other() {
        let mut lines = Lines::default();
        lines.feed(b"noise\n\x1b[2Jbash: no\x07 ");
        assert_eq!(lines.remarks(), "noise; [2Jbash: no");
        lines.feed(&vec![b'x'; LINE_LIMIT]);
        assert!(lines.remarks().len() < 500);
    }

    #[test]
    fn a_line_that_was_cut_is_none_of_ours() {
        let mut lines = Lines::default();
        let zeros = "0".repeat(LINE_LIMIT);
        let read = lines.feed(format!("@size {zeros}43\n@put\n").as_bytes());
        assert!(
            matches!(read.as_slice(), [Err(text), Ok(Line::Put)] if text.starts_with("@size 0"))
        );
    }

    #[test]
    fn an_exit_is_never_guessed() {
        for line in [
            "exit",
            "exit ",
            "exit  7",
            "exit 256 7",
            "exit -1 7",
            "exit 0",
            "exit 0 x",
            "exit 4a 7",
            "end 7",
            "end 7 x",
        ] {
            assert_eq!(parse(line), None, "{line}");
        }
    }

    proptest! {
        #[test]
        fn pieces_do_not_matter(text in "(@[a-z]{1,6} [0-9a-z ]{0,9}\n|[a-z]{0,5}\n){0,8}", cut in 0_usize..80) {
            let bytes = text.as_bytes();
            let cut = cut.min(bytes.len());
            let mut whole = Lines::default();
            let at_once = whole.feed(bytes);
            let mut pieces = Lines::default();
            let mut in_two = pieces.feed(&bytes[..cut]);
            in_two.extend(pieces.feed(&bytes[cut..]));
            prop_assert_eq!(at_once, in_two);
            prop_assert_eq!(whole.remarks(), pieces.remarks());
        }

        #[test]
        fn the_beginning_is_found_wherever_it_is(noise in "[ab\n]{0,40}", cut in 0_usize..60, rest in "[ab\n]{0,20}") {
            let text = format!("{noise}\nNONCE\n{rest}");
            let cut = cut.min(text.len());
            let mut preamble = Preamble::new("NONCE");
            let mut left: Vec<u8> = Vec::new();
            for piece in [&text.as_bytes()[..cut], &text.as_bytes()[cut..]] {
                if let Some(index) = preamble.skip(piece).unwrap() {
                    left.extend(&piece[index..]);
                }
            }
            prop_assert_eq!(left, rest.as_bytes());
        }
    }
}
