//! A shell in an instance: what it is given, and what passes through it.

use std::fmt;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;

/// The line of POSIX shell that a backend runs in the instance, by
/// `/bin/sh -c LINE sh [WORD]…`: it becomes the command of the words, and
/// without any an interactive shell: that of the account, else bash, else `sh`.
///
/// A command that is not there is 127, one that cannot be run 126, each with a
/// message of the shell's own.
pub const SHELL_LINE: &str = r#"[ $# -eq 0 ] || exec "$@"; case ${SHELL-} in */nologin | */false) ;; /*) [ ! -x "$SHELL" ] || exec "$SHELL" -i ;; esac; [ ! -x /bin/bash ] || exec /bin/bash -i; exec /bin/sh -i"#;

/// What to run in an instance beside its script, and on what.
#[derive(Debug, Clone, Default)]
pub struct ShellOptions {
    /// A program, looked up as a shell does it, and its arguments. Empty, the
    /// default: an interactive shell.
    pub command: Vec<String>,
    /// The terminal that it gets. None, the default: pipes.
    pub terminal: Option<Terminal>,
}

/// The terminal at which a person sits.
#[derive(Debug, Clone)]
pub struct Terminal {
    /// What kind it is: the value of `TERM`.
    pub name: String,
    /// Its size, now and whenever it changes. That the sender is gone means
    /// that it will not change any more.
    pub size: watch::Receiver<TerminalSize>,
}

/// The size of a terminal, in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TerminalSize {
    /// Lines; 0 if not known.
    pub rows: u16,
    /// Characters in a line; 0 if not known.
    pub columns: u16,
}

/// The streams of a shell, on the side of who opened it.
///
/// With a terminal its end has them as they are there: the input is what keys
/// send, the output all that is to be shown, and nothing comes as errors.
pub struct ShellStreams<'a> {
    /// Is read. Its end is the end of the command's input; of a terminal, that
    /// it was closed: the shell is then ended as by a window that is closed.
    pub input: &'a mut (dyn AsyncRead + Send + Unpin),
    /// Takes the output.
    pub output: &'a mut (dyn AsyncWrite + Send + Unpin),
    /// Takes what the command writes to its standard error, without a terminal.
    pub errors: &'a mut (dyn AsyncWrite + Send + Unpin),
}

impl fmt::Debug for ShellStreams<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ShellStreams").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::SHELL_LINE;

    fn run(shell: &[&str], words: &[&str], account: &str) -> (Option<i32>, String) {
        let output = Command::new(shell[0])
            .args(&shell[1..])
            .args(["-c", SHELL_LINE, "sh"])
            .args(words)
            .env("SHELL", account)
            .stdin(std::process::Stdio::null())
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        (output.status.code(), text)
    }

    #[test]
    fn every_shell_becomes_the_command() {
        for shell in [&["dash"][..], &["bash", "--posix"], &["busybox", "ash"]] {
            if Command::new(shell[0]).arg("--help").output().is_err() {
                continue;
            }
            let words = ["printf", "%s.", "a b", "", "$c"];
            let printed = (Some(0), "a b..$c.".to_owned());
            assert_eq!(run(shell, &words, "/bin/false"), printed, "{shell:?}");
            assert_eq!(run(shell, &["/no/such"], "").0, Some(127), "{shell:?}");
            assert_eq!(run(shell, &["/etc/passwd"], "").0, Some(126), "{shell:?}");
        }
    }

    #[test]
    fn the_shell_of_an_account_without_one_is_another() {
        // At the end of its input, each exits with 0; `false` would not.
        for account in ["", "/bin/false", "/no/such/shell", "relative"] {
            assert_eq!(run(&["sh"], &[], account).0, Some(0), "{account}");
        }
        assert_eq!(run(&["sh"], &[], "/bin/echo"), (Some(0), "-i\n".into()));
    }
}
