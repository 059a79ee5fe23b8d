//! Which cases to run.

use super::Case;

/// Which cases to run, and how many at a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection {
    filters: Vec<String>,
    jobs: usize,
    basic: bool,
}

impl Selection {
    /// All cases, four at a time.
    pub fn all() -> Self {
        Self {
            filters: Vec::new(),
            jobs: 4,
            basic: false,
        }
    }

    /// Only the basic part: what a first version of a backend has to show,
    /// without what it may still lack (limits, faults, races).
    pub fn basic() -> Self {
        Self {
            basic: true,
            ..Self::all()
        }
    }

    /// Only cases whose id or title has one of these texts in it, in any case
    /// of letters. No texts: all of them.
    #[must_use]
    pub fn filter<T: Into<String>>(self, texts: impl IntoIterator<Item = T>) -> Self {
        let filters = texts
            .into_iter()
            .map(|text| text.into().to_lowercase())
            .collect();
        Self { filters, ..self }
    }

    /// So many cases at a time; at least one.
    #[must_use]
    pub fn jobs(self, jobs: usize) -> Self {
        Self {
            jobs: jobs.max(1),
            ..self
        }
    }

    pub(crate) fn concurrency(&self) -> usize {
        self.jobs
    }

    /// Whether `case` is among them.
    pub fn takes(&self, case: &Case) -> bool {
        let text = format!("{} {}", case.id(), case.title()).to_lowercase();
        let matches = |filter: &String| text.contains(filter);
        (case.is_basic() || !self.basic)
            && (self.filters.is_empty() || self.filters.iter().any(matches))
    }
}

impl Default for Selection {
    fn default() -> Self {
        Self::all()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testkit::cases;

    #[test]
    fn filters_are_alternatives_in_any_case_of_letters() {
        let selection = Selection::all().filter(["e1-EXIT-43", "nothing of the kind"]);
        let ids: Vec<_> = cases()
            .filter(|case| selection.takes(case))
            .map(Case::id)
            .collect();
        assert_eq!(ids, ["E1-exit-43"]);
    }

    #[test]
    fn the_basic_part_is_a_true_part() {
        let basic = cases()
            .filter(|case| Selection::basic().takes(case))
            .count();
        assert!(basic >= 8 && basic < cases().count() / 2, "{basic}");
    }
}
