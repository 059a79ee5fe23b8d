//! What happens to an instance that someone else removes, and to one that is too
//! small for its script.

use crate::testkit::case::{Case, Checked, Unmet, ensure};
use crate::testkit::fixture::{Fixture, PROMPTLY, within};
use crate::{Capability, Environment, Error, ErrorKind, Instance, Outcome, RunOptions, Signal};

pub(in crate::testkit) const CASES: &[Case] = &[
    Case::function(
        "F3-removed-before-upload",
        "an upload to an instance that someone else has removed is an error that says so",
        |fixture| Box::pin(removed_before_upload(fixture)),
    )
    .simulate(&[]),
    Case::function(
        "F3-removed-before-run",
        "a script whose instance someone else has removed is not run, and has no exit code",
        |fixture| Box::pin(removed_before_run(fixture)),
    )
    .simulate(&[]),
    Case::function(
        "F3-removed-in-mid-run",
        "a run whose instance is removed by someone else ends promptly, and is no exit of the script's",
        |fixture| Box::pin(removed_in_mid_run(fixture)),
    )
    .simulate(&[("log-output", "ready\n"), ("run-hang", "true")]),
    Case::function(
        "F6-script-beyond-memory",
        "a script that is larger than the instance's memory is run, or soon refused as too large",
        |fixture| Box::pin(beyond_memory(fixture, Environment::new(), 32 << 20)),
    )
    .needs(&[Capability::MemoryLimit])
    .configure(&[("memory", "16M")]),
    Case::function(
        "F6-environment-beyond-memory",
        "an environment for which the instance has no memory is given, or soon refused",
        |fixture| Box::pin(environment_beyond_memory(fixture)),
    )
    .needs(&[Capability::MemoryLimit])
    .configure(&[("memory", "8M")]),
];

async fn environment_beyond_memory(fixture: Fixture) -> Checked {
    let mut environment = Environment::new();
    for number in 0..14 {
        let set = environment.set(format!("LARGE_{number}"), "x".repeat(120 << 10));
        set.map_err(|error| Unmet::failed(error.to_string()))?;
    }
    beyond_memory(fixture, environment, 4 << 20).await
}

/// Runs a script of this size with this environment, to whatever end: there is
/// one soon, which is the script's own or names the lack.
async fn beyond_memory(fixture: Fixture, environment: Environment, size: usize) -> Checked {
    let mut script = b"#!/bin/sh\nexit 43\n# ".to_vec();
    script.resize(size, b'x');
    let instance = fixture.start().await?;
    let (mut options, mut output) = (RunOptions::default(), Vec::new());
    options.environment = environment;
    let job = async {
        instance.upload_script(&script).await?;
        instance.run_script(&options, &mut output).await
    };
    match within(PROMPTLY, "the job", job).await? {
        Ok(result) => {
            let killed = matches!(
                result.outcome,
                Outcome::Signaled { signal, oom: true } if signal == Signal::KILL
            );
            ensure!(
                killed || result.exit_code() == Some(43),
                "a script that exits with 43 {}",
                result.outcome
            );
        }
        Err(error) => {
            ensure!(
                error.kind() == ErrorKind::Exhausted,
                "the error must be `exhausted`; it is {error:?}"
            );
            ensure!(error.hint().is_some(), "there is no hint: {error:?}");
        }
    }
    stopped(&fixture, &*instance).await
}

/// Removes all of the case's, as `worker reap` on another terminal does.
async fn remove_all(fixture: &Fixture) -> Checked {
    let found = fixture.found().await?;
    ensure!(found.len() == 1, "{} are listed, not 1", found.len());
    for found in &found {
        within(PROMPTLY, "the removal", fixture.provider.remove(found)).await??;
    }
    Ok(())
}

async fn stopped(fixture: &Fixture, instance: &dyn Instance) -> Checked {
    within(PROMPTLY, "a stop after the removal", instance.stop()).await??;
    fixture.nothing_left("the removal and a stop").await
}

fn says_gone(error: &Error) -> Checked {
    let kinds = [
        ErrorKind::Gone,
        ErrorKind::InvalidState,
        ErrorKind::Unreachable,
    ];
    ensure!(
        kinds.contains(&error.kind()),
        "the error must be one of {kinds:?}; it is {error:?}"
    );
    Ok(())
}

async fn removed_before_upload(fixture: Fixture) -> Checked {
    let instance = fixture.start().await?;
    remove_all(&fixture).await?;
    let upload = instance.upload_script(b"exit 0\n");
    match within(PROMPTLY, "the upload", upload).await? {
        Ok(()) => ensure!(false, "there is nothing left to upload to"),
        Err(error) => says_gone(&error)?,
    }
    stopped(&fixture, &*instance).await
}

async fn removed_before_run(fixture: Fixture) -> Checked {
    let instance = fixture.ready(b"exit 0\n").await?;
    remove_all(&fixture).await?;
    let (options, mut output) = (RunOptions::default(), Vec::new());
    let run = instance.run_script(&options, &mut output);
    match within(PROMPTLY, "the run", run).await? {
        Ok(result) => ensure!(
            !result.completed(),
            "a script whose instance was removed {}",
            result.outcome
        ),
        Err(error) => says_gone(&error)?,
    }
    stopped(&fixture, &*instance).await
}

async fn removed_in_mid_run(fixture: Fixture) -> Checked {
    let mut running = fixture.launch(b"echo ready\nsleep 300\nexit 0\n").await?;
    running.printed("ready").await?;
    remove_all(&fixture).await?;
    let instance = running.instance.clone();
    let ran = running.ended(PROMPTLY).await?;
    let fits = match &ran.result.outcome {
        // Where the removal ends the script first, its death is seen.
        Outcome::Signaled { signal, .. } => *signal == Signal::KILL || *signal == Signal::TERM,
        Outcome::Exited { maybe_signal, .. } => maybe_signal.is_some(),
        Outcome::Lost(_) => true,
    };
    ensure!(
        fits,
        "a script whose instance was removed {}",
        ran.result.outcome
    );
    stopped(&fixture, &*instance).await
}
