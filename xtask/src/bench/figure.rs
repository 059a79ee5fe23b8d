//! One measured figure: ours against a peer's.

use serde::Serialize;

/// One figure.
#[derive(Debug, Serialize)]
pub(crate) struct Figure {
    pub(crate) name: String,
    pub(crate) peer: String,
    pub(crate) unit: Unit,
    pub(crate) target: Option<Target>,
    pub(crate) ours: Summary,
    pub(crate) theirs: Summary,
    /// Ours by theirs.
    pub(crate) ratio: f64,
    /// How far the ratio of another call may lie from this one, as a part of
    /// it, by chance alone: two standard errors.
    pub(crate) noise: f64,
}

/// What the numbers of a figure are.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) enum Unit {
    Seconds,
    Bytes,
    Instructions,
    /// Seconds for so many jobs, shown as jobs a second.
    Jobs(u32),
}

/// What is to be reached.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) enum Target {
    /// Ours is at most this much of the peer's.
    Ratio(f64),
    /// Ours is at most so much more than the peer's.
    Above(f64),
    /// Ours is at most so much, whatever the peer's.
    Most(f64),
}

/// Samples, summed up.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Summary {
    pub(crate) runs: usize,
    pub(crate) median: f64,
    pub(crate) p95: f64,
    pub(crate) p99: f64,
    /// Half of the distance between the quartiles, as a part of the median.
    pub(crate) spread: f64,
}

impl Figure {
    pub(crate) fn new(
        name: impl Into<String>,
        peer: impl Into<String>,
        target: impl Into<Option<Target>>,
        (ours, theirs): (Vec<f64>, Vec<f64>),
    ) -> Self {
        let (ours, theirs) = (Summary::of(ours), Summary::of(theirs));
        Self {
            name: name.into(),
            peer: peer.into(),
            unit: Unit::Seconds,
            target: target.into(),
            ours,
            theirs,
            ratio: ours.median / theirs.median,
            noise: 2.0 * ours.error().hypot(theirs.error()),
        }
    }

    pub(crate) fn in_unit(mut self, unit: Unit) -> Self {
        self.unit = unit;
        self
    }

    /// Whether the target is reached, if there is one.
    pub(crate) fn met(&self) -> bool {
        self.target.is_none_or(|target| match target {
            Target::Ratio(most) => self.ratio <= most,
            Target::Above(most) => self.ours.median - self.theirs.median <= most,
            Target::Most(most) => self.ours.median <= most,
        })
    }

    /// Whether it is beyond the target, by more than the noise of a ratio.
    pub(crate) fn missed(&self) -> bool {
        match self.target {
            Some(Target::Ratio(most)) => self.ratio * (1.0 - self.noise) > most,
            _ => !self.met(),
        }
    }
}

impl Summary {
    pub(crate) fn of(mut samples: Vec<f64>) -> Self {
        samples.sort_by(f64::total_cmp);
        let at = |part: f64| quantile(&samples, part);
        Self {
            runs: samples.len(),
            median: at(0.5),
            p95: at(0.95),
            p99: at(0.99),
            spread: (at(0.75) - at(0.25)) / 2.0 / at(0.5),
        }
    }

    /// The standard error of the median, as a part of it: 1.25 standard
    /// deviations by the root of the number of samples, and 1.48 spreads are a
    /// standard deviation (both for normal distributions).
    #[expect(clippy::cast_precision_loss, reason = "a few hundred samples")]
    fn error(&self) -> f64 {
        1.25 * 1.48 * self.spread / (self.runs as f64).sqrt()
    }
}

/// The sample at this part of the sorted ones, the nearest by rank.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a rank among a few hundred samples"
)]
fn quantile(sorted: &[f64], part: f64) -> f64 {
    let rank = (sorted.len().saturating_sub(1)) as f64 * part;
    sorted
        .get(rank.round() as usize)
        .copied()
        .unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_summed_up() {
        let summary = Summary::of(vec![5.0, 1.0, 3.0, 2.0, 4.0]);
        assert!((summary.median - 3.0).abs() < 1e-9 && (summary.p99 - 5.0).abs() < 1e-9);
        assert!((summary.spread - 1.0 / 3.0).abs() < 1e-9);
    }

    #[test]
    fn targets_are_met_or_missed() {
        let figure = |target| Figure::new("x", "y", target, (vec![2.0], vec![1.0]));
        assert!(figure(Target::Ratio(2.0)).met() && !figure(Target::Ratio(1.9)).met());
        assert!(figure(Target::Above(1.0)).met() && !figure(Target::Above(0.9)).met());
        assert!(Figure::new("x", "y", None, (vec![2.0], vec![1.0])).met());
        assert!(figure(Target::Ratio(1.9)).missed() && figure(Target::Above(0.9)).missed());
        let noisy = || vec![1.8, 1.9, 2.0, 2.1, 2.2];
        let noisy = Figure::new("x", "y", Target::Ratio(1.9), (noisy(), vec![1.0]));
        assert!(!noisy.met() && !noisy.missed(), "{noisy:?}");
    }

    #[test]
    fn more_samples_make_less_noise() {
        let samples = |times: usize| [1.0, 1.1, 0.9].repeat(times);
        let noise = |times| Figure::new("x", "y", None, (samples(times), samples(times))).noise;
        assert!(noise(2) > 1.9 * noise(8), "{} {}", noise(2), noise(8));
    }
}
