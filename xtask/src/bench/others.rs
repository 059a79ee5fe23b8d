//! Other runners that this machine has, on the same job as `local`.

use std::path::Path;
use std::process::Command;

use anyhow::Context as _;
use tempfile::TempDir;
use testbed::find_program;

use super::figure::Figure;
use super::holder::Holder;
use super::local::Local;
use super::process::whole;
use super::rig::{Bench, interleaved};
use crate::command::say;

/// Runs jobs with SWE-ReX as `Holder` asks for them.
const SWE_REX: &str = include_str!("swe_rex.py");

/// A figure for each that is there, and how to get each that is not.
pub(crate) fn figures(bench: &Bench) -> anyhow::Result<(Vec<Figure>, Vec<String>)> {
    if bench.against_itself {
        return Ok((Vec::new(), Vec::new()));
    }
    let place = tempfile::tempdir()?;
    let echo = place.path().join("echo.sh");
    std::fs::write(&echo, "#!/bin/sh\necho hi\n")?;
    let (mut figures, mut missing) = (Vec::new(), Vec::new());
    if find_program("bwrap").is_some() {
        figures.push(bubblewrap(bench, &place, &echo)?);
    } else {
        missing.push("bubblewrap: install the package bubblewrap".to_owned());
    }
    if has_swe_rex() {
        figures.push(swe_rex(bench, &place, &echo)?);
    } else {
        let how = "SWE-ReX: `pip install swe-rex`, for the python3 that is first in PATH";
        missing.push(how.to_owned());
    }
    Ok((figures, missing))
}

/// A whole process, with the namespaces of a sandbox.
fn bubblewrap(bench: &Bench, place: &TempDir, echo: &Path) -> anyhow::Result<Figure> {
    say("local: against bubblewrap");
    let rig = Local::new()?;
    let samples = interleaved(
        bench.runs,
        || Ok(whole(&mut bench.ours(&rig, echo, place.path()))?.wall),
        || {
            let mut sandbox = Command::new("bwrap");
            sandbox
                .args(["--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc"])
                .args(["--tmpfs", "/tmp", "--ro-bind"])
                .args([echo, Path::new("/tmp/script")])
                .args(["--unshare-all", "--die-with-parent", "/bin/sh"])
                .arg("/tmp/script");
            Ok(whole(&mut sandbox)?.wall)
        },
    )?;
    let name = "local: whole process, bubblewrap";
    Ok(Figure::new(name, "bwrap --unshare-all", None, samples))
}

fn has_swe_rex() -> bool {
    let mut import = Command::new("python3");
    whole(import.args(["-c", "import swerex.deployment.local"])).is_ok()
}

/// A job on what is held: a new session for each, on a deployment that is up.
fn swe_rex(bench: &Bench, place: &TempDir, echo: &Path) -> anyhow::Result<Figure> {
    say("local: against SWE-ReX");
    let rig = Local::new()?;
    let mut ours = bench.hold(&rig, place.path())?;
    let mut program = Command::new("python3");
    // Its log goes to standard output, among the answers.
    program
        .args(["-c", SWE_REX])
        .env("SWE_REX_LOG_STREAM_LEVEL", "ERROR");
    let mut theirs = Holder::of(&mut program).context("cannot run SWE-ReX")?;
    let samples = interleaved(
        bench.runs,
        || Ok(ours.jobs(1, 1, echo)?.seconds),
        || Ok(theirs.jobs(1, 1, echo)?.seconds),
    )?;
    let name = "local: a job, held, SWE-ReX";
    Ok(Figure::new(name, "a new session", None, samples))
}
