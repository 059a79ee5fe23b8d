//! `cargo xtask check`: everything that can be said without running the tests.

use crate::command::{cargo, run, say};
use crate::{features, length, policy, publish};

/// Runs the checks, the quickest first.
pub(crate) fn check() -> anyhow::Result<()> {
    run(cargo().args(["fmt", "--all", "--check"]))?;
    // A workspace of its own, which only a nightly compiler builds.
    let fuzz = ["--manifest-path", "fuzz/Cargo.toml"];
    run(cargo().arg("fmt").args(fuzz).arg("--check"))?;
    length::check()?;
    let metadata = features::metadata()?;
    policy::check(&metadata)?;
    publish::check(&metadata)?;
    let warnings = ["--", "-D", "warnings"];
    run(cargo()
        .args([
            "clippy",
            "--workspace",
            "--all-targets",
            "--all-features",
            "--locked",
        ])
        .args(warnings))?;
    for backend in features::backends(&metadata) {
        combination(&["--features", &backend])?;
    }
    combination(&[])?;
    run(cargo()
        .args([
            "doc",
            "--workspace",
            "--no-deps",
            "--all-features",
            "--locked",
        ])
        .args(["--document-private-items"])
        .env("RUSTDOCFLAGS", "-D warnings"))?;
    say("all checks passed");
    Ok(())
}

/// The program with only some features must build without a warning too.
fn combination(features: &[&str]) -> anyhow::Result<()> {
    run(cargo()
        .args([
            "clippy",
            "--package",
            "worker-cli",
            "--no-default-features",
            "--locked",
        ])
        .args(features)
        .args(["--", "-D", "warnings"]))
}
