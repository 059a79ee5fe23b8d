//! Shells in instances, beside their scripts.

use std::time::Duration;

use crate::testkit::case::{Case, Checked, Unmet, ensure};
use crate::testkit::console::Console;
use crate::testkit::fixture::{Fixture, PROMPTLY, Running, within};
use crate::testkit::marker::Sleeper;
use crate::{Capability, ErrorKind, Found, LossCause, Outcome, RunOptions, TerminalSize};

/// What a case needs besides.
const SHELL: &[Capability] = &[Capability::Shell];

const SIZE: TerminalSize = TerminalSize {
    rows: 31,
    columns: 97,
};

pub(in crate::testkit) const CASES: &[Case] = &[
    Case::function(
        "R5-shell-place",
        "a shell begins in the directory of the script, with its environment, on a terminal",
        |fixture| Box::pin(place(fixture)),
    )
    .needs(SHELL),
    Case::function(
        "R5-shell-kept",
        "a command in a kept instance sees what the script left, and its exit code is passed on",
        |fixture| Box::pin(kept(fixture)),
    )
    .needs(&[Capability::Shell, Capability::Keeps]),
    Case::function(
        "R5-shell-bytes",
        "a command on pipes gets and gives any bytes, its errors apart",
        |fixture| Box::pin(bytes(fixture)),
    )
    .needs(SHELL),
    Case::function(
        "R5-shell-no-command",
        "a command that is not there is 127",
        |fixture| Box::pin(no_command(fixture)),
    )
    .needs(SHELL),
    Case::function(
        "R5-shell-resize",
        "a shell is told when its terminal changes its size",
        |fixture| Box::pin(resize(fixture)),
    )
    .needs(SHELL),
    Case::function(
        "R5-shell-interrupt",
        "an interrupt on the terminal ends what runs in the foreground, and nothing else",
        |fixture| Box::pin(interrupt(fixture)),
    )
    .needs(SHELL),
    Case::function(
        "R5-shell-removed",
        "a shell ends when its instance is removed, with all that it started, and says so",
        |fixture| Box::pin(ends_with_instance(fixture, End::Removed)),
    )
    .needs(SHELL),
    Case::function(
        "R5-shell-stopped",
        "a shell ends when its instance is stopped, with all that it started, and says so",
        |fixture| Box::pin(ends_with_instance(fixture, End::Stopped)),
    )
    .needs(SHELL),
    Case::function(
        "R5-shell-dropped",
        "a shell that is dropped ends with what runs in its foreground; the script goes on",
        |fixture| Box::pin(leaves(fixture, Leave::Dropped)),
    )
    .needs(SHELL),
    Case::function(
        "R5-shell-closed-dropped",
        "a shell that is dropped as it is being hung up ends all the same",
        |fixture| Box::pin(hung_up_half_way(fixture)),
    )
    .needs(SHELL),
    Case::function(
        "R5-shell-closed",
        "a shell whose terminal is closed ends with what runs in its foreground",
        |fixture| Box::pin(leaves(fixture, Leave::Closed)),
    )
    .needs(SHELL),
    Case::function(
        "R5-shell-gone",
        "no shell is opened in an instance that is gone, or on a backend that has none",
        |fixture| Box::pin(gone(fixture)),
    )
    .simulate(&[]),
];

/// An instance whose script runs until it is stopped, as it is found.
async fn running(fixture: &Fixture, sleeper: &Sleeper) -> Checked<(Running, Found)> {
    let script = format!(
        "echo evidence >found\necho ready\n{} &\nwait\n",
        sleeper.command()
    );
    let mut options = RunOptions::default();
    options
        .environment
        .set("GREETING", "it's $me")
        .map_err(|error| Unmet::failed(error.to_string()))?;
    let mut running = fixture.launch_with(script.as_bytes(), options).await?;
    running.printed("ready").await?;
    let found = only(fixture.found().await?)?;
    Ok((running, found))
}

fn only(found: Vec<Found>) -> Checked<Found> {
    let count = found.len();
    let [found] = <[Found; 1]>::try_from(found)
        .map_err(|_| Unmet::failed(format!("{count} instances are found, not 1")))?;
    Ok(found)
}

async fn place(fixture: Fixture) -> Checked {
    fixture.needs_tool("stty").await?;
    let (running, found) = running(&fixture, &Sleeper::new()).await?;
    let mut console = Console::open(&fixture.provider, &found, SIZE);
    console
        .enter(b"cat found; echo \"<$WORKER_INSTANCE_ID|$GREETING|$TERM>\"\n")
        .await?;
    console.shows("evidence\r\n").await?;
    let id = running.instance.id();
    console.shows(&format!("<{id}|it's $me|vt100>")).await?;
    console
        .enter(b"test -t 0 && test -t 1 && test -t 2 && stty size\n")
        .await?;
    console.shows("31 97\r\n").await?;
    // The leader of its session: fields 1 and 6 of /proc/PID/stat.
    console
        .enter(b"read -r a </proc/$$/stat; set -- ${a##*) }; echo \"$(($$ == $4))\"l; exit 7\n")
        .await?;
    let outcome = console.ended().await?;
    ensure!(
        outcome.exit_code() == Some(7),
        "`exit 7` in a shell ended it so: {outcome}"
    );
    let text = console.screen.text();
    ensure!(text.contains("1l"), "it leads no session: {text:?}");
    ensure!(!running.has_ended(), "the script ended with the shell");
    running.instance.stop().await?;
    Ok(())
}

async fn kept(fixture: Fixture) -> Checked {
    let mut context = fixture.context();
    context.keep = true;
    let instance = fixture.start_in(&context).await?;
    instance.upload_script(b"echo evidence >found\n").await?;
    let mut options = RunOptions::default();
    let set = options.environment.set("GREETING", "it's $me");
    set.map_err(|error| Unmet::failed(error.to_string()))?;
    let result = instance.run_script(&options, &mut Vec::new()).await?;
    ensure!(result.success(), "it ended so: {}", result.outcome);
    drop(instance);
    let provider = fixture.another_provider()?;
    let found = only(fixture.found_by(&*provider).await?)?;
    let program = "cat found; echo \"$GREETING\"; exit 9";
    let mut console = Console::run(&provider, &found, &["sh", "-c", program]);
    let outcome = console.ended().await?;
    ensure!(
        outcome.exit_code() == Some(9),
        "`exit 9` ended it so: {outcome}"
    );
    let text = console.screen.text();
    ensure!(text == "evidence\nit's $me\n", "it printed {text:?}");
    provider.remove(&found).await?;
    within(PROMPTLY, "settle()", provider.settle()).await
}

async fn bytes(fixture: Fixture) -> Checked {
    let (running, found) = running(&fixture, &Sleeper::new()).await?;
    let all: Vec<u8> = (0..400_000).map(|_| fastrand::u8(..)).collect();
    let program = "echo 'for \"me\"' >&2; cat; exit $1";
    let words = ["sh", "-c", program, "a b", "4"];
    let mut console = Console::run(&fixture.provider, &found, &words);
    console.enter(&all).await?;
    console.close();
    let outcome = console.ended().await?;
    ensure!(outcome.exit_code() == Some(4), "it ended so: {outcome}");
    let output = console.screen.bytes();
    ensure!(
        output == all,
        "of {} bytes {} came back, or others",
        all.len(),
        output.len()
    );
    let errors = console.errors.text();
    ensure!(
        errors == "for \"me\"\n",
        "the errors of a command are {errors:?}"
    );
    running.instance.stop().await?;
    Ok(())
}

async fn no_command(fixture: Fixture) -> Checked {
    let (running, found) = running(&fixture, &Sleeper::new()).await?;
    let mut console = Console::run(&fixture.provider, &found, &["/no/such/program"]);
    let outcome = console.ended().await?;
    ensure!(outcome.exit_code() == Some(127), "it ended so: {outcome}");
    let errors = console.errors.text();
    ensure!(errors.contains("/no/such/program"), "it said {errors:?}");
    running.instance.stop().await?;
    Ok(())
}

async fn resize(fixture: Fixture) -> Checked {
    fixture.needs_tool("stty").await?;
    let (running, found) = running(&fixture, &Sleeper::new()).await?;
    let mut console = Console::open(&fixture.provider, &found, SIZE);
    // It waits until it is told: bash knows its children's signals only.
    let waits = "until [ \"$(stty size)\" = '50 132' ]; do sleep 0.1; done; echo as''told\n";
    console.enter(b"stty size\n").await?;
    console.shows("31 97").await?;
    console.enter(waits.as_bytes()).await?;
    console.resize(50, 132);
    console.shows("astold").await?;
    console.enter(b"exit\n").await?;
    let outcome = console.ended().await?;
    ensure!(outcome.exit_code() == Some(0), "it ended so: {outcome}");
    running.instance.stop().await?;
    Ok(())
}

async fn interrupt(fixture: Fixture) -> Checked {
    let (running, found) = running(&fixture, &Sleeper::new()).await?;
    let sleeper = Sleeper::new();
    let mut console = Console::open(&fixture.provider, &found, SIZE);
    let line = format!("echo wait''ing; {}\n", sleeper.command());
    console.enter(line.as_bytes()).await?;
    console.shows("waiting").await?;
    sleeper.seen(&fixture, 1).await?;
    console.enter(b"\x03").await?;
    sleeper.gone(PROMPTLY, "after an interrupt").await?;
    console.enter(b"echo go''ing on; exit 5\n").await?;
    console.shows("going on").await?;
    let outcome = console.ended().await?;
    ensure!(outcome.exit_code() == Some(5), "it ended so: {outcome}");
    ensure!(!running.has_ended(), "the script was interrupted too");
    running.instance.stop().await?;
    Ok(())
}

/// How an instance ends.
#[derive(Debug, Clone, Copy)]
enum End {
    Removed,
    Stopped,
}

async fn ends_with_instance(fixture: Fixture, end: End) -> Checked {
    let (of_script, of_shell) = (Sleeper::new(), Sleeper::new());
    let (mut running, found) = running(&fixture, &of_script).await?;
    let other = fixture.another_provider()?;
    let mut console = Console::open(&other, &found, SIZE);
    let (one, two) = (of_shell.command(), of_shell.command());
    let line = format!("{one} & echo o''pen; {two}\n");
    console.enter(line.as_bytes()).await?;
    console.shows("open").await?;
    of_shell.seen(&fixture, 2).await?;
    let removing = async {
        match end {
            End::Removed => fixture.provider.remove(&found).await,
            End::Stopped => running.instance.stop().await,
        }
    };
    within(PROMPTLY, "the removal", removing).await??;
    of_shell.gone(PROMPTLY, "after the removal").await?;
    let outcome = console.ended().await?;
    ensure!(
        matches!(&outcome, Outcome::Lost(loss) if loss.cause == LossCause::InstanceGone),
        "a shell whose instance is removed ended so: {outcome}"
    );
    running.settled(PROMPTLY).await?;
    running.instance.stop().await?;
    within(PROMPTLY, "settle()", other.settle()).await?;
    fixture.nothing_left("a shell in it").await
}

/// How a person leaves a shell.
#[derive(Debug, Clone, Copy)]
enum Leave {
    Dropped,
    Closed,
}

async fn leaves(fixture: Fixture, leave: Leave) -> Checked {
    let (running, found) = running(&fixture, &Sleeper::new()).await?;
    let sleeper = Sleeper::new();
    let mut console = Console::open(&fixture.provider, &found, SIZE);
    let line = format!("echo o''pen; {}\n", sleeper.command());
    console.enter(line.as_bytes()).await?;
    console.shows("open").await?;
    sleeper.seen(&fixture, 1).await?;
    match leave {
        Leave::Dropped => drop(console),
        Leave::Closed => {
            console.close();
            let outcome = console.ended().await?;
            ensure!(
                outcome.exit_code() != Some(0),
                "a shell that was hung up ended so: {outcome}"
            );
        }
    }
    within(PROMPTLY, "settle()", fixture.provider.settle()).await?;
    sleeper.gone(PROMPTLY, "after its shell").await?;
    ensure!(!running.has_ended(), "the script ended with the shell");
    // Another can be opened.
    let mut console = Console::run(&fixture.provider, &found, &["cat", "found"]);
    let outcome = console.ended().await?;
    ensure!(
        outcome.exit_code() == Some(0),
        "the next one ended so: {outcome}"
    );
    running.instance.stop().await?;
    Ok(())
}

/// At several moments of what a backend does meanwhile.
async fn hung_up_half_way(fixture: Fixture) -> Checked {
    let (running, found) = running(&fixture, &Sleeper::new()).await?;
    for milliseconds in [0, 1, 2, 4, 8, 16] {
        let sleeper = Sleeper::new();
        let mut console = Console::open(&fixture.provider, &found, SIZE);
        let line = format!("echo o''pen; {}\n", sleeper.command());
        console.enter(line.as_bytes()).await?;
        console.shows("open").await?;
        sleeper.seen(&fixture, 1).await?;
        console.close();
        tokio::time::sleep(Duration::from_millis(milliseconds)).await;
        drop(console);
        within(PROMPTLY, "settle()", fixture.provider.settle()).await?;
        sleeper.gone(PROMPTLY, "after its shell").await?;
    }
    ensure!(!running.has_ended(), "the script ended with a shell");
    running.instance.stop().await?;
    Ok(())
}

async fn gone(fixture: Fixture) -> Checked {
    let instance = fixture.start().await?;
    let found = only(fixture.found().await?)?;
    if fixture.has(Capability::Shell) {
        instance.stop().await?;
    }
    let expected = if fixture.has(Capability::Shell) {
        ErrorKind::Gone
    } else {
        ErrorKind::Unsupported
    };
    let mut console = Console::run(&fixture.provider, &found, &["true"]);
    let result = console.result().await?;
    ensure!(
        matches!(&result, Err(error) if error.kind() == expected),
        "it must be refused as {expected:?}; it gave {result:?}"
    );
    instance.stop().await?;
    Ok(())
}
