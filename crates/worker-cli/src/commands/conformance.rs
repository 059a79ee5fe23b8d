//! `worker conformance`: the behaviour suite against any backend that the
//! program is linked with.

use anyhow::Context as _;
use backend_core::testkit::{CaseResult, Report, Selection, Status, Target, run};
use backend_core::{StartAttributes, backend};

use crate::args::ConformanceArguments;
use crate::exit::{ExitStatus, FAILURE, SUCCESS};
use crate::stderr::say;
use crate::{providers, report};

/// Runs the command.
pub(super) async fn conformance(arguments: &ConformanceArguments) -> anyhow::Result<ExitStatus> {
    let alias = &providers::alias(&arguments.backend)?;
    let attributes = StartAttributes {
        image_name: arguments.image.clone().unwrap_or_default(),
        ..StartAttributes::default()
    };
    let target = Target::new(backend(alias)?)
        .provider_config(providers::configuration(
            alias,
            &arguments.backend.options.options,
        )?)
        .attributes(attributes);
    let selection = if arguments.basic {
        Selection::basic()
    } else {
        Selection::all()
    };
    let selection = selection
        .filter(arguments.filter.iter().cloned())
        .jobs(arguments.jobs);
    let finished = run(&target, &selection, |result| say(&line(result))).await;
    if let Some(path) = &arguments.junit {
        std::fs::write(path, finished.to_junit())
            .with_context(|| format!("cannot write the report to `{}`", path.display()))?;
    }
    super::print(&Report::table(std::slice::from_ref(&finished)))?;
    anyhow::ensure!(!finished.results.is_empty(), "no case matches the filter");
    Ok(if finished.passed() { SUCCESS } else { FAILURE })
}

fn line(result: &CaseResult) -> String {
    let took = report::rounded(result.duration);
    match &result.status {
        Status::Passed => format!("ok      {} ({took})\n", result.id),
        Status::Skipped(reason) => format!("skipped {}: {reason}\n", result.id),
        Status::Failed(reason) => {
            format!(
                "FAILED  {}: {}\n        {reason}\n",
                result.id, result.title
            )
        }
    }
}
