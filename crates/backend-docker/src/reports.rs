//! What the gate reports: pure, in pieces of any size.

/// One line of the gate's, or of whatever else writes where it does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Report {
    /// The gate is there.
    Hello(Hello),
    /// The gate takes commands from now on.
    Ready,
    /// What was sent is stored.
    Stored,
    /// What was sent cannot be used: the word says why.
    Refused(String),
    /// The script begins.
    Began,
    /// Something was killed for lack of memory.
    Oom,
    /// The script has ended, with this status in the shell's words: 128+n also
    /// for a death by signal n.
    End(i32),
    /// A line that is not the gate's own: what its shell, or a program that it
    /// runs, has to say.
    Text(String),
}

/// What the gate says of its container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hello {
    /// Its own process id in the container.
    pub(crate) pid: u32,
    /// Where the program `setsid` is, if there is one.
    pub(crate) setsid: Option<String>,
    /// Whether the directory is new and empty, or the one that was asked for.
    pub(crate) directory_is_right: bool,
    /// Whether `localhost` has an address.
    pub(crate) knows_localhost: bool,
    /// Where the script will run.
    pub(crate) directory: String,
}

/// Takes the gate's lines from its stream.
#[derive(Debug)]
pub(crate) struct Reports {
    /// What each of the gate's own lines begins with.
    word: String,
    line: Vec<u8>,
    /// Whether something of the line was dropped.
    cut: bool,
}

/// Longer lines are cut, and are not the gate's: nothing of its own is as long.
const LINE_LIMIT: usize = 16 << 10;

impl Reports {
    pub(crate) fn new(word: &str) -> Self {
        Self {
            word: word.to_owned(),
            line: Vec::new(),
            cut: false,
        }
    }

    /// Takes the next piece of the stream.
    pub(crate) fn feed(&mut self, piece: &[u8]) -> Vec<Report> {
        let mut reports = Vec::new();
        for part in piece.split_inclusive(|byte| *byte == b'\n') {
            let (text, is_whole) = match part.strip_suffix(b"\n") {
                Some(text) => (text, true),
                None => (part, false),
            };
            let room = LINE_LIMIT.saturating_sub(self.line.len());
            self.line.extend(text.get(..room).unwrap_or(text));
            self.cut |= text.len() > room;
            if is_whole {
                let line = String::from_utf8_lossy(&self.line).into_owned();
                self.line.clear();
                // What is left of a number is another number.
                let cut = std::mem::take(&mut self.cut);
                reports.push(if cut {
                    Report::Text(line)
                } else {
                    self.read(&line)
                });
            }
        }
        reports
    }

    fn read(&self, line: &str) -> Report {
        let own = line
            .strip_prefix(&self.word)
            .and_then(|rest| rest.strip_prefix(' '));
        own.and_then(read_own)
            .unwrap_or_else(|| Report::Text(line.to_owned()))
    }
}

fn read_own(text: &str) -> Option<Report> {
    let (kind, rest) = text.split_once(' ').unwrap_or((text, ""));
    Some(match kind {
        "hello" => Report::Hello(read_hello(rest)?),
        "ready" => Report::Ready,
        "stored" => Report::Stored,
        "refused" => Report::Refused(rest.to_owned()),
        "began" => Report::Began,
        "oom" => Report::Oom,
        "end" => Report::End(rest.parse().ok().filter(|code| (0..=255).contains(code))?),
        _ => return None,
    })
}

fn read_hello(text: &str) -> Option<Hello> {
    let mut parts = text.splitn(5, ' ');
    let pid = parts.next()?.parse().ok()?;
    let setsid = parts.next()?;
    let directory_is_right = parts.next()? == "new";
    let knows_localhost = parts.next()? == "named";
    Some(Hello {
        pid,
        // A shell function or alias of that name would be no path.
        setsid: setsid.starts_with('/').then(|| setsid.to_owned()),
        directory_is_right,
        knows_localhost,
        directory: parts.next()?.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_lines_with_the_word_are_the_gates() {
        let mut reports = Reports::new("w0rd");
        let text =
            b"w0rd hello 7 /usr/bin/setsid new named /my dir\nKilled\nw0rd ready\nready\nw0rd end 300\n";
        let expected = [
            Report::Hello(Hello {
                pid: 7,
                setsid: Some("/usr/bin/setsid".into()),
                directory_is_right: true,
                knows_localhost: true,
                directory: "/my dir".into(),
            }),
            Report::Text("Killed".into()),
            Report::Ready,
            Report::Text("ready".into()),
            Report::Text("w0rd end 300".into()),
        ];
        assert_eq!(reports.feed(text), expected);
    }

    #[test]
    fn a_line_without_an_end_takes_no_memory() {
        let mut reports = Reports::new("w");
        for _ in 0..100 {
            assert!(reports.feed(&[b'x'; 4096]).is_empty());
        }
        assert!(reports.line.len() <= LINE_LIMIT);
        let Some(Report::Text(text)) = reports.feed(b"\n").pop() else {
            panic!("no text");
        };
        assert_eq!(text.len(), LINE_LIMIT);
    }

    #[test]
    fn a_line_that_was_cut_is_not_the_gates() {
        let mut reports = Reports::new("w");
        let text = format!("w end {}43\nw ready\n", "0".repeat(LINE_LIMIT));
        let read = reports.feed(text.as_bytes());
        assert!(matches!(read.as_slice(), [Report::Text(_), Report::Ready]));
    }

    proptest! {
        #[test]
        fn lines_do_not_depend_on_the_pieces(cut in 0_usize..60) {
            let text: &[u8] = b"w began\nw ready\nw end 43\nsome text\nw stored script\n";
            let cut = cut.min(text.len());
            let mut reports = Reports::new("w");
            let mut got = reports.feed(&text[..cut]);
            got.extend(reports.feed(&text[cut..]));
            prop_assert_eq!(got, Reports::new("w").feed(text));
        }

        #[test]
        fn any_bytes_are_read(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            Reports::new("w").feed(&bytes);
        }
    }
}
