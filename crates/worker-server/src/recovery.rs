//! What an earlier server has left: removed, and told of as it was.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use backend_core::{Chain, InstanceId};
use tokio::task::spawn_blocking;
use worker_api::{InstanceEnd, InstanceEndCause, LostBy};

use crate::host::Host;
use crate::hosted::Hosted;
use crate::hosted_run::{HostedRun, recalled};
use crate::journal::Journal;
use crate::keeper;
use crate::store::{Record, RunRecord};

/// The first and the longest pause between two attempts at a removal.
const PAUSES: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));

/// Remembers what an earlier server knew, removes what it had started, and
/// then opens the server for new instances.
///
/// The contract has no way to take up an instance that another process started:
/// so each is removed. A run that had ended keeps its verdict; one that had
/// not is lost, with what had arrived of its output.
pub(crate) async fn recover(host: &Arc<Host>) -> io::Result<()> {
    let store = host.store.clone();
    let remains = spawn_blocking(move || store.remains())
        .await
        .map_err(io::Error::other)??;
    let (mut unreadable, mut alive) = (Vec::new(), Vec::new());
    for found in remains {
        let (id, run) = (found.id, found.run);
        let Some(record) = found.record else {
            tracing::warn!(instance = %id, "an instance's record cannot be read; the instance is removed");
            unreadable.push(id);
            continue;
        };
        let ended = record.end.is_some();
        let hosted = remember(host, id, record, run).await?;
        if ended {
            host.tasks.spawn(keeper::forget(host.clone(), hosted));
        } else {
            alive.push(hosted);
        }
    }
    let removing = host.clone();
    host.tasks
        .spawn(async move { finish(removing, unreadable, alive).await });
    Ok(())
}

/// Removes what was alive, tells that it is gone, and opens the server.
async fn finish(host: Arc<Host>, unreadable: Vec<InstanceId>, alive: Vec<Arc<Hosted>>) {
    let mut ids = unreadable.clone();
    ids.extend(alive.iter().map(|hosted| hosted.id.clone()));
    remove_all(&host, ids).await;
    for id in unreadable {
        let store = host.store.clone();
        if let Ok(Err(error)) = spawn_blocking(move || store.forget(&id)).await {
            tracing::warn!(%error, "cannot remove an unreadable record");
        }
    }
    for hosted in alive {
        let end = restarted();
        if let Err(error) = host.write_record(&hosted, Some(end.clone())).await {
            tracing::warn!(instance = %hosted.id, %error, "cannot write down that an instance is gone");
        }
        hosted.gone(end);
        host.tasks.spawn(keeper::forget(host.clone(), hosted));
    }
    host.recovered.store(true, Ordering::Release);
}

fn restarted() -> InstanceEnd {
    InstanceEnd {
        by: InstanceEndCause::Restart,
        problem: None,
    }
}

async fn remember(
    host: &Arc<Host>,
    id: InstanceId,
    record: Record,
    run: Option<RunRecord>,
) -> io::Result<Arc<Hosted>> {
    let run = match run {
        Some(run) => Some(Arc::new(remember_run(host, &id, run).await?)),
        None => None,
    };
    let hosted = Arc::new(Hosted::remembered(
        id,
        record.caller,
        record.request,
        record.end,
        run,
    ));
    host.put(hosted.clone());
    Ok(hosted)
}

async fn remember_run(host: &Host, id: &InstanceId, record: RunRecord) -> io::Result<HostedRun> {
    let (path, journals) = (host.store.output(id), host.journals.clone());
    let (journal, digest) = spawn_blocking(move || Journal::reopen(&path, journals))
        .await
        .map_err(io::Error::other)??;
    let length = journal.extent().length;
    let ended = record
        .ended
        .and_then(|ended| recalled(ended, length, digest));
    let ended = ended.unwrap_or_else(|| {
        let run = HostedRun::new(record.id.clone(), record.request.clone(), journal.clone());
        let detail = "the server was started anew in mid-run";
        run.lost(LostBy::Restart, detail, Some(digest))
    });
    Ok(HostedRun::remembered(
        record.id,
        record.request,
        journal,
        ended,
    ))
}

/// Removes these instances where they are found, until none is.
async fn remove_all(host: &Host, alive: Vec<InstanceId>) {
    let mut pause = PAUSES.0;
    while !alive.is_empty() {
        match remove_found(host, &alive).await {
            Ok(()) => return,
            Err(error) => {
                tracing::warn!(error = %Chain(&error), "cannot remove what an earlier server left; trying again");
            }
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(PAUSES.1);
    }
}

async fn remove_found(host: &Host, alive: &[InstanceId]) -> backend_core::Result<()> {
    let listing = host.provider.list_reachable().await;
    let mut ours: HashMap<_, _> = listing
        .found
        .iter()
        .filter(|found| found.marks.owner == host.options.owner)
        .map(|found| (&found.marks.instance, found))
        .collect();
    let mut first_failure = Ok(());
    for id in alive {
        let Some(found) = ours.remove(id) else {
            continue;
        };
        match host.provider.remove(found).await {
            Ok(()) => tracing::info!(instance = %id, "removed what an earlier server left"),
            Err(error) => first_failure = first_failure.and(Err(error)),
        }
    }
    // What is not found may be where nobody answered.
    listing
        .unanswered
        .into_iter()
        .fold(first_failure, |first, error| first.and(Err(error)))
}
