//! A short file as one line, which `printf` of any POSIX shell turns back into
//! its bytes. Pure.

/// The longest line that is worth it. The far side reads it byte by byte, which
/// for more than this takes longer than a process that reads all at once.
const LIMIT: usize = 4 << 10;

/// The content as a format of `printf`; `None` if that would be too long.
pub(crate) fn format(content: &[u8]) -> Option<String> {
    let mut line = String::with_capacity(content.len());
    for byte in content {
        match byte {
            // What printf would not take as it is: an option, a conversion.
            b'-' | b'%' | b'\\' => escape(&mut line, *byte),
            b' '..=b'~' => line.push(char::from(*byte)),
            _ => escape(&mut line, *byte),
        }
        if line.len() > LIMIT {
            return None;
        }
    }
    Some(line)
}

/// Always three digits, so that one that follows is not part of it.
fn escape(line: &mut String, byte: u8) {
    line.push('\\');
    for shift in [6, 3, 0] {
        line.push(char::from(b'0' + (byte >> shift & 7)));
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn every_shell_here_gives_back_the_bytes() {
        let each = (0..=255).flat_map(|byte| [byte, b'7', byte, b' ']);
        let each: Vec<u8> = each.collect();
        for content in [&b""[..], b"-n", b" %s\\n\n\n", b"\0", &each] {
            let line = format(content).unwrap();
            assert!(line.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
            for shell in [&["dash"][..], &["bash", "--posix"], &["busybox", "ash"]] {
                let printed = Command::new(shell[0])
                    .args(&shell[1..])
                    .args(["-c", "printf \"$1\"", "sh", &line])
                    .stdin(Stdio::null())
                    .output();
                let Ok(printed) = printed else { continue };
                assert_eq!(printed.stdout, content, "{shell:?}");
            }
        }
    }

    #[test]
    fn what_is_long_is_left_to_other_means() {
        assert!(format(&vec![b'x'; LIMIT]).is_some());
        assert!(format(&vec![b'x'; LIMIT + 1]).is_none());
        assert!(format(&vec![b'\n'; LIMIT / 2]).is_none());
    }
}
