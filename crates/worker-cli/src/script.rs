//! Getting hold of the script.

use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use crate::args::ScriptArguments;

/// Why there is no script to run.
#[derive(Debug)]
pub(crate) struct ScriptError {
    what: String,
    why: Reason,
}

#[derive(Debug)]
enum Reason {
    Io(io::Error),
    Directory,
    Binary(&'static str),
    Nul,
}

/// The script that the command line names: from a file, from standard input,
/// or as text.
pub(crate) fn load(arguments: &ScriptArguments) -> Result<Vec<u8>, ScriptError> {
    if let Some(text) = &arguments.command {
        return Ok(text.clone().into_bytes());
    }
    let path = arguments.path.clone().unwrap_or_else(|| PathBuf::from("-"));
    let what = name(&path);
    let script = read(&path).map_err(|error| {
        let why = if error.kind() == io::ErrorKind::IsADirectory {
            Reason::Directory
        } else {
            Reason::Io(backend_core::with_permissions(&path, error))
        };
        ScriptError {
            what: what.clone(),
            why,
        }
    })?;
    match objection(&script) {
        Some(why) => Err(ScriptError { what, why }),
        None => Ok(script),
    }
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    if path == Path::new("-") {
        let mut script = Vec::new();
        io::stdin().lock().read_to_end(&mut script)?;
        return Ok(script);
    }
    std::fs::read(path)
}

fn name(path: &Path) -> String {
    if path == Path::new("-") {
        "standard input".into()
    } else {
        format!("`{}`", path.display())
    }
}

/// What says that these bytes are no script. With a `#!` line anything goes:
/// its interpreter will know. Without one the shell would have to read them.
fn objection(bytes: &[u8]) -> Option<Reason> {
    const FORMATS: [(&[u8], &str); 6] = [
        (b"\x7fELF", "an ELF program"),
        (b"\xcf\xfa\xed\xfe", "a Mach-O program"),
        (b"\xca\xfe\xba\xbe", "a Mach-O program or a Java class"),
        (b"\x1f\x8b", "a gzip archive"),
        (b"PK\x03\x04", "a zip archive"),
        (b"\0asm", "a WebAssembly module"),
    ];
    if bytes.starts_with(b"#!") {
        return None;
    }
    let known = FORMATS.iter().find(|(magic, _)| bytes.starts_with(magic));
    if let Some((_, format)) = known {
        return Some(Reason::Binary(format));
    }
    // As bash decides it: a NUL byte in the first line.
    let first_line = bytes
        .split(|byte| *byte == b'\n')
        .next()
        .unwrap_or_default();
    first_line.contains(&0).then_some(Reason::Nul)
}

impl ScriptError {
    pub(crate) fn hint(&self) -> &'static str {
        match &self.why {
            Reason::Io(error) if error.kind() == io::ErrorKind::NotFound => {
                "give the path of a script, `-` for standard input, or -c 'TEXT'"
            }
            Reason::Io(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                "make it readable for this user, or pass it through standard input: `worker run - < FILE`"
            }
            Reason::Io(_) => "check the path",
            Reason::Directory => "give the path of a file inside of it",
            Reason::Binary(_) | Reason::Nul => {
                "give a script; to run a program, call it from one: -c './program'"
            }
        }
    }
}

impl std::fmt::Display for ScriptError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.why {
            Reason::Io(_) => write!(f, "cannot read the script {}", self.what),
            Reason::Directory => write!(f, "the script {} is a directory", self.what),
            Reason::Binary(format) => {
                write!(f, "the script {} is {format}, not a script", self.what)
            }
            Reason::Nul => write!(
                f,
                "the script {} is not text, and has no `#!` line",
                self.what
            ),
        }
    }
}

impl std::error::Error for ScriptError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.why {
            Reason::Io(error) => Some(error),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_shell_can_read_is_refused() {
        assert!(objection(b"").is_none());
        assert!(objection(b"echo \xff\xfe\n\0").is_none());
        assert!(objection(b"#!/bin/cat\n\0").is_none());
        assert!(matches!(
            objection(b"\x7fELF\x02"),
            Some(Reason::Binary("an ELF program"))
        ));
        assert!(matches!(objection(b"a\0b"), Some(Reason::Nul)));
    }
}
