//! The table of all figures.

use std::fmt::Write as _;

use super::figure::{Figure, Target, Unit};

/// Shows every figure, a backend after another.
pub(crate) fn table(figures: &[Figure]) -> String {
    let mut text = format!(
        "{:<42} {:>7} {:>11} {:>4} {:>11} {:>11} {:>11} {:>6} {:>6}  PEER (MEDIAN)\n",
        "FIGURE", "RATIO", "TARGET", "MET", "MEDIAN", "P95", "P99", "SPREAD", "NOISE"
    );
    for figure in figures {
        let shown = |value| shown(value, figure.unit);
        writeln!(
            text,
            "{:<42} {:>7} {:>11} {:>4} {:>11} {:>11} {:>11} {:>5.1}% {:>5.1}%  {} ({})",
            figure.name,
            ratio(figure.ratio),
            figure
                .target
                .map_or_else(String::new, |target| match target {
                    Target::Ratio(most) => format!("≤ {most:.2}"),
                    Target::Above(most) => format!("≤ +{}", shown(most)),
                    Target::Most(most) => format!("≤ {}", shown(most)),
                }),
            match figure.target {
                None => "",
                Some(_) if figure.met() => "yes",
                Some(_) if figure.missed() => "NO",
                Some(_) => "~",
            },
            shown(figure.ours.median),
            shown(figure.ours.p95),
            shown(figure.ours.p99),
            figure.ours.spread * 1e2,
            figure.noise * 1e2,
            figure.peer,
            shown(figure.theirs.median),
        )
        .ok();
    }
    text
}

fn ratio(value: f64) -> String {
    let digits = if value < 1000.0 { 3 } else { 0 };
    format!("{value:.digits$}")
}

fn shown(value: f64, unit: Unit) -> String {
    match unit {
        Unit::Seconds if value >= 10.0 => format!("{value:.1} s"),
        Unit::Seconds => format!("{:.2} ms", value * 1e3),
        Unit::Bytes => format!("{:.1} MiB", value / f64::from(1 << 20)),
        Unit::Instructions if value >= 1e6 => format!("{:.2} M", value / 1e6),
        Unit::Instructions => format!("{value:.0}"),
        Unit::Jobs(jobs) => format!("{:.1}/s", f64::from(jobs) / value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_for_each_figure() {
        let samples = || (vec![0.5], vec![1.0]);
        let text = table(&[
            Figure::new("cold", "sh", Target::Ratio(0.4), samples()),
            Figure::new("rate", "sh", None, samples()).in_unit(Unit::Jobs(40)),
        ]);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 3);
        assert!(
            lines.get(1).is_some_and(|line| line.contains("NO")),
            "{text}"
        );
        assert!(
            text.contains("80.0/s") && text.contains("sh (40.0/s)"),
            "{text}"
        );
    }
}
