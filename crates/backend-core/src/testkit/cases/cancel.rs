//! Dropped futures, and stops from every state.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join;

use crate::testkit::case::{Case, Checked, Unmet, ensure};
use crate::testkit::drops::{Polled, poll_times};
use crate::testkit::fixture::{Fixture, PROMPTLY, within};
use crate::testkit::marker::Sleeper;
use crate::testkit::sinks::Watch;
use crate::{Instance, Outcome, RunOptions, RunResult, Signal};

/// Everything takes so long in a simulation that it can be dropped on the way.
const SLOWLY: &[(&str, &str)] = &[
    ("startup-duration", "20ms"),
    ("upload-duration", "10ms"),
    ("run-sleep", "20ms"),
    ("stop-duration", "10ms"),
    ("log-output", "ready\n"),
];

/// A script that says that it runs, and never ends by itself.
const HANGS: &[(&str, &str)] = &[("log-output", "ready\n"), ("run-hang", "true")];

pub(in crate::testkit) const CASES: &[Case] = &[
    Case::function(
        "C1-start-never-begun",
        "a start that is dropped before it was polled leaves nothing",
        |fixture| Box::pin(start_never_begun(fixture)),
    )
    .simulate(SLOWLY),
    Case::function(
        "C1-instance-dropped",
        "an instance that is dropped without a stop is removed",
        |fixture| Box::pin(instance_dropped(fixture, Until::Started)),
    )
    .simulate(SLOWLY),
    Case::function(
        "C1-uploaded-instance-dropped",
        "an instance that is dropped after the upload is removed",
        |fixture| Box::pin(instance_dropped(fixture, Until::Uploaded)),
    )
    .simulate(SLOWLY),
    Case::function(
        "C1-running-instance-dropped",
        "an instance that is dropped with its run is removed, and its script ended",
        |fixture| Box::pin(instance_dropped(fixture, Until::Running)),
    )
    .simulate(HANGS),
    Case::function(
        "C1-ended-instance-dropped",
        "an instance that is dropped after the run is removed",
        |fixture| Box::pin(instance_dropped(fixture, Until::Ended)),
    )
    .simulate(&[]),
    Case::function(
        "C2-start",
        "a start that is dropped at any await point leaves nothing",
        |fixture| Box::pin(drop_start(fixture)),
    )
    .simulate(SLOWLY)
    .within(180),
    Case::function(
        "C2-start-timed",
        "a start that is dropped after any time leaves nothing",
        |fixture| Box::pin(drop_start_timed(fixture)),
    )
    .simulate(SLOWLY)
    .within(180),
    Case::function(
        "C2-upload",
        "after an upload that is dropped at any await point, a stop leaves nothing",
        |fixture| Box::pin(drop_upload(fixture)),
    )
    .simulate(SLOWLY)
    .within(180),
    Case::function(
        "C2-run",
        "after a run that is dropped at any await point, a stop ends the script",
        |fixture| Box::pin(drop_run(fixture)),
    )
    .simulate(SLOWLY)
    .within(240),
    Case::function(
        "C2-run-timed",
        "after a run that is dropped after any time, a stop ends the script",
        |fixture| Box::pin(drop_run_timed(fixture)),
    )
    .simulate(SLOWLY)
    .within(240),
    Case::function(
        "C2-stop",
        "a stop that is dropped at any await point is done all the same",
        |fixture| Box::pin(drop_stop(fixture)),
    )
    .simulate(SLOWLY)
    .within(180),
    Case::function("C3-stop-twice", "a second stop succeeds", |fixture| {
        Box::pin(stop_twice(fixture))
    })
    .simulate(&[])
    .basic(),
    Case::function(
        "C3-stop-at-once",
        "two stops from two tasks at once both succeed",
        |fixture| Box::pin(stop_at_once(fixture)),
    )
    .simulate(SLOWLY),
    Case::function(
        "C3-stop-before-upload",
        "a stop before the upload removes the instance",
        |fixture| Box::pin(stop_from(fixture, Until::Started)),
    )
    .simulate(&[])
    .basic(),
    Case::function(
        "C3-stop-before-run",
        "a stop before the run removes the instance, and nothing runs",
        |fixture| Box::pin(stop_from(fixture, Until::Uploaded)),
    )
    .simulate(&[]),
    Case::function(
        "C3-stop-while-uploading",
        "a stop during an upload ends it",
        |fixture| Box::pin(stop_while_uploading(fixture)),
    )
    .simulate(&[("upload-duration", "1s")]),
    Case::function(
        "C3-stop-while-running",
        "a stop ends a running script, and its run returns promptly and without an exit code of 0",
        |fixture| Box::pin(stop_while_running(fixture)),
    )
    .simulate(HANGS),
    Case::function(
        "C3-stop-deaf-script",
        "a stop ends a script that ignores every signal that can be ignored",
        |fixture| Box::pin(stop_deaf_script(fixture)),
    )
    .simulate(&[
        ("log-output", "ready\n"),
        ("run-hang", "true"),
        ("ignore-term", "true"),
    ]),
    Case::function(
        "C3-stop-while-draining",
        "a stop in the drain window ends the wait, and the verdict stays the script's own",
        |fixture| Box::pin(stop_while_draining(fixture)),
    )
    .simulate(&[
        ("log-output", "ready\n"),
        ("exit-code", "4"),
        ("leftover", "sleep"),
        ("leftover-duration", "10m"),
    ]),
    Case::function(
        "C3-stop-from-another-task",
        "a signal and a stop from other tasks work while the run streams",
        |fixture| Box::pin(stop_from_another_task(fixture)),
    )
    .simulate(HANGS),
];

/// How far a job has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Until {
    Started,
    Uploaded,
    Running,
    Ended,
}

async fn start_never_begun(fixture: Fixture) -> Checked {
    let context = fixture.context();
    drop(fixture.provider.start(fixture.attributes(), &context));
    fixture.nothing_left("a start that was never polled").await
}

fn hanging_script(sleeper: &Sleeper) -> String {
    format!("{} &\necho ready\nwait\n", sleeper.command())
}

async fn instance_dropped(fixture: Fixture, until: Until) -> Checked {
    let sleeper = Sleeper::new();
    match until {
        Until::Started => drop(fixture.start().await?),
        Until::Uploaded => drop(fixture.ready(b"exit 0\n").await?),
        Until::Running => {
            let script = hanging_script(&sleeper);
            let mut running = fixture.launch(script.as_bytes()).await?;
            running.printed("ready").await?;
            sleeper.seen(&fixture, 1).await?;
            // The run's future goes first, and then the instance.
            drop(running);
        }
        Until::Ended => {
            let instance = fixture.ready(b"exit 0\n").await?;
            fixture.run_on(&*instance, &RunOptions::default()).await?;
        }
    }
    sleeper
        .gone(PROMPTLY, "after the instance was dropped")
        .await?;
    fixture.nothing_left("the instance was dropped").await
}

async fn drop_start(fixture: Fixture) -> Checked {
    for polls in 0..40 {
        let context = fixture.context();
        let start = fixture.provider.start(fixture.attributes(), &context);
        if let Polled::Ready(instance) = poll_times(start, polls).await {
            instance?.stop().await?;
            return Ok(());
        }
        fixture
            .nothing_left(&format!("a start dropped after {polls} polls"))
            .await?;
    }
    Ok(())
}

/// Lengths of time after which things are dropped.
const TIMES: [u64; 9] = [0, 1, 3, 10, 25, 60, 120, 250, 500];

async fn drop_start_timed(fixture: Fixture) -> Checked {
    for time in TIMES.map(Duration::from_millis) {
        let context = fixture.context();
        let start = fixture.provider.start(fixture.attributes(), &context);
        if let Ok(instance) = tokio::time::timeout(time, start).await {
            instance?.stop().await?;
        }
        fixture
            .nothing_left(&format!("a start dropped after {time:?}"))
            .await?;
    }
    Ok(())
}

async fn drop_upload(fixture: Fixture) -> Checked {
    let script = vec![b'#'; 1 << 20];
    for polls in 0..40 {
        let instance = fixture.start().await?;
        let polled = poll_times(instance.upload_script(&script), polls).await;
        instance.stop().await?;
        fixture
            .nothing_left(&format!("an upload dropped after {polls} polls"))
            .await?;
        if let Polled::Ready(uploaded) = polled {
            uploaded?;
            break;
        }
    }
    Ok(())
}

async fn drop_run(fixture: Fixture) -> Checked {
    let sleeper = Sleeper::new();
    let script = format!("{} &\necho ready\nsleep 1\n", sleeper.command());
    let options = RunOptions {
        drain_window: Duration::from_secs(1),
        ..RunOptions::default()
    };
    for polls in 0..40 {
        let instance = fixture.ready(script.as_bytes()).await?;
        let mut sink = Watch::new();
        let run = instance.run_script(&options, &mut sink);
        let polled = within(PROMPTLY, "the run", poll_times(run, polls)).await?;
        instance.stop().await?;
        let after = format!("after a run dropped after {polls} polls and a stop");
        sleeper.gone(PROMPTLY, &after).await?;
        if let Polled::Ready(result) = polled {
            verdict_is_true(&result?, Some(0))?;
            return Ok(());
        }
    }
    Ok(())
}

async fn drop_run_timed(fixture: Fixture) -> Checked {
    for time in TIMES.map(Duration::from_millis) {
        let sleeper = Sleeper::new();
        let script = hanging_script(&sleeper);
        let instance = fixture.ready(script.as_bytes()).await?;
        let mut sink = Watch::new();
        let options = RunOptions::default();
        let run = instance.run_script(&options, &mut sink);
        if let Ok(result) = tokio::time::timeout(time, run).await {
            let result = result?;
            ensure!(
                !fixture.executes(),
                "a script that never ends {}",
                result.outcome
            );
        }
        instance.stop().await?;
        let after = format!("after a run dropped after {time:?} and a stop");
        sleeper.gone(PROMPTLY, &after).await?;
    }
    Ok(())
}

async fn drop_stop(fixture: Fixture) -> Checked {
    for polls in 0..40 {
        let sleeper = Sleeper::new();
        let script = hanging_script(&sleeper);
        let mut running = fixture.launch(script.as_bytes()).await?;
        running.printed("ready").await?;
        sleeper.seen(&fixture, 1).await?;
        let polled = poll_times(running.instance.stop(), polls).await;
        let ready = match polled {
            Polled::Ready(stopped) => {
                stopped?;
                true
            }
            Polled::Dropped => false,
        };
        if polls > 0 {
            // Begun is done; before its first poll nothing was asked for.
            running.settled(PROMPTLY).await?;
        }
        drop(running);
        let after = format!("a stop dropped after {polls} polls");
        sleeper.gone(PROMPTLY, &format!("after {after}")).await?;
        if polls > 0 {
            fixture.nothing_left(&after).await?;
        }
        if ready {
            break;
        }
    }
    Ok(())
}

async fn stop_twice(fixture: Fixture) -> Checked {
    let instance = fixture.ready(b"exit 0\n").await?;
    fixture.run_on(&*instance, &RunOptions::default()).await?;
    instance.stop().await?;
    instance.stop().await?;
    instance.stop().await?;
    Ok(())
}

async fn stop_at_once(fixture: Fixture) -> Checked {
    let instance = fixture.ready(b"exit 0\n").await?;
    let stop = |instance: Arc<dyn Instance>| tokio::spawn(async move { instance.stop().await });
    let (one, other) = join(stop(instance.clone()), stop(instance.clone())).await;
    for stopped in [one, other] {
        stopped.map_err(|error| Unmet::failed(error.to_string()))??;
    }
    fixture.nothing_left("two stops at once").await
}

async fn stop_from(fixture: Fixture, until: Until) -> Checked {
    let instance = match until {
        Until::Started => fixture.start().await?,
        _ => fixture.ready(b"echo not reached\n").await?,
    };
    within(PROMPTLY, "the stop", instance.stop()).await??;
    fixture.nothing_left("the stop").await
}

async fn stop_while_uploading(fixture: Fixture) -> Checked {
    let instance = fixture.start().await?;
    let script = vec![b'#'; 32 << 20];
    let both = join(instance.upload_script(&script), async {
        tokio::time::sleep(Duration::from_millis(20)).await;
        instance.stop().await
    });
    // The upload may have been faster; that it ends is what counts.
    let (_uploaded, stopped) = within(PROMPTLY, "a stop during an upload", both).await?;
    stopped?;
    fixture.nothing_left("a stop during an upload").await
}

/// That a script which did not end by itself was not given an exit of its own.
fn verdict_is_true(result: &RunResult, own_exit: Option<i32>) -> Checked {
    let fits = match &result.outcome {
        Outcome::Exited { code, maybe_signal } => Some(*code) == own_exit || maybe_signal.is_some(),
        Outcome::Signaled { .. } | Outcome::Lost(_) => true,
    };
    ensure!(
        fits,
        "a script that did not end by itself {}",
        result.outcome
    );
    Ok(())
}

async fn stop_while_running(fixture: Fixture) -> Checked {
    let sleeper = Sleeper::new();
    let script = hanging_script(&sleeper);
    stop_running(&fixture, &sleeper, &script).await
}

async fn stop_deaf_script(fixture: Fixture) -> Checked {
    let sleeper = Sleeper::new();
    let script = format!(
        "trap '' HUP INT QUIT TERM USR1 USR2\n{} &\necho ready\nwait\nsleep 300\n",
        sleeper.command()
    );
    stop_running(&fixture, &sleeper, &script).await
}

async fn stop_running(fixture: &Fixture, sleeper: &Sleeper, script: &str) -> Checked {
    let mut running = fixture.launch(script.as_bytes()).await?;
    running.printed("ready").await?;
    sleeper.seen(fixture, 1).await?;
    let instance = running.instance.clone();
    within(Duration::from_secs(40), "the stop", instance.stop()).await??;
    let ran = running.ended(PROMPTLY).await?;
    verdict_is_true(&ran.result, None)?;
    sleeper.gone(PROMPTLY, "after the stop").await?;
    fixture.nothing_left("a stop while running").await
}

async fn stop_while_draining(fixture: Fixture) -> Checked {
    let sleeper = Sleeper::new();
    let script = format!("{} &\necho ready\nexit 4\n", sleeper.command());
    let options = RunOptions {
        drain_window: Duration::from_mins(5),
        ..RunOptions::default()
    };
    let mut running = fixture.launch_with(script.as_bytes(), options).await?;
    running.printed("ready").await?;
    // Until the script has ended and the drain has begun.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let instance = running.instance.clone();
    instance.stop().await?;
    let ran = running.ended(PROMPTLY).await?;
    verdict_is_true(&ran.result, Some(4))?;
    sleeper.gone(PROMPTLY, "after the stop").await
}

async fn stop_from_another_task(fixture: Fixture) -> Checked {
    let sleeper = Sleeper::new();
    let script = hanging_script(&sleeper);
    let mut running = fixture.launch(script.as_bytes()).await?;
    running.printed("ready").await?;
    let (signalled, stopped) = (running.instance.clone(), running.instance.clone());
    let signal = tokio::spawn(async move { signalled.signal(Signal::TERM).await });
    let stop = tokio::spawn(async move { stopped.stop().await });
    let (signal, stop) = join(signal, stop).await;
    // The stop may have come first: then there is nothing to signal.
    signal
        .map_err(|error| Unmet::failed(error.to_string()))?
        .ok();
    stop.map_err(|error| Unmet::failed(error.to_string()))??;
    let ran = running.ended(PROMPTLY).await?;
    verdict_is_true(&ran.result, None)?;
    sleeper.gone(PROMPTLY, "after the stop").await
}
