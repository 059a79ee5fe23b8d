//! What was measured before, and what got worse since.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context as _;
use serde::Deserialize;

use super::figure::Figure;

/// How far the machine itself may move a ratio from one call to another,
/// beyond the noise that is seen within a call.
const DRIFT: f64 = 0.05;

/// A ratio that was measured before, with its noise.
#[derive(Debug, Clone, Copy, Deserialize)]
struct Before {
    ratio: f64,
    noise: f64,
}

/// The ratios of an earlier call: a file that `--json` has written.
#[derive(Debug, Deserialize)]
pub(crate) struct Baseline {
    figures: Vec<Named>,
}

#[derive(Debug, Deserialize)]
struct Named {
    name: String,
    #[serde(flatten)]
    before: Before,
}

impl Baseline {
    /// Reads it.
    pub(crate) fn read(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read the baseline {}", path.display()))?;
        serde_json::from_str(&text)
            .with_context(|| format!("{} is no file of `bench --json`", path.display()))
    }

    /// A line for each figure that is worse by more than the noise of both
    /// calls, and one for each that is new.
    pub(crate) fn compare(&self, figures: &[Figure]) -> Comparison {
        let before: BTreeMap<_, _> = self
            .figures
            .iter()
            .map(|named| (named.name.as_str(), named.before))
            .collect();
        let mut comparison = Comparison::default();
        for figure in figures {
            let Some(before) = before.get(figure.name.as_str()) else {
                comparison.new.push(figure.name.clone());
                continue;
            };
            let change = figure.ratio / before.ratio;
            let allowed = 1.0 + DRIFT + before.noise.hypot(figure.noise);
            let line = format!(
                "{}: {:.3} was {:.3} ({:+.0} %, noise {:.0} %)",
                figure.name,
                figure.ratio,
                before.ratio,
                (change - 1.0) * 1e2,
                (allowed - 1.0) * 1e2
            );
            if change > allowed {
                comparison.worse.push(line);
            } else if change < 1.0 / allowed {
                comparison.better.push(line);
            }
        }
        comparison
    }
}

/// What moved by more than the noise.
#[derive(Debug, Default)]
pub(crate) struct Comparison {
    pub(crate) worse: Vec<String>,
    pub(crate) better: Vec<String>,
    /// What the baseline does not have.
    pub(crate) new: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Nine samples about `middle`, with a spread of 5 %.
    fn figure(name: &str, middle: f64) -> Figure {
        let samples = |middle: f64| -> Vec<f64> {
            let parts = [0.9, 0.95, 0.95, 1.0, 1.0, 1.0, 1.05, 1.05, 1.1];
            parts.iter().map(|part| middle * part).collect()
        };
        Figure::new(name, "peer", None, (samples(middle), samples(1.0)))
    }

    fn baseline(figures: &[Figure]) -> Baseline {
        let text = serde_json::json!({ "figures": figures }).to_string();
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn a_fifth_more_is_told_and_a_twentieth_is_noise() {
        let baseline = baseline(&[figure("a", 1.0), figure("b", 1.0), figure("c", 1.0)]);
        let now = [figure("a", 1.2), figure("b", 1.05), figure("c", 0.7)];
        let comparison = baseline.compare(&now);
        let named = |lines: &[String]| lines.iter().map(|line| line[..1].to_owned()).collect();
        let (worse, better): (Vec<_>, Vec<_>) =
            (named(&comparison.worse), named(&comparison.better));
        assert_eq!((worse, better), (vec!["a".into()], vec!["c".into()]));
        assert!(comparison.new.is_empty());
    }

    #[test]
    fn what_is_new_is_named() {
        let comparison = baseline(&[]).compare(&[figure("a", 1.0)]);
        assert_eq!(comparison.new, ["a"]);
        assert!(comparison.worse.is_empty() && comparison.better.is_empty());
    }
}
