//! What a backend can do and promise, by name.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

/// One thing that a backend can do, or one property that its users must know.
///
/// What a backend cannot do it does not claim; asked for it all the same, it
/// refuses. The conformance suite skips a case only for a capability that is
/// not claimed (or, for [`Polling`](Self::Polling), allows more time).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Capability {
    /// The script is really executed. Without it (`fake`) the run is simulated
    /// from options.
    ExecutesScripts,
    /// A death by signal is told from an exit with code 128+n.
    ExactSignals,
    /// A signal can be sent to the running script and all of its group.
    Signals,
    /// Processes that left the script's session or group (`setsid`, a double
    /// fork) are ended by `stop` all the same.
    ContainsEscapees,
    /// What still runs in the instance can be listed for a person.
    ListsProcesses,
    /// What was left over when the run ended is reported in the result.
    ReportsLeftovers,
    /// Everything in the instance ends with its script, so that the run need
    /// not wait for children that hold the output open.
    EndsWithScript,
    /// An instance of a worker that died is found by another process.
    FoundByOthers,
    /// A limit on memory can be set, and a breach of it is told apart.
    MemoryLimit,
    /// A limit on the number of processes can be set.
    ProcessLimit,
    /// The run outlives a lost connection to the instance, and its output goes
    /// on at the byte where it stopped.
    Resumes,
    /// Output arrives within 500 ms of being written, not within 100 ms,
    /// because the far side can only be polled.
    Polling,
    /// An image can be chosen by name or by attributes.
    Images,
    /// Working directory and temporary files are private to the instance.
    PrivateFiles,
    /// An instance can be meant to outlive the process that started it
    /// ([`StartContext::keep`](crate::StartContext::keep)).
    Keeps,
    /// A shell can be opened in an instance that was found, beside its script
    /// ([`Provider::shell`](crate::Provider::shell)).
    Shell,
}

impl Capability {
    /// All of them, in the order of their declaration.
    pub const ALL: &'static [Self] = &[
        Self::ExecutesScripts,
        Self::ExactSignals,
        Self::Signals,
        Self::ContainsEscapees,
        Self::ListsProcesses,
        Self::ReportsLeftovers,
        Self::EndsWithScript,
        Self::FoundByOthers,
        Self::MemoryLimit,
        Self::ProcessLimit,
        Self::Resumes,
        Self::Polling,
        Self::Images,
        Self::PrivateFiles,
        Self::Keeps,
        Self::Shell,
    ];

    /// The name in messages, JSON and the conformance report.
    pub fn name(self) -> &'static str {
        match self {
            Self::ExecutesScripts => "executes-scripts",
            Self::ExactSignals => "exact-signals",
            Self::Signals => "signals",
            Self::ContainsEscapees => "contains-escapees",
            Self::ListsProcesses => "lists-processes",
            Self::ReportsLeftovers => "reports-leftovers",
            Self::EndsWithScript => "ends-with-script",
            Self::FoundByOthers => "found-by-others",
            Self::MemoryLimit => "memory-limit",
            Self::ProcessLimit => "process-limit",
            Self::Resumes => "resumes",
            Self::Polling => "polling",
            Self::Images => "images",
            Self::PrivateFiles => "private-files",
            Self::Keeps => "keeps",
            Self::Shell => "shell",
        }
    }
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The set of capabilities that a provider claims.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Capabilities(BTreeSet<Capability>);

impl Capabilities {
    /// Whether `capability` is claimed.
    pub fn has(&self, capability: Capability) -> bool {
        self.0.contains(&capability)
    }

    /// The claimed ones, in the order of [`Capability::ALL`].
    pub fn iter(&self) -> impl Iterator<Item = Capability> + '_ {
        self.0.iter().copied()
    }

    /// The same set without `capability`.
    #[must_use]
    pub fn without(mut self, capability: Capability) -> Self {
        self.0.remove(&capability);
        self
    }
}

impl FromIterator<Capability> for Capabilities {
    fn from_iter<I: IntoIterator<Item = Capability>>(iter: I) -> Self {
        Self(iter.into_iter().collect())
    }
}

impl<const N: usize> From<[Capability; N]> for Capabilities {
    fn from(capabilities: [Capability; N]) -> Self {
        capabilities.into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_the_serialised_ones() {
        for capability in Capability::ALL {
            assert_eq!(
                serde_json::to_value(capability).unwrap(),
                serde_json::json!(capability.name())
            );
        }
    }

    #[test]
    fn all_is_in_order_and_complete() {
        assert!(Capability::ALL.is_sorted());
        let last = Capability::ALL.last().copied().unwrap();
        assert_eq!(last as usize + 1, Capability::ALL.len());
    }
}
