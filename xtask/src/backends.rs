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
    let known = suites(&features::metadata()?);
    let names: Vec<_> = known.iter().map(|suite| suite.name.as_str()).collect();
    let asked = arguments.names.iter().chain(&arguments.require);
    if let Some(unknown) = asked
        .into_iter()
        .find(|name| !names.contains(&name.as_str()))
    {
        bail!(
            "there is no backend `{unknown}`: there are {}",
            names.join(", ")
        );
    }
    setup::set_up(&arguments.require)?;
    let reports = tempfile::tempdir().context("cannot make a directory for the reports")?;
    let mut failed = Vec::new();
    let wanted =
        |suite: &&Suite| arguments.names.is_empty() || arguments.names.contains(&suite.name);
    for suite in known.iter().filter(wanted) {
        let tested = run(cargo()
            .args(["test", "--locked", "--package", &suite.package])
            .args(["--test", suite.test, "--"])
            .env("WORKER_CONFORMANCE_REPORTS", reports.path())
            .env("WORKER_TEST_REQUIRE", arguments.require.join(",")));
        if tested.is_err() {
            failed.push(suite.name.as_str());
        }
    }
    print_table(&read(reports.path())?);
    if !failed.is_empty() {
        bail!("the suite failed on {}", failed.join(", "));
    }
    say("every suite passed");
    Ok(())
}

/// A test program that runs the suite.
struct Suite {
    name: String,
    package: String,
    test: &'static str,
}

/// One for each backend, and one for the second engine of `docker`.
fn suites(metadata: &serde_json::Value) -> Vec<Suite> {
    let own = |name: String| Suite {
        package: format!("backend-{name}"),
        name,
        test: "conformance",
    };
    let podman = Suite {
        name: "podman".into(),
        package: "backend-docker".into(),
        test: "podman",
    };
    let backends = features::backends(metadata).into_iter().map(own);
    backends.chain([podman]).collect()
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
