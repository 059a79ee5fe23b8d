//! What a run of the suite gave.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The results of all cases on one target.
///
/// `Display` is for a person: one line for each failure, then the [`Tally`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The name of the target.
    pub target: String,
    /// One result for each case that was selected, in the suite's order.
    pub results: Vec<CaseResult>,
}

/// The result of one case.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CaseResult {
    /// The case's id, such as `E1-exit-43`.
    pub id: String,
    /// What it checks, in one sentence.
    pub title: String,
    /// How it ended.
    #[serde(flatten)]
    pub status: Status,
    /// How long it took, as seconds in JSON.
    #[serde(rename = "seconds", with = "seconds")]
    pub duration: Duration,
}

/// How a case ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "status", content = "reason", rename_all = "kebab-case")]
pub enum Status {
    /// As it must.
    Passed,
    /// Not as it must, and what was different.
    Failed(String),
    /// It could not be run, for lack of this: the name of a capability, or of
    /// something else that is missing.
    Skipped(String),
}

/// How many cases ended how.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// How many were selected.
    pub cases: usize,
    /// How many passed.
    pub passed: usize,
    /// How many failed.
    pub failed: usize,
    /// How many were skipped, by reason.
    pub skipped: BTreeMap<String, usize>,
}

impl Report {
    /// A report on the target of this name.
    pub fn new(target: impl Into<String>, results: Vec<CaseResult>) -> Self {
        let target = target.into();
        Self { target, results }
    }

    /// Whether no case failed.
    pub fn passed(&self) -> bool {
        self.tally().failed == 0
    }

    /// Counts the results.
    pub fn tally(&self) -> Tally {
        let mut tally = Tally {
            cases: self.results.len(),
            ..Tally::default()
        };
        for result in &self.results {
            match &result.status {
                Status::Passed => tally.passed += 1,
                Status::Failed(_) => tally.failed += 1,
                Status::Skipped(reason) => *tally.skipped.entry(reason.clone()).or_default() += 1,
            }
        }
        tally
    }

    /// Several reports as one table of plain text, one line for each target.
    pub fn table(reports: &[Self]) -> String {
        let width = reports
            .iter()
            .map(|report| report.target.chars().count())
            .fold("backend".len(), usize::max);
        let mut text = format!(
            "{:width$}  {:>5}  {:>6}  {:>6}  {:>7}  why\n",
            "backend", "cases", "passed", "failed", "skipped"
        );
        for report in reports {
            let tally = report.tally();
            let line = format!(
                "{:width$}  {:>5}  {:>6}  {:>6}  {:>7}  {}",
                report.target,
                tally.cases,
                tally.passed,
                tally.failed,
                tally.skipped.values().sum::<usize>(),
                tally.reasons()
            );
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

impl Tally {
    fn reasons(&self) -> String {
        let reasons: Vec<_> = self
            .skipped
            .iter()
            .map(|(reason, count)| format!("{count} {reason}"))
            .collect();
        reasons.join(", ")
    }
}

impl fmt::Display for Tally {
    /// `92 cases: 88 passed, 4 skipped: 2 images, 2 memory-limit`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} cases: {} passed", self.cases, self.passed)?;
        if self.failed > 0 {
            write!(f, ", {} failed", self.failed)?;
        }
        let skipped: usize = self.skipped.values().sum();
        if skipped > 0 {
            write!(f, ", {skipped} skipped: {}", self.reasons())?;
        }
        Ok(())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for result in &self.results {
            if let Status::Failed(reason) = &result.status {
                writeln!(f, "{}: {} failed: {reason}", self.target, result.id)?;
                writeln!(f, "    it checks that {}", result.title)?;
            }
        }
        write!(f, "{}: {}", self.target, self.tally())
    }
}

impl fmt::Display for CaseResult {
    /// `ok      E1-exit-43 (0.01 s)`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (word, reason) = match &self.status {
            Status::Passed => ("ok", ""),
            Status::Failed(reason) => ("FAILED", reason.as_str()),
            Status::Skipped(reason) => ("skipped", reason.as_str()),
        };
        write!(
            f,
            "{word:7} {} ({:.2} s)",
            self.id,
            self.duration.as_secs_f64()
        )?;
        if reason.is_empty() {
            Ok(())
        } else {
            write!(f, ": {reason}")
        }
    }
}

mod seconds {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(
        duration: &Duration,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(duration.as_secs_f64())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Duration, D::Error> {
        Duration::try_from_secs_f64(f64::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn example() -> Report {
        let result = |id: &str, status| CaseResult {
            id: id.into(),
            title: "it is so".into(),
            status,
            duration: Duration::from_millis(1500),
        };
        Report::new(
            "local",
            vec![
                result("E1-a", Status::Passed),
                result("E1-b", Status::Skipped("images".into())),
                result("E1-c", Status::Skipped("memory-limit".into())),
                result("E1-d", Status::Skipped("images".into())),
                result(
                    "E1-e",
                    Status::Failed("exit <1> & \"\u{1b}\" is not 0".into()),
                ),
            ],
        )
    }

    #[test]
    fn every_skip_is_named_and_counted() {
        let tally = example().tally();
        assert_eq!(
            tally.to_string(),
            "5 cases: 1 passed, 1 failed, 3 skipped: 2 images, 1 memory-limit"
        );
        assert!(!example().passed());
        assert_eq!(
            Report::table(&[example()]),
            "backend  cases  passed  failed  skipped  why\n\
             local        5       1       1        3  2 images, 1 memory-limit\n"
        );
    }

    #[test]
    fn json_round_trips() {
        let json = serde_json::to_value(example()).unwrap();
        assert_eq!(json["results"][1]["status"], "skipped");
        assert_eq!(json["results"][1]["reason"], "images");
        assert_eq!(json["results"][1]["seconds"], 1.5);
        assert_eq!(serde_json::from_value::<Report>(json).unwrap(), example());
    }
}
