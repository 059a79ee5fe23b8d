//! The program that the far side runs: one text of POSIX shell, sent through
//! the channel's input, behind the lines of its parameters.
//!
//! What the login shell sees is [`BOOTSTRAP`], a fixed text without a value in
//! it that sh, bash, ash, fish and csh all read the same way.

use std::sync::LazyLock;

use crate::printf;

/// The command of every exec request. It reads how long the program is and how
/// many parameters it has, then each of these by a line, then the program.
///
/// Lines are read byte by byte, as POSIX wants it of `read`; the program is far
/// too long for that. `head` of busybox reads more than it is asked for, if
/// there is more: so nothing is sent behind the program before it has answered.
pub(crate) const BOOTSTRAP: &str = r#"exec /bin/sh -c 'IFS=" " read -r w_length w_count; set --; while [ "$w_count" -gt 0 ]; do IFS= read -r w_line; set -- "$@" "$w_line"; w_count=$((w_count - 1)); done; w_p=$(head -c "$w_length") || exit; eval "$w_p"'"#;

/// The command of the exec request of a shell. It reads what it needs from lines,
/// and becomes the program that is with the instance, marked as one of its
/// processes from the first on.
pub(crate) const SHELL_BOOTSTRAP: &str = r#"exec /bin/sh -c 'IFS= read -r w_s; IFS= read -r w_i; IFS= read -r w_n; IFS= read -r w_o; [ -r "$w_s/program" ] || exit 1; WORKER_INSTANCE_ID=$w_i; export WORKER_INSTANCE_ID; exec /bin/sh "$w_s/program" shell "$w_s" "$w_i" "$w_n" "$w_o"'"#;

const SOURCES: [&str; 9] = [
    include_str!("far/common.sh"),
    include_str!("far/switch.sh"),
    include_str!("far/supervise.sh"),
    include_str!("far/lease.sh"),
    include_str!("far/run.sh"),
    include_str!("far/keep.sh"),
    include_str!("far/shell.sh"),
    include_str!("far/examine.sh"),
    include_str!("far/entry.sh"),
];

static PROGRAM: LazyLock<String> = LazyLock::new(|| SOURCES.iter().copied().map(bare).collect());

/// What to do at the far side, with the parameters that it reads.
pub(crate) fn opening(mode: &str, nonce: &str, base: &str, parameters: &[&str]) -> Vec<u8> {
    let lines = [&[mode, nonce, base], parameters].concat();
    let mut text = format!("{} {}\n", PROGRAM.len(), lines.len());
    for line in lines {
        // No parameter has a line break: options refuse them, marks are JSON.
        debug_assert!(!line.contains('\n'));
        text.push_str(line);
        text.push('\n');
    }
    text.push_str(&PROGRAM);
    text.into_bytes()
}

/// What a shell is told before it begins: where it is, what becomes the command,
/// and the words of that.
pub(crate) fn entrance(parameters: [&str; 5], words: &[String]) -> Vec<u8> {
    /// Bytes of a word in one line: a terminal takes lines of up to 4095.
    const PIECE: usize = 500;
    let mut text = String::new();
    for line in parameters {
        text.push_str(line);
        text.push('\n');
    }
    for word in words {
        for piece in word.as_bytes().chunks(PIECE) {
            text.push('+');
            // A piece is never too long for that.
            text.push_str(&printf::format(piece).unwrap_or_default());
            text.push('\n');
        }
        text.push_str("=\n");
    }
    text.push_str(".\n");
    text.into_bytes()
}

/// The text without comments, empty lines and indentation, which the far side
/// would only read byte by byte to forget.
fn bare(source: &str) -> String {
    let lines = source.lines().map(str::trim_start);
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.flat_map(|line| [line, "\n"]).collect()
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn the_bootstrap_is_safe_for_any_login_shell() {
        for text in [BOOTSTRAP, SHELL_BOOTSTRAP] {
            let quoted = text.strip_prefix("exec /bin/sh -c '").unwrap();
            let quoted = quoted.strip_suffix('\'').unwrap();
            assert!(
                !quoted.contains(['\'', '!', '\n']),
                "csh and fish would read it otherwise"
            );
            // The shortest limit on a command that a server is known to have: dropbear's.
            assert!(text.len() < 9000);
        }
    }

    #[test]
    fn every_shell_here_reads_the_words_as_they_are() {
        let words = [
            "",
            "a b",
            "it's \"$HOME\" \\0141 %s\\c",
            "line\nbreak\n",
            "\x03\x04é",
            "-n",
        ];
        let words: Vec<_> = words
            .into_iter()
            .map(str::to_owned)
            .chain(["x".repeat(5000)])
            .collect();
        let command = r#"for w_x in "$@"; do printf '<%s>' "$w_x"; done"#;
        let directory = tempfile::tempdir().unwrap();
        let slot = directory.path();
        std::fs::create_dir_all(slot.join("job/work")).unwrap();
        std::fs::write(slot.join("id"), "w-1\n").unwrap();
        std::fs::write(slot.join("program"), &*PROGRAM).unwrap();
        let parameters = [slot.to_str().unwrap(), "w-1", "NONCE", "terminal", command];
        let text = entrance(parameters, &words);
        assert!(
            text.split(|byte| *byte == b'\n')
                .all(|line| line.len() < 4095)
        );
        for shell in [&["dash"][..], &["bash", "--posix"], &["busybox", "ash"]] {
            let text = text
                .split(|byte| *byte == b'\n')
                .skip(4)
                .collect::<Vec<_>>()
                .join(&b'\n');
            let input = slot.join("input");
            std::fs::write(&input, text).unwrap();
            let ran = Command::new(shell[0])
                .args(&shell[1..])
                .arg(slot.join("program"))
                .arg("shell")
                .args(&parameters[..4])
                .stdin(std::fs::File::open(&input).unwrap())
                .output();
            let Ok(output) = ran else { continue };
            let expected = format!("<{}>", words.join("><"));
            let printed = String::from_utf8(output.stdout).unwrap();
            assert_eq!(
                printed,
                format!("\nworker-begins-NONCE\n{expected}"),
                "{shell:?}"
            );
        }
    }

    #[test]
    fn every_shell_here_reads_the_program() {
        for shell in [&["dash"][..], &["bash", "--posix"], &["busybox", "ash"]] {
            let checked = Command::new(shell[0])
                .args(&shell[1..])
                .args(["-n", "-c", &PROGRAM])
                .stdin(Stdio::null())
                .output();
            let Ok(output) = checked else { continue };
            assert!(output.status.success(), "{shell:?}: {output:?}");
        }
    }
}
