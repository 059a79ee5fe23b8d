//! What is said on standard error: lines for people, or records of JSON, and
//! in neither of them a secret.

use std::io::{self, IsTerminal as _};
use std::sync::OnceLock;
use std::time::SystemTime;

use serde_json::{Map, Value, json};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use worker_core::Secrets;

use crate::args::{Global, LogFormat};
use crate::live;

/// What the names of crates begin with whose log is for our users. Others may
/// put whole requests into theirs, so only their warnings are shown.
const OURS: [&str; 2] = ["backend_", "worker"];

static FORMAT: OnceLock<LogFormat> = OnceLock::new();

/// The secrets that are masked in all that is said from when they are added.
pub(crate) fn secrets() -> &'static Secrets {
    static SECRETS: OnceLock<Secrets> = OnceLock::new();
    SECRETS.get_or_init(Secrets::new)
}

/// Whether records of JSON are said in place of lines.
pub(crate) fn is_json() -> bool {
    FORMAT.get() == Some(&LogFormat::Json)
}

/// Sends the log to standard error: warnings, with `-v` more, with `-q` none.
pub(crate) fn install_log(global: &Global) {
    FORMAT.set(global.log_format).ok();
    let level = match (global.quiet, global.verbose) {
        (true, _) => LevelFilter::OFF,
        (false, 0) => LevelFilter::WARN,
        (false, 1) => LevelFilter::INFO,
        (false, 2) => LevelFilter::DEBUG,
        (false, _) => LevelFilter::TRACE,
    };
    let others = level.min(LevelFilter::WARN);
    let filter = Targets::new()
        .with_default(others)
        .with_targets(OURS.map(|ours| (ours, level)));
    let log = tracing_subscriber::fmt::layer().with_writer(Masked);
    let registry = tracing_subscriber::registry().with(filter);
    match global.log_format {
        LogFormat::Text => {
            let colour = io::stderr().is_terminal()
                && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
            registry
                .with(log.with_target(false).with_ansi(colour).without_time())
                .init();
        }
        LogFormat::Json => registry.with(log.json()).init(),
    }
}

/// Says `text`, which ends its last line. That it cannot be written is nothing
/// to end a job for.
pub(crate) fn say(text: &str) {
    if is_json() {
        record("INFO", text.trim_end(), Map::new());
    } else {
        write(text);
    }
}

/// Says one record of JSON, in the form of the log's.
pub(crate) fn record(level: &str, message: &str, mut fields: Map<String, Value>) {
    fields.insert("message".into(), message.into());
    let record = json!({
        "timestamp": humantime::format_rfc3339_micros(SystemTime::now()).to_string(),
        "level": level,
        "fields": fields,
        "target": "worker",
    });
    write(&format!("{record}\n"));
}

fn write(text: &str) {
    let masked = secrets().mask_text(text);
    live::around(|output| {
        output.write_all(masked.as_bytes()).ok();
    });
}

/// Masks each line of the log, which comes in one piece.
#[derive(Debug, Clone, Copy)]
struct Masked;

impl io::Write for Masked {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut masker = secrets().masker();
        let mut passed = masker.push(bytes).into_owned();
        passed.extend(masker.finish());
        let mut written = Ok(());
        live::around(|output| written = output.write_all(&passed));
        written.map(|()| bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

impl MakeWriter<'_> for Masked {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        Self
    }
}
