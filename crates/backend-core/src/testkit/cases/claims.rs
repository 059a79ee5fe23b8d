//! What a backend claims, and does, or else refuses: capabilities and options.

use std::time::Duration;

use crate::testkit::case::{Case, Checked, Unmet, ensure};
use crate::testkit::cases::providers::no_image;
use crate::testkit::fixture::{Fixture, PROMPTLY, within};
use crate::testkit::marker::Sleeper;
use crate::testkit::script::Ends;
use crate::{Capability, Chain, ErrorKind, ProviderConfig, RunOptions, Signal, StartAttributes};

pub(in crate::testkit) const CASES: &[Case] = &[
    Case::function(
        "R3-signals",
        "a signal before the run is a typed error; after the script has ended it does nothing",
        |fixture| Box::pin(signals(fixture)),
    )
    .simulate(&[]),
    Case::function(
        "R3-lists-processes",
        "the processes in an instance are listed where that is claimed, else refused",
        |fixture| Box::pin(lists_processes(fixture)),
    )
    .simulate(&[("log-output", "ready\n"), ("run-hang", "true")]),
    Case::function(
        "R3-images",
        "an image that does not exist is an error of the start, as is any where there are none",
        |fixture| Box::pin(images(fixture)),
    )
    .simulate(&[]),
    Case::function(
        "R3-capabilities",
        "capabilities do not change with the setup, and those that contradict are not claimed",
        |fixture| Box::pin(async move { capabilities(&fixture) }),
    )
    .simulate(&[])
    .basic(),
    Case::function(
        "R4-unknown-option",
        "an unknown option is refused with the nearest right one",
        |fixture| Box::pin(async move { unknown_option(&fixture) }),
    )
    .simulate(&[]),
    Case::function(
        "R4-options-are-described",
        "every option has a help text, and a key in lower case with `-`",
        |fixture| Box::pin(async move { options_are_described(&fixture) }),
    )
    .simulate(&[])
    .basic(),
];

async fn signals(fixture: Fixture) -> Checked {
    let refusal = if fixture.has(Capability::Signals) {
        ErrorKind::InvalidState
    } else {
        ErrorKind::Unsupported
    };
    let instance = fixture.ready(b"exit 0\n").await?;
    let early = instance.signal(Signal::TERM).await;
    ensure!(
        matches!(&early, Err(error) if error.kind() == refusal),
        "a signal before the run must fail as {refusal:?}; it gave {early:?}"
    );
    let ran = fixture.run_on(&*instance, &RunOptions::default()).await?;
    Ends::Exit(0).check(&fixture, &ran)?;
    if fixture.has(Capability::Signals) {
        instance.signal(Signal::TERM).await?;
        instance.signal(Signal::KILL).await?;
    }
    instance.stop().await?;
    Ok(())
}

async fn lists_processes(fixture: Fixture) -> Checked {
    let sleeper = Sleeper::new();
    let script = format!("{} &\necho ready\nwait\n", sleeper.command());
    let mut running = fixture.launch(script.as_bytes()).await?;
    running.printed("ready").await?;
    let instance = &running.instance;
    if !fixture.has(Capability::ListsProcesses) {
        let listing = instance.processes().await;
        ensure!(
            matches!(&listing, Err(error) if error.kind() == ErrorKind::Unsupported),
            "a listing is not claimed and must be refused; it gave {listing:?}"
        );
        instance.stop().await?;
        return Ok(());
    }
    let mut text = String::new();
    // A child that was just forked has yet to become its program.
    for _ in 0..50 {
        let listing = within(PROMPTLY, "a listing", instance.processes()).await?;
        text = listing?.unwrap_or_default();
        if text.contains(&sleeper.command()) || !fixture.executes() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    ensure!(
        text.contains(&sleeper.command()) || (!fixture.executes() && !text.is_empty()),
        "`{}` is not in the listing {text:?}",
        sleeper.command()
    );
    ensure!(
        text.lines().count() < 1000,
        "the listing has {} lines",
        text.lines().count()
    );
    running.instance.stop().await?;
    Ok(())
}

async fn images(fixture: Fixture) -> Checked {
    let wrong = StartAttributes {
        image_name: no_image(),
        ..fixture.attributes().clone()
    };
    let context = fixture.context();
    let start = fixture.provider.start(&wrong, &context);
    let Err(error) = within(Duration::from_secs(50), "the start", start).await? else {
        return Err(Unmet::failed("a start with an image that is none worked"));
    };
    ensure!(
        fixture.has(Capability::Images) || error.kind() == ErrorKind::Unsupported,
        "there are no images: it must be refused as unsupported; it gave {error:?}"
    );
    Ok(())
}

fn capabilities(fixture: &Fixture) -> Checked {
    let fresh = fixture.another_provider()?;
    ensure!(
        fresh.capabilities() == fixture.provider.capabilities(),
        "before the setup it claims others than after"
    );
    ensure!(
        !(fixture.has(Capability::EndsWithScript) && fixture.has(Capability::ReportsLeftovers)),
        "where everything ends with the script, there are no leftovers to report"
    );
    Ok(())
}

fn unknown_option(fixture: &Fixture) -> Checked {
    let specs = (fixture.target.backend.options)();
    let Some(spec) = specs.iter().find(|spec| !spec.family && spec.key.len() > 4) else {
        return Err(Unmet::Skipped("options".into()));
    };
    let key = format!("{}x", spec.key);
    let config = ProviderConfig::from([(key.as_str(), "1")]);
    let Err(error) = (fixture.target.backend.provider)(&config) else {
        return Err(Unmet::failed(format!(
            "the unknown option `{key}` is taken"
        )));
    };
    let text = Chain(&error).to_string();
    ensure!(
        error.kind() == ErrorKind::InvalidOption
            && text.contains(&key)
            && text.contains(&format!("did you mean `{}`", spec.key)),
        "the unknown option `{key}` must be refused with `{}`; it gave {error:?}",
        spec.key
    );
    Ok(())
}

fn options_are_described(fixture: &Fixture) -> Checked {
    for spec in (fixture.target.backend.options)() {
        ensure!(!spec.help.is_empty(), "`{}` has no help text", spec.key);
        let normal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        ensure!(
            spec.key.chars().all(normal),
            "`{}` is not in lower case with `-`",
            spec.key
        );
    }
    Ok(())
}
