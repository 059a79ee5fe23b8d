//! Runs cases: one with all that belongs to it, or the whole suite.

use std::future::Future;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::{RwLock, Semaphore};
use tokio::task::JoinSet;

use super::case::{Case, Check, Checked, Unmet};
use super::fixture::{Fixture, within};
use super::report::{CaseResult, Report, Status};
use super::second_worker::second_worker;
use super::selection::Selection;
use super::target::Target;
use crate::Capability;

/// Held for reading by every case, for writing by one that measures this
/// process and must be alone in it.
static ALONE: RwLock<()> = RwLock::const_new(());

/// Runs the selected cases against `target`, several at a time, and hands each
/// result to `finished` as soon as it is there.
///
/// Some cases kill a second worker. It is this program, begun once more with
/// the same arguments, which must bring it here again.
///
/// # Cancel safety
///
/// Dropping it drops the cases that run; what they had started is removed by
/// the tasks of their providers, as that of every dropped future.
pub async fn run(
    target: &Target,
    selection: &Selection,
    mut finished: impl FnMut(&CaseResult),
) -> Report {
    second_worker();
    let places = Arc::new(Semaphore::new(selection.concurrency()));
    let mut tasks = JoinSet::new();
    let mut names = std::collections::HashMap::new();
    let selected: Vec<_> = super::cases()
        .filter(|case| selection.takes(case))
        .collect();
    for (index, case) in selected.iter().copied().enumerate() {
        let (target, places) = (target.clone(), places.clone());
        let task = tasks.spawn(async move {
            // The semaphore is never closed; a place that cannot be had would
            // only mean one case more at a time.
            let _place = places.acquire().await.ok();
            (index, execute(&target, case, std::future::ready(())).await)
        });
        names.insert(task.id(), (index, case));
    }
    let mut results: Vec<(usize, CaseResult)> = Vec::with_capacity(selected.len());
    while let Some(joined) = tasks.join_next().await {
        let result = joined.unwrap_or_else(|error| {
            let known = names.get(&error.id()).copied();
            let (index, case) = known.map_or((usize::MAX, None), |(i, c)| (i, Some(c)));
            (index, panicked(case, &error.to_string()))
        });
        finished(&result.1);
        results.push(result);
    }
    results.sort_by_key(|(index, _)| *index);
    Report::new(
        target.name(),
        results.into_iter().map(|(_, result)| result).collect(),
    )
}

/// Runs one case. `afterwards` runs when the provider has been dropped, for
/// checks of the runtime; what it finds is added by who made it.
pub(super) async fn execute(
    target: &Target,
    case: &Case,
    afterwards: impl Future<Output = ()>,
) -> CaseResult {
    let lock = if case.exclusive {
        (None, Some(ALONE.write().await))
    } else {
        (Some(ALONE.read().await), None)
    };
    let began = Instant::now();
    let status = match attempt(target, case).await {
        Ok(()) => Status::Passed,
        Err(Unmet::Failed(reason)) => Status::Failed(reason),
        Err(Unmet::Skipped(reason)) => Status::Skipped(reason),
    };
    afterwards.await;
    drop(lock);
    CaseResult {
        id: case.id.to_owned(),
        title: case.title.to_owned(),
        status,
        duration: began.elapsed(),
    }
}

async fn attempt(target: &Target, case: &Case) -> Checked {
    if let Some(reason) = &target.unavailable {
        return Err(Unmet::Skipped(reason.clone()));
    }
    let fixture = prepare(target, case)?;
    let checked = within(case.within, "the case", async {
        fixture.provider.setup().await?;
        match &case.check {
            Check::Script(check) => check.check(&fixture).await,
            Check::Function(check) => check(fixture.clone()).await,
        }
    })
    .await
    .flatten();
    match (checked, fixture.finish().await) {
        (Err(Unmet::Failed(first)), Err(Unmet::Failed(second))) => {
            Err(Unmet::Failed(format!("{first}; moreover: {second}")))
        }
        (Ok(()) | Err(Unmet::Skipped(_)), Err(left)) => Err(left),
        (checked, _) => checked,
    }
}

/// The fixture of `case`, if the backend can run it.
fn prepare(target: &Target, case: &Case) -> Checked<Fixture> {
    let claimed = target.provider(&[])?.capabilities();
    let mut options = case.configure.to_vec();
    if !claimed.has(Capability::ExecutesScripts) {
        let lacking = || Unmet::Skipped(Capability::ExecutesScripts.name().into());
        options.extend(case.simulate.ok_or_else(lacking)?);
    }
    for capability in case.needs {
        if !claimed.has(*capability) {
            return Err(Unmet::Skipped(capability.name().into()));
        }
    }
    Fixture::new(target, target.provider(&options)?, options)
}

fn panicked(case: Option<&Case>, why: &str) -> CaseResult {
    CaseResult {
        id: case.map_or("unknown", |case| case.id).to_owned(),
        title: case.map_or("", |case| case.title).to_owned(),
        status: Status::Failed(why.to_owned()),
        duration: std::time::Duration::ZERO,
    }
}
