//! What a script starts, what it inherits, and what reaches it.

use std::time::Duration;

use crate::testkit::case::{Case, Checked, ensure};
use crate::testkit::fixture::{Fixture, PROMPTLY};
use crate::testkit::ledger::Ledger;
use crate::testkit::marker::Sleeper;
use crate::testkit::script::{Ends, Prints, ScriptCheck};
use crate::{Capability, Outcome, RunOptions, Signal};

pub(in crate::testkit) const CASES: &[Case] = &[
    Case::function(
        "P1-child-holds-output",
        "a child that holds the output open delays the verdict by the drain window at the most",
        |fixture| Box::pin(child_holds_output(fixture)),
    )
    .simulate(&[("leftover", "sleep"), ("leftover-duration", "10m")]),
    Case::function(
        "P1-child-without-output",
        "a child that has redirected its output delays nothing, and is gone after the stop",
        |fixture| Box::pin(child_without_output(fixture)),
    )
    .simulate(&[]),
    Case::function(
        "P1-late-output",
        "what a child prints within the drain window arrives",
        |fixture| Box::pin(late_output(fixture)),
    ),
    Case::function(
        "P2-setsid",
        "a child in a session of its own is gone after the stop",
        |fixture| Box::pin(escapes(fixture, "setsid SLEEP </dev/null >/dev/null 2>&1 &\n")),
    )
    .needs(&[Capability::ContainsEscapees]),
    Case::function(
        "P2-double-fork",
        "an orphan in a session of its own is gone after the stop",
        |fixture| {
            Box::pin(escapes(
                fixture,
                "(setsid sh -c '(SLEEP &)' </dev/null >/dev/null 2>&1 &)\n",
            ))
        },
    )
    .needs(&[Capability::ContainsEscapees]),
    Case::function(
        "P2-empty-environment",
        "an orphan with an empty environment is gone after the stop",
        |fixture| {
            Box::pin(escapes(
                fixture,
                "(setsid env -i /bin/sh -c '(SLEEP &)' </dev/null >/dev/null 2>&1 &)\n",
            ))
        },
    )
    .needs(&[Capability::ContainsEscapees]),
    Case::function(
        "P3-term-reaches-grandchildren",
        "TERM to the run reaches grandchildren",
        |fixture| Box::pin(term_reaches_grandchildren(fixture)),
    )
    .needs(&[Capability::Signals])
    .simulate(&[("log-output", "ready\n"), ("run-hang", "true")]),
    Case::function(
        "P3-trap",
        "a script that catches TERM has the last word, and its own exit",
        |fixture| Box::pin(trap(fixture)),
    )
    .needs(&[Capability::Signals])
    .simulate(&[
        ("log-output", "ready\n"),
        ("run-hang", "true"),
        ("term-output", "bye\n"),
        ("term-exit-code", "99"),
    ]),
    Case::function(
        "P3-ignores-term",
        "a script that ignores TERM goes on, and KILL ends it",
        |fixture| Box::pin(ignores_term(fixture)),
    )
    .needs(&[Capability::Signals])
    .simulate(&[
        ("log-output", "ready\n"),
        ("run-hang", "true"),
        ("ignore-term", "true"),
    ]),
    Case::function(
        "P3-output-after-term",
        "output goes on streaming after TERM",
        |fixture| Box::pin(output_after_term(fixture)),
    )
    .needs(&[Capability::Signals]),
    Case::script(
        "P4-own-group",
        "a script that ends its own process group ends alone",
        ScriptCheck::sh("kill -TERM 0\nsleep 20\n").dies(Signal::TERM),
    )
    .simulate(&[("signal", "TERM")]),
    Case::script(
        "P5-stdin",
        "the script's input is at its end",
        ScriptCheck::sh("if read -r x; then echo \"got $x\"; else echo end; fi\ncat\n")
            .prints(Prints::Exactly(b"end\n"))
            .at_most(10),
    )
    .simulate(&[("log-output", "end\n")])
    .basic(),
    Case::script(
        "P5-no-terminal",
        "there is no terminal",
        ScriptCheck::sh(
            "test -t 0 || test -t 1 || test -t 2 || echo none\n(: </dev/tty) 2>/dev/null || echo none\n",
        )
        .prints(Prints::Exactly(b"none\nnone\n")),
    )
    .simulate(&[("log-output", "none\nnone\n")]),
    Case::script(
        "P5-own-session",
        "the script is in the process group that leads its session",
        // Fields 5 and 6 of /proc/PID/stat, behind a name that may hold blanks.
        ScriptCheck::sh(concat!(
            "read -r stat </proc/$$/stat\nset -- ${stat##*) }\n",
            "test \"$3\" = \"$4\" && echo one and the same\n"
        ))
        .prints(Prints::Exactly(b"one and the same\n")),
    ),
    Case::script(
        "P6-signal-INT",
        "INT is not ignored: it ends the script",
        ScriptCheck::sh("kill -INT $$\nexit 7\n").dies(Signal::INT),
    )
    .simulate(&[("signal", "INT")]),
    Case::script(
        "P6-signal-QUIT",
        "QUIT is not ignored: it ends the script",
        // The shell of busybox ignores it by itself: not so what it becomes.
        ScriptCheck::sh("ulimit -c 0\n(sleep 1; kill -QUIT $$) &\ntrap : QUIT\nexec sleep 20\n")
            .dies(Signal::QUIT),
    )
    .simulate(&[("signal", "QUIT")]),
    Case::script(
        "P6-signal-PIPE",
        "PIPE is not ignored: it ends the script",
        ScriptCheck::sh("kill -PIPE $$\nexit 7\n").dies(Signal::PIPE),
    )
    .simulate(&[("signal", "PIPE")]),
    Case::script(
        "P6-signal-HUP",
        "HUP is not ignored: it ends the script",
        ScriptCheck::sh("kill -HUP $$\nexit 7\n").dies(Signal::HUP),
    )
    .simulate(&[("signal", "HUP")]),
    Case::script(
        "P6-no-signal-ignored",
        "no signal is ignored or blocked when the script begins",
        ScriptCheck::sh(
            "sed -n 's/^SigIgn:[[:space:]]*/ignored /p; s/^SigBlk:[[:space:]]*/blocked /p' /proc/self/status\n",
        )
        .prints(Prints::Exactly(
            b"blocked 0000000000000000\nignored 0000000000000000\n",
        )),
    ),
    Case::script(
        "P6-descriptors",
        "the script has no descriptors but its input and output",
        // Seen by a child, since the shell opens some for itself; the one that
        // points into /proc, or that is closed already, is the directory that
        // is being listed.
        ScriptCheck::sh(concat!(
            "ls -l /proc/self/fd 2>/dev/null | sed -n 's/.* \\([0-9]*\\) -> /\\1 /p' |\n",
            "while read -r number link; do\ntest \"$number\" -gt 2 || continue\n",
            "case $link in /proc/*) ;; *) echo \"$number $link\" ;; esac\ndone\n"
        ))
        .prints(Prints::Exactly(b"")),
    ),
    Case::script(
        "P6-umask",
        "the umask lets the owner do everything",
        ScriptCheck::sh("case $(umask) in 00??) echo fits ;; *) umask ;; esac\n")
            .prints(Prints::Exactly(b"fits\n")),
    ),
    Case::function(
        "P6-environment",
        "no variable of the worker's is inherited",
        |fixture| Box::pin(environment(fixture)),
    ),
    Case::function(
        "P7-no-leaks",
        "24 jobs leave no process, zombie, descriptor or task behind",
        |fixture| Box::pin(no_leaks(fixture)),
    )
    .simulate(&[("log-output", "some output\n")])
    .exclusive()
    .within(120),
    Case::function(
        "P8-process-limit",
        "too many processes end the script, not the worker",
        |fixture| Box::pin(process_limit(fixture)),
    )
    .needs(&[Capability::ProcessLimit])
    .configure(&[("pids-limit", "64")])
    .within(120),
];

async fn child_holds_output(fixture: Fixture) -> Checked {
    let sleeper = Sleeper::new();
    let script = format!("{} &\necho begun\nexit 0\n", sleeper.command());
    let instance = fixture.ready(script.as_bytes()).await?;
    let options = RunOptions {
        drain_window: Duration::from_secs(2),
        ..RunOptions::default()
    };
    let ran = fixture.run_on(&*instance, &options).await?;
    Ends::Exit(0).check(&fixture, &ran)?;
    ensure!(
        ran.took < Duration::from_secs(12),
        "the verdict took {:?}",
        ran.took
    );
    ensure!(
        !fixture.executes() || ran.output == b"begun\n",
        "it printed {}",
        ran.shown()
    );
    if fixture.has(Capability::EndsWithScript) {
        sleeper.gone(PROMPTLY, "after the script has ended").await?;
    } else {
        ensure!(
            ran.took >= options.drain_window,
            "the drain window was not waited for: {:?}",
            ran.took
        );
        ensure!(
            !ran.result.output_complete,
            "the output is said to be complete, though a child still holds it"
        );
        sleeper.seen(&fixture, 1).await?;
        if fixture.has(Capability::ReportsLeftovers) {
            let leftovers = &ran.result.leftovers;
            ensure!(
                leftovers.iter().any(|line| line.contains("sleep")),
                "the child is not among the leftovers {leftovers:?}"
            );
        }
    }
    instance.stop().await?;
    sleeper.gone(PROMPTLY, "after the stop").await
}

async fn child_without_output(fixture: Fixture) -> Checked {
    let sleeper = Sleeper::new();
    let script = format!(
        "{} </dev/null >/dev/null 2>&1 &\nexit 0\n",
        sleeper.command()
    );
    let instance = fixture.ready(script.as_bytes()).await?;
    let options = RunOptions {
        drain_window: Duration::from_secs(20),
        ..RunOptions::default()
    };
    let ran = fixture.run_on(&*instance, &options).await?;
    Ends::Exit(0).check(&fixture, &ran)?;
    ensure!(
        ran.took < Duration::from_secs(10),
        "the verdict took {:?}",
        ran.took
    );
    ensure!(
        ran.result.output_complete,
        "the output is said not to be complete"
    );
    if !fixture.has(Capability::EndsWithScript) {
        sleeper.seen(&fixture, 1).await?;
    }
    instance.stop().await?;
    sleeper.gone(PROMPTLY, "after the stop").await
}

async fn late_output(fixture: Fixture) -> Checked {
    if fixture.has(Capability::EndsWithScript) {
        // There is no child that could outlive the script.
        return Ok(());
    }
    let ran = fixture.run(b"(sleep 1; echo late) &\nexit 3\n").await?;
    Ends::Exit(3).check(&fixture, &ran)?;
    ensure!(
        ran.output == b"late\n" && ran.result.output_complete,
        "the output is {}, complete: {}",
        ran.shown(),
        ran.result.output_complete
    );
    Ok(())
}

async fn escapes(fixture: Fixture, script: &str) -> Checked {
    fixture.needs_tool("setsid").await?;
    let sleeper = Sleeper::new();
    let script = script.replace("SLEEP", &sleeper.command());
    // Long enough for the child to get away.
    let script = format!("{script}sleep 1\nexit 0\n");
    let mut running = fixture.launch(script.as_bytes()).await?;
    let _ = sleeper.seen(&fixture, 1).await?;
    running.settled(PROMPTLY).await?;
    running.instance.stop().await?;
    sleeper.gone(PROMPTLY, "after the stop").await
}

async fn term_reaches_grandchildren(fixture: Fixture) -> Checked {
    let sleeper = Sleeper::new();
    let sleep = sleeper.command();
    let script =
        format!("sh -c \"{sleep}; :\" &\nsh -c \"sh -c '{sleep}; :'; :\" &\necho ready\nwait\n");
    let mut running = fixture.launch(script.as_bytes()).await?;
    running.printed("ready").await?;
    sleeper.seen(&fixture, 2).await?;
    running.instance.signal(Signal::TERM).await?;
    // Before the stop, which would end them in any case.
    sleeper.gone(PROMPTLY, "after TERM").await?;
    let instance = running.instance.clone();
    let ran = running.ended(PROMPTLY).await?;
    Ends::Signal(Signal::TERM).check(&fixture, &ran)?;
    instance.signal(Signal::TERM).await?;
    instance.stop().await?;
    Ok(())
}

async fn trap(fixture: Fixture) -> Checked {
    let script = b"trap 'echo bye; exit 99' TERM\necho ready\n\
        i=0\nwhile [ $i -lt 300 ]; do sleep 1; i=$((i+1)); done\n";
    let mut running = fixture.launch(script).await?;
    running.printed("ready").await?;
    running.instance.signal(Signal::TERM).await?;
    let instance = running.instance.clone();
    let ran = running.ended(PROMPTLY).await?;
    Ends::Exit(99).check(&fixture, &ran)?;
    // A shell may say what became of its child.
    ensure!(
        ran.text().ends_with("bye\n"),
        "the last word is not there: {}",
        ran.shown()
    );
    instance.stop().await?;
    Ok(())
}

async fn ignores_term(fixture: Fixture) -> Checked {
    let sleeper = Sleeper::new();
    let script = format!("trap '' TERM\n{} &\necho ready\nwait\n", sleeper.command());
    let mut running = fixture.launch(script.as_bytes()).await?;
    running.printed("ready").await?;
    sleeper.seen(&fixture, 1).await?;
    running.instance.signal(Signal::TERM).await?;
    running.stays(Duration::from_secs(1)).await?;
    running.instance.signal(Signal::KILL).await?;
    let instance = running.instance.clone();
    let ran = running.ended(PROMPTLY).await?;
    Ends::Signal(Signal::KILL).check(&fixture, &ran)?;
    sleeper.gone(PROMPTLY, "after KILL").await?;
    instance.stop().await?;
    Ok(())
}

async fn output_after_term(fixture: Fixture) -> Checked {
    let script = b"trap 'echo caught' TERM\necho ready\n\
        i=0\nwhile [ $i -lt 4 ]; do sleep 1; echo still $i; i=$((i+1)); done\nexit 6\n";
    let mut running = fixture.launch(script).await?;
    running.printed("ready").await?;
    running.instance.signal(Signal::TERM).await?;
    let instance = running.instance.clone();
    let ran = running.ended(PROMPTLY).await?;
    Ends::Exit(6).check(&fixture, &ran)?;
    let text = ran.text();
    for part in ["caught\n", "still 0\n", "still 3\n"] {
        ensure!(text.contains(part), "{part:?} is not in {}", ran.shown());
    }
    instance.stop().await?;
    Ok(())
}

async fn environment(fixture: Fixture) -> Checked {
    // Names that an instance has in its own right, with what may be the same
    // values where it is on this machine.
    const USUAL: [&str; 16] = [
        "PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TERM", "TZ", "PWD",
        "OLDPWD", "SHLVL", "_", "HOSTNAME", "MAIL", "TMPDIR",
    ];
    let ran = fixture.run(b"env\n").await?;
    Ends::Exit(0).check(&fixture, &ran)?;
    let text = ran.text();
    for (name, value) in std::env::vars() {
        let usual = USUAL.contains(&name.as_str()) || name.starts_with("LC_");
        let line = format!("{name}={value}");
        ensure!(
            usual || value.is_empty() || text.lines().all(|own| own != line),
            "the worker's variable {name} is in the script's environment"
        );
    }
    Ok(())
}

async fn no_leaks(fixture: Fixture) -> Checked {
    let script = b"echo some output\n(sleep 0; exit 1) &\nsleep 0\nwait\nexit 0\n";
    // What is opened once stays open: connections, pools.
    for _ in 0..4 {
        fixture.run(script).await?;
    }
    fixture.provider.settle().await;
    let ledger = Ledger::open();
    for _ in 0..24 {
        let ran = fixture.run(script).await?;
        Ends::Exit(0).check(&fixture, &ran)?;
    }
    fixture.provider.settle().await;
    let settled = ledger.settled(PROMPTLY).await;
    ensure!(
        settled.is_ok(),
        "there is more than before: {}",
        settled.err().unwrap_or_default()
    );
    Ok(())
}

async fn process_limit(fixture: Fixture) -> Checked {
    let sleeper = Sleeper::new();
    // As a fork bomb, but with an end, should there be no limit after all.
    let script = format!(
        "i=0\nwhile [ $i -lt 300 ]; do {} </dev/null >/dev/null 2>&1 & i=$((i+1)); done\necho all begun\n",
        sleeper.command()
    );
    let mut running = fixture.launch(script.as_bytes()).await?;
    // It ends by itself, or hangs in attempts: either way it can be ended.
    if !running.settles(Duration::from_secs(30)).await {
        running.instance.signal(Signal::KILL).await?;
    }
    let instance = running.instance.clone();
    let ran = running.ended(PROMPTLY).await?;
    ensure!(
        !matches!(ran.result.outcome, Outcome::Lost(_)),
        "the verdict was lost: {}",
        ran.result.outcome
    );
    let begun = sleeper.count();
    ensure!(
        begun < 64 && (!ran.text().contains("all begun") || !ran.result.success()),
        "300 processes could be begun under a limit of 64 ({begun} are seen); it {}",
        ran.result.outcome
    );
    instance.stop().await?;
    sleeper.gone(PROMPTLY, "after the stop").await?;
    // The worker is well, and so is the next job.
    let ran = fixture.run(b"echo well\n").await?;
    ensure!(
        ran.output == b"well\n",
        "the next job printed {}",
        ran.shown()
    );
    Ok(())
}
