//! Schemathesis, which tests the HTTP API by its own description: from the index
//! of Python packages, in a virtual environment of its own.

use std::process::Command;

use crate::command::{root, run, say};

/// What is installed. The test looks for it in this place too.
const PACKAGE: &str = "schemathesis==4.32.5";
const PLACE: &str = "target/schemathesis";

/// Installs it where it is missing.
///
/// # Errors
///
/// If that cannot be done, and the suite `http` is required.
pub(crate) fn set_up(required: &[String]) -> anyhow::Result<()> {
    let place = root().join(PLACE);
    if place.join("bin/schemathesis").exists() {
        return Ok(());
    }
    say(&format!("installing {PACKAGE} into {PLACE}"));
    let installed = run(Command::new("python3").args(["-m", "venv"]).arg(&place)).and_then(|()| {
        run(Command::new(place.join("bin/pip"))
            .args(["install", "--quiet", "--disable-pip-version-check"])
            .arg(PACKAGE))
    });
    match installed {
        Ok(()) => Ok(()),
        Err(error) if required.iter().any(|suite| suite == "http") => {
            Err(error.context("the suite `http` needs schemathesis (and the package python3-venv)"))
        }
        Err(error) => {
            say(&format!("http runs without schemathesis: {error}"));
            Ok(())
        }
    }
}
