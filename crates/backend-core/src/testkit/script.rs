//! The checks that are a script, and what must come of it.

use std::time::Duration;

use super::case::{Checked, Unmet, ensure};
use super::fixture::{Fixture, Ran};
use super::sinks::sha256_hex;
use crate::{Capability, Environment, Outcome, RunOptions, Signal};

/// A script, and what must come of it.
pub(super) struct ScriptCheck {
    script: &'static [u8],
    environment: &'static [(&'static str, &'static str)],
    tool: Option<&'static str>,
    outcome: Ends,
    output: Prints,
    oom_seen: bool,
    at_least: Duration,
    at_most: Duration,
}

/// How a script must end.
#[derive(Debug, Clone, Copy)]
pub(super) enum Ends {
    /// By an exit with this code, that is no death by signal.
    Exit(i32),
    /// By an exit with any code but 0.
    Failing,
    /// By this signal.
    Signal(Signal),
    /// By signal 9 for lack of memory.
    OutOfMemory,
}

/// What a script must print.
#[derive(Debug, Clone, Copy)]
pub(super) enum Prints {
    /// Whatever.
    Anything,
    /// Exactly this.
    Exactly(&'static [u8]),
    /// Something with this in it.
    With(&'static str),
    /// So many bytes, and then their SHA-256 in hexadecimal and a newline.
    Hashed(u64),
    /// Itself.
    Itself,
    /// The SHA-256 of the script in hexadecimal and a newline at the end.
    ItsHash,
}

/// The length of a SHA-256 in hexadecimal with a newline.
pub(super) const TRAILER: usize = 65;

impl ScriptCheck {
    /// A script that must exit with 0, whatever it prints.
    pub(super) const fn new(script: &'static [u8]) -> Self {
        Self {
            script,
            environment: &[],
            tool: None,
            outcome: Ends::Exit(0),
            output: Prints::Anything,
            oom_seen: false,
            at_least: Duration::ZERO,
            at_most: Duration::from_secs(30),
        }
    }

    /// A `/bin/sh` script.
    pub(super) const fn sh(text: &'static str) -> Self {
        Self::new(text.as_bytes())
    }

    pub(super) const fn exits(mut self, code: i32) -> Self {
        self.outcome = Ends::Exit(code);
        self
    }

    pub(super) const fn fails(mut self) -> Self {
        self.outcome = Ends::Failing;
        self
    }

    pub(super) const fn dies(mut self, signal: Signal) -> Self {
        self.outcome = Ends::Signal(signal);
        self
    }

    pub(super) const fn runs_out_of_memory(mut self) -> Self {
        self.outcome = Ends::OutOfMemory;
        self.oom_seen = true;
        self
    }

    /// The result must say that something in the instance ran out of memory.
    pub(super) const fn sees_out_of_memory(mut self) -> Self {
        self.oom_seen = true;
        self
    }

    pub(super) const fn prints(mut self, output: Prints) -> Self {
        self.output = output;
        self
    }

    /// Needs this program on the instance.
    pub(super) const fn tool(mut self, tool: &'static str) -> Self {
        self.tool = Some(tool);
        self
    }

    pub(super) const fn at_least(mut self, seconds: u64) -> Self {
        self.at_least = Duration::from_secs(seconds);
        self
    }

    pub(super) const fn at_most(mut self, seconds: u64) -> Self {
        self.at_most = Duration::from_secs(seconds);
        self
    }

    pub(super) const fn environment(
        mut self,
        pairs: &'static [(&'static str, &'static str)],
    ) -> Self {
        self.environment = pairs;
        self
    }

    /// Runs the script and compares.
    pub(super) async fn check(&self, fixture: &Fixture) -> Checked {
        if let Some(tool) = self.tool {
            fixture.needs_tool(tool).await?;
        }
        let mut environment = Environment::new();
        for (name, value) in self.environment {
            environment
                .set(*name, *value)
                .map_err(|error| Unmet::failed(error.to_string()))?;
        }
        let options = RunOptions {
            environment,
            ..RunOptions::default()
        };
        let ran = match self.output {
            Prints::Hashed(_) => fixture.run_hashed(self.script, &options).await?,
            _ => fixture.run_with(self.script, &options).await?,
        };
        self.outcome.check(fixture, &ran)?;
        self.output.check(self.script, &ran)?;
        ensure!(
            ran.result.output_complete,
            "the output is said not to be complete"
        );
        ensure!(
            ran.result.oom_seen == self.oom_seen,
            "`oom_seen` must be {}",
            self.oom_seen
        );
        ensure!(
            ran.took >= self.at_least,
            "it took {:?}, less than {:?}",
            ran.took,
            self.at_least
        );
        ensure!(
            ran.took <= self.at_most,
            "it took {:?}, more than {:?}",
            ran.took,
            self.at_most
        );
        Ok(())
    }
}

impl Ends {
    pub(super) fn check(self, fixture: &Fixture, ran: &Ran) -> Checked {
        let outcome = &ran.result.outcome;
        let exact = fixture.has(Capability::ExactSignals);
        let fits = match (self, outcome) {
            (Self::Exit(expected), Outcome::Exited { code, maybe_signal }) => {
                *code == expected && (maybe_signal.is_none() || !exact)
            }
            (Self::Failing, Outcome::Exited { code, .. }) => *code != 0,
            (Self::Signal(expected), Outcome::Signaled { signal, oom }) => {
                *signal == expected && !oom
            }
            (Self::Signal(expected), Outcome::Exited { code, maybe_signal }) => {
                !exact && *code == expected.exit_code() && *maybe_signal == Some(expected)
            }
            (Self::OutOfMemory, Outcome::Signaled { signal, oom }) => {
                *signal == Signal::KILL && *oom
            }
            (Self::OutOfMemory, Outcome::Exited { code, maybe_signal }) => {
                !exact && *code == Signal::KILL.exit_code() && *maybe_signal == Some(Signal::KILL)
            }
            _ => false,
        };
        ensure!(
            fits,
            "the script must end by {self:?}; it {outcome}; output: {}",
            ran.shown()
        );
        Ok(())
    }
}

impl Prints {
    fn check(self, script: &[u8], ran: &Ran) -> Checked {
        let output = ran.output.as_slice();
        match self {
            Self::Anything => {}
            Self::Exactly(expected) => ensure!(
                output == expected,
                "the output must be {}; it is {}",
                shown(expected),
                ran.shown()
            ),
            Self::With(text) => ensure!(
                contains(output, text.as_bytes()),
                "the output must have {text:?} in it; it is {}",
                ran.shown()
            ),
            Self::Hashed(length) => {
                ensure!(
                    ran.hashed_bytes == length,
                    "{} bytes came before the hash, not {length}",
                    ran.hashed_bytes
                );
                ensure!(
                    output.trim_ascii() == ran.hash.as_bytes(),
                    "the bytes hash to {}; the script wrote bytes that hash to {}",
                    ran.hash,
                    ran.shown()
                );
            }
            Self::Itself => ensure!(
                output == script,
                "the script of {} bytes must print itself; it printed {}",
                script.len(),
                ran.shown()
            ),
            Self::ItsHash => {
                let hash = sha256_hex(script);
                ensure!(
                    contains(output, hash.as_bytes()),
                    "the script hashes to {hash} here; there: {}",
                    ran.shown()
                );
            }
        }
        Ok(())
    }
}

pub(super) fn contains(bytes: &[u8], part: &[u8]) -> bool {
    part.is_empty() || bytes.windows(part.len()).any(|window| window == part)
}

/// The beginning of `bytes`, for a message.
pub(super) fn shown(bytes: &[u8]) -> String {
    const MOST: usize = 300;
    let head = bytes.get(..MOST).unwrap_or(bytes);
    let text = head.escape_ascii();
    match bytes.len() {
        length if length > MOST => format!("\"{text}…\" ({length} bytes)"),
        _ => format!("\"{text}\""),
    }
}
