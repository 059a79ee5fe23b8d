//! Scripts whose end and whose output are known before they run.

use std::fmt::Write as _;
use std::time::Duration;

use backend_core::testkit::pseudo_random;

/// What a script does, by the kinds of what scripts do to runners.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Recipe {
    /// Exits, without a word.
    Exits { code: u8 },
    /// Ends itself by a signal.
    Dies { signal: i32 },
    /// Prints numbered lines, as fast as a shell can.
    Lines { count: u32, code: u8 },
    /// Prints the bytes behind its own last line so many times: a big script
    /// with big output, in bytes of all values.
    Blocks {
        count: u32,
        size: usize,
        seed: u64,
        code: u8,
    },
    /// Prints numbered lines with a pause after each.
    Ticks { count: u32, pause_ms: u64, code: u8 },
    /// Says nothing for a while.
    Silent { ms: u64, code: u8 },
    /// Leaves a child behind: in a session of its own or not, holding the
    /// output open or not.
    Children {
        apart: bool,
        holding: bool,
        code: u8,
    },
    /// Closes its output long before it exits.
    Closes { ms: u64, code: u8 },
    /// Prints characters of several bytes, a byte at a time.
    Characters { count: u32, code: u8 },
    /// Prints a secret in two pieces with a pause between them.
    Secret { pause_ms: u64, code: u8 },
    /// Reads its input, which has to be at its end.
    Reads { code: u8 },
    /// Never ends by itself.
    Hangs { talks: bool, on_term: OnTerm },
}

/// What a script does when it is told to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OnTerm {
    /// It ends.
    Dies,
    /// It says so, and exits with [`BYE_CODE`].
    Exits,
    /// It goes on.
    Ignores,
}

/// With what a script exits that catches TERM, and what it says then.
pub(crate) const BYE_CODE: u8 = 99;
pub(crate) const BYE: &[u8] = b"bye\n";

/// How a script ends that nobody disturbs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Exit(u8),
    Signal(i32),
    Never,
}

/// A script, and all that is known of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Script {
    pub(crate) text: Vec<u8>,
    /// What it prints. One that never ends prints a beginning of this.
    pub(crate) raw: Vec<u8>,
    /// The same as it arrives: with the secret masked.
    pub(crate) output: Vec<u8>,
    pub(crate) end: End,
    /// About how long it runs; without meaning where it never ends.
    pub(crate) runs_for: Duration,
    pub(crate) on_term: OnTerm,
    /// Whether a child holds the output open beyond the script's end.
    pub(crate) holds_output: bool,
    /// The value of [`SECRET`] in its environment.
    pub(crate) secret: Option<&'static str>,
}

/// The variable with the secret, its value, and what stands in its place.
pub(crate) const SECRET: &str = "SOAK_SECRET";
const SECRET_VALUE: &str = "s3cret-Of-The-Soak-0123456789";
const MASK: &str = "***";

/// More than any limit lets a script print that never ends.
const ENDLESS_TICKS: u32 = 4000;

const CHARACTERS: &str = "žluťoučký 🦀 漢字\n";

impl Recipe {
    /// Its kind, for the report.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Exits { .. } => "exits",
            Self::Dies { .. } => "dies",
            Self::Lines { .. } => "lines",
            Self::Blocks { .. } => "blocks",
            Self::Ticks { .. } => "ticks",
            Self::Silent { .. } => "silent",
            Self::Children { .. } => "children",
            Self::Closes { .. } => "closes",
            Self::Characters { .. } => "characters",
            Self::Secret { .. } => "secret",
            Self::Reads { .. } => "reads",
            Self::Hangs { .. } => "hangs",
        }
    }

    /// The script.
    pub(crate) fn script(&self) -> Script {
        match *self {
            Self::Exits { code } => Script::exiting("", "", code),
            Self::Dies { signal } => Script {
                end: End::Signal(signal),
                ..Script::exiting("echo dying", "dying\n", 0).line(&format!("kill -{signal} $$"))
            },
            Self::Lines { count, code } => {
                Script::exiting(&counting("line", count, ""), &counted("line", count), code)
            }
            Self::Blocks {
                count,
                size,
                seed,
                code,
            } => blocks(count, size, seed, code),
            Self::Ticks {
                count,
                pause_ms,
                code,
            } => {
                let pause = format!("sleep {}; ", seconds(pause_ms));
                Script {
                    runs_for: Duration::from_millis(pause_ms * u64::from(count)),
                    ..Script::exiting(
                        &counting("tick", count, &pause),
                        &counted("tick", count),
                        code,
                    )
                }
            }
            Self::Silent { ms, code } => Script {
                runs_for: Duration::from_millis(ms),
                ..Script::exiting(&format!("sleep {}", seconds(ms)), "", code)
            },
            Self::Children {
                apart,
                holding,
                code,
            } => {
                let apart = if apart { "setsid " } else { "" };
                let to = if holding { "" } else { " >/dev/null 2>&1" };
                Script {
                    holds_output: holding,
                    ..Script::exiting(
                        &format!("{apart}sleep 600{to} &\necho parent"),
                        "parent\n",
                        code,
                    )
                }
            }
            Self::Closes { ms, code } => Script {
                runs_for: Duration::from_millis(ms),
                ..Script::exiting(
                    &format!("echo closing\nexec >&- 2>&-\nsleep {}", seconds(ms)),
                    "closing\n",
                    code,
                )
            },
            Self::Characters { count, code } => characters(count, code),
            Self::Secret { pause_ms, code } => Script::secret(pause_ms, code),
            Self::Reads { code } => Script::exiting(
                "if read -r line; then echo \"input: $line\"; else echo end; fi",
                "end\n",
                code,
            ),
            Self::Hangs { talks, on_term } => hangs(talks, on_term),
        }
    }
}

impl Script {
    /// Whether this is what arrives if the script is ended within its secret: a
    /// beginning of one is none.
    pub(crate) fn ends_within_secret(&self, got: &[u8]) -> bool {
        let Some(secret) = self.secret else {
            return false;
        };
        let raw = String::from_utf8_lossy(&self.raw);
        let cut = |(length, _)| raw.get(..length).unwrap_or_default().replace(secret, MASK);
        raw.char_indices()
            .map(cut)
            .any(|text| text.as_bytes() == got)
    }

    /// One that runs these lines, prints this, and exits.
    fn exiting(lines: &str, output: &str, code: u8) -> Self {
        Self {
            text: format!("#!/bin/sh\n{lines}\nexit {code}\n").into_bytes(),
            raw: output.into(),
            output: output.into(),
            end: End::Exit(code),
            runs_for: Duration::ZERO,
            on_term: OnTerm::Dies,
            holds_output: false,
            secret: None,
        }
    }

    /// With this as the last line but the exit.
    fn line(mut self, line: &str) -> Self {
        let text =
            String::from_utf8_lossy(&self.text).replace("\nexit", &format!("\n{line}\nexit"));
        self.text = text.into_bytes();
        self
    }

    fn secret(pause_ms: u64, code: u8) -> Self {
        let (first, _) = SECRET_VALUE.split_at(9);
        let lines = format!(
            "printf 'before %s' \"{first}\"\nsleep {}\n\
             printf '%s after\\n' \"${{{SECRET}#?????????}}\"\necho \"whole ${SECRET}.\"\n\
             printf 'end %.5s' \"${SECRET}\"",
            seconds(pause_ms)
        );
        // What could be the beginning of a secret is held back until the end.
        let (held, _) = SECRET_VALUE.split_at(5);
        let output = format!("before {MASK} after\nwhole {MASK}.\nend {held}");
        let raw = output.replace(MASK, SECRET_VALUE);
        Self {
            raw: raw.into_bytes(),
            secret: Some(SECRET_VALUE),
            runs_for: Duration::from_millis(pause_ms),
            ..Self::exiting(&lines, &output, code)
        }
    }
}

fn blocks(count: u32, size: usize, seed: u64, code: u8) -> Script {
    let payload = pseudo_random(seed, size);
    let lines = counting("block", count, &format!("tail -c {size} \"$0\"; "));
    let mut script = Script::exiting(&lines, "", code);
    script.text.extend_from_slice(&payload);
    for number in 0..count {
        let line = format!("block {number}\n");
        script.raw.extend_from_slice(line.as_bytes());
        script.raw.extend_from_slice(&payload);
    }
    script.output.clone_from(&script.raw);
    script
}

fn characters(count: u32, code: u8) -> Script {
    let mut line = String::new();
    for byte in CHARACTERS.bytes() {
        // Writing to a string cannot fail.
        write!(line, "printf '\\{byte:03o}'; ").ok();
    }
    let lines = format!("i=0\nwhile [ $i -lt {count} ]; do\n{line}\ni=$((i + 1))\ndone");
    let output = CHARACTERS.repeat(usize::try_from(count).unwrap_or_default());
    Script::exiting(&lines, &output, code)
}

fn hangs(talks: bool, on_term: OnTerm) -> Script {
    let trap = match on_term {
        OnTerm::Dies => String::new(),
        OnTerm::Exits => format!("trap 'echo bye; exit {BYE_CODE}' TERM\n"),
        OnTerm::Ignores => "trap '' TERM\n".into(),
    };
    let (forever, output) = if talks {
        let ticks = counting("tick", ENDLESS_TICKS, "sleep 0.2; ");
        (ticks, counted("tick", ENDLESS_TICKS))
    } else {
        // A shell that waits hears a signal at once.
        let sleep = "while :; do sleep 1 & wait $!; done";
        (format!("echo begun\n{sleep}"), "begun\n".into())
    };
    Script {
        end: End::Never,
        on_term,
        // Without what a shell says of a child that a signal ended.
        ..Script::exiting(&format!("exec 2>/dev/null\n{trap}{forever}"), &output, 0)
    }
}

/// Prints `WORD 0`, `WORD 1` and so on, and does something after each.
fn counting(word: &str, count: u32, then: &str) -> String {
    format!("i=0\nwhile [ $i -lt {count} ]; do echo \"{word} $i\"; {then}i=$((i + 1)); done")
}

fn counted(word: &str, count: u32) -> String {
    (0..count).fold(String::new(), |mut text, number| {
        // Writing to a string cannot fail.
        writeln!(text, "{word} {number}").ok();
        text
    })
}

fn seconds(ms: u64) -> String {
    format!("{}.{:03}", ms / 1000, ms % 1000)
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;
    use std::process::{Command, Stdio};

    use super::*;

    /// What a shell really makes of it.
    fn run(script: &Script) -> std::process::Output {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("script");
        std::fs::write(&path, &script.text).unwrap();
        let mut shell = Command::new("/bin/sh");
        shell.arg("-c").arg("exec /bin/sh \"$0\" 2>&1").arg(path);
        if let Some(secret) = script.secret {
            shell.env(SECRET, secret);
        }
        shell.stdin(Stdio::null()).output().unwrap()
    }

    #[test]
    fn scripts_do_what_is_known_of_them() {
        let recipes = [
            Recipe::Exits { code: 43 },
            Recipe::Dies { signal: 9 },
            Recipe::Lines {
                count: 300,
                code: 1,
            },
            Recipe::Blocks {
                count: 3,
                size: 70_000,
                seed: 7,
                code: 2,
            },
            Recipe::Ticks {
                count: 3,
                pause_ms: 20,
                code: 3,
            },
            Recipe::Silent { ms: 20, code: 4 },
            Recipe::Closes { ms: 20, code: 5 },
            Recipe::Characters { count: 3, code: 6 },
            Recipe::Secret {
                pause_ms: 20,
                code: 7,
            },
            Recipe::Reads { code: 8 },
        ];
        for recipe in recipes {
            let script = recipe.script();
            let ran = run(&script);
            let end = match (ran.status.code(), ran.status.signal()) {
                (Some(code), _) => End::Exit(u8::try_from(code).unwrap()),
                (_, Some(signal)) => End::Signal(signal),
                _ => End::Never,
            };
            assert_eq!(end, script.end, "{recipe:?}");
            assert!(ran.stdout == script.raw, "{recipe:?}");
        }
    }

    #[test]
    fn a_secret_is_in_no_script_and_in_no_output() {
        let script = Recipe::Secret {
            pause_ms: 1,
            code: 0,
        }
        .script();
        let holds = |bytes: &[u8]| String::from_utf8_lossy(bytes).contains(SECRET_VALUE);
        assert!(holds(&script.raw));
        assert!(!holds(&script.text) && !holds(&script.output));
        assert!(script.ends_within_secret(b"before s3cret-Of"));
        assert!(script.ends_within_secret(b"before *** after\nwhole s3c"));
        assert!(!script.ends_within_secret(b"before s3cret-Of after"));
    }
}
