//! A start: a place among ours, a connection, a slot over there.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use backend_core::{Chain, Phase, Progress, StartContext};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::conversation::{ANSWERS_WITHIN, Conversation};
use crate::error::Failure;
use crate::flow::Flow;
use crate::job::{Job, remove_at};
use crate::link::{Link, Site};
use crate::options::SshOptions;
use crate::places::{Permit, Places};
use crate::pool::Pool;
use crate::reply::Line;
use crate::stage::Stages;

/// How long the commands `prepare` and `revert` may take.
const HOOKS_WITHIN: Duration = Duration::from_mins(10);

/// How long to wait before looking again whether a slot is free that others
/// have; up to three times this, so that many who wait do not look at once.
const LOOK_AGAIN: Duration = Duration::from_millis(300);

/// How long an instance outlives its worker, beyond the resume window.
const LEASE_MARGIN: Duration = Duration::from_mins(1);

/// What a start needs.
#[derive(Debug)]
pub(crate) struct Starter {
    pub(crate) options: Arc<SshOptions>,
    pub(crate) places: Arc<Places>,
    pub(crate) pool: Pool,
    pub(crate) context: StartContext,
    /// What `uname -m` may say; empty if anything.
    pub(crate) machine_names: String,
}

/// How long an instance lives that no worker is connected to.
pub(crate) fn length(options: &SshOptions) -> Duration {
    match options.lease {
        Some(lease) => lease.0,
        None => options.resume_window + LEASE_MARGIN,
    }
}

/// What came of an attempt on one machine.
enum Attempt {
    Leased(Box<(Conversation, Site)>),
    /// Others have all slots.
    Busy,
}

impl Starter {
    /// Starts on the first machine that works and has room, and waits for room.
    pub(crate) async fn start(self, cancelled: &CancellationToken) -> Result<Job, Failure> {
        let mut broken = Vec::new();
        let mut busy = Vec::new();
        let mut last = None;
        loop {
            let without: Vec<usize> = broken.iter().chain(&busy).copied().collect();
            if without.len() == self.places.len() && !busy.is_empty() {
                self.queued();
                busy.clear();
                let pause = LOOK_AGAIN.mul_f64(fastrand::f64().mul_add(2.0, 1.0));
                if cancelled.run_until_cancelled(sleep(pause)).await.is_none() {
                    return Err(Failure::Cancelled);
                }
                continue;
            }
            let permit = if let Some(permit) = self.places.try_acquire(&without) {
                permit
            } else {
                self.queued();
                let acquired = self.places.acquire(&without);
                let acquired = cancelled.run_until_cancelled(acquired).await;
                acquired.ok_or(Failure::Cancelled)?
            };
            match self.attempt(&permit, cancelled).await {
                Ok(Attempt::Leased(leased)) => {
                    let (conversation, site) = *leased;
                    return Ok(self.job(conversation, site, permit));
                }
                Ok(Attempt::Busy) => busy.push(permit.index),
                Err(failure @ Failure::Cancelled) => return Err(failure),
                Err(failure) => {
                    tracing::debug!(error = %Chain(&failure), "a machine cannot be used");
                    broken.push(permit.index);
                    if broken.len() == self.places.len() {
                        return Err(match self.places.len() {
                            1 => failure,
                            _ => Failure::AllFailed(Box::new(last.unwrap_or(failure))),
                        });
                    }
                    last.get_or_insert(failure);
                }
            }
        }
    }

    /// Leases a slot on one machine. On failure nothing is left there.
    async fn attempt(
        &self,
        permit: &Permit,
        cancelled: &CancellationToken,
    ) -> Result<Attempt, Failure> {
        let place = self.places.get(permit.index).ok_or(Failure::NoHosts)?;
        let site = Site {
            machine: place.machine.clone(),
            base: self.options.directory.0.clone(),
            slot: String::new(),
            id: self.context.id.to_string(),
            resume_window: self.options.resume_window,
            beat: length(&self.options) / 6,
            pool: self.pool.clone(),
        };
        self.report(Phase::Connecting, &site.machine.address);
        let sending = AtomicBool::new(false);
        let leased = cancelled
            .run_until_cancelled(self.lease_on(place.slots, &site, &sending))
            .await;
        let (failure, may_be_leased) = match leased {
            Some(Ok((line, conversation))) => match line {
                Line::Started { number, slot } => {
                    tracing::debug!(number, slot, "a slot was leased");
                    let site = Site { slot, ..site };
                    return Ok(Attempt::Leased(Box::new((conversation, site))));
                }
                Line::Busy => {
                    self.pool.put(&site.machine, conversation.end().await);
                    return Ok(Attempt::Busy);
                }
                line => (conversation.unexpected(&line), true),
            },
            Some(Err(failed)) => failed,
            None => (Failure::Cancelled, sending.load(Ordering::Relaxed)),
        };
        if !may_be_leased {
            return Err(failure);
        }
        // It may have been leased, without our knowing where.
        if let Err(failure) = remove_at(&site, &["", &site.id], ANSWERS_WITHIN).await {
            tracing::warn!(instance = site.id, error = %Chain(&failure), "a start that failed may have left something");
        }
        Err(failure)
    }

    /// Asks for a slot, and hands out the answer. With an error it says whether
    /// a slot may have been leased all the same.
    async fn lease_on(
        &self,
        slots: u32,
        site: &Site,
        sending: &AtomicBool,
    ) -> Result<(Line, Conversation), (Failure, bool)> {
        let options = &self.options;
        let lease = if self.context.keep {
            self.context.lifetime
        } else {
            length(&self.options)
        };
        let pause = (lease.as_secs() / 20).clamp(1, 30);
        let marks = serde_json::to_string(&self.context.marks());
        let marks = marks.map_err(|error| (Failure::Options(error.to_string()), false))?;
        let text = |hook: &Option<crate::options::OneLine>| {
            hook.clone().map_or_else(String::new, |hook| hook.0)
        };
        let (prepare, revert) = (text(&options.prepare), text(&options.revert));
        let limit = if options.prepare.is_some() || options.revert.is_some() {
            HOOKS_WITHIN
        } else {
            ANSWERS_WITHIN
        };
        let parameters = [
            site.id.as_str(),
            &slots.to_string(),
            &lease.as_secs().div_ceil(pause).max(1).to_string(),
            &pause.to_string(),
            &marks,
            &prepare,
            &revert,
            &self.machine_names,
        ];
        let question = ("start", site.base.as_str(), &parameters[..]);
        let opened = self.pool.open(&site.machine, question, sending).await;
        let mut conversation = opened.map_err(|failure| (failure, false))?;
        self.report(Phase::Creating, self.context.id.as_str());
        match timeout(limit, conversation.line()).await {
            Ok(Ok(line)) => Ok((line, conversation)),
            Ok(Err(failure)) => {
                // Who refuses has cleaned up before.
                let refused = matches!(failure, Failure::Far { .. } | Failure::NoShell { .. });
                Err((failure, !refused))
            }
            Err(_) => {
                let address = site.machine.address.clone();
                Err((Failure::Silent { address, limit }, true))
            }
        }
    }

    fn job(self, conversation: Conversation, site: Site, permit: Permit) -> Job {
        let (site, flow) = (Arc::new(site), Arc::new(Flow::new()));
        Job {
            id: self.context.id.clone(),
            link: Link::start(conversation, site.clone(), flow.clone()),
            site,
            flow,
            stages: Stages::new(),
            stopping: CancellationToken::new(),
            permit: Mutex::new(Some(permit)),
            revert_within: if self.options.revert.is_some() {
                HOOKS_WITHIN
            } else {
                Duration::ZERO
            },
        }
    }

    fn queued(&self) {
        self.report(Phase::Queued, "all slots are taken");
    }

    fn report(&self, phase: Phase, detail: &str) {
        self.context.progress.report(Progress::new(phase, detail));
    }
}
