//! What a soak has seen: counts, and what is wrong.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

use super::faults::{Ending, Interruption, Trouble};
use super::job::Observed;
use super::plan::{Backend, Plan};

/// The counts and findings so far.
#[derive(Debug, Default)]
pub(crate) struct Report {
    jobs: BTreeMap<Backend, u64>,
    scripts: BTreeMap<&'static str, u64>,
    faults: BTreeMap<&'static str, u64>,
    endings: BTreeMap<String, u64>,
    findings: Vec<Finding>,
}

/// Something that is wrong.
#[derive(Debug)]
pub(crate) struct Finding {
    /// The job, unless it is about all of them.
    pub(crate) plan: Option<Plan>,
    pub(crate) wrong: Vec<String>,
    /// Where the job's files are kept.
    pub(crate) kept: String,
}

impl Report {
    /// Counts one job.
    pub(crate) fn add(&mut self, plan: &Plan, seen: &Observed, ending: Option<Ending>) {
        *self.jobs.entry(plan.backend).or_default() += 1;
        *self.scripts.entry(plan.recipe.name()).or_default() += 1;
        if seen.interrupted && plan.interruption != Interruption::Nothing {
            *self.faults.entry(plan.interruption.name()).or_default() += 1;
        }
        // A daemon's trouble is counted where it was made.
        if plan.trouble != Trouble::Nothing && seen.befell.contains(&plan.trouble) {
            *self.faults.entry(plan.trouble.name()).or_default() += 1;
        }
        let ending = ending.map_or("none".into(), |ending| format!("{ending:?}"));
        *self.endings.entry(ending).or_default() += 1;
    }

    /// Adds what is wrong.
    pub(crate) fn found(&mut self, finding: Finding) {
        self.findings.push(finding);
    }

    /// How many jobs there were.
    pub(crate) fn jobs(&self) -> u64 {
        self.jobs.values().sum()
    }

    /// How many things are wrong.
    pub(crate) fn wrong(&self) -> usize {
        self.findings.len()
    }

    /// The findings, each with the command that replays it.
    pub(crate) fn findings(&self, command: &str) -> String {
        self.findings.iter().fold(String::new(), |mut text, it| {
            // Writing to a string cannot fail.
            write!(text, "\nfinding: {}\n", it.wrong.join("; ")).ok();
            if let Some(plan) = &it.plan {
                writeln!(text, "  plan:   {plan:?}").ok();
                writeln!(text, "  replay: {command} --only {}", plan.number).ok();
            }
            if !it.kept.is_empty() {
                writeln!(text, "  files:  {}", it.kept).ok();
            }
            text
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let jobs = self
            .jobs
            .iter()
            .map(|(backend, count)| (backend.alias(), *count));
        table(f, "jobs", jobs)?;
        table(
            f,
            "scripts",
            self.scripts.iter().map(|(name, count)| (*name, *count)),
        )?;
        table(
            f,
            "faults",
            self.faults.iter().map(|(name, count)| (*name, *count)),
        )?;
        let endings = self
            .endings
            .iter()
            .map(|(name, count)| (name.as_str(), *count));
        table(f, "endings", endings)
    }
}

fn table<'a>(
    f: &mut fmt::Formatter<'_>,
    title: &str,
    rows: impl Iterator<Item = (&'a str, u64)>,
) -> fmt::Result {
    let mut all = 0;
    for (name, count) in rows {
        let title = if all == 0 { title } else { "" };
        writeln!(f, "{title:<8} {name:<20} {count:>7}")?;
        all += count;
    }
    writeln!(f, "{:<8} {:<20} {all:>7}\n", "", "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_is_told_with_the_command_that_replays_it() {
        let mut report = Report::default();
        let plan = Plan::new(7, 12, &Backend::ALL);
        report.found(Finding {
            plan: Some(plan),
            wrong: vec!["this".into(), "that".into()],
            kept: String::new(),
        });
        let text = report.findings("cargo xtask soak --seed 7");
        assert!(text.contains("finding: this; that\n"), "{text}");
        assert!(
            text.contains("cargo xtask soak --seed 7 --only 12\n"),
            "{text}"
        );
    }

    #[test]
    fn jobs_are_counted_by_what_happened_to_them() {
        let mut report = Report::default();
        let plan = Plan {
            number: 0,
            backend: Backend::Ssh,
            recipe: super::super::scripts::Recipe::Exits { code: 0 },
            interruption: Interruption::Nothing,
            trouble: Trouble::Delay(std::time::Duration::from_millis(1)),
        };
        let mut seen = Observed {
            status: Some((Some(0), None)),
            stdout: Vec::new(),
            stderr: Vec::new(),
            result: None,
            events: Vec::new(),
            interrupted: false,
            befell: Vec::new(),
            left: Vec::new(),
        };
        report.add(&plan, &seen, Some(Ending::Own));
        assert!(report.faults.is_empty());
        seen.befell.push(plan.trouble);
        report.add(&plan, &seen, Some(Ending::Own));
        assert_eq!(report.faults.get("connection slow"), Some(&1));
        assert_eq!(report.jobs(), 2);
        let text = report.to_string();
        assert!(
            text.contains("jobs     ssh                        2\n"),
            "{text}"
        );
    }
}
