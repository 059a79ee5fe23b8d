//! Whether what was seen of a job is what its plan allows: pure.

use backend_core::testkit::sha256_hex;
use serde_json::Value;

use super::faults::{Ending, Interruption, Trouble};
use super::job::Observed;
use super::pieces;
use super::plan::Plan;
use super::scripts::{BYE, BYE_CODE, End, OnTerm, Script};

/// How the job ended, if that can be told, and everything that is wrong.
pub(crate) fn check(
    plan: &Plan,
    script: &Script,
    seen: &Observed,
) -> (Option<Ending>, Vec<String>) {
    let mut wrong = Vec::new();
    let ending = ending(plan, seen, &mut wrong);
    let case = Case { plan, script, seen };
    if let Some(ending) = ending {
        if !plan.allows(script, &seen.befell, ending) {
            wrong.push(format!("it may not end so: {ending:?}"));
        }
        case.output(ending, &mut wrong);
        if let Some(result) = &seen.result {
            case.verdict(ending, result, &mut wrong);
            case.sums(ending, result, &mut wrong);
        }
    }
    case.words(&mut wrong);
    if !seen.left.is_empty() {
        wrong.push(format!("left on its disk: {}", seen.left.join(", ")));
    }
    (ending, wrong)
}

/// The ending, from the exit status and the result file.
fn ending(plan: &Plan, seen: &Observed, wrong: &mut Vec<String>) -> Option<Ending> {
    let Some((code, signal)) = seen.status else {
        wrong.push("it did not end".into());
        return None;
    };
    if let Some(signal) = signal {
        let ours = match plan.interruption {
            Interruption::Kill(_) => libc::SIGKILL,
            Interruption::Cancel { signal, .. } => signal,
            _ => 0,
        };
        if signal != ours {
            wrong.push(format!("the worker died of signal {signal}"));
        }
        return Some(Ending::WorkerKilled);
    }
    let Some(result) = &seen.result else {
        wrong.push(format!("there is no result, with status {code:?}"));
        return None;
    };
    let ended_by = result.get("ended_by").and_then(Value::as_str);
    let reader = result.get("cancelled_by") == Some(&"output-closed".into());
    let known = match ended_by.unwrap_or_default() {
        "script" | "signal" | "out-of-memory" => Ending::Own,
        "timeout" => Ending::Limit,
        "output-limit" => Ending::OutputLimit,
        "cancel" if reader => Ending::ReaderGone,
        "cancel" => Ending::Cancelled,
        "engine" => Ending::Engine,
        "lost" => Ending::Lost,
        "never-started" => Ending::NeverStarted,
        other => {
            wrong.push(format!("the result says that it was ended by {other:?}"));
            return None;
        }
    };
    Some(known)
}

struct Case<'a> {
    plan: &'a Plan,
    script: &'a Script,
    seen: &'a Observed,
}

impl Case<'_> {
    /// That exit status, outcome and code say the same, and what the script gave.
    fn verdict(&self, ending: Ending, result: &Value, wrong: &mut Vec<String>) {
        let Some((Some(status), _)) = self.seen.status else {
            return;
        };
        let outcome = |key: &str| result.get("outcome").and_then(|outcome| outcome.get(key));
        let number = |value: Option<&Value>| value.and_then(Value::as_i64);
        let (code, signal) = (number(outcome("code")), number(outcome("signal")));
        let maybe_signal = number(outcome("maybe_signal"));
        // The number that a shell shows.
        let shown = code.or(signal.map(|signal| 128 + signal));
        let success_without_reader = code == Some(0) && result.get("output_error").is_some();
        let status = i64::from(status);
        let right = match ending {
            Ending::Own if success_without_reader => status == 141,
            Ending::Own | Ending::Engine => Some(status) == shown,
            Ending::Limit | Ending::OutputLimit => status == 124,
            Ending::Cancelled => matches!(self.plan.interruption,
                Interruption::Cancel { signal, .. } if status == 128 + i64::from(signal)),
            Ending::ReaderGone => status == 141,
            Ending::Lost => status == 75,
            Ending::NeverStarted => status == 125,
            Ending::WorkerKilled => true,
        };
        if !right {
            wrong.push(format!("status {status} does not go with {ending:?}"));
        }
        if number(result.get("exit_code")) != code {
            wrong.push("exit_code and outcome differ".into());
        }
        let given = match self.script.end {
            End::Exit(own) => code == Some(own.into()) && signal.is_none(),
            End::Signal(own) => {
                let own = i64::from(own);
                signal == Some(own) || (code == Some(128 + own) && maybe_signal == Some(own))
            }
            End::Never => false,
        };
        let nothing = code.is_none() && signal.is_none();
        let said_bye = self.script.on_term == OnTerm::Exits && code == Some(BYE_CODE.into());
        // Ended by us, or by the engine: a signal, or a code that may be one.
        let ended = signal
            .or(maybe_signal)
            .is_some_and(|signal| matches!(signal, 1 | 2 | 9 | 15));
        let truthful = match ending {
            Ending::Own => given,
            Ending::Lost | Ending::NeverStarted => nothing,
            _ => given || nothing || said_bye || ended,
        };
        if !truthful {
            wrong.push(format!(
                "the script never gave this verdict: {}",
                result.get("outcome").unwrap_or(&Value::Null)
            ));
        }
        let excused = self.befell(Trouble::hinders_stop);
        if result.get("stop_error").is_some() && !excused {
            wrong.push("its stop failed without a reason".into());
        }
    }

    /// That the output is what the script wrote, as far as it claims to be.
    fn output(&self, ending: Ending, wrong: &mut Vec<String>) {
        let (got, all) = (&self.seen.stdout, &self.script.output);
        let flag = |key: &str| {
            let result = self.seen.result.as_ref();
            result
                .and_then(|result| result.get(key)?.as_bool())
                .unwrap_or_default()
        };
        let limit = match self.plan.interruption {
            Interruption::OutputLimit { bytes, .. } if all.len() > bytes => Some(bytes),
            _ => None,
        };
        let mut rest = got.as_slice();
        if self.script.on_term == OnTerm::Exits {
            rest = rest.strip_suffix(BYE).unwrap_or(rest);
        }
        let beginning =
            pieces::in_order(rest, all, self.holes()) || self.script.ends_within_secret(rest);
        if !beginning {
            wrong.push(format!(
                "{} bytes on standard output are no beginning of the script's {}",
                got.len(),
                all.len()
            ));
        }
        if matches!(self.plan.interruption, Interruption::ReaderLeaves { .. }) {
            return;
        }
        if ending == Ending::NeverStarted && !got.is_empty() {
            wrong.push("there is output of what never started".into());
        }
        let cut = limit.is_some_and(|limit| got.len() + 3 >= limit && got.len() <= limit);
        if ending == Ending::OutputLimit && !cut {
            wrong.push(format!("{} bytes is not where the limit cuts", got.len()));
        }
        if ending != Ending::Own {
            return;
        }
        if limit.is_some_and(|limit| got.len() > limit) {
            wrong.push(format!("{} bytes are more than the limit", got.len()));
        }
        let complete = flag("output_complete");
        if limit.is_some() != flag("output_truncated") && complete {
            wrong.push("output_truncated is not what happened".into());
        }
        let whole = if limit.is_some() { cut } else { got == all };
        if complete && !whole {
            wrong.push(format!(
                "{} bytes claim to be complete: the script wrote {}",
                got.len(),
                all.len()
            ));
        }
        let excused = self.script.holds_output
            || self.befell(|trouble| trouble.costs_output(self.plan.backend));
        if !complete && !excused {
            wrong.push("its output is not complete, without a reason".into());
        }
    }

    /// How often the output may go on later than where it stopped: only where
    /// it is not kept on the far side, and once for each new connection.
    fn holes(&self) -> u64 {
        if !self.befell(|trouble| trouble.costs_output(self.plan.backend)) {
            return 0;
        }
        let result = self.seen.result.as_ref();
        let reconnects = result.and_then(|result| result.get("reconnects")?.as_u64());
        reconnects.unwrap_or(1)
    }

    /// That length and hash are those of what was read here.
    fn sums(&self, ending: Ending, result: &Value, wrong: &mut Vec<String>) {
        let reader_left = matches!(self.plan.interruption, Interruption::ReaderLeaves { .. });
        if ending == Ending::WorkerKilled || reader_left {
            return;
        }
        let got = &self.seen.stdout;
        if result.get("output_bytes").and_then(Value::as_u64) != Some(got.len() as u64) {
            wrong.push(format!("output_bytes is not {}", got.len()));
        }
        if result.get("output_sha256").and_then(Value::as_str) != Some(&sha256_hex(got)) {
            wrong.push("output_sha256 is not that of standard output".into());
        }
    }

    /// That nothing was said that must not be.
    fn words(&self, wrong: &mut Vec<String>) {
        let result = self.seen.result.as_ref().map(Value::to_string);
        let said = [
            ("standard output", self.seen.stdout.as_slice()),
            ("standard error", &self.seen.stderr),
            ("the events", &self.seen.events),
            (
                "the result",
                result.as_deref().unwrap_or_default().as_bytes(),
            ),
        ];
        for (place, text) in said {
            let text = String::from_utf8_lossy(text);
            if self
                .script
                .secret
                .is_some_and(|secret| text.contains(secret))
            {
                wrong.push(format!("the secret is in {place}"));
            }
            if place == "standard error" && text.contains("panicked") {
                wrong.push("the worker panicked".into());
            }
        }
    }

    fn befell(&self, is: impl Fn(Trouble) -> bool) -> bool {
        self.seen.befell.iter().copied().any(is)
    }
}

#[cfg(test)]
mod tests;
