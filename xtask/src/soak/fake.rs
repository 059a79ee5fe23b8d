//! Options under which `fake` behaves as a script does: pure.

use std::fmt::Write as _;

use super::faults::Trouble;
use super::scripts::{BYE, BYE_CODE, End, OnTerm, Script};

/// The arguments of `worker run`.
pub(crate) fn arguments(script: &Script, trouble: Trouble) -> Vec<String> {
    let mut options = vec![format!("output-bytes={}", hexadecimal(&script.raw))];
    match script.end {
        End::Exit(code) => options.push(format!("exit-code={code}")),
        End::Signal(signal) => options.push(format!("signal={signal}")),
        End::Never => {
            options.push("run-hang=true".into());
            // As fast as a script that ticks.
            options.push("output-chunk=8".into());
            options.push("output-rate=40".into());
        }
    }
    if !script.runs_for.is_zero() {
        options.push(format!("run-sleep={}ms", script.runs_for.as_millis()));
    }
    match script.on_term {
        OnTerm::Dies => {}
        OnTerm::Exits => {
            options.push(format!("term-output={}", String::from_utf8_lossy(BYE)));
            options.push(format!("term-exit-code={BYE_CODE}"));
        }
        OnTerm::Ignores => options.push("ignore-term=true".into()),
    }
    if let Trouble::Scripted { after } = trouble {
        options.push(format!("lost-after={after}"));
    }
    options
        .into_iter()
        .flat_map(|option| ["-o".to_owned(), option])
        .collect()
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        write!(text, "{byte:02x}").ok();
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::soak::plan::{Backend, Plan};

    #[test]
    fn no_argument_is_longer_than_linux_takes() {
        for number in 0..2000 {
            let plan = Plan::new(3, number, &[Backend::Fake]);
            let arguments = arguments(&plan.recipe.script(), plan.trouble);
            let longest = arguments.iter().map(String::len).max().unwrap();
            assert!(longest < 128 << 10, "{plan:?}: {longest}");
        }
    }
}
