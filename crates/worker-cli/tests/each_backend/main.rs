//! What a job does on every backend, tested with the program as a process:
//! signals, limits, secrets, and workers that are killed. A backend takes part
//! by being listed in `rigs.rs`.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod cancel;
mod clock;
mod kept;
mod killed;
mod limits;
mod place;
mod rigs;
mod secrets;
mod shell;
#[expect(dead_code, reason = "the tests of the program use the rest of it")]
#[path = "../program/terminal.rs"]
mod terminal;
mod transient;

use std::process::ExitCode;
use std::sync::Arc;

use libtest_mimic::{Arguments, Completion, Failed, Trial};

use place::Place;
use rigs::{Rig, Wanting};

/// One case: a name, and what is checked at a place of its own.
pub(crate) type Case = (&'static str, fn(&Place));

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // Cases mostly wait.
    arguments.test_threads.get_or_insert(4);
    let cases = [
        cancel::CASES,
        clock::CASES,
        kept::CASES,
        killed::CASES,
        limits::CASES,
        secrets::CASES,
        shell::CASES,
        transient::CASES,
    ];
    let mut trials = Vec::new();
    for rig in rigs::all() {
        let rig = Arc::new(rig);
        for (name, check) in cases.iter().copied().flatten() {
            let rig = rig.clone();
            let name = format!("{}::{name}", rig.alias);
            trials.push(Trial::ignorable_test(name, move || trial(&rig, *check)));
        }
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn trial(rig: &Arc<Rig>, check: fn(&Place)) -> Result<Completion, Failed> {
    match rig.ready() {
        Ok(()) => {
            check(&Place::new(rig.clone()));
            Ok(Completion::Completed)
        }
        Err(Wanting::Skipped(reason)) => Ok(Completion::ignored_with(reason.clone())),
        Err(Wanting::Failed(reason)) => Err(Failed::from(reason.clone())),
    }
}
