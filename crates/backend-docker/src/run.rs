//! A run: the output as it comes, and everything by which its end is known.

use std::collections::VecDeque;
use std::future::pending;
use std::io;
use std::time::Duration;

use backend_core::{Delivery, Loss, LossCause, OutputSink, RunResult};
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::attached::{Attach, Attached};
use crate::container::Container;
use crate::frames::Channel;
use crate::gate::{HAVE_ALL, Opened, Then, marker};
use crate::marker::Marker;
use crate::pulse::stream_lost;
use crate::reports::{Report, Reports};
use crate::verdict::{EngineEnd, Observed};
use crate::watch::end_of;

/// How long the end of a container may lag behind the end of its stream.
const LAG: Duration = Duration::from_secs(2);

/// What a run is made with.
pub(crate) struct Conditions<'a> {
    pub(crate) container: &'a Container,
    /// How long it goes on without the engine.
    pub(crate) reconnect_window: Duration,
    /// How long the end of the output may lag behind the end of the script.
    pub(crate) drain_window: Duration,
    /// What the gate does once the script has ended.
    pub(crate) then: Then,
    /// Cancelled when the instance is stopped.
    pub(crate) stopping: &'a CancellationToken,
}

/// Streams the output of a script that may have begun, until its end.
///
/// # Cancel safety
///
/// Dropped, it lets go of the stream; the script goes on.
pub(crate) async fn run(
    conditions: &Conditions<'_>,
    opened: Opened,
    sink: &mut dyn OutputSink,
) -> RunResult {
    let mut observed = Observed::new(opened.tells_deaths);
    hear(&mut observed, opened.pending);
    let mut output = Output {
        delivery: Delivery::new(sink),
        marker: Marker::new(&marker(&opened.word)),
        reports: opened.reports,
        observed,
        told: false,
    };
    output.follow(conditions, opened.attached, opened.pid).await;
    let rest = output.marker.rest().to_vec();
    output.delivery.write(&rest).await;
    output.observed.marker_seen = output.marker.is_seen();
    let (delivered, intact) = (output.delivery.delivered(), output.delivery.intact());
    output.observed.result(delivered, intact)
}

struct Output<'a> {
    delivery: Delivery<'a>,
    marker: Marker,
    reports: Reports,
    observed: Observed,
    /// Whether the gate was told that all output has come.
    told: bool,
}

/// What came of a read.
enum Read {
    Some,
    End,
    Cut,
}

impl Output<'_> {
    async fn follow(&mut self, conditions: &Conditions<'_>, attached: Attached, gate: u32) {
        let Conditions {
            container,
            stopping,
            ..
        } = conditions;
        let mut attached = Some(attached);
        let mut ending = std::pin::pin!(end_of(container, conditions.reconnect_window));
        let mut silence = std::pin::pin!(stream_lost(container, gate));
        // Since when the end is known, or the last byte behind it has come.
        let mut drained_from: Option<Instant> = None;
        // Since when the stream is known to be dead, and the next one too.
        let mut dead_from: Option<Instant> = None;
        // When the stream ended although the container had not, as far as is known.
        let mut ended_at: Option<Instant> = None;
        while !self.is_over(conditions, attached.is_none()) {
            let drained = drained_from.map(|from| from + conditions.drain_window);
            let wanted = self.observed.engine.is_none() && !self.marker.is_seen();
            let missing = ended_at.filter(|_| wanted);
            tokio::select! {
                read = read(&mut attached) => match self.take(&mut attached, read).await {
                    Read::Some => {
                        self.let_go(conditions, &mut attached).await;
                        dead_from = None;
                        silence.set(stream_lost(container, gate));
                        drained_from = drained_from.map(|_| Instant::now());
                        if self.observed.has_status() {
                            drained_from.get_or_insert_with(Instant::now);
                        }
                    }
                    Read::End => {
                        attached = None;
                        ended_at = Some(Instant::now());
                    }
                    Read::Cut => {
                        attached = None;
                        ended_at = Some(Instant::now());
                        self.cut();
                    }
                },
                end = &mut ending, if self.observed.engine.is_none() => {
                    self.observed.engine = Some(end);
                    drained_from.get_or_insert_with(Instant::now);
                }
                () = stopping.cancelled() => {
                    self.observed.stopped = true;
                    return;
                }
                () = &mut silence, if attached.is_some() => {
                    dead_from.get_or_insert_with(Instant::now);
                    if is_over(dead_from, conditions.reconnect_window) {
                        self.observed.engine = Some(EngineEnd::Lost(dead()));
                        continue;
                    }
                    // Letting go of it lets the script go on, once the engine
                    // sees that.
                    attached = None;
                    ended_at = Some(Instant::now());
                    self.cut();
                }
                () = until(drained) => {
                    // A stream that has not ended may hold more.
                    self.cut();
                    return;
                }
                () = until(missing.map(|at| at + self.patience())), if attached.is_none() => {
                    // The stream has ended, and the script has not.
                    self.cut();
                    match container.attach(Attach::Output, Duration::from_secs(5)).await {
                        Ok(again) => {
                            attached = Some(again);
                            ended_at = None;
                            self.observed.reconnects += 1;
                            silence.set(stream_lost(container, gate));
                            let rest = self.marker.rest().to_vec();
                            self.delivery.write(&rest).await;
                        }
                        Err(error) => {
                            tracing::debug!(%error, "cannot attach again yet");
                            ended_at = Some(Instant::now());
                            // An engine whose side of a dead stream is blocked
                            // lets nobody attach.
                            if is_over(dead_from, conditions.reconnect_window) {
                                self.observed.engine = Some(EngineEnd::Lost(dead()));
                            }
                        }
                    }
                }
            }
        }
    }

    /// Tells a gate that waits for it that all output has come.
    async fn let_go(&mut self, conditions: &Conditions<'_>, attached: &mut Option<Attached>) {
        if conditions.then == Then::Linger
            && self.marker.is_seen()
            && !self.told
            && let Some(attached) = attached
        {
            self.told = true;
            // A gate that cannot be told ends by itself.
            attached.write(HAVE_ALL).await.ok();
        }
    }

    /// The stream broke. Behind the marker there was nothing of the script's.
    fn cut(&mut self) {
        self.observed.cut |= !self.marker.is_seen();
    }

    /// How long to wait, after the stream has ended, before it is opened anew.
    fn patience(&self) -> Duration {
        if self.observed.cut {
            Duration::from_millis(200)
        } else {
            LAG
        }
    }

    /// Whether nothing more can come that matters.
    fn is_over(&self, conditions: &Conditions<'_>, stream_ended: bool) -> bool {
        let all_output = stream_ended || self.marker.is_seen();
        match &self.observed.engine {
            // There is nobody left to say anything.
            Some(EngineEnd::Gone | EngineEnd::Lost(_)) => true,
            Some(EngineEnd::Ended { .. }) => all_output && stream_ended,
            None => conditions.then == Then::Stay && self.observed.has_status() && all_output,
        }
    }

    /// Hands on what was read.
    async fn take(&mut self, attached: &mut Option<Attached>, read: io::Result<bool>) -> Read {
        match read {
            Ok(true) => {}
            Ok(false) => return Read::End,
            Err(error) => {
                tracing::debug!(%error, "the stream of output broke");
                return Read::Cut;
            }
        }
        let Some(attached) = attached else {
            return Read::End;
        };
        let mut pieces = attached.pieces();
        loop {
            match pieces.next() {
                Ok(None) => return Read::Some,
                Ok(Some((Channel::Stdout, piece))) => {
                    for part in self.marker.feed(piece) {
                        self.delivery.write(part).await;
                    }
                }
                Ok(Some((Channel::Stderr, piece))) => {
                    let reports = self.reports.feed(piece);
                    hear(&mut self.observed, reports.into());
                }
                Err(error) => {
                    tracing::debug!(%error, "the stream of output makes no sense");
                    return Read::Cut;
                }
            }
        }
    }
}

fn hear(observed: &mut Observed, reports: VecDeque<Report>) {
    for report in reports {
        observed.hear(report);
    }
}

async fn read(attached: &mut Option<Attached>) -> io::Result<bool> {
    match attached {
        Some(attached) => attached.read().await,
        None => pending().await,
    }
}

fn is_over(from: Option<Instant>, window: Duration) -> bool {
    from.is_some_and(|from| from.elapsed() >= window)
}

fn dead() -> Loss {
    Loss::new(
        LossCause::Connection,
        "nothing comes through the stream of output any more, and the script may stand still with it",
    )
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => sleep(Duration::MAX).await,
    }
}
