//! The chores of this workspace: `cargo xtask COMMAND`.

mod backends;
mod bench;
mod check;
mod command;
mod features;
mod fuzz;
mod length;
mod policy;
mod publish;
mod record;
mod schemathesis;
mod setup;
mod soak;
mod test;

use clap::Parser;

/// The chores of this workspace.
#[derive(Debug, Parser)]
#[command(bin_name = "cargo xtask")]
enum Chore {
    /// Run every test, with its own set-up
    Test(test::TestArguments),
    /// Run the conformance suite against backends, and print one table
    TestBackends(backends::BackendsArguments),
    /// Measure against what one would otherwise use
    Bench(bench::BenchArguments),
    /// Run random jobs with random faults on all backends, and check each verdict
    Soak(soak::SoakArguments),
    /// Give every decoder of foreign bytes whatever bytes there are
    Fuzz(fuzz::FuzzArguments),
    /// Record a session with the program as a picture for the README
    Record,
    /// Format, clippy, docs, feature combinations, bans, licences and packages
    Check,
}

fn main() -> anyhow::Result<()> {
    match Chore::parse() {
        Chore::Test(arguments) => test::test(&arguments),
        Chore::TestBackends(arguments) => backends::test_backends(&arguments),
        Chore::Bench(arguments) => bench::bench(&arguments),
        Chore::Soak(arguments) => soak::soak(&arguments),
        Chore::Fuzz(arguments) => fuzz::fuzz(&arguments),
        Chore::Record => record::record(),
        Chore::Check => check::check(),
    }
}
