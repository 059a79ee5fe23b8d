//! The live line: what a job is doing now, on the last line of a terminal.
//!
//! The line is drawn below all that is said on standard error: whoever writes
//! there goes through [`around`], which takes the line away first and puts it
//! back. Nothing of it is ever drawn elsewhere than on a terminal.

mod activity;

use std::io::{self, IsTerminal as _};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::termios::tcgetwinsize;
use worker_core::Event;

use crate::args::Global;
use crate::stderr;
use activity::Activity;

/// How often the line is drawn anew.
const TICK: Duration = Duration::from_millis(100);
/// What is over sooner is not worth a line.
const PATIENCE: Duration = Duration::from_millis(300);
/// The width of a terminal that does not tell its own.
const USUAL_COLUMNS: usize = 80;

static LINE: Mutex<Line> = Mutex::new(Line {
    activity: None,
    shown: 0,
});

/// The line and what it is about. There is one standard error, and so there is
/// one line.
struct Line {
    activity: Option<Activity>,
    /// How many columns are drawn now.
    shown: usize,
}

/// Keeps the line alive; without it the line is gone.
pub(crate) struct Live {
    ticker: tokio::task::JoinHandle<()>,
    /// Whether the script writes to the same terminal: then the line would
    /// stand in the middle of its output.
    shared: bool,
}

impl Live {
    /// A live line, if standard error is a terminal on which one can be drawn
    /// and wanted. Needs the context of a runtime.
    pub(crate) fn begin(global: &Global) -> Option<Self> {
        let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        if global.quiet || stderr::is_json() || dumb || !io::stderr().is_terminal() {
            return None;
        }
        Some(Self {
            ticker: tokio::spawn(async {
                let mut ticks = tokio::time::interval(TICK);
                loop {
                    ticks.tick().await;
                    around(|_| {});
                }
            }),
            shared: io::stdout().is_terminal(),
        })
    }

    /// Takes events of a job; says of each whether the line tells it well
    /// enough.
    pub(crate) fn listener(&self) -> impl FnMut(&Event) -> bool + Send + use<> {
        let shared = self.shared;
        move |event| {
            let mut line = lock();
            let told = activity::follow(&mut line.activity, event, shared);
            if line.activity.is_none() {
                line.erase(&mut io::stderr().lock(), columns()).ok();
            }
            told
        }
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.ticker.abort();
        let mut line = lock();
        line.activity = None;
        line.erase(&mut io::stderr().lock(), columns()).ok();
    }
}

/// Writes to standard error by `write`, above the line if there is one. That
/// it cannot be written is nothing to end a job for.
pub(crate) fn around(write: impl FnOnce(&mut dyn io::Write)) {
    let mut line = lock();
    let mut output = io::stderr().lock();
    if line.shown > 0 {
        line.erase(&mut output, columns()).ok();
    }
    write(&mut output);
    line.draw(&mut output).ok();
}

impl Line {
    fn draw(&mut self, output: &mut impl io::Write) -> io::Result<()> {
        let Some(activity) = &self.activity else {
            return Ok(());
        };
        let now = Instant::now();
        if now.duration_since(activity.began) < PATIENCE {
            return Ok(());
        }
        // The last column stays free: a terminal may go on to the next line
        // as soon as it is filled.
        let text = activity.render(now, columns().saturating_sub(1));
        output.write_all(text.as_bytes())?;
        output.flush()?;
        self.shown = activity::width(&text);
        Ok(())
    }

    /// Takes the line away. A terminal that has become narrower since has
    /// broken it into several.
    fn erase(&mut self, output: &mut impl io::Write, columns: usize) -> io::Result<()> {
        if self.shown == 0 {
            return Ok(());
        }
        let above = (self.shown - 1) / columns;
        self.shown = 0;
        // Source: ECMA-48, CUU and ED.
        if above > 0 {
            write!(output, "\x1b[{above}A")?;
        }
        output.write_all(b"\r\x1b[J")?;
        output.flush()
    }
}

/// The width of the terminal, asked each time: it may have been resized.
pub(crate) fn columns() -> usize {
    tcgetwinsize(io::stderr())
        .map(|size| usize::from(size.ws_col))
        .ok()
        .filter(|columns| *columns > 0)
        .unwrap_or(USUAL_COLUMNS)
}

fn lock() -> MutexGuard<'static, Line> {
    LINE.lock().unwrap_or_else(PoisonError::into_inner)
}
