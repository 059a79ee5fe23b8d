//! Instances that were kept on purpose: what their owner is told, and their
//! removal at their time by whoever looks next.
//!
//! A small note in the state directory for each lets `worker run` know without
//! asking anyone that there is something to look for; `ps` and `reap` ask the
//! backends anyway.

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use backend_core::reap::ReapScope;
use backend_core::{Chain, OwnerId, Provider, quote, state_directory, unix_seconds};
use worker_core::{JobResult, Reaped, reap_kept};

use crate::report::rounded;
use crate::stderr::say;

/// The times in the messages, without what nobody reads.
const MINUTE: usize = "2026-01-01T00:00".len();

/// How a backend is reached by another command, as by the one that ran.
#[derive(Debug)]
pub(crate) struct Reached<'a> {
    pub(crate) alias: &'a str,
    pub(crate) options: &'a [(String, String)],
    pub(crate) config: Option<&'a Path>,
    /// Whether a shell can be opened there.
    pub(crate) has_shells: bool,
}

impl std::fmt::Display for Reached<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(config) = self.config {
            write!(f, "--config {} ", word(&config.to_string_lossy()))?;
        }
        write!(f, "-b {}", word(self.alias))?;
        // Secrets are refused on the command line, so there is none.
        for (key, value) in self.options {
            write!(f, " -o {}", word(&format!("{key}={value}")))?;
        }
        Ok(())
    }
}

/// One word for a shell, quoted where it must be.
fn word(text: &str) -> Cow<'_, str> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_=./:@,+%".contains(&byte);
    if !text.is_empty() && text.bytes().all(plain) {
        return text.into();
    }
    quote::single(text).into()
}

/// Tells how to enter the instance of `result` and when it goes, if it was kept.
pub(crate) fn conclude(result: &JobResult, reached: &Reached<'_>, quiet: bool) {
    let (Some(kept), Some(id)) = (result.kept, &result.instance) else {
        return;
    };
    if let Err(error) = note(reached.alias, id, kept.expires) {
        tracing::debug!(%error, "cannot note that an instance is kept");
    }
    if quiet {
        return;
    }
    let left = Duration::from_secs(kept.expires.saturating_sub(unix_seconds(SystemTime::now())));
    // To the minute: seconds are of no use to a person.
    let left = Duration::from_secs(left.as_secs().next_multiple_of(60));
    let (until, left) = (minute(kept.expires), rounded(left));
    let enter = if reached.has_shells {
        format!("worker: enter it: worker shell {reached} {id}\n")
    } else {
        String::new()
    };
    say(&format!(
        "worker: kept {id} until {until} ({left})\n\
         {enter}\
         worker: where it is: worker ps --json {reached}\n\
         worker: remove it now: worker reap {reached} {id}\n",
    ));
}

/// The instances that were kept, by the notes: each with its backend.
pub(crate) fn instances() -> Vec<(String, String)> {
    let entries = directory().and_then(|directory| std::fs::read_dir(directory).ok());
    let names = entries.into_iter().flatten().flatten();
    names
        .filter_map(|entry| {
            let name = entry.file_name();
            let (alias, id) = name.to_str()?.split_once('.')?;
            Some((alias.to_owned(), id.to_owned()))
        })
        .collect()
}

/// Removes what was kept on the backend `alias` and is past its time by the
/// notes; asks nobody if there is none.
pub(crate) async fn tidy(alias: &str, provider: &dyn Provider, owner: Option<OwnerId>) {
    let now = unix_seconds(SystemTime::now());
    let due: Vec<_> = notes(alias)
        .into_iter()
        .filter(|(_, expires)| *expires <= now)
        .collect();
    if due.is_empty() {
        return;
    }
    let scope = ReapScope::Owner(owner.unwrap_or_else(OwnerId::current));
    let listing = provider.list_reachable().await;
    let (_, reaped) = reap_kept(provider, &scope, listing.found).await;
    tell(alias, &reaped);
    for error in &listing.unanswered {
        let error = Chain(error);
        tracing::debug!(%error, "cannot look for kept instances that are past their time");
    }
    // What could not be removed, or may be where nobody answered, is looked for
    // again the next time.
    if !listing.unanswered.is_empty() {
        return;
    }
    let failed = reaped
        .iter()
        .filter(|reaped| matches!(reaped.removal, Some(Err(_))));
    let left: Vec<_> = failed
        .map(|reaped| format!("{alias}.{}", reaped.found.marks.instance))
        .collect();
    for (path, _) in due {
        if !left.iter().any(|name| path.ends_with(name)) {
            std::fs::remove_file(path).ok();
        }
    }
}

/// Says what was removed in passing.
pub(crate) fn tell(alias: &str, reaped: &[Reaped]) {
    for reaped in reaped {
        let id = &reaped.found.marks.instance;
        let past = minute(reaped.found.marks.expires);
        if let Some(Err(error)) = &reaped.removal {
            let error = Chain(error);
            tracing::warn!("cannot remove {id} on {alias}, kept until {past}: {error}");
            continue;
        }
        forget(alias, id.as_str());
        say(&format!(
            "worker: removed {id} on {alias}: kept until {past}\n"
        ));
    }
}

/// A time to the minute, in UTC. What was kept may say any time, also one that
/// no calendar has.
pub(crate) fn minute(seconds: u64) -> String {
    // Source: RFC 3339, the last second of its last year.
    const LAST: u64 = 253_402_300_799;
    if seconds > LAST {
        return "after the year 9999".to_owned();
    }
    let time = UNIX_EPOCH + Duration::from_secs(seconds);
    let text = humantime::format_rfc3339_seconds(time).to_string();
    let text = text.replace('T', " ");
    format!("{} UTC", text.get(..MINUTE).unwrap_or(&text))
}

fn directory() -> Option<PathBuf> {
    state_directory().map(|state| state.join("kept"))
}

/// `ALIAS` and the instance are the name; the time is the content.
fn note(alias: &str, id: &str, expires: u64) -> std::io::Result<()> {
    let Some(directory) = directory() else {
        return Ok(());
    };
    std::fs::create_dir_all(&directory)?;
    std::fs::write(
        directory.join(format!("{alias}.{id}")),
        format!("{expires}\n"),
    )
}

/// Forgets an instance that was removed, whether it was noted or not.
pub(crate) fn forget(alias: &str, id: &str) {
    if let Some(directory) = directory() {
        // None is there for most.
        std::fs::remove_file(directory.join(format!("{alias}.{id}"))).ok();
    }
}

/// The notes on a backend: each file, and from when on its instance goes.
fn notes(alias: &str) -> Vec<(PathBuf, u64)> {
    let entries = directory().and_then(|directory| std::fs::read_dir(directory).ok());
    let prefix = format!("{alias}.");
    let ours = entries.into_iter().flatten().flatten().filter(|entry| {
        let name = entry.file_name();
        name.to_str().is_some_and(|name| name.starts_with(&prefix))
    });
    ours.filter_map(|entry| {
        let text = std::fs::read_to_string(entry.path()).ok()?;
        Some((entry.path(), text.trim().parse().ok()?))
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backend_is_reached_as_before_by_what_is_printed() {
        let options = [
            ("hosts".to_owned(), "ci@h:22?slots=2,b".to_owned()),
            ("prepare".to_owned(), "it's $HOME".to_owned()),
        ];
        let reached = Reached {
            alias: "ssh",
            options: &options,
            config: Some(Path::new("my worker.toml")),
            has_shells: true,
        };
        assert_eq!(
            reached.to_string(),
            r"--config 'my worker.toml' -b ssh -o 'hosts=ci@h:22?slots=2,b' -o 'prepare=it'\''s $HOME'"
        );
    }

    #[test]
    fn times_are_to_the_minute() {
        assert_eq!(super::minute(1_700_000_000), "2023-11-14 22:13 UTC");
        assert_eq!(super::minute(0), "1970-01-01 00:00 UTC");
        assert_eq!(super::minute(253_402_300_799), "9999-12-31 23:59 UTC");
        for seconds in [253_402_300_800, 1 << 40, u64::MAX] {
            assert_eq!(super::minute(seconds), "after the year 9999");
        }
    }
}
