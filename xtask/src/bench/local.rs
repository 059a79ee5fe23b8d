//! A job on `local`, against the shell.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::Context as _;
use tempfile::TempDir;

use super::figure::{Figure, Target};
use super::process::{first_byte, read};
use super::rig::{Bench, Peers, Rig, Targets, interleaved};

const GIBIBYTE: u64 = 1 << 30;

/// Measures it.
pub(crate) fn figures(bench: &Bench) -> anyhow::Result<Vec<Figure>> {
    let rig = Local::new()?;
    let mut figures = super::jobs::figures(bench, &rig)?;
    figures.push(gibibyte(bench, &rig)?);
    Ok(figures)
}

/// This machine, with instances in a place of their own.
pub(super) struct Local {
    place: TempDir,
    /// A script that prints two letters.
    echo: PathBuf,
}

impl Local {
    pub(super) fn new() -> anyhow::Result<Self> {
        let place = tempfile::tempdir()?;
        let echo = place.path().join("echo.sh");
        std::fs::write(&echo, "#!/bin/sh\necho hi\n")?;
        Ok(Self { place, echo })
    }
}

impl Rig for Local {
    fn backend(&self) -> &'static str {
        "local"
    }

    fn options(&self) -> Vec<String> {
        let directory = self.place.path().join("instances");
        vec![format!("directory={}", directory.display())]
    }

    fn peers(&self) -> Peers {
        Peers {
            job: "/bin/sh script",
            first_byte: "/bin/sh script",
            stop: "kill and wait",
        }
    }

    fn targets(&self) -> Targets {
        Targets {
            cold: Some(Target::Above(0.015)),
            ..Targets::default()
        }
    }

    fn job(&self, script: &Path, _: u64) -> anyhow::Result<Command> {
        let mut command = Command::new("/bin/sh");
        command.arg(script);
        Ok(command)
    }

    fn first_byte(&self) -> anyhow::Result<f64> {
        first_byte(&mut self.job(&self.echo, 3)?)
    }

    fn stop(&self, script: &Path) -> anyhow::Result<f64> {
        let mut child = self.job(script, 2)?.stdout(Stdio::piped()).spawn()?;
        let mut output = child.stdout.take().context("there is no output")?;
        output.read_exact(&mut [0])?;
        let began = Instant::now();
        child.kill()?;
        child.wait()?;
        Ok(began.elapsed().as_secs_f64())
    }

    fn batches(&self) -> [u32; 3] {
        [100, 200, 500]
    }
}

/// Output at the speed of a pipe, with its hash.
fn gibibyte(bench: &Bench, rig: &Local) -> anyhow::Result<Figure> {
    let script = rig.place.path().join("gibibyte.sh");
    std::fs::write(
        &script,
        format!("#!/bin/sh\nhead -c {GIBIBYTE} /dev/zero\n"),
    )?;
    let state = rig.place.path().join("state");
    let ours = || bench.ours(rig, &script, &state);
    let samples = interleaved(
        bench.runs.min(5),
        || Ok(read(&mut ours(), GIBIBYTE)?.wall),
        || {
            let mut pipe = Command::new("/bin/sh");
            pipe.args(["-c", "/bin/sh \"$0\" | cat"]).arg(&script);
            let peer = if bench.against_itself {
                &mut ours()
            } else {
                &mut pipe
            };
            Ok(read(peer, GIBIBYTE)?.wall)
        },
    )?;
    // 0.4 times as fast is 2.5 times as long.
    Ok(Figure::new(
        "local: 1 GiB of output",
        bench.peer("/bin/sh script | cat"),
        Target::Ratio(2.5),
        samples,
    ))
}
