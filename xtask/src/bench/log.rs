//! The log pipeline, against a hash of the same bytes.

use std::collections::BTreeMap;

use anyhow::Context as _;

use super::{Figure, figure::Target};
use crate::command::{cargo, say};

/// The most memory that the masker of 1,000 secrets may take.
const MEMORY_LIMIT: f64 = 64.0 * 1024.0 * 1024.0;

/// Measures in a process of its own, built as it is released.
pub(crate) fn figures(runs: usize) -> anyhow::Result<Vec<Figure>> {
    let output = cargo()
        .args([
            "bench",
            "--quiet",
            "--locked",
            "--package",
            "worker-core",
            "--bench",
            "log",
        ])
        .env("WORKER_BENCH_RUNS", runs.min(11).to_string())
        .output()
        .context("cannot run the benchmark")?;
    anyhow::ensure!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let mut samples: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for line in String::from_utf8(output.stdout)?.lines() {
        if let Some((name, value)) = line.split_once(' ')
            && let Ok(value) = value.parse()
        {
            samples.entry(name.to_owned()).or_default().push(value);
        }
    }
    let taken = |name: &str| {
        samples
            .get(name)
            .cloned()
            .with_context(|| format!("no {name}"))
    };
    let hashed = taken("sha256")?;
    let memory = taken("peak-memory")?.into_iter().fold(0.0, f64::max);
    say(&format!(
        "peak memory of the log benchmark: {:.1} MiB",
        memory / 1024.0 / 1024.0
    ));
    anyhow::ensure!(memory <= MEMORY_LIMIT, "the masker took more than 64 MiB");
    Ok(vec![
        Figure::new(
            "log: mask 10 secrets",
            "SHA-256",
            Target::Ratio(0.5),
            (taken("mask-10")?, hashed.clone()),
        ),
        Figure::new(
            "log: mask 1000 secrets",
            "SHA-256",
            Target::Ratio(4.0),
            (taken("mask-1000")?, hashed),
        ),
    ])
}
