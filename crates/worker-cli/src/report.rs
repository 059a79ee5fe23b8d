//! What is said to a person, on standard error.

use std::error::Error as StdError;
use std::fmt::Write as _;
use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use backend_core::{Error, Outcome, Phase};
use tracing_subscriber::filter::LevelFilter;
use worker_core::{EndedBy, Event, EventKind, JobResult};

use crate::args::{Global, LogFormat};
use crate::script::ScriptError;

/// Sends the log to standard error: warnings, with `-v` more, with `-q` none.
pub(crate) fn install_log(global: &Global) {
    let level = match (global.quiet, global.verbose) {
        (true, _) => LevelFilter::OFF,
        (false, 0) => LevelFilter::WARN,
        (false, 1) => LevelFilter::INFO,
        (false, _) => LevelFilter::DEBUG,
    };
    let colour = std::io::stderr().is_terminal()
        && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let log = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(std::io::stderr);
    match global.log_format {
        LogFormat::Text => log
            .with_target(false)
            .with_ansi(colour)
            .without_time()
            .init(),
        LogFormat::Json => log.json().init(),
    }
}

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
    let mut text = error_text(error.as_ref());
    if let Some(problem) = error.downcast_ref::<Problem>() {
        writeln!(text, "hint: {}", problem.hint).ok();
    }
    say(&text);
}

/// The text of an error with its reasons and its hint.
pub(crate) fn error_text(error: &(dyn StdError + 'static)) -> String {
    let mut text = format!("error: {error}\n");
    let mut hint = hint_of(error);
    let mut next = error.source();
    while let Some(reason) = next {
        // Writing to a String does not fail.
        writeln!(text, "caused by: {reason}").ok();
        hint = hint.or_else(|| hint_of(reason));
        next = reason.source();
    }
    if let Some(hint) = hint {
        writeln!(text, "hint: {hint}").ok();
    }
    text
}

fn hint_of(error: &(dyn StdError + 'static)) -> Option<String> {
    if let Some(error) = error.downcast_ref::<Error>() {
        return error.hint().map(str::to_owned);
    }
    error
        .downcast_ref::<ScriptError>()
        .map(|error| error.hint().to_owned())
}

/// Writes to standard error; that it cannot be written is nothing to end a job for.
pub(crate) fn say(text: &str) {
    std::io::stderr().lock().write_all(text.as_bytes()).ok();
}

/// What a person is told at the end of a job.
pub(crate) fn summary(result: &JobResult) -> String {
    let mut text = String::new();
    if let Some(error) = &result.error {
        text.push_str(&error_text(error));
    }
    writeln!(text, "worker: {}", verdict(result)).ok();
    for leftover in &result.leftovers {
        writeln!(
            text,
            "worker: still running when the script had ended: {leftover}"
        )
        .ok();
    }
    if !result.output_complete && result.outcome.is_some() {
        text.push_str("worker: the output is not complete\n");
    }
    if result.output_truncated {
        writeln!(
            text,
            "worker: the output was cut after {} bytes",
            result.output_bytes
        )
        .ok();
    }
    if let Some(error) = &result.stop_error {
        text.push_str(&error_text(error));
        text.push_str("hint: `worker reap` removes what may be left once this worker is gone\n");
    }
    text
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
        _ => return,
    };
    say(&format!("worker: {line}\n"));
}
