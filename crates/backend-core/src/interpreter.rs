//! Which program runs a script: its first line, read as Linux reads it.

/// The program that runs a script, from its `#!` line.
///
/// Worker runs `interpreter [argument] script` itself and does not leave it to
/// the kernel: a script that was just written can then never be a "text file
/// busy", a `noexec` file system does not matter, and a missing interpreter is
/// the same exit code 127 on every backend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interpreter {
    /// Its path, byte for byte as in the script.
    pub path: Vec<u8>,
    /// The rest of the line, which Linux passes as one argument.
    pub argument: Option<Vec<u8>>,
}

/// How far Linux reads for the end of the line, `#!` included
/// (`BINPRM_BUF_SIZE`; 256 since 5.1).
const LINE_LIMIT: usize = 256;

impl Interpreter {
    /// The interpreter that `script` asks for; `/bin/sh` where it has no `#!`
    /// line, or an empty one.
    ///
    /// As in the kernel, blanks around the path and the argument do not count,
    /// all the rest of the line is one argument, and a carriage return is a
    /// character like any other (so a script with CRLF line ends asks for a
    /// program that does not exist).
    pub fn of(script: &[u8]) -> Self {
        let shell = || Self {
            path: b"/bin/sh".to_vec(),
            argument: None,
        };
        let Some(rest) = script.strip_prefix(b"#!") else {
            return shell();
        };
        let line = rest.get(..LINE_LIMIT - 2).unwrap_or(rest);
        let line = line
            .split(|byte| *byte == b'\n' || *byte == 0)
            .next()
            .unwrap_or_default();
        let line = trim(line);
        let end = line
            .iter()
            .position(|byte| is_blank(*byte))
            .unwrap_or(line.len());
        let (path, argument) = line.split_at(end);
        if path.is_empty() {
            return shell();
        }
        let argument = trim(argument);
        Self {
            path: path.to_vec(),
            argument: (!argument.is_empty()).then(|| argument.to_vec()),
        }
    }
}

fn is_blank(byte: u8) -> bool {
    byte == b' ' || byte == b'\t'
}

fn trim(mut line: &[u8]) -> &[u8] {
    while let [first, rest @ ..] = line
        && is_blank(*first)
    {
        line = rest;
    }
    while let [rest @ .., last] = line
        && is_blank(*last)
    {
        line = rest;
    }
    line
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn assert_interpreter(script: &str, path: &str, argument: Option<&str>) {
        let expected = Interpreter {
            path: path.into(),
            argument: argument.map(|argument| argument.as_bytes().to_vec()),
        };
        assert_eq!(Interpreter::of(script.as_bytes()), expected, "{script:?}");
    }

    #[test]
    fn lines_are_read_as_the_kernel_reads_them() {
        assert_interpreter("#!/bin/bash\necho", "/bin/bash", None);
        assert_interpreter("#! /bin/sh -e \n", "/bin/sh", Some("-e"));
        assert_interpreter(
            "#!/usr/bin/env python3 -u\n",
            "/usr/bin/env",
            Some("python3 -u"),
        );
        assert_interpreter("#!\t/bin/cat", "/bin/cat", None);
        assert_interpreter("#!/bin/sh\r\n", "/bin/sh\r", None);
        assert_interpreter("", "/bin/sh", None);
        assert_interpreter("#!", "/bin/sh", None);
        assert_interpreter("#! \n/bin/cat", "/bin/sh", None);
        assert_interpreter("echo\n#!/bin/cat", "/bin/sh", None);
        assert_interpreter("\u{feff}#!/bin/cat\n", "/bin/sh", None);
    }

    proptest! {
        #[test]
        fn any_bytes_have_an_interpreter(script in proptest::collection::vec(any::<u8>(), 0..600)) {
            let interpreter = Interpreter::of(&script);
            prop_assert!(!interpreter.path.is_empty());
            prop_assert!(interpreter.path.len() < LINE_LIMIT);
            prop_assert!(!interpreter.path.contains(&0));
        }
    }
}
