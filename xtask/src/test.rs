//! `cargo xtask test`: every test of the workspace, with its own set-up.

use clap::Args;

use crate::command::{cargo, run, say};
use crate::setup;

/// What to test.
#[derive(Debug, Args)]
pub(crate) struct TestArguments {
    /// Suites that must run: that one of them is skipped is a failure
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    require: Vec<String>,
    /// Passed on to the test programs
    #[arg(last = true)]
    rest: Vec<String>,
}

/// Sets up, and runs every test.
pub(crate) fn test(arguments: &TestArguments) -> anyhow::Result<()> {
    setup::set_up(&arguments.require)?;
    let mut tests = cargo();
    tests
        .args([
            "test",
            "--workspace",
            "--all-features",
            "--locked",
            "--no-fail-fast",
            "--",
        ])
        .args(&arguments.rest)
        .env("WORKER_TEST_REQUIRE", arguments.require.join(","));
    // Begun in the background of a shell, all tests would ignore INT.
    testbed::with_default_signals(&mut tests);
    run(&mut tests)?;
    say("all tests passed");
    Ok(())
}
