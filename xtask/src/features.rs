//! The Cargo features of the program, read from its manifest.

use anyhow::Context as _;
use serde_json::Value;

use crate::command::cargo;

/// `cargo metadata` of the workspace, with all features.
pub(crate) fn metadata() -> anyhow::Result<Value> {
    let output = cargo()
        .args([
            "metadata",
            "--format-version",
            "1",
            "--locked",
            "--all-features",
        ])
        .output()
        .context("cannot run cargo metadata")?;
    anyhow::ensure!(
        output.status.success(),
        "cargo metadata failed: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).context("cargo metadata gave no JSON")
}

/// The backends that the program can be built with: its features but `default`.
pub(crate) fn backends(metadata: &Value) -> Vec<String> {
    let packages = metadata["packages"]
        .as_array()
        .map_or(&[][..], Vec::as_slice);
    let program = packages
        .iter()
        .find(|package| package["name"] == "worker-cli");
    let features = program.and_then(|package| package["features"].as_object());
    let names = features.into_iter().flat_map(serde_json::Map::keys);
    names.filter(|name| *name != "default").cloned().collect()
}
