//! How a script comes onto its instance.

use std::time::Duration;

use futures_util::future::{join, try_join_all};

use crate::testkit::case::{Case, Checked, ensure};
use crate::testkit::drops::{Polled, poll_times};
use crate::testkit::fixture::{Fixture, PROMPTLY, within};
use crate::testkit::script::{Ends, Prints, ScriptCheck, contains};
use crate::testkit::sinks::{pseudo_random, sha256_hex};
use crate::{Error, ErrorKind, Instance, RunOptions};

pub(in crate::testkit) const CASES: &[Case] = &[
    Case::function("U1-1-byte", "a script of 1 byte is run", |fixture| {
        Box::pin(one_byte(fixture))
    })
    .simulate(&[]),
    Case::function(
        "U1-64-kib",
        "a script of 64 KiB - 1 is stored as it is",
        |fixture| Box::pin(of_size(fixture, (64 << 10) - 1)),
    )
    .simulate(&[]),
    Case::function(
        "U1-1-mib",
        "a script of 1 MiB + 1 is stored as it is",
        |fixture| Box::pin(of_size(fixture, (1 << 20) + 1)),
    )
    .simulate(&[]),
    Case::function(
        "U1-32-mib",
        "a script of 32 MiB is stored as it is",
        |fixture| Box::pin(of_size(fixture, 32 << 20)),
    )
    .simulate(&[]),
    Case::script(
        "U1-crlf",
        "line ends of CRLF are stored as they are",
        ScriptCheck::sh("#!/bin/cat\nline\r\nline\r\n\r\n").prints(Prints::Itself),
    )
    .simulate(&[("log-output", "#!/bin/cat\nline\r\nline\r\n\r\n")]),
    Case::script(
        "U1-crlf-shebang",
        "a `#!` line that ends in CRLF names a program that does not exist",
        ScriptCheck::sh("#!/bin/sh\r\necho not reached\r\n").exits(127),
    )
    .simulate(&[("exit-code", "127")]),
    Case::script(
        "U1-bom",
        "a byte order mark is stored as it is",
        // The shell takes it for a part of a command that does not exist.
        ScriptCheck::sh("\u{feff}#!/bin/sh\nsha256sum <\"$0\" | cut -c1-64\n")
            .prints(Prints::ItsHash),
    ),
    Case::script(
        "U1-nul",
        "NUL bytes are stored as they are",
        ScriptCheck::new(b"#!/bin/cat\na\0b\0\0\n\0").prints(Prints::Itself),
    )
    .simulate(&[("output-bytes", "23212f62696e2f6361740a61006200000a00")]),
    Case::script(
        "U1-not-utf-8",
        "bytes that are not UTF-8 are stored as they are",
        ScriptCheck::new(b"#!/bin/cat\n\xff\xfe\x80\xc3(\xed\xa0\x80\n").prints(Prints::Itself),
    )
    .simulate(&[("output-bytes", "23212f62696e2f6361740afffe80c328eda0800a")]),
    Case::script(
        "U1-no-final-newline",
        "a script without a final newline is run to its end",
        ScriptCheck::sh("echo one\nprintf two").prints(Prints::Exactly(b"one\ntwo")),
    )
    .simulate(&[("log-output", "one\ntwo")])
    .basic(),
    Case::function(
        "U2-second-upload",
        "a second upload fails as stale, and the first script is intact and still runs",
        |fixture| Box::pin(second_upload(fixture)),
    )
    .simulate(&[("log-output", "first\n")])
    .basic(),
    Case::function(
        "U2-upload-after-run",
        "an upload after the run fails as stale",
        |fixture| Box::pin(upload_after_run(fixture)),
    )
    .simulate(&[]),
    Case::function(
        "U2-two-uploads-at-once",
        "of two uploads at once one wins whole",
        |fixture| Box::pin(two_uploads_at_once(fixture)),
    )
    .simulate(&[]),
    Case::function(
        "U2-run-before-upload",
        "a run before an upload is a typed error, and spoils nothing",
        |fixture| Box::pin(run_before_upload(fixture)),
    )
    .simulate(&[("log-output", "first\n")])
    .basic(),
    Case::function("U2-run-twice", "a second run is a typed error", |fixture| {
        Box::pin(run_twice(fixture))
    })
    .simulate(&[])
    .basic(),
    Case::function(
        "U2-two-runs-at-once",
        "of two runs at once one is a typed error, and the script runs once",
        |fixture| Box::pin(two_runs_at_once(fixture)),
    )
    .simulate(&[("log-output", "once\n"), ("run-sleep", "1s")]),
    Case::function(
        "U2-after-stop",
        "upload, run and signal after a stop are typed errors",
        |fixture| Box::pin(after_stop(fixture)),
    )
    .simulate(&[])
    .basic(),
    Case::function(
        "U3-dropped-cannot-run",
        "an upload that is dropped half way leaves nothing that can run",
        |fixture| Box::pin(with_dropped_uploads(fixture, After::Run)),
    )
    .simulate(&[("upload-duration", "20ms")])
    .within(180),
    Case::function(
        "U3-dropped-is-not-stale",
        "an upload that is dropped half way leaves no stale mark",
        |fixture| Box::pin(with_dropped_uploads(fixture, After::UploadAndRun)),
    )
    .simulate(&[("upload-duration", "20ms")])
    .within(180),
    Case::function(
        "U4-32-at-once",
        "32 instances at once: each runs its own script, and no text file is busy",
        |fixture| Box::pin(many_at_once(fixture)),
    )
    .simulate(&[])
    .within(180),
];

/// Begins every script that is stored and compared: it prints its own hash.
const HASHES_ITSELF: &[u8] = b"#!/bin/sh\nsha256sum <\"$0\" | cut -c1-64\nexit 0\n";

async fn one_byte(fixture: Fixture) -> Checked {
    let ran = fixture.run(b"\n").await?;
    Ends::Exit(0).check(&fixture, &ran)?;
    ensure!(ran.output.is_empty(), "it printed {}", ran.shown());
    Ok(())
}

async fn of_size(fixture: Fixture, size: usize) -> Checked {
    let mut script = HASHES_ITSELF.to_vec();
    script.extend(pseudo_random(1, size - script.len()));
    let ran = fixture.run(&script).await?;
    Ends::Exit(0).check(&fixture, &ran)?;
    if fixture.executes() {
        let hash = sha256_hex(&script);
        ensure!(
            ran.output.trim_ascii() == hash.as_bytes(),
            "the script hashes to {hash} here; there: {}",
            ran.shown()
        );
    }
    Ok(())
}

/// That `outcome` is an error of one of these kinds.
fn fails<T: std::fmt::Debug>(
    what: &str,
    outcome: Result<T, Error>,
    kinds: &[ErrorKind],
) -> Checked {
    match outcome {
        Err(error) if kinds.contains(&error.kind()) => Ok(()),
        other => {
            ensure!(
                false,
                "{what} must fail with one of {kinds:?}; it gave {other:?}"
            );
            Ok(())
        }
    }
}

async fn run_of(instance: &dyn Instance) -> crate::Result<Vec<u8>> {
    let mut output = Vec::new();
    instance
        .run_script(&RunOptions::default(), &mut output)
        .await
        .map(|_| output)
}

async fn second_upload(fixture: Fixture) -> Checked {
    let instance = fixture.ready(b"echo first\n").await?;
    let second = instance.upload_script(b"echo second\n").await;
    fails("a second upload", second, &[ErrorKind::Stale])?;
    let ran = fixture.run_on(&*instance, &RunOptions::default()).await?;
    ensure!(ran.output == b"first\n", "it printed {}", ran.shown());
    Ends::Exit(0).check(&fixture, &ran)?;
    instance.stop().await?;
    Ok(())
}

async fn upload_after_run(fixture: Fixture) -> Checked {
    let instance = fixture.ready(b"exit 0\n").await?;
    fixture.run_on(&*instance, &RunOptions::default()).await?;
    let again = instance.upload_script(b"echo second\n").await;
    fails("an upload after the run", again, &[ErrorKind::Stale])?;
    instance.stop().await?;
    Ok(())
}

async fn two_uploads_at_once(fixture: Fixture) -> Checked {
    let instance = fixture.start().await?;
    let script = |word: &str, seed| {
        let mut script = format!("echo {word}\nexit 0\n").into_bytes();
        script.extend(pseudo_random(seed, 300_000));
        script
    };
    let (one, other) = (script("one", 1), script("other", 2));
    let both = join(instance.upload_script(&one), instance.upload_script(&other)).await;
    let (winner, lost) = match both {
        (Ok(()), lost) => ("one\n", lost),
        (lost, Ok(())) => ("other\n", lost),
        (Err(error), Err(_)) => return Err(error.into()),
    };
    let kinds = [ErrorKind::Stale, ErrorKind::InvalidState];
    fails("the other of two uploads at once", lost, &kinds)?;
    let ran = fixture.run_on(&*instance, &RunOptions::default()).await?;
    Ends::Exit(0).check(&fixture, &ran)?;
    ensure!(
        !fixture.executes() || ran.output == winner.as_bytes(),
        "{winner:?} won, but it printed {}",
        ran.shown()
    );
    instance.stop().await?;
    Ok(())
}

async fn run_before_upload(fixture: Fixture) -> Checked {
    let instance = fixture.start().await?;
    let early = run_of(&*instance).await;
    fails("a run before an upload", early, &[ErrorKind::InvalidState])?;
    instance.upload_script(b"echo first\n").await?;
    let ran = fixture.run_on(&*instance, &RunOptions::default()).await?;
    ensure!(ran.output == b"first\n", "it printed {}", ran.shown());
    instance.stop().await?;
    Ok(())
}

async fn run_twice(fixture: Fixture) -> Checked {
    let instance = fixture.ready(b"exit 0\n").await?;
    fixture.run_on(&*instance, &RunOptions::default()).await?;
    let again = run_of(&*instance).await;
    fails("a second run", again, &[ErrorKind::InvalidState])?;
    instance.stop().await?;
    Ok(())
}

async fn two_runs_at_once(fixture: Fixture) -> Checked {
    let instance = fixture.ready(b"echo once\nsleep 1\n").await?;
    let (lost, output) = match join(run_of(&*instance), run_of(&*instance)).await {
        (Ok(output), lost) | (lost, Ok(output)) => (lost, output),
        (Err(error), Err(_)) => return Err(error.into()),
    };
    fails(
        "the other of two runs at once",
        lost,
        &[ErrorKind::InvalidState],
    )?;
    ensure!(output == b"once\n", "the script did not run once");
    instance.stop().await?;
    Ok(())
}

async fn after_stop(fixture: Fixture) -> Checked {
    let kinds = [ErrorKind::InvalidState, ErrorKind::Gone];
    let instance = fixture.start().await?;
    instance.stop().await?;
    let upload = instance.upload_script(b"exit 0\n").await;
    fails("an upload after a stop", upload, &kinds)?;

    let instance = fixture.ready(b"exit 0\n").await?;
    instance.stop().await?;
    let run = run_of(&*instance).await;
    fails("a run after a stop", run, &kinds)
}

/// A script that prints this word, long enough to be sent in several pieces.
fn long_script(word: &str) -> Vec<u8> {
    let mut script = format!("echo {word}\nexit 0\n").into_bytes();
    script.extend(pseudo_random(3, 1 << 20));
    script
}

/// What is tried after an upload that was dropped.
#[derive(Clone, Copy)]
enum After {
    Run,
    UploadAndRun,
}

/// Tries it on instances of which each had an upload dropped at one of its
/// await points, or after one of a few lengths of time.
async fn with_dropped_uploads(fixture: Fixture, after: After) -> Checked {
    let script = long_script("dropped");
    for polls in 0..40 {
        let instance = fixture.start().await?;
        match poll_times(instance.upload_script(&script), polls).await {
            Polled::Dropped => after.check(&fixture, &*instance).await?,
            Polled::Ready(uploaded) => {
                uploaded?;
                instance.stop().await?;
                break;
            }
        }
        instance.stop().await?;
    }
    for milliseconds in [1, 3, 10, 30, 100] {
        let bound = Duration::from_millis(milliseconds);
        let instance = fixture.start().await?;
        match tokio::time::timeout(bound, instance.upload_script(&script)).await {
            Err(_) => after.check(&fixture, &*instance).await?,
            Ok(uploaded) => uploaded?,
        }
        instance.stop().await?;
    }
    Ok(())
}

impl After {
    async fn check(self, fixture: &Fixture, instance: &dyn Instance) -> Checked {
        // It may be of no use any more, and must say so.
        let kinds = [
            ErrorKind::InvalidState,
            ErrorKind::Gone,
            ErrorKind::Unreachable,
        ];
        if matches!(self, Self::UploadAndRun) {
            let second = long_script("second");
            let upload = instance.upload_script(&second);
            let upload = within(PROMPTLY, "the second upload", upload).await?;
            if upload.is_ok() {
                let output = run_of(instance).await?;
                ensure!(
                    output == b"second\n" || !fixture.executes(),
                    "the second script must run; the output is \"{}\"",
                    output.escape_ascii()
                );
                return Ok(());
            }
            return fails("an upload after a dropped one", upload, &kinds);
        }
        let run = run_of(instance).await;
        fails("a run after a dropped upload", run, &kinds)
    }
}

async fn many_at_once(fixture: Fixture) -> Checked {
    try_join_all((0..32).map(|number| one_of_many(&fixture, number))).await?;
    Ok(())
}

async fn one_of_many(fixture: &Fixture, number: usize) -> Checked {
    let script = format!("#!/bin/sh\necho number {number}\nexit {number}\n");
    let ran = fixture.run(script.as_bytes()).await?;
    if fixture.executes() {
        let expected = format!("number {number}\n");
        ensure!(
            ran.output == expected.as_bytes(),
            "instance {number} printed {}",
            ran.shown()
        );
        ensure!(
            ran.result.exit_code() == i32::try_from(number).ok(),
            "instance {number} {}",
            ran.result.outcome
        );
    } else {
        Ends::Exit(0).check(fixture, &ran)?;
    }
    ensure!(
        !contains(&ran.output, b"busy"),
        "instance {number} printed {}",
        ran.shown()
    );
    Ok(())
}
