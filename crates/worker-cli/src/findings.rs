//! What `worker doctor` finds, as a report that can be pasted.

use std::fmt::Write as _;
use std::time::Duration;

use backend_core::{Candidate, Error, ErrorKind};

use crate::report::{Told, rounded};
use crate::table::wrapped;

/// The width of the report: what fits everywhere.
pub(crate) const WIDTH: usize = 60;
const INDENT: &str = "        ";

/// What came of one step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Finding {
    Passed {
        detail: String,
        took: Option<Duration>,
    },
    Failed {
        reasons: Vec<String>,
        hint: String,
    },
    Skipped {
        because: String,
    },
    /// An earlier step failed.
    NotTried,
}

impl Finding {
    pub(crate) fn passed(detail: &str) -> Self {
        Self::Passed {
            detail: detail.to_owned(),
            took: None,
        }
    }

    pub(crate) fn skipped(because: &str) -> Self {
        Self::Skipped {
            because: because.to_owned(),
        }
    }

    pub(crate) fn failed(error: &Error) -> Self {
        let told = Told::of(error);
        let hint = told.hint.unwrap_or_else(|| remedy(error.kind()).to_owned());
        let reasons = std::iter::once(told.message).chain(told.reasons);
        Self::Failed {
            reasons: reasons.collect(),
            hint,
        }
    }

    /// The same, and how long it took.
    pub(crate) fn after(self, duration: Duration) -> Self {
        match self {
            Self::Passed { detail, .. } => Self::Passed {
                detail,
                took: Some(duration),
            },
            other => other,
        }
    }
}

/// What there is to use, and what came of all steps, in their order.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    pub(crate) candidates: Vec<Candidate>,
    steps: Vec<(&'static str, Finding)>,
}

impl Findings {
    pub(crate) fn add(&mut self, step: &'static str, finding: Finding) {
        self.steps.push((step, finding));
    }

    pub(crate) fn skip(&mut self, steps: &[&'static str]) {
        for step in steps {
            self.add(step, Finding::NotTried);
        }
    }

    /// Whether a job would work.
    pub(crate) fn healthy(&self) -> bool {
        let failed = |(_, finding): &(_, Finding)| matches!(finding, Finding::Failed { .. });
        !self.steps.iter().any(failed)
    }

    pub(crate) fn text(&self) -> String {
        let mut text = to_use(&self.candidates);
        text.push_str("  Steps:\n");
        let mut untried = Vec::new();
        for (step, finding) in &self.steps {
            // Writing to a String does not fail.
            if *finding != Finding::NotTried {
                tell_untried(&mut text, &mut untried);
            }
            match finding {
                Finding::NotTried => untried.push(*step),
                Finding::Passed { detail, took } => {
                    let took = took.map(|took| format!("({})", rounded(took)));
                    let parts = [(*step).to_owned(), detail.clone(), took.unwrap_or_default()];
                    let line = parts.join(" ");
                    text.push_str(&hanging("    ok      ", &line, WIDTH));
                }
                Finding::Skipped { because } => {
                    text.push_str(&hanging(
                        "    skipped ",
                        &format!("{step}: {because}"),
                        WIDTH,
                    ));
                }
                Finding::Failed { reasons, hint } => {
                    writeln!(text, "    FAILED  {step}").ok();
                    let reasons = reasons.iter().map(String::as_str);
                    let labels = std::iter::once("error: ").chain(std::iter::repeat("caused by: "));
                    let lines = labels.zip(reasons).chain([("hint: ", hint.as_str())]);
                    for (label, reason) in lines {
                        for line in wrapped(&format!("{label}{reason}"), WIDTH - INDENT.len()) {
                            writeln!(text, "{INDENT}{line}").ok();
                        }
                    }
                }
            }
        }
        tell_untried(&mut text, &mut untried);
        text
    }
}

/// What there is to use, with who named it and what is made of it.
fn to_use(candidates: &[Candidate]) -> String {
    if candidates.is_empty() {
        return String::new();
    }
    let mut text = "  It would use:\n".to_owned();
    for Candidate {
        what,
        name,
        origin,
        verdict,
    } in candidates
    {
        let line = format!("{what} {name} ({origin}): {verdict}");
        text.push_str(&hanging("    ", &line, WIDTH));
    }
    text
}

/// `text` in lines of `width` behind `lead`; the second and later ones begin two
/// columns further in than the first one's text.
pub(crate) fn hanging(lead: &str, text: &str, width: usize) -> String {
    let inner = " ".repeat(lead.len() + 2);
    let mut lines = String::new();
    for (number, line) in wrapped(text, width - inner.len()).iter().enumerate() {
        let lead = if number == 0 { lead } else { &inner };
        // Writing to a String does not fail.
        writeln!(lines, "{lead}{line}").ok();
    }
    lines
}

/// A line for all steps that were not tried in a row.
fn tell_untried(text: &mut String, steps: &mut Vec<&'static str>) {
    if !steps.is_empty() {
        // Writing to a String does not fail.
        text.push_str(&hanging("    skipped ", &steps.join(", "), WIDTH));
        steps.clear();
    }
}

/// What helps in general where the error itself does not say.
fn remedy(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::InvalidOption | ErrorKind::UnknownBackend | ErrorKind::MissingEndpoint => {
            "`worker backends ALIAS` lists the options and what they take"
        }
        ErrorKind::Unreachable => "is it running, and does a firewall or proxy stand between?",
        ErrorKind::Unsuitable | ErrorKind::Unsupported => {
            "use a newer version of what is named, or another backend"
        }
        ErrorKind::Untrusted => "compare the identity with what its administrator says it is",
        ErrorKind::Denied => "check the credentials, and whether this account may do that",
        ErrorKind::NotFound => "check the name, and whether it can be pulled from here",
        ErrorKind::TimedOut => "is the machine overloaded? Try the step by hand",
        ErrorKind::Protocol => "is it really what its address says? Try the step by hand",
        ErrorKind::Exhausted => "make room: disk, memory, processes or places",
        ErrorKind::Leftover | ErrorKind::Stale => "`worker reap` removes what may be left",
        _ => "run it again with `-vv`: the log tells each step",
    }
}

#[cfg(test)]
mod tests {
    use backend_core::Operation;

    use super::*;

    #[test]
    fn a_report_can_be_read_at_60_columns() {
        let mut findings = Findings::default();
        findings.add("configuration", Finding::passed(""));
        findings.add(
            "setup",
            Finding::passed("").after(Duration::from_millis(12)),
        );
        let inner = Error::new(
            ErrorKind::NotFound,
            "there is no image `debain:12`, and the registry `registry.example` has none either",
        );
        let error = Error::failed(ErrorKind::NotFound, "docker", Operation::Start, inner);
        findings.add("start", Finding::failed(&error));
        findings.skip(&["upload", "run"]);
        findings.candidates.push(Candidate {
            what: "endpoint",
            name: "unix:///run/user/1000/docker.sock".into(),
            origin: "a well-known place".into(),
            verdict: backend_core::Verdict::PassedOver("there is no such socket".into()),
        });
        assert!(!findings.healthy());
        let text = findings.text();
        assert!(text.lines().all(|line| line.len() <= WIDTH), "{text}");
        insta::assert_snapshot!(text, @"
        It would use:
          endpoint unix:///run/user/1000/docker.sock (a
            well-known place): not used: there is no such socket
        Steps:
          ok      configuration
          ok      setup (12ms)
          FAILED  start
              error: failed to start an instance on backend
              `docker`
              caused by: there is no image `debain:12`, and the
              registry `registry.example` has none either
              hint: check the name, and whether it can be pulled
              from here
          skipped upload, run
        ");
    }
}
