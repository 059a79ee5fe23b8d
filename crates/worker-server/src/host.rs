//! All instances of a server: who has which, and what becomes of them.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use backend_core::{
    Capabilities, Capability, Environment, InstanceId, OutOfOrder, Provider, RunOptions,
};
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio_util::task::TaskTracker;
use worker_api::{Code, CreateInstance, CreateRun, Digest, InstanceState, LostBy, Problem, RunId};

use crate::hosted::{Hosted, lock};
use crate::hosted_run::HostedRun;
use crate::journal::{Journal, Journals};
use crate::keeper;
use crate::options::ServerOptions;
use crate::store::{Record, RunRecord, Store};

/// How soon one who is refused for lack of room may come again.
const COME_AGAIN: u32 = 500;

/// All instances of a server.
#[derive(Debug)]
pub(crate) struct Host {
    pub(crate) provider: Arc<dyn Provider>,
    pub(crate) options: ServerOptions,
    pub(crate) store: Arc<Store>,
    pub(crate) journals: Arc<Journals>,
    instances: Mutex<BTreeMap<InstanceId, Arc<Hosted>>>,
    /// Whether what an earlier server left has been seen to.
    pub(crate) recovered: AtomicBool,
    /// Whether the server is being shut down.
    draining: watch::Sender<bool>,
    /// The keepers and runs.
    pub(crate) tasks: TaskTracker,
}

/// Whether a thing was made, or was there.
pub(crate) enum Made<T> {
    New(T),
    There(T),
}

impl Host {
    pub(crate) fn new(provider: Arc<dyn Provider>, options: ServerOptions, store: Store) -> Self {
        let tasks = TaskTracker::new();
        tasks.close();
        Self {
            provider,
            journals: Arc::new(Journals::new(options.limits.kept_bytes)),
            options,
            store: Arc::new(store),
            instances: Mutex::default(),
            recovered: AtomicBool::new(false),
            draining: watch::Sender::new(false),
            tasks,
        }
    }

    /// The caller's instance of this id.
    pub(crate) fn find(&self, caller: &str, id: &InstanceId) -> Result<Arc<Hosted>, Problem> {
        lock(&self.instances)
            .get(id)
            .filter(|hosted| hosted.caller == caller)
            .cloned()
            .ok_or_else(|| Problem::new(Code::NotFound, format!("there is no instance `{id}`")))
    }

    /// The caller's instances from behind `after` on, by id.
    pub(crate) fn list(&self, caller: &str, after: Option<&InstanceId>) -> Vec<Arc<Hosted>> {
        lock(&self.instances)
            .values()
            .filter(|hosted| hosted.caller == caller && Some(&hosted.id) > after)
            .cloned()
            .collect()
    }

    /// Every instance that is not gone.
    pub(crate) fn alive(&self) -> Vec<Arc<Hosted>> {
        let instances = lock(&self.instances);
        let alive = instances
            .values()
            .filter(|hosted| hosted.state() != InstanceState::Gone);
        alive.cloned().collect()
    }

    /// Puts one there that an earlier server had.
    pub(crate) fn put(&self, hosted: Arc<Hosted>) {
        lock(&self.instances).insert(hosted.id.clone(), hosted);
    }

    /// Makes an instance, unless the caller has asked for the same before.
    pub(crate) fn create(
        self: &Arc<Self>,
        caller: &str,
        id: &InstanceId,
        request: CreateInstance,
    ) -> Result<Made<Arc<Hosted>>, Problem> {
        self.check_requirements(&request)?;
        let hosted = {
            let mut instances = lock(&self.instances);
            if let Some(there) = instances.get(id) {
                return same(there, caller, &request).map(|()| Made::There(there.clone()));
            }
            self.admit(caller, &instances)?;
            let hosted = Arc::new(self.hosted(caller, id.clone(), request));
            instances.insert(id.clone(), hosted.clone());
            hosted
        };
        // Written down before anything is created, so that a later server
        // knows what to look for. From here on it is the keeper's: a request
        // that is given up changes nothing.
        let host = self.clone();
        let kept = hosted.clone();
        self.tasks
            .spawn(async move { keeper::keep(host, kept).await });
        Ok(Made::New(hosted))
    }

    fn hosted(&self, caller: &str, id: InstanceId, request: CreateInstance) -> Hosted {
        let limits = &self.options.limits;
        let bounded = |asked: Option<u32>, default: Duration, most: Duration| {
            let asked = asked.map(|seconds| Duration::from_secs(seconds.into()));
            asked.unwrap_or(default).min(most)
        };
        let lease = bounded(request.lease_s, limits.lease, limits.max_lease);
        let lifetime = bounded(
            request.max_lifetime_s,
            limits.max_lifetime,
            limits.max_lifetime,
        );
        Hosted::new(id, caller.to_owned(), request, lease, lifetime)
    }

    fn admit(
        &self,
        caller: &str,
        instances: &BTreeMap<InstanceId, Arc<Hosted>>,
    ) -> Result<(), Problem> {
        self.check_open()?;
        let alive = instances
            .values()
            .filter(|hosted| hosted.state() != InstanceState::Gone);
        let (mut all, mut own) = (0, 0);
        for hosted in alive {
            all += 1;
            own += usize::from(hosted.caller == caller);
        }
        let limits = &self.options.limits;
        let remembered = instances.len() - all;
        if all >= limits.instances
            || own >= limits.instances_per_caller
            // What is only remembered takes little, but not nothing.
            || remembered >= limits.instances.saturating_mul(100)
        {
            return Err(Problem::new(
                Code::TooMany,
                format!("there are {all} instances, {own} of them yours"),
            )
            .retry_after_ms(COME_AGAIN));
        }
        Ok(())
    }

    /// Whether anything new may begin.
    pub(crate) fn check_open(&self) -> Result<(), Problem> {
        if *self.draining.borrow() {
            let problem = Problem::new(Code::Unavailable, "the server is being shut down");
            return Err(problem.retry_after_ms(COME_AGAIN));
        }
        if !self.recovered.load(Ordering::Acquire) {
            let detail = "the server still removes what an earlier one has left";
            return Err(Problem::new(Code::Unavailable, detail).retry_after_ms(COME_AGAIN));
        }
        Ok(())
    }

    /// What instances can do, by name: what the backend can, and what the
    /// protocol brings.
    pub(crate) fn capabilities(&self) -> Vec<String> {
        let ours = [Capability::FoundByOthers, Capability::Resumes];
        let theirs = self.provider.capabilities();
        let all: Capabilities = theirs.iter().chain(ours).collect();
        all.iter().map(|it| it.name().to_owned()).collect()
    }

    fn check_requirements(&self, request: &CreateInstance) -> Result<(), Problem> {
        let capabilities = self.capabilities();
        let has = |name: &String| capabilities.contains(name);
        match request.require.iter().find(|name| !has(name)) {
            Some(name) => Err(Problem::new(
                Code::Requirement,
                format!("`{name}` is required, and this server does not have it"),
            )
            .with_hint("`GET /v1` lists the capabilities")),
            None => Ok(()),
        }
    }

    /// Begins the run of an instance, unless the same was asked for before.
    pub(crate) async fn begin_run(
        self: &Arc<Self>,
        hosted: &Arc<Hosted>,
        id: RunId,
        request: CreateRun,
    ) -> Result<Made<Arc<HostedRun>>, Problem> {
        let fingerprint = fingerprint(&request);
        if let Some(there) = hosted.run() {
            return same_run(&there, &id, &fingerprint).map(|()| Made::There(there));
        }
        let options = run_options(&request)?;
        let Some(instance) = hosted.instance() else {
            return Err(not_ready(hosted));
        };
        if hosted.state() != InstanceState::Ready {
            return Err(not_ready(hosted));
        }
        if hosted.script.lock().await.is_none() {
            return Err(Problem::out_of_order(OutOfOrder::NoScript, "run"));
        }
        if !self.journals.has_room() {
            let detail = "the server has no room for more output";
            return Err(Problem::new(Code::Exhausted, detail).retry_after_ms(5000));
        }
        let limits = &self.options.limits;
        let most = request.limits.output_bytes.unwrap_or(limits.output_bytes);
        let most = most.min(limits.output_bytes);
        let host = self.clone();
        let hosted = hosted.clone();
        let making = move || {
            let mut writer = None;
            let begun = hosted.begin_run(|| {
                let record = RunRecord {
                    id: id.clone(),
                    request: fingerprint.clone(),
                    ended: None,
                };
                host.store.write_run(&hosted.id, &record)?;
                let path = host.store.output(&hosted.id);
                let (journal, of_journal) = Journal::create(&path, host.journals.clone(), most)?;
                writer = Some(of_journal);
                Ok(Arc::new(HostedRun::new(
                    id.clone(),
                    fingerprint.clone(),
                    journal,
                )))
            })?;
            let run = match begun {
                Ok(run) => run,
                Err(there) => {
                    return Ok(same_run(&there, &id, &fingerprint).map(|()| Made::There(there)));
                }
            };
            if let Some(writer) = writer {
                let (host, run) = (host.clone(), run.clone());
                let grace = host.options.limits.grace;
                host.clone().tasks.spawn(async move {
                    let lost = Lost {
                        host: host.clone(),
                        hosted: hosted.clone(),
                        run: run.clone(),
                    };
                    let ended = run
                        .drive(&*instance, &options, request.limits, grace, writer)
                        .await;
                    host.write_run_end(&hosted, &run, ended).await;
                    drop(lost);
                });
            }
            Ok(Ok(Made::New(run)))
        };
        // The runtime's handle goes with the thread, so that it can spawn.
        let begun: io::Result<Result<Made<_>, Problem>> = match spawn_blocking(making).await {
            Ok(begun) => begun,
            Err(error) => Err(io::Error::other(error)),
        };
        begun.unwrap_or_else(|error| {
            Err(Problem::new(
                Code::Internal,
                format!("the server cannot keep the run: {error}"),
            ))
        })
    }

    /// Writes down how a run ended, and then tells it.
    pub(crate) async fn write_run_end(
        &self,
        hosted: &Hosted,
        run: &HostedRun,
        ended: worker_api::RunDocument,
    ) {
        let record = RunRecord {
            id: run.id.clone(),
            request: run.request.clone(),
            ended: Some(ended.clone()),
        };
        let (store, id) = (self.store.clone(), hosted.id.clone());
        let written = spawn_blocking(move || store.write_run(&id, &record)).await;
        if let Ok(Err(error)) = written {
            tracing::warn!(instance = %hosted.id, %error, "cannot write down how a run ended");
        }
        run.publish(ended);
    }

    /// Writes down what there is to know of an instance.
    pub(crate) async fn write_record(
        &self,
        hosted: &Hosted,
        end: Option<worker_api::InstanceEnd>,
    ) -> io::Result<()> {
        let record = Record {
            caller: hosted.caller.clone(),
            request: hosted.request.clone(),
            end,
        };
        let (store, id) = (self.store.clone(), hosted.id.clone());
        spawn_blocking(move || store.write_record(&id, &record))
            .await
            .map_err(io::Error::other)?
    }

    /// Forgets all of an instance.
    pub(crate) async fn forget(&self, hosted: &Hosted) {
        lock(&self.instances).remove(&hosted.id);
        let (store, id) = (self.store.clone(), hosted.id.clone());
        if let Ok(Err(error)) = spawn_blocking(move || store.forget(&id)).await {
            tracing::warn!(instance = %hosted.id, %error, "cannot remove what was kept of an instance");
        }
    }

    /// Takes nothing new from now on.
    pub(crate) fn drain(&self) {
        self.draining.send_replace(true);
    }

    /// Waits until the server takes nothing new any more.
    pub(crate) async fn until_draining(&self) {
        // The sender is in `self`.
        self.draining
            .subscribe()
            .wait_for(|draining| *draining)
            .await
            .ok();
    }
}

/// A run whose task ends without a word is lost, and is told to be.
struct Lost {
    host: Arc<Host>,
    hosted: Arc<Hosted>,
    run: Arc<HostedRun>,
}

impl Drop for Lost {
    fn drop(&mut self) {
        if !self.run.has_ended() {
            let detail = "the server failed while it ran the script";
            tracing::error!(instance = %self.hosted.id, host = ?self.host.options.backend.alias, detail);
            let lost = self.run.lost(LostBy::EndedElsewhere, detail, None);
            self.run.publish(lost);
        }
    }
}

fn same(there: &Hosted, caller: &str, request: &CreateInstance) -> Result<(), Problem> {
    let id = &there.id;
    if there.caller != caller || there.request != *request {
        let detail = format!("the id `{id}` is in use, for something else");
        return Err(Problem::new(Code::Conflict, detail).in_stage("start"));
    }
    if there.state() == InstanceState::Gone {
        let start_failed = there.view().end.and_then(|end| end.problem);
        let gone = Problem::new(Code::Gone, format!("the instance `{id}` is no more"));
        return Err(start_failed.unwrap_or(gone).in_stage("start"));
    }
    Ok(())
}

fn same_run(there: &HostedRun, id: &RunId, fingerprint: &str) -> Result<(), Problem> {
    if there.id != *id {
        let detail = format!("the instance has its run: `{}`", there.id);
        return Err(Problem::new(Code::InvalidState, detail).in_stage("run"));
    }
    if there.request != fingerprint {
        let detail = format!("the run `{id}` was asked for with another body");
        return Err(Problem::new(Code::Conflict, detail).in_stage("run"));
    }
    Ok(())
}

/// Why a call for an instance that is ready does not fit.
pub(crate) fn not_ready(hosted: &Hosted) -> Problem {
    let id = &hosted.id;
    match hosted.state() {
        InstanceState::Starting => Problem::new(
            Code::InvalidState,
            format!("the instance `{id}` is not ready yet"),
        ),
        _ if hosted.ending() == Some(worker_api::InstanceEndCause::Lease) => Problem::new(
            Code::LeaseExpired,
            format!("the lease of the instance `{id}` has expired"),
        ),
        _ => Problem::new(Code::Gone, format!("the instance `{id}` is no more")),
    }
}

fn fingerprint(request: &CreateRun) -> String {
    // Maps are sorted: the same request is the same text.
    Digest::of(&serde_json::to_vec(request).unwrap_or_default()).to_hex()
}

fn run_options(request: &CreateRun) -> Result<RunOptions, Problem> {
    let mut environment = Environment::new();
    for (name, value) in &request.environment {
        environment
            .set(name, value)
            .map_err(|error| Problem::new(Code::Invalid, error.to_string()).in_stage("run"))?;
    }
    let mut options = RunOptions {
        environment,
        ..RunOptions::default()
    };
    if let Some(milliseconds) = request.drain_ms {
        options.drain_window = Duration::from_millis(milliseconds.into());
    }
    Ok(options)
}
