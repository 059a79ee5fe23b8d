//! The suite as a test program that `cargo test` and nextest can run.

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use libtest_mimic::{Arguments, Completion, Failed, Trial};
use tokio::runtime::{Builder, Handle, Runtime};

use super::case::Case;
use super::report::{CaseResult, Report, Status};
use super::runner::execute;
use super::second_worker::second_worker;
use super::selection::Selection;
use super::target::Target;

/// The variable that names a directory for the reports of [`main`].
const REPORTS: &str = "WORKER_CONFORMANCE_REPORTS";

/// How long the tasks of a dropped provider may take to end.
const TASKS_END: Duration = Duration::from_secs(10);

type Results = Arc<Mutex<Vec<CaseResult>>>;

/// The `main` of a backend's `tests/conformance.rs`: one trial for each case
/// and target, named `<target>::<case>`, such as `local::e1_exit_43`.
///
/// Each trial has a runtime of its own, and fails if a task is left in it after
/// its provider was dropped. At the end, each target's tally is printed. If the
/// variable `WORKER_CONFORMANCE_REPORTS` names a directory, each target's
/// report is written into it as `<target>.json` and `<target>.xml` (JUnit).
pub fn main(targets: impl IntoIterator<Item = Target>) -> ExitCode {
    main_of(targets, &Selection::all())
}

/// The same for the selected cases only.
pub fn main_of(targets: impl IntoIterator<Item = Target>, selection: &Selection) -> ExitCode {
    second_worker();
    let mut arguments = Arguments::from_args();
    // Cases mostly wait: more of them than processors make the suite shorter.
    arguments.test_threads.get_or_insert(4);
    let mut trials = Vec::new();
    let mut results: Vec<(String, Results)> = Vec::new();
    for target in targets {
        let (target, of_target) = (Arc::new(target), Results::default());
        for case in super::cases().filter(|case| selection.takes(case)) {
            trials.push(trial(&target, case, &of_target));
        }
        results.push((target.name().to_owned(), of_target));
    }
    let conclusion = libtest_mimic::run(&arguments, trials);
    if arguments.list {
        return conclusion.exit_code();
    }
    match conclude(&results) {
        Ok(()) => conclusion.exit_code(),
        Err(error) => {
            writeln!(std::io::stderr(), "cannot write the reports: {error}").ok();
            ExitCode::FAILURE
        }
    }
}

fn trial(target: &Arc<Target>, case: &'static Case, results: &Results) -> Trial {
    let slug = case.id.to_lowercase().replace('-', "_");
    let name = format!("{}::{slug}", target.name());
    let (target, results) = (target.clone(), results.clone());
    Trial::ignorable_test(name, move || {
        let result = on_a_runtime(&target, case)?;
        let status = result.status.clone();
        results
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(result);
        match status {
            Status::Passed => Ok(Completion::Completed),
            Status::Skipped(reason) => Ok(Completion::ignored_with(reason)),
            Status::Failed(reason) => Err(Failed::from(format!(
                "{reason}\n\nit checks that {}",
                case.title
            ))),
        }
    })
}

fn on_a_runtime(target: &Target, case: &Case) -> Result<CaseResult, Failed> {
    let runtime = Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let mut left = 0;
    let mut result = runtime.block_on(execute(target, case, async {
        left = tasks_left().await;
    }));
    end(runtime);
    if left > 0 {
        let why = format!("{left} tasks were left after the provider was dropped");
        result.status = match result.status {
            Status::Failed(reason) => Status::Failed(format!("{reason}; moreover: {why}")),
            Status::Passed | Status::Skipped(_) => Status::Failed(why),
        };
    }
    Ok(result)
}

/// How many tasks are left in the runtime, once they had time to end.
async fn tasks_left() -> usize {
    let began = Instant::now();
    loop {
        let left = Handle::current().metrics().num_alive_tasks();
        if left == 0 || began.elapsed() > TASKS_END {
            return left;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Ends the runtime without waiting for a blocking call that hangs.
fn end(runtime: Runtime) {
    runtime.shutdown_timeout(Duration::from_secs(5));
}

/// Prints the tallies, and writes the reports where they are asked for.
fn conclude(results: &[(String, Results)]) -> std::io::Result<()> {
    let order: Vec<_> = super::cases().map(Case::id).collect();
    let directory = std::env::var_os(REPORTS).map(PathBuf::from);
    let mut out = std::io::stdout();
    for (target, results) in results {
        let mut results = results
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        if results.is_empty() {
            continue;
        }
        results.sort_by_key(|result| order.iter().position(|id| *id == result.id));
        let report = Report::new(target, results);
        writeln!(out, "{target}: {}", report.tally())?;
        if let Some(directory) = &directory {
            fs::create_dir_all(directory)?;
            let json = serde_json::to_string_pretty(&report)?;
            fs::write(directory.join(format!("{target}.json")), json)?;
            fs::write(directory.join(format!("{target}.xml")), report.to_junit())?;
        }
    }
    Ok(())
}
