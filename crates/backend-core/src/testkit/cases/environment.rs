//! The environment of a script.

use crate::testkit::case::{Case, Checked, Unmet, ensure};
use crate::testkit::fixture::{Fixture, PROMPTLY, Ran};
use crate::testkit::script::{Ends, Prints, ScriptCheck};
use crate::testkit::sinks::sha256_hex;
use crate::{Capability, Environment, ErrorKind, MAX_VARIABLE_LENGTH, RunOptions};

pub(in crate::testkit) const CASES: &[Case] = &[
    Case::function(
        "V1-dollar-and-backquote",
        "values with `$HOME`, backquotes and globs arrive as they are",
        |fixture| {
            Box::pin(carries(
                fixture,
                &["$HOME", "${X}", "`id`", "$(id)", "*", "~", "!!"],
            ))
        },
    )
    .simulate(&[])
    .basic(),
    Case::function(
        "V1-quotes",
        "values with quotes of both kinds arrive as they are",
        |fixture| {
            Box::pin(carries(
                fixture,
                &["'", "\"", "it's \"so\"", "''", "'\\''", "\"'\"'\""],
            ))
        },
    )
    .simulate(&[]),
    Case::function(
        "V1-backslashes",
        "values with backslashes arrive as they are",
        |fixture| {
            Box::pin(carries(
                fixture,
                &["\\", "\\\\", "\\n", "a\\", "\\'", "%s\\c"],
            ))
        },
    )
    .simulate(&[]),
    Case::function(
        "V1-newlines",
        "values with newlines, also at the end, and other blanks arrive as they are",
        |fixture| {
            Box::pin(carries(
                fixture,
                &[
                    "a\nb", "\n", "a\n\n\n", " a ", "\t", "\r\n", "a\r", "-n", "#",
                ],
            ))
        },
    )
    .simulate(&[]),
    Case::function(
        "V1-unicode",
        "values with emoji and control characters arrive as they are",
        |fixture| {
            Box::pin(carries(
                fixture,
                &["🦀é漢", "\u{1}\u{1b}[31m\u{7f}", "\u{fffd}"],
            ))
        },
    )
    .simulate(&[]),
    Case::function("V1-empty", "an empty value is set, and empty", |fixture| {
        Box::pin(empty(fixture))
    }),
    Case::function(
        "V1-longest",
        "the longest value that Linux takes arrives whole",
        |fixture| Box::pin(longest(fixture)),
    )
    .simulate(&[]),
    Case::function(
        "V1-many",
        "300 variables of 1,000 bytes arrive whole",
        |fixture| Box::pin(many(fixture)),
    )
    .simulate(&[]),
    Case::function(
        "V1-too-large",
        "an environment that no process can be given is refused before the script begins",
        |fixture| Box::pin(too_large(fixture)),
    ),
    Case::script(
        "V1-overrides",
        "a variable of the run wins over what the instance has",
        ScriptCheck::sh("echo \"$HOME|$LANG|${PATH##*:}\"\n")
            .environment(&[
                ("HOME", "/no where"),
                ("LANG", "xx"),
                ("PATH", "/usr/local/bin:/usr/bin:/bin:/my own"),
            ])
            .prints(Prints::Exactly(b"/no where|xx|/my own\n")),
    )
    .simulate(&[("log-output", "/no where|xx|/my own\n")]),
    Case::function(
        "V1-not-in-arguments",
        "a value is in no process's arguments",
        |fixture| Box::pin(not_in_arguments(fixture)),
    ),
    Case::function(
        "V1-instance-id",
        "the script has WORKER_INSTANCE_ID, and nothing else of Worker's",
        |fixture| Box::pin(instance_id(fixture)),
    ),
    Case::function(
        "V3-files",
        "a file in the working directory of one job is not seen by the next",
        |fixture| Box::pin(files(fixture)),
    ),
    Case::function(
        "V3-temporary-files",
        "a temporary file of one job is not seen by the next",
        |fixture| Box::pin(temporary_files(fixture)),
    )
    .needs(&[Capability::PrivateFiles]),
    Case::function(
        "V3-variables",
        "a variable of one job is not seen by the next",
        |fixture| Box::pin(variables(fixture)),
    ),
];

fn set(environment: &mut Environment, name: &str, value: &str) -> Checked {
    let set = environment.set(name, value);
    set.map(|_| ())
        .map_err(|error| Unmet::failed(error.to_string()))
}

async fn run_in(fixture: &Fixture, script: &str, environment: Environment) -> Checked<Ran> {
    let options = RunOptions {
        environment,
        ..RunOptions::default()
    };
    let ran = fixture.run_with(script.as_bytes(), &options).await?;
    Ends::Exit(0).check(fixture, &ran)?;
    Ok(ran)
}

/// That each of these values arrives as it is, by its hash over there.
async fn carries<T: AsRef<str>>(fixture: Fixture, values: &[T]) -> Checked {
    let (mut environment, mut script) = (Environment::new(), String::new());
    for (number, value) in values.iter().enumerate() {
        set(&mut environment, &format!("X{number}"), value.as_ref())?;
        script.push_str("printf %s \"$X");
        script.push_str(&number.to_string());
        script.push_str("\" | sha256sum | cut -c1-64\n");
    }
    let ran = run_in(&fixture, &script, environment).await?;
    if !fixture.executes() {
        return Ok(());
    }
    let text = ran.text();
    let mut lines = text.lines();
    for value in values {
        let (value, line) = (value.as_ref(), lines.next());
        let head: String = value.chars().take(60).collect();
        ensure!(
            line == Some(&sha256_hex(value.as_bytes())),
            "{head:?} of {} bytes did not arrive as it is",
            value.len()
        );
    }
    Ok(())
}

async fn empty(fixture: Fixture) -> Checked {
    let mut environment = Environment::new();
    set(&mut environment, "X", "")?;
    let script = "echo \"${X-unset}|${X:-empty}|${Y-unset}\"\n";
    let ran = run_in(&fixture, script, environment).await?;
    ensure!(
        ran.output == b"|empty|unset\n",
        "it printed {}",
        ran.shown()
    );
    Ok(())
}

async fn longest(fixture: Fixture) -> Checked {
    // `X0=` is part of the length.
    carries(fixture, &["x".repeat(MAX_VARIABLE_LENGTH - 3)]).await
}

async fn many(fixture: Fixture) -> Checked {
    let values: Vec<_> = (0..300)
        .map(|number| format!("{number} ").repeat(250))
        .collect();
    let (mut environment, mut expected) = (Environment::new(), String::new());
    for (number, value) in values.iter().enumerate() {
        set(&mut environment, &format!("X{number}"), value)?;
        expected.push_str(value);
        expected.push('|');
    }
    let script = "i=0\nwhile [ $i -lt 300 ]; do eval \"printf '%s|' \\\"\\$X$i\\\"\"; i=$((i+1)); done | sha256sum | cut -c1-64\n";
    let ran = run_in(&fixture, script, environment).await?;
    ensure!(
        !fixture.executes()
            || ran.output.trim_ascii() == sha256_hex(expected.as_bytes()).as_bytes(),
        "the values did not arrive as they are"
    );
    Ok(())
}

async fn too_large(fixture: Fixture) -> Checked {
    let mut environment = Environment::new();
    for number in 0..40 {
        set(
            &mut environment,
            &format!("X{number}"),
            &"x".repeat(100_000),
        )?;
    }
    let options = RunOptions {
        environment,
        ..RunOptions::default()
    };
    let instance = fixture.ready(b"echo \"${#X39}\"\n").await?;
    let mut output = Vec::new();
    let run = instance.run_script(&options, &mut output).await;
    match run {
        Err(error) => ensure!(
            error.kind() == ErrorKind::InvalidInput,
            "it must be refused as invalid input; it gave {error:?}"
        ),
        // A machine with a larger limit may take it.
        Ok(result) => ensure!(
            result.success() && output == b"100000\n",
            "a script that was not given its environment must not be run; it {}, output \"{}\"",
            result.outcome,
            output.escape_ascii()
        ),
    }
    instance.stop().await?;
    Ok(())
}

async fn not_in_arguments(fixture: Fixture) -> Checked {
    let value = format!("value-{:016x}", fastrand::u64(..));
    let mut environment = Environment::new();
    set(&mut environment, "SECRET", &value)?;
    let options = RunOptions {
        environment,
        ..RunOptions::default()
    };
    let script = b"printf '%s here\\n' \"$SECRET\"\nsleep 300\n";
    let mut running = fixture.launch_with(script, options).await?;
    running.printed(&format!("{value} here")).await?;
    for process in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let line = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        ensure!(
            !line.contains(&value),
            "the value is in the arguments of a process: {line}"
        );
    }
    running.instance.stop().await?;
    running.ended(PROMPTLY).await?;
    Ok(())
}

async fn instance_id(fixture: Fixture) -> Checked {
    let script = "env | sed -n 's/^\\(WORKER_[A-Za-z0-9_]*=.*\\)$/\\1/p' | sort -u\n";
    let instance = fixture.ready(script.as_bytes()).await?;
    let ran = fixture.run_on(&*instance, &RunOptions::default()).await?;
    instance.stop().await?;
    let expected = format!("WORKER_INSTANCE_ID={}\n", instance.id());
    ensure!(
        ran.output == expected.as_bytes(),
        "{expected:?} is all that must be there; there is {}",
        ran.shown()
    );
    Ok(())
}

async fn files(fixture: Fixture) -> Checked {
    for _ in 0..2 {
        let ran = fixture.run(b"ls -A | wc -l\ntouch mark .hidden\n").await?;
        Ends::Exit(0).check(&fixture, &ran)?;
        ensure!(
            ran.output.trim_ascii() == b"0",
            "{} entries are in a new working directory",
            ran.shown()
        );
    }
    Ok(())
}

async fn temporary_files(fixture: Fixture) -> Checked {
    let mark = format!("mark-{:016x}", fastrand::u64(..));
    let script =
        format!("cd \"${{TMPDIR:-/tmp}}\" || exit 1\ntest -e {mark} && echo seen\ntouch {mark}\n");
    for _ in 0..2 {
        let ran = run_in(&fixture, &script, Environment::new()).await?;
        ensure!(
            ran.output.is_empty(),
            "the temporary file of the job before was {}",
            ran.shown()
        );
    }
    Ok(())
}

async fn variables(fixture: Fixture) -> Checked {
    let mut environment = Environment::new();
    set(&mut environment, "ONCE", "only")?;
    let script = "echo \"${ONCE-unset}\"\n";
    let first = run_in(&fixture, script, environment).await?;
    ensure!(first.output == b"only\n", "it printed {}", first.shown());
    let second = run_in(&fixture, script, Environment::new()).await?;
    ensure!(
        second.output == b"unset\n",
        "the next job sees {}",
        second.shown()
    );
    Ok(())
}
