//! Instructions of the hot paths, counted under callgrind: figures that the
//! noise of a machine does not move.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, ensure};
use testbed::find_program;

use super::figure::{Figure, Unit};
use super::holder::built;
use crate::command::say;

/// How often a path is gone: what is counted is the difference of the two, so
/// the start and the end of the process do not count.
const OFTEN: u32 = 11;
const ONCE: u32 = 1;

/// The paths of `benches/hot_path.rs`, with what one round of each does.
const PATHS: [(&str, &str, u32); 5] = [
    ("mask-10", "a byte of output", 1 << 20),
    ("mask-1000", "a byte of output", 1 << 20),
    ("pipeline", "a byte of output", 1 << 20),
    ("registry", "a look-up", 1),
    ("options", "a provider", 1),
];

/// A figure for each; `None` without valgrind.
pub(crate) fn figures() -> anyhow::Result<Option<Vec<Figure>>> {
    if find_program("valgrind").is_none() {
        return Ok(None);
    }
    let program = built("hot_path")?;
    let figures = PATHS.map(|(path, unit, units)| {
        say(&format!("instructions: {path}"));
        let (many, one) = (count(&program, path, OFTEN)?, count(&program, path, ONCE)?);
        let round = (many - one) / f64::from(OFTEN - ONCE);
        let samples = (vec![round], vec![f64::from(units)]);
        Ok(
            Figure::new(format!("instructions: {path}"), unit, None, samples)
                .in_unit(Unit::Instructions),
        )
    });
    figures.into_iter().collect::<anyhow::Result<_>>().map(Some)
}

/// Instructions of a whole process that goes a path so often.
fn count(program: &Path, path: &str, rounds: u32) -> anyhow::Result<f64> {
    let place = tempfile::tempdir()?;
    let file = place.path().join("callgrind");
    let output = Command::new("valgrind")
        .arg("--tool=callgrind")
        .arg(format!("--callgrind-out-file={}", file.display()))
        .arg(program)
        .args([path, &rounds.to_string()])
        .output()
        .context("cannot run valgrind")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "callgrind failed: {said}");
    let text = std::fs::read_to_string(&file)?;
    let total = text.lines().find_map(|line| line.strip_prefix("summary: "));
    let total = total.context("callgrind counted nothing")?;
    Ok(total.trim().parse()?)
}
