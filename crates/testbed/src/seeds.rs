//! The seeds of the fuzz targets, run as tests.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};

/// A fuzz target: its name, and what it does with an input. It panics where a
/// property does not hold.
pub type FuzzTarget = (&'static str, fn(&[u8]));

/// Runs each target on each of its seeds, which are the files in
/// `tests/seeds/TARGET/` of the crate whose manifest is in `manifest`.
///
/// # Errors
///
/// The seeds on which a property does not hold, each by its path; a target
/// without a seed; seeds without a target.
pub fn replay_seeds(manifest: &str, targets: &[FuzzTarget]) -> anyhow::Result<()> {
    let seeds = Path::new(manifest).join("tests/seeds");
    let found: BTreeSet<_> = listing(&seeds)?.into_iter().collect();
    let expected: BTreeSet<_> = targets.iter().map(|(name, _)| seeds.join(name)).collect();
    if let Some(odd) = found.symmetric_difference(&expected).next() {
        bail!("{} is of no target, or missing", odd.display());
    }
    let mut failed = Vec::new();
    for (name, target) in targets {
        let files = listing(&seeds.join(name))?;
        ensure!(!files.is_empty(), "{name} has no seed");
        for file in files {
            let bytes = std::fs::read(&file)?;
            if std::panic::catch_unwind(|| target(&bytes)).is_err() {
                failed.push(file.display().to_string());
            }
        }
    }
    ensure!(failed.is_empty(), "findings: {}", failed.join(", "));
    Ok(())
}

fn listing(directory: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(directory);
    let entries = entries.with_context(|| format!("cannot list {}", directory.display()))?;
    let mut paths: Vec<_> = entries
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()?;
    paths.sort();
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refuses_findings(bytes: &[u8]) {
        assert!(!bytes.starts_with(b"finding"));
    }

    #[test]
    fn a_finding_is_named_and_nothing_is_left_out() {
        let place = tempfile::tempdir().unwrap();
        let manifest = place.path().to_str().unwrap();
        let target: FuzzTarget = ("one", refuses_findings);
        let run = |targets: &[FuzzTarget]| replay_seeds(manifest, targets);
        let seeds = place.path().join("tests/seeds");
        std::fs::create_dir_all(seeds.join("one")).unwrap();
        assert!(run(&[target]).unwrap_err().to_string().contains("no seed"));
        std::fs::write(seeds.join("one/good"), "good").unwrap();
        run(&[target]).unwrap();
        assert!(run(&[]).unwrap_err().to_string().contains("of no target"));
        assert!(run(&[target, ("two", refuses_findings)]).is_err());
        std::fs::write(seeds.join("one/bad"), "finding").unwrap();
        let error = run(&[target]).unwrap_err().to_string();
        assert!(error.contains("one/bad") && !error.contains("one/good"));
    }
}
