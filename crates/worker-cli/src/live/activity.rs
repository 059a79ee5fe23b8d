//! What a job is doing, and how that reads on one line. Pure.

use std::time::Instant;

use backend_core::Phase;
use worker_core::{Event, EventKind, Step};

use crate::report::rounded;

/// The cells of a bar, and the narrowest line that has room for one.
const BAR: usize = 20;
const ROOM_FOR_BAR: usize = 50;

/// What a job is doing, since when.
#[derive(Debug, Clone)]
pub(super) struct Activity {
    pub(super) began: Instant,
    /// One word: a phase or a step.
    what: String,
    /// The name of an image or a host.
    detail: String,
    done: Option<u64>,
    total: Option<u64>,
}

impl Activity {
    fn new(what: impl Into<String>) -> Self {
        Self {
            began: Instant::now(),
            what: what.into(),
            detail: String::new(),
            done: None,
            total: None,
        }
    }

    /// One line of at most `columns` columns.
    pub(super) fn render(&self, now: Instant, columns: usize) -> String {
        let mut parts = vec![self.what.clone()];
        match (self.done, self.total) {
            (Some(done), Some(total)) if total > 0 => {
                let done = done.min(total);
                if columns >= ROOM_FOR_BAR {
                    parts.push(bar(done, total));
                }
                parts.push(format!("{:>3}%", percent(done, total)));
                parts.push(format!("of {}", amount(total)));
            }
            (Some(done), _) => parts.push(amount(done)),
            _ => {}
        }
        let elapsed = now.duration_since(self.began).as_secs();
        parts.push(rounded(std::time::Duration::from_secs(elapsed)).to_string());
        // Last, as it may be cut.
        parts.push(self.detail.clone());
        cut(parts.join(" ").trim_end(), columns)
    }
}

/// What `event` makes of `activity`. Says whether the line tells the event
/// well enough. Where the script writes to the same terminal (`shared`), there
/// is no line once it may have written something.
pub(super) fn follow(activity: &mut Option<Activity>, event: &Event, shared: bool) -> bool {
    match &event.kind {
        EventKind::StepStarted { step } => {
            let word = match step {
                Step::Start => "starting",
                Step::Upload => "uploading",
                Step::Run => "running",
                Step::Stop => "stopping",
            };
            let hidden = shared && matches!(step, Step::Run | Step::Stop);
            *activity = (!hidden).then(|| Activity::new(word));
            false
        }
        EventKind::JobEnded { .. } => {
            *activity = None;
            false
        }
        EventKind::Progress(progress) if progress.phase != Phase::Notice => {
            let mut next = Activity::new(progress.phase.to_string());
            if let Some(before) = activity
                && before.what == next.what
            {
                next.began = before.began;
            }
            next.detail.clone_from(&progress.detail);
            (next.done, next.total) = (progress.done, progress.total);
            *activity = Some(next);
            true
        }
        _ => false,
    }
}

/// How many columns `text` takes at the most: what is not ASCII may take two.
pub(super) fn width(text: &str) -> usize {
    text.chars().map(columns_of).sum()
}

fn columns_of(character: char) -> usize {
    if character.is_ascii() { 1 } else { 2 }
}

/// `text` in at most `columns` columns, and without anything that a terminal
/// would take for a command.
fn cut(text: &str, columns: usize) -> String {
    let mut left = columns;
    let mut result = String::new();
    for character in text.chars() {
        let character = if character.is_control() {
            ' '
        } else {
            character
        };
        let Some(rest) = left.checked_sub(columns_of(character)) else {
            break;
        };
        left = rest;
        result.push(character);
    }
    result
}

fn percent(done: u64, total: u64) -> u64 {
    u64::try_from(u128::from(done) * 100 / u128::from(total.max(1))).unwrap_or(100)
}

/// A number of bytes for a glance, in decimal units.
fn amount(bytes: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(1_000_000_000, "GB"), (1_000_000, "MB"), (1_000, "kB")];
    let unit = UNITS.iter().find(|(size, _)| bytes >= *size);
    unit.map_or_else(
        || format!("{bytes} B"),
        |(size, name)| format!("{}.{} {name}", bytes / size, bytes % size / (size / 10)),
    )
}

fn bar(done: u64, total: u64) -> String {
    let cells = usize::try_from(percent(done, total)).unwrap_or(0) * BAR / 100;
    let full = "=".repeat(cells.min(BAR));
    format!("[{full:<BAR$}]")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    fn pulling(done: Option<u64>, total: Option<u64>) -> Activity {
        Activity {
            detail: "registry.example/a/rather/long/name:latest".into(),
            done,
            total,
            ..Activity::new("pulling")
        }
    }

    fn rendered(activity: &Activity, columns: usize) -> String {
        activity.render(activity.began + Duration::from_millis(3400), columns)
    }

    #[test]
    fn lines_at_several_widths() {
        let half = pulling(Some(31_000_000), Some(62_400_000));
        insta::assert_snapshot!(rendered(&half, 100), @"pulling [=========           ]  49% of 62.4 MB 3s registry.example/a/rather/long/name:latest");
        insta::assert_snapshot!(rendered(&half, 59), @"pulling [=========           ]  49% of 62.4 MB 3s registry.");
        insta::assert_snapshot!(rendered(&half, 40), @"pulling  49% of 62.4 MB 3s registry.exam");
        insta::assert_snapshot!(rendered(&pulling(Some(3_050_000), None), 59), @"pulling 3.0 MB 3s registry.example/a/rather/long/name:lates");
        insta::assert_snapshot!(rendered(&Activity::new("running"), 59), @"running 3s");
    }

    proptest! {
        #[test]
        fn no_line_is_too_wide_or_holds_a_command(
            detail in ".*", done: Option<u64>, total: Option<u64>, columns in 0_usize..200,
        ) {
            let activity = Activity { detail, ..pulling(done, total) };
            let line = rendered(&activity, columns);
            prop_assert!(width(&line) <= columns);
            prop_assert!(!line.chars().any(char::is_control));
        }
    }
}
