//! The program that the far side runs: one text of POSIX shell, sent through
//! the channel's input, behind the lines of its parameters.
//!
//! What the login shell sees is [`BOOTSTRAP`], a fixed text without a value in
//! it that sh, bash, ash, fish and csh all read the same way.

use std::sync::LazyLock;

/// The command of every exec request. It reads how long the program is and how
/// many parameters it has, then each of these by a line, then the program.
///
/// Lines are read byte by byte, as POSIX wants it of `read`; the program is far
/// too long for that. `head` of busybox reads more than it is asked for, if
/// there is more: so nothing is sent behind the program before it has answered.
pub(crate) const BOOTSTRAP: &str = r#"exec /bin/sh -c 'IFS=" " read -r w_length w_count; set --; while [ "$w_count" -gt 0 ]; do IFS= read -r w_line; set -- "$@" "$w_line"; w_count=$((w_count - 1)); done; w_p=$(head -c "$w_length") || exit; eval "$w_p"'"#;

const SOURCES: [&str; 7] = [
    include_str!("far/common.sh"),
    include_str!("far/switch.sh"),
    include_str!("far/supervise.sh"),
    include_str!("far/lease.sh"),
    include_str!("far/run.sh"),
    include_str!("far/keep.sh"),
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
        let quoted = BOOTSTRAP.strip_prefix("exec /bin/sh -c '").unwrap();
        let quoted = quoted.strip_suffix('\'').unwrap();
        assert!(
            !quoted.contains(['\'', '!', '\n']),
            "csh and fish would read it otherwise"
        );
        // The shortest limit on a command that a server is known to have: dropbear's.
        assert!(BOOTSTRAP.len() < 9000);
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
