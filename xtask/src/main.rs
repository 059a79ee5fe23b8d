//! The chores of this workspace: `cargo xtask COMMAND`.

mod backends;
mod bench;
mod check;
mod command;
mod features;
mod length;
mod policy;
mod record;
mod schemathesis;
mod setup;
mod soak;
mod test;

use clap::{Parser, Subcommand};

/// The chores of this workspace.
#[derive(Debug, Parser)]
#[command(bin_name = "cargo xtask")]
enum Chore {
    #[command(flatten)]
    Command(Command),
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run every test, with its own set-up
    Test(test::TestArguments),
    /// Run the conformance suite against backends, and print one table
    TestBackends(backends::BackendsArguments),
    /// Measure against what one would otherwise use
    Bench(bench::BenchArguments),
    /// Run random jobs with random faults on all backends, and check each verdict
    Soak(soak::SoakArguments),
    /// Record a session with the program as a picture for the README
    Record,
    /// Format, clippy, docs, feature combinations, bans and licences
    Check,
}

fn main() -> anyhow::Result<()> {
    let Chore::Command(command) = Chore::parse();
    match command {
        Command::Test(arguments) => test::test(&arguments),
        Command::TestBackends(arguments) => backends::test_backends(&arguments),
        Command::Bench(arguments) => bench::bench(&arguments),
        Command::Soak(arguments) => soak::soak(&arguments),
        Command::Record => record::record(),
        Command::Check => check::check(),
    }
}
