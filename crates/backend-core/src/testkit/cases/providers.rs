//! What a provider shows by itself.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::{join_all, try_join_all};

use crate::testkit::case::{Case, Checked, Unmet, ensure};
use crate::testkit::fixture::{Fixture, PROMPTLY, within};
use crate::testkit::marker::Sleeper;
use crate::testkit::script::Ends;
use crate::{
    Capability, Examination, FoundState, Progress, ProgressReporter, RunOptions, StartAttributes,
};

pub(in crate::testkit) const CASES: &[Case] = &[
    Case::function(
        "R1-50-starts-at-once",
        "50 starts at once give 50 instances with ids of their own",
        |fixture| Box::pin(starts_at_once(fixture)),
    )
    .simulate(&[("startup-duration", "10ms")])
    .within(240),
    Case::function(
        "R1-one-fails",
        "a start that fails does not touch the others, and leaves nothing",
        |fixture| Box::pin(one_fails(fixture)),
    )
    .simulate(&[("startup-duration", "10ms")]),
    Case::function(
        "R1-identity",
        "an instance has the id of its start, and says how long it took",
        |fixture| Box::pin(identity(fixture)),
    )
    .simulate(&[("startup-duration", "10ms")])
    .basic(),
    Case::function("R1-progress", "a start reports its progress", |fixture| {
        Box::pin(progress(fixture))
    })
    .simulate(&[]),
    Case::function(
        "R2-setup-twice",
        "a setup may be repeated, also while an instance is there",
        |fixture| Box::pin(setup_twice(fixture)),
    )
    .simulate(&[])
    .basic(),
    Case::function(
        "R2-examine",
        "an examination goes well where setup does, and says what was tried",
        |fixture| Box::pin(examine(fixture)),
    )
    .simulate(&[])
    .basic(),
    Case::function(
        "R2-settle-at-once",
        "settle returns at once where there is nothing to wait for",
        |fixture| Box::pin(settle_at_once(fixture)),
    )
    .simulate(&[])
    .basic(),
    Case::function(
        "R2-keep",
        "an instance that is kept outlives its handle, says so by its marks, and can be removed",
        |fixture| Box::pin(keep(fixture)),
    )
    .needs(&[Capability::Keeps]),
    Case::function(
        "R2-list",
        "an instance is listed with its marks from its start to its stop, and no longer",
        |fixture| Box::pin(list(fixture)),
    )
    .simulate(&[("log-output", "ready\n"), ("run-hang", "true")]),
    Case::function(
        "R2-remove",
        "a found instance can be removed, twice too, and what runs in it ends",
        |fixture| Box::pin(remove(fixture)),
    )
    .simulate(&[("log-output", "ready\n"), ("run-hang", "true")]),
    Case::function(
        "R2-found-by-others",
        "another provider finds the instance, and can remove it",
        |fixture| Box::pin(found_by_others(fixture)),
    )
    .needs(&[Capability::FoundByOthers]),
];

async fn starts_at_once(fixture: Fixture) -> Checked {
    let instances = try_join_all((0..50).map(|_| fixture.start())).await?;
    let ids: HashSet<_> = instances.iter().map(|instance| instance.id()).collect();
    ensure!(ids.len() == 50, "50 instances have only {} ids", ids.len());
    for stopped in join_all(instances.iter().map(|instance| instance.stop())).await {
        stopped?;
    }
    Ok(())
}

async fn one_fails(fixture: Fixture) -> Checked {
    let wrong = StartAttributes {
        image_name: no_image(),
        ..fixture.attributes().clone()
    };
    let context = fixture.context();
    let failing = fixture.provider.start(&wrong, &context);
    let others = try_join_all((0..3).map(|_| fixture.run(b"exit 6\n")));
    let (failed, others) = futures_util::future::join(failing, others).await;
    ensure!(failed.is_err(), "a start with an image that is none worked");
    for ran in others? {
        if fixture.executes() {
            Ends::Exit(6).check(&fixture, &ran)?;
        }
    }
    Ok(())
}

async fn identity(fixture: Fixture) -> Checked {
    let context = fixture.context();
    let began = std::time::Instant::now();
    let instance = fixture.start_in(&context).await?;
    let took = began.elapsed();
    ensure!(
        *instance.id() == context.id,
        "the id is {}, not {}",
        instance.id(),
        context.id
    );
    ensure!(
        instance.startup_duration() <= took,
        "it says that it took {:?}; the start took {took:?}",
        instance.startup_duration()
    );
    instance.stop().await?;
    Ok(())
}

async fn progress(fixture: Fixture) -> Checked {
    let news: Arc<Mutex<Vec<Progress>>> = Arc::default();
    let sink = news.clone();
    let reporter = ProgressReporter::new(move |progress| {
        sink.lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(progress);
    });
    let instance = fixture
        .start_in(&fixture.context().progress(reporter))
        .await?;
    instance.stop().await?;
    let news = news.lock().unwrap_or_else(PoisonError::into_inner);
    ensure!(!news.is_empty(), "nothing was reported");
    Ok(())
}

async fn setup_twice(fixture: Fixture) -> Checked {
    fixture.provider.setup().await?;
    let instance = fixture.ready(b"exit 0\n").await?;
    fixture.provider.setup().await?;
    let ran = fixture.run_on(&*instance, &RunOptions::default()).await?;
    Ends::Exit(0).check(&fixture, &ran)?;
    instance.stop().await?;
    Ok(())
}

async fn examine(fixture: Fixture) -> Checked {
    fixture.provider.setup().await?;
    let mut examination = Examination::default();
    fixture.provider.examine(&mut examination).await;
    ensure!(!examination.steps.is_empty(), "no step was told");
    for step in &examination.steps {
        ensure!(
            step.result.is_ok(),
            "setup goes well, and the step `{}` of the examination fails: {:?}",
            step.step,
            step.result
        );
    }
    Ok(())
}

async fn settle_at_once(fixture: Fixture) -> Checked {
    let settle = fixture.provider.settle();
    within(Duration::from_secs(5), "settle()", settle).await?;
    let instance = fixture.start().await?;
    let settle = fixture.provider.settle();
    within(
        Duration::from_secs(5),
        "settle() beside an instance",
        settle,
    )
    .await?;
    instance.stop().await?;
    Ok(())
}

async fn list(fixture: Fixture) -> Checked {
    ensure!(
        fixture.found().await?.is_empty(),
        "something was there before"
    );
    let sleeper = Sleeper::new();
    let script = format!("echo ready\n{}\n", sleeper.command());
    let context = fixture.context();
    let instance = fixture.start_in(&context).await?;
    for step in ["started", "uploaded", "running"] {
        let found = fixture.found().await?;
        let [found] = found.as_slice() else {
            return Err(Unmet::failed(format!(
                "{} instances are listed when one is {step}",
                found.len()
            )));
        };
        let marks = &found.marks;
        ensure!(
            marks.instance == context.id && marks.job == context.job && !marks.kept,
            "the marks of one that is {step} are {marks:?}"
        );
        let lifetime = marks.expires.saturating_sub(marks.created);
        ensure!(
            lifetime == context.lifetime.as_secs(),
            "its lifetime is {lifetime} s, not {:?}",
            context.lifetime
        );
        if step == "started" {
            instance.upload_script(script.as_bytes()).await?;
        } else if step == "uploaded" {
            break;
        }
    }
    let mut running = Fixture::run_in_background(instance);
    running.printed("ready").await?;
    let found = fixture.found().await?;
    ensure!(
        found.len() == 1 && found.iter().all(|found| found.state != FoundState::Stopped),
        "while it runs, what is listed is {found:?}"
    );
    running.instance.stop().await?;
    ensure!(
        fixture.found().await?.is_empty(),
        "it is still listed after the stop"
    );
    Ok(())
}

async fn keep(fixture: Fixture) -> Checked {
    let mut context = fixture.context();
    context.keep = true;
    let instance = fixture.start_in(&context).await?;
    instance.upload_script(b"exit 3\n").await?;
    let options = RunOptions::default();
    let result = instance.run_script(&options, &mut Vec::new()).await?;
    ensure!(
        result.exit_code() == Some(3),
        "the script in a kept instance ended so: {}",
        result.outcome
    );
    drop(instance);
    let provider = fixture.another_provider()?;
    let found = fixture.found_by(&*provider).await?;
    let [found] = found.as_slice() else {
        return Err(Unmet::failed(format!(
            "{} instances are found where one is kept",
            found.len()
        )));
    };
    ensure!(
        found.marks.instance == context.id && found.marks.kept,
        "the marks of a kept instance are {:?}",
        found.marks
    );
    provider.remove(found).await?;
    ensure!(
        fixture.found().await?.is_empty(),
        "a kept instance is still there after its removal"
    );
    Ok(())
}

async fn remove(fixture: Fixture) -> Checked {
    let sleeper = Sleeper::new();
    let script = format!("{} &\necho ready\nwait\n", sleeper.command());
    let mut running = fixture.launch(script.as_bytes()).await?;
    running.printed("ready").await?;
    sleeper.seen(&fixture, 1).await?;
    let found = fixture.found().await?;
    ensure!(found.len() == 1, "{} are listed, not 1", found.len());
    for found in &found {
        let removal = fixture.provider.remove(found);
        within(PROMPTLY, "the removal", removal).await??;
        sleeper.gone(PROMPTLY, "after the removal").await?;
        let again = fixture.provider.remove(found);
        within(PROMPTLY, "a second removal", again).await??;
    }
    ensure!(
        fixture.found().await?.is_empty(),
        "it is still listed after its removal"
    );
    let instance = running.instance.clone();
    running.ended(PROMPTLY).await?;
    within(PROMPTLY, "a stop after the removal", instance.stop()).await??;
    Ok(())
}

async fn found_by_others(fixture: Fixture) -> Checked {
    let sleeper = Sleeper::new();
    let script = format!("{} &\necho ready\nwait\n", sleeper.command());
    let mut running = fixture.launch(script.as_bytes()).await?;
    running.printed("ready").await?;
    sleeper.seen(&fixture, 1).await?;
    let other = fixture.another_provider()?;
    other.setup().await?;
    let found = fixture.found_by(&*other).await?;
    let [found] = found.as_slice() else {
        return Err(Unmet::failed(format!(
            "another provider finds {} instances, not 1",
            found.len()
        )));
    };
    ensure!(
        found.marks.instance == *running.instance.id(),
        "another provider finds {:?}",
        found.marks
    );
    within(PROMPTLY, "the removal", other.remove(found)).await??;
    sleeper.gone(PROMPTLY, "after the removal").await?;
    let instance = running.instance.clone();
    running.ended(PROMPTLY).await?;
    instance.stop().await?;
    within(PROMPTLY, "settle()", other.settle()).await
}

/// The name of an image that there is not.
pub(super) fn no_image() -> String {
    format!("no-such-image-{:016x}", fastrand::u64(..))
}
