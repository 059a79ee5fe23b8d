//! Processes that can be told from all others in `/proc`.

use std::fs;
use std::time::{Duration, Instant};

use super::case::{Checked, Unmet};
use super::fixture::Fixture;

/// A `sleep` with a length that nobody else sleeps: a process of the script
/// that can be found in `/proc` without the help of the backend.
#[derive(Debug, Clone)]
pub(super) struct Sleeper {
    seconds: String,
}

impl Sleeper {
    pub(super) fn new() -> Self {
        // Long enough for every case, and random enough for every machine.
        let seconds = fastrand::u32(100_000..1_000_000).to_string();
        Self { seconds }
    }

    /// The command, such as `sleep 123456`.
    pub(super) fn command(&self) -> String {
        format!("sleep {}", self.seconds)
    }

    /// How many of them run on this machine.
    pub(super) fn count(&self) -> usize {
        let Ok(processes) = fs::read_dir("/proc") else {
            return 0;
        };
        processes
            .flatten()
            .filter(|process| {
                // Empty for a zombie, which is no longer running.
                let line = fs::read(process.path().join("cmdline")).unwrap_or_default();
                let mut words = line.split(|byte| *byte == 0);
                words.next().is_some_and(|program| {
                    program.ends_with(b"sleep") || program.ends_with(b"busybox")
                }) && words.any(|word| word == self.seconds.as_bytes())
            })
            .count()
    }

    /// Waits until `count` of them are seen, and says whether they are.
    ///
    /// Not to see them is a failure where the target says that its processes
    /// are seen from here. Elsewhere nothing more can be said about them.
    pub(super) async fn seen(&self, fixture: &Fixture, count: usize) -> Checked<bool> {
        let visible = fixture.target.processes_visible;
        if visible == Some(false) || !fixture.executes() {
            return Ok(false);
        }
        if self
            .becomes(Duration::from_secs(5), |now| now == count)
            .await
        {
            return Ok(true);
        }
        if visible == Some(true) {
            return Err(Unmet::failed(format!(
                "{} of {count} processes of the script are seen on this machine",
                self.count()
            )));
        }
        Ok(false)
    }

    /// Waits until none is left, for `bound` at the most.
    pub(super) async fn gone(&self, bound: Duration, when: &str) -> Checked {
        if self.becomes(bound, |now| now == 0).await {
            return Ok(());
        }
        Err(Unmet::failed(format!(
            "{} processes `{}` of the script still run {when}",
            self.count(),
            self.command()
        )))
    }

    async fn becomes(&self, bound: Duration, fits: impl Fn(usize) -> bool) -> bool {
        let began = Instant::now();
        loop {
            if fits(self.count()) {
                return true;
            }
            if began.elapsed() > bound {
                return false;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_sleeper_is_seen_until_it_is_gone() {
        let sleeper = Sleeper::new();
        assert_eq!(sleeper.count(), 0);
        let mut child = std::process::Command::new("/bin/sh")
            .args(["-c", &format!("exec {}", sleeper.command())])
            .spawn()
            .unwrap();
        assert!(sleeper.becomes(Duration::from_secs(5), |n| n == 1).await);
        assert!(sleeper.gone(Duration::ZERO, "now").await.is_err());
        child.kill().unwrap();
        // A zombie does not count.
        assert!(sleeper.gone(Duration::from_secs(5), "now").await.is_ok());
        child.wait().unwrap();
    }
}
