//! One measured figure, and the table of all.

use serde::Serialize;

/// One figure: ours against a peer's, in seconds.
#[derive(Debug, Serialize)]
pub(crate) struct Figure {
    pub(crate) name: &'static str,
    pub(crate) peer: &'static str,
    pub(crate) target: Target,
    pub(crate) ours: Summary,
    pub(crate) theirs: Summary,
}

/// What is to be reached.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) enum Target {
    /// Our time is at most this much of the peer's.
    Ratio(f64),
    /// Our time is at most so many seconds more than the peer's.
    Above(f64),
    /// Our time is at most so many seconds, whatever the peer's.
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
        name: &'static str,
        peer: &'static str,
        target: Target,
        (ours, theirs): (Vec<f64>, Vec<f64>),
    ) -> Self {
        Self {
            name,
            peer,
            target,
            ours: Summary::of(ours),
            theirs: Summary::of(theirs),
        }
    }

    /// Whether the target is reached.
    pub(crate) fn met(&self) -> bool {
        match self.target {
            Target::Ratio(most) => self.ratio() <= most,
            Target::Above(most) => self.ours.median - self.theirs.median <= most,
            Target::Most(most) => self.ours.median <= most,
        }
    }

    fn ratio(&self) -> f64 {
        self.ours.median / self.theirs.median
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

#[expect(clippy::print_stdout, reason = "the table is what was asked for")]
pub(crate) fn print(figures: &[Figure]) {
    println!(
        "{:<28} {:>7} {:>12} {:>5} {:>10} {:>10} {:>10} {:>7}  PEER (MEDIAN)",
        "FIGURE", "RATIO", "TARGET", "MET", "MEDIAN", "P95", "P99", "SPREAD"
    );
    for figure in figures {
        let target = match figure.target {
            Target::Ratio(most) => format!("≤ {most:.2}"),
            Target::Above(most) => format!("≤ +{:.0} ms", most * 1e3),
            Target::Most(most) => format!("≤ {:.0} ms", most * 1e3),
        };
        println!(
            "{:<28} {:>7.3} {:>12} {:>5} {:>7.2} ms {:>7.2} ms {:>7.2} ms {:>6.1}%  {} ({:.2} ms)",
            figure.name,
            figure.ratio(),
            target,
            if figure.met() { "yes" } else { "NO" },
            figure.ours.median * 1e3,
            figure.ours.p95 * 1e3,
            figure.ours.p99 * 1e3,
            figure.ours.spread * 1e2,
            figure.peer,
            figure.theirs.median * 1e3,
        );
    }
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
    }
}
