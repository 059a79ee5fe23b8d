//! What a person is told: errors, what happens, and how it ended.

use std::error::Error as StdError;
use std::fmt::Write as _;
use std::time::Duration;

use backend_core::{Error, Outcome, Phase};
use serde_json::{Map, Value};
use worker_core::{EndedBy, Event, EventKind, JobResult, Limit};

use crate::script::ScriptError;
use crate::stderr::{is_json, record, say};

/// What went wrong, and what the reader can do about it: the context of an
/// error that has no hint of its own.
#[derive(Debug)]
pub(crate) struct Problem {
    message: String,
    hint: &'static str,
}

impl Problem {
    pub(crate) fn new(message: impl Into<String>, hint: &'static str) -> Self {
        Self {
            message: message.into(),
            hint,
        }
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

/// Prints `error: …`, `caused by: …` for each reason, and `hint: …`.
pub(crate) fn print_error(error: &anyhow::Error) {
    let told = Told::of(error.as_ref());
    let hint = error.downcast_ref::<Problem>().map(|problem| problem.hint);
    Told {
        hint: hint.map(str::to_owned).or(told.hint),
        ..told
    }
    .print();
}

/// Prints that a backend of several did not answer, or one of its machines or
/// servers where others did, as a warning.
pub(crate) fn print_no_answer(alias: &str, answered: usize, error: Error) {
    let asked = match answered {
        0 => format!("backend `{alias}` did not answer"),
        _ => format!("a part of backend `{alias}` did not answer"),
    };
    let error = anyhow::Error::from(error).context(asked);
    let told = Told::of(error.as_ref());
    if is_json() {
        told.print();
    } else {
        say(&told.text().replacen("error:", "warning:", 1));
    }
}

/// An error as it is told.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) message: String,
    /// From the outermost on.
    pub(crate) reasons: Vec<String>,
    /// The first that there is.
    pub(crate) hint: Option<String>,
}

impl Told {
    pub(crate) fn of(error: &(dyn StdError + 'static)) -> Self {
        let mut told = Self {
            message: error.to_string(),
            reasons: Vec::new(),
            hint: hint_of(error),
        };
        let mut next = error.source();
        while let Some(reason) = next {
            told.reasons.push(reason.to_string());
            told.hint = told.hint.or_else(|| hint_of(reason));
            next = reason.source();
        }
        told
    }

    fn print(self) {
        if !is_json() {
            return say(&self.text());
        }
        let mut fields = Map::new();
        fields.insert("caused_by".into(), self.reasons.into());
        if let Some(hint) = self.hint {
            fields.insert("hint".into(), hint.into());
        }
        record("ERROR", &self.message, fields);
    }

    fn text(&self) -> String {
        let mut text = format!("error: {}\n", self.message);
        for reason in &self.reasons {
            // Writing to a String does not fail.
            writeln!(text, "caused by: {reason}").ok();
        }
        if let Some(hint) = &self.hint {
            writeln!(text, "hint: {hint}").ok();
        }
        text
    }
}

fn hint_of(error: &(dyn StdError + 'static)) -> Option<String> {
    if let Some(error) = error.downcast_ref::<Error>() {
        return error.hint().map(str::to_owned);
    }
    error
        .downcast_ref::<ScriptError>()
        .map(|error| error.hint().to_owned())
}

/// Tells how a job ended. Quietly, only what went wrong with the job itself.
pub(crate) fn conclude(result: &JobResult, quiet: bool) {
    if let Some(error) = &result.error {
        Told::of(error).print();
    }
    if !quiet {
        if is_json() {
            let value = serde_json::to_value(result).unwrap_or(Value::Null);
            let fields = Map::from_iter([("result".to_owned(), value)]);
            record("INFO", &verdict(result), fields);
        } else {
            say(&summary(result));
        }
    }
    if let Some(error) = &result.stop_error {
        let told = Told::of(error);
        let reap = "`worker reap` removes what may be left once this worker is gone";
        Told {
            hint: told.hint.or(Some(reap.into())),
            ..told
        }
        .print();
    }
}

/// What is told at the end of a job: the verdict, what it took, and what is
/// not as it should be.
fn summary(result: &JobResult) -> String {
    let mut text = format!("worker: {}\n", verdict(result));
    // Writing to a String does not fail.
    if result.instance.is_some() {
        writeln!(text, "worker: {}", expenses(result)).ok();
    }
    for leftover in &result.leftovers {
        writeln!(
            text,
            "worker: still running when the script had ended: {leftover}"
        )
        .ok();
    }
    if let Some(error) = &result.output_error {
        writeln!(text, "worker: the output could not be written: {error}").ok();
    } else if !result.output_complete && result.outcome.is_some() {
        text.push_str("worker: the output is not complete\n");
    }
    if result.oom_seen && result.ended_by != EndedBy::OutOfMemory {
        text.push_str("worker: something in the instance ran out of memory\n");
    }
    text
}

/// How long each step took that there was, and how much was printed.
fn expenses(result: &JobResult) -> String {
    let durations = &result.durations;
    let mut parts = vec![format!("start {}", rounded(durations.start))];
    if !durations.upload.is_zero() {
        parts.push(format!("upload {}", rounded(durations.upload)));
    }
    if result.outcome.is_some() {
        parts.push(format!("run {}", rounded(durations.run)));
    }
    parts.push(format!("stop {}", rounded(durations.stop)));
    let bytes = match result.output_bytes {
        1 => "1 byte".to_owned(),
        bytes => format!("{bytes} bytes"),
    };
    format!("{}; {bytes} of output", parts.join(", "))
}

fn verdict(result: &JobResult) -> String {
    let took = rounded(result.durations.run);
    let limit = result
        .limit
        .map_or_else(String::new, |limit| limit.to_string());
    match (result.ended_by, &result.outcome) {
        (EndedBy::Timeout, None) => {
            let step = result
                .step
                .map_or_else(String::new, |step| step.to_string());
            format!("the {limit} limit ended the job during {step}")
        }
        (EndedBy::Timeout, Some(outcome)) => {
            format!("the {limit} limit ended the script after {took}: {outcome}")
        }
        (EndedBy::OutputLimit, Some(outcome)) => format!(
            "the output limit ended the script after {took} and {} bytes: {outcome}",
            result.output_bytes
        ),
        (EndedBy::Cancel, outcome) => {
            let cause = result
                .cancelled_by
                .map_or_else(String::new, |cause| cause.to_string());
            match outcome {
                Some(outcome) => format!("{cause}: the script {outcome}"),
                None => format!("{cause} before the script began"),
            }
        }
        (EndedBy::Engine, Some(outcome)) => {
            format!("the engine was shut down, and the script {outcome} after {took}")
        }
        (_, Some(Outcome::Lost(loss))) => {
            format!(
                "how the script ended is not known: {}: {}",
                loss.cause, loss.detail
            )
        }
        (_, Some(outcome)) => format!("the script {outcome} after {took}"),
        (_, None) => "the script never began".to_owned(),
    }
}

/// A duration without more digits than a person wants.
pub(crate) fn rounded(duration: Duration) -> humantime::FormattedDuration {
    let whole = match duration {
        long if long >= Duration::from_secs(10) => Duration::from_secs(long.as_secs()),
        short => Duration::from_millis(u64::try_from(short.as_millis()).unwrap_or(u64::MAX)),
    };
    humantime::format_duration(whole)
}

/// A start that is quicker than this needs no words.
const UNREMARKABLE_MS: u64 = 500;

/// Tells a person what happens while it happens: a line for each thing that
/// takes long or ends the script.
pub(crate) fn narrate(event: &Event) {
    let line = match &event.kind {
        EventKind::Progress(progress) => {
            let routine = matches!(progress.phase, Phase::Creating | Phase::Ready);
            if routine && event.elapsed_ms < UNREMARKABLE_MS {
                return;
            }
            let amount = match (progress.done, progress.total) {
                (Some(done), Some(total)) if total > 0 => format!(" {}%", done * 100 / total),
                _ => String::new(),
            };
            format!("{}{amount}: {}", progress.phase, progress.detail)
        }
        EventKind::LimitReached {
            limit: limit @ (Limit::Startup | Limit::Upload),
        } => format!("the {limit} limit is reached: the script has not begun"),
        EventKind::LimitReached { limit } => {
            format!("the {limit} limit is reached: ending the script")
        }
        EventKind::Cancelled { cause } => format!("{cause}: ending the job"),
        EventKind::Processes { listing } => format!("running in the instance:\n{listing}"),
        EventKind::SignalSent {
            signal,
            error: Some(error),
        } => format!("could not send {signal}: {error}"),
        EventKind::SignalSent {
            signal,
            error: None,
        } => format!("sent {signal}"),
        EventKind::OutputTruncated { output_bytes } => {
            format!("the output is cut after {output_bytes} bytes")
        }
        EventKind::RunAbandoned => {
            "the script did not end after SIGKILL: stopping its instance".to_owned()
        }
        _ => return,
    };
    if is_json() {
        let event = serde_json::to_value(event).unwrap_or(Value::Null);
        record("INFO", &line, Map::from_iter([("event".to_owned(), event)]));
    } else {
        say(&format!("worker: {line}\n"));
    }
}

#[cfg(test)]
mod tests {
    use backend_core::ErrorKind;

    use super::*;

    #[test]
    fn errors_are_told_with_their_reasons_and_the_first_hint() {
        let inner = Error::new(ErrorKind::Denied, "the door is locked").with_hint("find the key");
        let outer = Error::new(ErrorKind::Unreachable, "cannot enter").caused_by(inner);
        let told = Told::of(&outer);
        assert_eq!(
            told.text(),
            "error: cannot enter\ncaused by: the door is locked\nhint: find the key\n"
        );
    }
}
