//! One instance as the server knows it: what is told of it, its lease, and
//! the wish that it end.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use backend_core::{Instance, InstanceId, Progress};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use worker_api::{
    Connect, CreateInstance, InstanceDocument, InstanceEnd, InstanceEndCause, InstanceState,
    Problem, ProgressDocument, RunId, Timings,
};

use crate::hosted_run::HostedRun;

/// One instance, from its creation until it is forgotten.
#[derive(Debug)]
pub(crate) struct Hosted {
    pub(crate) id: InstanceId,
    pub(crate) caller: String,
    pub(crate) request: CreateInstance,
    created: Instant,
    view: watch::Sender<View>,
    lease: watch::Sender<Lease>,
    /// Why it is to end; the first reason holds.
    ending: watch::Sender<Option<InstanceEndCause>>,
    /// Asks for another attempt at a removal that failed.
    pub(crate) again: Notify,
    instance: Mutex<Option<Arc<dyn Instance>>>,
    /// The script, once it is there. Held while one is being put there.
    pub(crate) script: tokio::sync::Mutex<Option<Script>>,
    run: Mutex<Option<Arc<HostedRun>>>,
}

/// What is told of it.
#[derive(Debug, Clone)]
pub(crate) struct View {
    pub(crate) state: InstanceState,
    pub(crate) rev: u64,
    image: Option<String>,
    progress: Option<ProgressDocument>,
    startup: Option<Duration>,
    run: Option<RunId>,
    pub(crate) end: Option<InstanceEnd>,
}

/// How long it may live.
#[derive(Debug, Clone, Copy)]
struct Lease {
    until: Instant,
    lifetime_ends: Instant,
}

/// The script that an instance has.
#[derive(Debug, Clone)]
pub(crate) struct Script {
    /// What the client called this upload, if it did.
    pub(crate) key: Option<String>,
    pub(crate) bytes: u64,
    pub(crate) digest: worker_api::Digest,
}

impl Hosted {
    /// One that is to be started.
    pub(crate) fn new(
        id: InstanceId,
        caller: String,
        request: CreateInstance,
        lease: Duration,
        lifetime: Duration,
    ) -> Self {
        let now = Instant::now();
        Self {
            id,
            caller,
            request,
            created: now,
            view: watch::Sender::new(View {
                state: InstanceState::Starting,
                rev: 1,
                image: None,
                progress: None,
                startup: None,
                run: None,
                end: None,
            }),
            lease: watch::Sender::new(Lease {
                until: now + lease,
                lifetime_ends: now + lifetime,
            }),
            ending: watch::Sender::new(None),
            again: Notify::new(),
            instance: Mutex::new(None),
            script: tokio::sync::Mutex::new(None),
            run: Mutex::new(None),
        }
    }

    /// One of an earlier server, with what that wrote down of its end. Without
    /// it, it is told to be stopping until [`gone`](Self::gone) says otherwise.
    pub(crate) fn remembered(
        id: InstanceId,
        caller: String,
        request: CreateInstance,
        end: Option<InstanceEnd>,
        run: Option<Arc<HostedRun>>,
    ) -> Self {
        let hosted = Self::new(id, caller, request, Duration::ZERO, Duration::ZERO);
        let state = if end.is_some() {
            InstanceState::Gone
        } else {
            InstanceState::Stopping
        };
        let end = end.unwrap_or(InstanceEnd {
            by: InstanceEndCause::Restart,
            problem: None,
        });
        hosted.ending.send_replace(Some(end.by));
        hosted.view.send_modify(|view| {
            view.state = state;
            view.run = run.as_ref().map(|run| run.id.clone());
            view.end = Some(end);
        });
        *lock(&hosted.run) = run;
        hosted
    }

    pub(crate) fn state(&self) -> InstanceState {
        self.view.borrow().state
    }

    pub(crate) fn view(&self) -> View {
        self.view.borrow().clone()
    }

    pub(crate) fn watch(&self) -> watch::Receiver<View> {
        self.view.subscribe()
    }

    /// What is told of it now.
    pub(crate) fn document(&self) -> InstanceDocument {
        let view = self.view();
        let alive = view.state < InstanceState::Stopping;
        InstanceDocument {
            id: self.id.clone(),
            state: view.state,
            rev: view.rev,
            lease_remaining_s: alive.then(|| self.lease_remaining().as_secs()),
            connect: Connect::Http,
            image: view.image,
            job: self.request.job.clone(),
            labels: self.request.labels.clone(),
            progress: view.progress,
            run: view.run,
            timings: Timings {
                age_ms: Some(milliseconds(self.created.elapsed())),
                startup_ms: view.startup.map(milliseconds),
            },
            end: view.end,
        }
    }

    /// Whether it has all of these labels.
    pub(crate) fn has_labels(&self, wanted: &BTreeMap<String, String>) -> bool {
        let labels = &self.request.labels;
        wanted
            .iter()
            .all(|(key, value)| labels.get(key) == Some(value))
    }

    pub(crate) fn progressed(&self, progress: Progress) {
        self.change(|view| {
            view.progress = Some(ProgressDocument {
                phase: progress.phase.to_string(),
                detail: progress.detail,
                done: progress.done,
                total: progress.total,
            });
        });
    }

    pub(crate) fn ready(&self, instance: Arc<dyn Instance>) {
        let (image, startup) = (
            instance.image_name().map(str::to_owned),
            instance.startup_duration(),
        );
        *lock(&self.instance) = Some(instance);
        self.change(|view| {
            view.state = InstanceState::Ready;
            view.image = image;
            view.startup = Some(startup);
        });
    }

    /// It is being removed, and that may have failed so far.
    pub(crate) fn stopping(&self, by: InstanceEndCause, problem: Option<Problem>) {
        self.change(|view| {
            view.state = InstanceState::Stopping;
            view.end = Some(InstanceEnd { by, problem });
        });
    }

    /// It is no more.
    pub(crate) fn gone(&self, end: InstanceEnd) {
        lock(&self.instance).take();
        self.change(|view| {
            view.state = InstanceState::Gone;
            view.end = Some(end);
        });
    }

    /// The instance, while it is there.
    pub(crate) fn instance(&self) -> Option<Arc<dyn Instance>> {
        lock(&self.instance).clone()
    }

    pub(crate) fn run(&self) -> Option<Arc<HostedRun>> {
        lock(&self.run).clone()
    }

    /// Makes the one run, unless there is one: then that is the answer.
    pub(crate) fn begin_run(
        &self,
        make: impl FnOnce() -> std::io::Result<Arc<HostedRun>>,
    ) -> std::io::Result<Result<Arc<HostedRun>, Arc<HostedRun>>> {
        let mut slot = lock(&self.run);
        if let Some(there) = &*slot {
            return Ok(Err(there.clone()));
        }
        let run = make()?;
        *slot = Some(run.clone());
        drop(slot);
        self.change(|view| view.run = Some(run.id.clone()));
        Ok(Ok(run))
    }

    /// Lets it live so much longer, unless its lease has run out.
    pub(crate) fn renew(&self, ttl: Duration) -> bool {
        let now = Instant::now();
        self.ending.borrow().is_none()
            && self.lease.send_if_modified(|lease| {
                let runs = lease.until > now;
                if runs {
                    lease.until = now + ttl;
                }
                runs
            })
    }

    pub(crate) fn lease_remaining(&self) -> Duration {
        let lease = *self.lease.borrow();
        let until = lease.until.min(lease.lifetime_ends);
        until.saturating_duration_since(Instant::now())
    }

    /// Asks for its end; only the first reason counts.
    pub(crate) fn end(&self, cause: InstanceEndCause) {
        self.ending.send_if_modified(|ending| {
            let first = ending.is_none();
            ending.get_or_insert(cause);
            first
        });
    }

    /// Why it was asked to end, if it was.
    pub(crate) fn ending(&self) -> Option<InstanceEndCause> {
        *self.ending.borrow()
    }

    /// Waits until it is to end: asked for, or for lack of a lease.
    pub(crate) async fn until_end(&self) -> InstanceEndCause {
        let (mut ending, mut lease) = (self.ending.subscribe(), self.lease.subscribe());
        loop {
            let now = *lease.borrow_and_update();
            let due = now.until.min(now.lifetime_ends);
            tokio::select! {
                asked = ending.wait_for(Option::is_some) => {
                    // The sender is in `self`; what was waited for is there.
                    return asked.ok().and_then(|cause| *cause).unwrap_or(InstanceEndCause::Other);
                }
                _ = lease.changed() => {}
                () = tokio::time::sleep_until(due) => {
                    let cause = if now.lifetime_ends <= now.until {
                        InstanceEndCause::Lifetime
                    } else {
                        InstanceEndCause::Lease
                    };
                    self.end(cause);
                }
            }
        }
    }

    fn change(&self, change: impl FnOnce(&mut View)) {
        self.view.send_modify(|view| {
            change(view);
            view.rev += 1;
        });
    }
}

pub(crate) fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosted(lease: u64, lifetime: u64) -> Hosted {
        Hosted::new(
            "w-1".parse().unwrap(),
            "ci".into(),
            CreateInstance::default(),
            Duration::from_secs(lease),
            Duration::from_secs(lifetime),
        )
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_runs_out_unless_it_is_renewed() {
        let hosted = hosted(60, 3600);
        let began = Instant::now();
        let (cause, ()) = tokio::join!(hosted.until_end(), async {
            tokio::time::sleep(Duration::from_secs(50)).await;
            assert!(hosted.renew(Duration::from_mins(1)));
        });
        assert_eq!(cause, InstanceEndCause::Lease);
        assert_eq!(began.elapsed().as_secs(), 110);
        assert!(!hosted.renew(Duration::from_mins(1)), "it has expired");
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_outlives_its_lifetime_and_the_first_reason_holds() {
        let hosted = hosted(60, 100);
        let (cause, ()) = tokio::join!(hosted.until_end(), async {
            tokio::time::sleep(Duration::from_secs(50)).await;
            assert!(hosted.renew(Duration::from_mins(10)));
            assert_eq!(hosted.lease_remaining().as_secs(), 50);
        });
        assert_eq!(cause, InstanceEndCause::Lifetime);
        hosted.end(InstanceEndCause::Deleted);
        assert_eq!(hosted.ending(), Some(InstanceEndCause::Lifetime));
    }
}
