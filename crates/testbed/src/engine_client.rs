//! The docker client, for what tests do to an engine behind Worker's back.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};

/// Runs the docker client against `endpoint`, and gives what it printed.
///
/// # Errors
///
/// If the client fails; with what it said.
pub fn run(endpoint: &str, arguments: &[&str]) -> anyhow::Result<String> {
    let output = Command::new("docker")
        .args(["--host", endpoint])
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .context("cannot run the docker client")?;
    ensure!(
        output.status.success(),
        "docker {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Imports a root file system as an image of this name, with changes as in a
/// Dockerfile (`USER nobody`).
///
/// # Errors
///
/// If it cannot be made, or imported.
pub fn import(
    endpoint: &str,
    name: &str,
    make: fn(&Path) -> anyhow::Result<()>,
    changes: &[&str],
) -> anyhow::Result<()> {
    let directory = tempfile::tempdir()?;
    let tar = directory.path().join("image.tar");
    make(&tar)?;
    let mut arguments = vec!["import"];
    for change in changes {
        arguments.extend(["--change", change]);
    }
    let path = tar.display().to_string();
    arguments.extend([path.as_str(), name]);
    run(endpoint, &arguments).map(|_| ())
}

/// Whether an engine answers at `endpoint`.
pub(crate) fn answers(endpoint: &str) -> bool {
    Command::new("docker")
        .args(["--host", endpoint, "version"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}
