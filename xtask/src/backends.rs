//! `cargo xtask test-backends`: the conformance suite against each backend,
//! and one table.

use std::path::Path;

use anyhow::{Context as _, bail};
use backend_core::testkit::Report;
use clap::Args;

use crate::command::{cargo, run, say};
use crate::{features, setup};

/// Which backends to test.
#[derive(Debug, Args)]
pub(crate) struct BackendsArguments {
    /// The backends [default: all]
    names: Vec<String>,
    /// Backends that must be tested: that one is skipped is a failure
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    require: Vec<String>,
}

/// Runs the suites, and prints the table also if one fails.
pub(crate) fn test_backends(arguments: &BackendsArguments) -> anyhow::Result<()> {
    let known = features::backends(&features::metadata()?);
    let names = if arguments.names.is_empty() {
        known.clone()
    } else {
        arguments.names.clone()
    };
    if let Some(unknown) = names
        .iter()
        .chain(&arguments.require)
        .find(|name| !known.contains(name))
    {
        bail!(
            "there is no backend `{unknown}`: there are {}",
            known.join(", ")
        );
    }
    setup::set_up(&arguments.require)?;
    let reports = tempfile::tempdir().context("cannot make a directory for the reports")?;
    let mut failed = Vec::new();
    for name in &names {
        let tested = run(cargo()
            .args(["test", "--locked", "--package", &format!("backend-{name}")])
            .args(["--test", "conformance", "--"])
            .env("WORKER_CONFORMANCE_REPORTS", reports.path())
            .env("WORKER_TEST_REQUIRE", arguments.require.join(",")));
        if tested.is_err() {
            failed.push(name.as_str());
        }
    }
    print_table(&read(reports.path())?);
    if !failed.is_empty() {
        bail!("the suite failed on {}", failed.join(", "));
    }
    say("every suite passed");
    Ok(())
}

/// The reports that the suites have written: one file for each target.
fn read(directory: &Path) -> anyhow::Result<Vec<Report>> {
    let mut reports: Vec<Report> = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "json")
        {
            let text = std::fs::read_to_string(&path)?;
            reports.push(serde_json::from_str(&text).context("a report is not what it should be")?);
        }
    }
    reports.sort_by(|one, other| one.target.cmp(&other.target));
    Ok(reports)
}

#[expect(clippy::print_stdout, reason = "the table is what was asked for")]
fn print_table(reports: &[Report]) {
    print!("{}", Report::table(reports));
}
