//! Workers that are killed, and what becomes of their instances.

use std::time::{Duration, SystemTime};

use crate::reap::{ReapDecision, ReapScope, decide};
use crate::testkit::case::{Case, Checked, Unmet, ensure};
use crate::testkit::fixture::{Fixture, PROMPTLY, within};
use crate::testkit::marker::Sleeper;
use crate::testkit::second_worker::{SecondWorker, Step};
use crate::{Capability, Found};

const FOUND_BY_OTHERS: &[Capability] = &[Capability::ExecutesScripts, Capability::FoundByOthers];

pub(in crate::testkit) const CASES: &[Case] = &[
    Case::function(
        "C6-killed-after-start",
        "the instance of a worker that was killed after the start is found and removed",
        |fixture| Box::pin(killed_after(fixture, Step::Started)),
    )
    .needs(FOUND_BY_OTHERS)
    .within(120),
    Case::function(
        "C6-killed-after-upload",
        "the instance of a worker that was killed before the run is removed, and nothing runs",
        |fixture| Box::pin(killed_after(fixture, Step::Uploaded)),
    )
    .needs(FOUND_BY_OTHERS)
    .within(120),
    Case::function(
        "C6-killed-while-running",
        "the instance of a worker that was killed in mid-run is removed, and its script ended",
        |fixture| Box::pin(killed_after(fixture, Step::Running)),
    )
    .needs(FOUND_BY_OTHERS)
    .within(120),
    Case::function(
        "C6-killed-while-starting",
        "what a worker leaves that was killed at any time of a start is found and removed",
        |fixture| Box::pin(killed_within(fixture, Step::Starting, 0)),
    )
    .needs(FOUND_BY_OTHERS)
    .within(240),
    Case::function(
        "U3-killed-while-uploading",
        "nothing runs of a script whose worker was killed at any time of its upload",
        |fixture| Box::pin(killed_within(fixture, Step::Started, 8 << 20)),
    )
    .needs(FOUND_BY_OTHERS)
    .within(240),
];

fn script(sleeper: &Sleeper) -> String {
    format!("{} &\necho ready\nwait\nexit\n", sleeper.command())
}

async fn killed_after(fixture: Fixture, step: Step) -> Checked {
    let sleeper = Sleeper::new();
    let mut worker = SecondWorker::begin(&fixture, step, &script(&sleeper), 0)?;
    let pid = worker.pid();
    worker.reached(step).await?;
    if step == Step::Running {
        sleeper.seen(&fixture, 1).await?;
    }
    for found in fixture.found().await? {
        let kept = decision(&fixture, &found, 120);
        ensure!(
            kept == ReapDecision::KeepAlive,
            "while its worker lives, the instance is to be removed: {kept}"
        );
    }
    worker.kill()?;
    let found = fixture.found().await?;
    let [found] = found.as_slice() else {
        return Err(Unmet::failed(format!(
            "{} instances are found after their worker was killed, not 1",
            found.len()
        )));
    };
    ensure!(
        found.marks.worker.pid == pid,
        "the marks name the worker {}, not {pid}",
        found.marks.worker.pid
    );
    let young = decision(&fixture, found, 0);
    ensure!(
        young == ReapDecision::KeepYoung,
        "an instance that was just made is to be removed: {young}"
    );
    let dead = decision(&fixture, found, 120);
    ensure!(
        dead == ReapDecision::RemoveDead,
        "the instance of a dead worker is to stay: {dead}"
    );
    remove_all(&fixture).await?;
    sleeper.gone(PROMPTLY, "after the removal").await
}

/// Kills workers a few lengths of time after they have come to `step`.
async fn killed_within(fixture: Fixture, step: Step, padding: usize) -> Checked {
    for milliseconds in [0, 1, 3, 8, 20, 50] {
        let sleeper = Sleeper::new();
        let mut worker = SecondWorker::begin(&fixture, Step::Uploaded, &script(&sleeper), padding)?;
        worker.reached(step).await?;
        tokio::time::sleep(Duration::from_millis(milliseconds)).await;
        worker.kill()?;
        // Whatever would run must have the time to begin.
        tokio::time::sleep(Duration::from_millis(300)).await;
        ensure!(
            sleeper.count() == 0,
            "a script runs whose worker was killed {milliseconds} ms after {step:?}"
        );
        for found in fixture.found().await? {
            let dead = decision(&fixture, &found, 120);
            ensure!(
                dead == ReapDecision::RemoveDead,
                "the instance of a dead worker is to stay: {dead}"
            );
        }
        remove_all(&fixture).await?;
        sleeper.gone(Duration::ZERO, "after the removal").await?;
    }
    Ok(())
}

/// What `worker reap` would do with it in so many seconds.
fn decision(fixture: &Fixture, found: &Found, seconds: u64) -> ReapDecision {
    let scope = ReapScope::Owner(fixture.owner.clone());
    let later = SystemTime::now() + Duration::from_secs(seconds);
    decide(found, &scope, later)
}

/// Removes all of the case's by a provider that has made none of it.
async fn remove_all(fixture: &Fixture) -> Checked {
    let other = fixture.another_provider()?;
    other.setup().await?;
    for found in fixture.found_by(&*other).await? {
        within(PROMPTLY, "the removal", other.remove(&found)).await??;
    }
    within(PROMPTLY, "settle()", other.settle()).await?;
    fixture.nothing_left("the removal").await
}
