//! Carries the output of a run to its sink until the script has ended and its
//! output is at its end, or nobody need wait for that any longer.

use std::sync::Arc;
use std::time::Duration;

use backend_core::{Delivery, OutputSink};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::conversation::ANSWERS_WITHIN;
use crate::error::Failure;
use crate::flow::{Exit, Flow, News};
use crate::link::Link;
use crate::reply::Line;

/// How long output that is known to be there may take to come on a connection
/// that works. Only a far side whose files were tampered with comes so far.
const STALLED_AFTER: Duration = Duration::from_secs(30);

/// What came of it.
#[derive(Debug)]
pub(crate) struct Pumped {
    /// The end of the script, if it was seen.
    pub(crate) exit: Option<Exit>,
    /// Why it was not seen, or why not all of the output was.
    pub(crate) dead: Option<Arc<Failure>>,
    /// Bytes that the sink took.
    pub(crate) bytes: u64,
    /// Whether the sink took all that was written, up to the end of the output.
    pub(crate) complete: bool,
    pub(crate) reconnects: u32,
}

/// Pumps until both ends are seen, `window` is over, `stopping` is called or
/// the instance is lost.
///
/// What was written before the script ended is delivered in any case, however
/// slow the sink is. Only then does the window begin, in which children of the
/// script may write more.
///
/// # Cancel safety
///
/// The bytes that the sink was just taking may be lost; the rest is dropped.
pub(crate) async fn pump(
    flow: &Flow,
    link: &Link,
    window: Duration,
    stopping: &CancellationToken,
    sink: &mut dyn OutputSink,
) -> Pumped {
    let mut pump = Pump {
        flow,
        stopping,
        delivery: Delivery::new(sink),
        taken: 0,
    };
    let mut complete = false;
    let exited = pump
        .until(link, None, |news, taken| {
            news.exit.is_some_and(|exit| taken >= exit.size)
        })
        .await;
    // Without a status the run is lost, and there is nothing to wait for.
    if exited && flow.news().exit.is_some_and(|exit| exit.code.is_some()) {
        let deadline = Instant::now().checked_add(window);
        let ended = |news: &News, taken: u64| news.end.is_some_and(|end| taken >= end.size);
        complete = pump.until(link, deadline, ended).await;
        if !complete && !stopping.is_cancelled() && flow.news().dead.is_none() {
            // What is there by now was written within the window.
            if let Ok(Ok(lines)) =
                tokio::time::timeout(ANSWERS_WITHIN, link.ask("size\n", false, ANSWERS_WITHIN))
                    .await
                && let [Line::Size(size)] = lines.as_slice()
            {
                let size = *size;
                pump.until(link, None, |_, taken| taken >= size).await;
            }
        }
    }
    let news = flow.news();
    Pumped {
        exit: news.exit,
        dead: news.dead,
        bytes: pump.delivery.delivered(),
        complete: complete
            && news
                .end
                .is_some_and(|end| end.intact && end.size == pump.taken)
            && pump.delivery.intact(),
        reconnects: news.reconnects,
    }
}

struct Pump<'a> {
    flow: &'a Flow,
    stopping: &'a CancellationToken,
    delivery: Delivery<'a>,
    /// Bytes that were handed to the sink, whether it took them or not.
    taken: u64,
}

impl Pump<'_> {
    /// Delivers until `done`; `false` if something else ended it before.
    async fn until(
        &mut self,
        link: &Link,
        deadline: Option<Instant>,
        done: impl Fn(&News, u64) -> bool,
    ) -> bool {
        let mut stalled = Instant::now() + STALLED_AFTER;
        loop {
            // Written long before: it is here, and costs no waiting.
            if let Some(bytes) = self.flow.pop() {
                self.delivery.write(&bytes).await;
                self.taken += bytes.len() as u64;
                stalled = Instant::now() + STALLED_AFTER;
                // A writer without pause must not keep the end from being seen.
                if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                    return done(&self.flow.news(), self.taken);
                }
                continue;
            }
            let news = self.flow.news();
            if news.received > self.taken {
                continue;
            }
            if done(&news, self.taken) {
                return true;
            }
            if news.dead.is_some() || self.stopping.is_cancelled() {
                return false;
            }
            // All of it is there, and only has to come.
            let there = news
                .end
                .map(|end| end.size)
                .or(news.exit.map(|exit| exit.size));
            let owed = there.is_some_and(|size| size > self.taken);
            let deadline = if owed { None } else { deadline };
            tokio::select! {
                biased;
                () = self.stopping.cancelled() => {}
                () = self.flow.arrived() => {}
                () = at(deadline) => return false,
                () = sleep_until(stalled), if owed => {
                    if link.is_up() {
                        return false;
                    }
                    stalled = Instant::now() + STALLED_AFTER;
                }
            }
        }
    }
}

async fn at(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
