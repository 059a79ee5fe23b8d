//! `worker ps`: the instances that exist, on every configured backend.

use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use backend_core::{Backend, Found, Liveness, unix_seconds};
use serde_json::json;

use crate::args::PsArguments;
use crate::exit::{ExitStatus, FAILURE, SUCCESS};
use crate::{providers, report, table};

/// Runs the command.
pub(super) async fn ps(arguments: &PsArguments) -> anyhow::Result<ExitStatus> {
    let mut found = Vec::new();
    let mut status = SUCCESS;
    for (backend, provider) in providers::selected(&arguments.backends)? {
        let listed = match provider {
            Ok(provider) => provider.list().await,
            Err(error) => Err(error),
        };
        match listed {
            Ok(list) => found.extend(list.into_iter().map(|found| (backend, found))),
            Err(error) => {
                let asked = format!("backend `{}` did not answer", backend.alias);
                report::print_error(&anyhow::Error::from(error).context(asked));
                status = FAILURE;
            }
        }
    }
    let text = if arguments.json {
        as_json(&found)?
    } else {
        as_table(&found)
    };
    super::print(&text)?;
    Ok(status)
}

fn as_json(found: &[(&Backend, Found)]) -> anyhow::Result<String> {
    let entries: Vec<_> = found
        .iter()
        .map(|(backend, found)| json!({"backend": backend.alias, "instance": found}))
        .collect();
    Ok(serde_json::to_string_pretty(&entries).context("cannot write JSON")? + "\n")
}

fn as_table(found: &[(&Backend, Found)]) -> String {
    let now = SystemTime::now();
    let heading = [
        "INSTANCE", "BACKEND", "STATE", "AGE", "EXPIRES", "WORKER", "OWNER", "JOB",
    ];
    let mut rows = vec![heading.map(str::to_owned).to_vec()];
    for (backend, found) in found {
        let marks = &found.marks;
        let left = marks.expires.saturating_sub(unix_seconds(now));
        let worker = match marks.worker.liveness() {
            Liveness::Alive => format!("pid {}", marks.worker.pid),
            Liveness::Dead => "dead".to_owned(),
            Liveness::Elsewhere => "elsewhere".to_owned(),
        };
        rows.push(vec![
            marks.instance.to_string(),
            backend.alias.to_owned(),
            format!("{:?}", found.state).to_lowercase(),
            age(marks.age(now)),
            if left == 0 {
                "past".to_owned()
            } else {
                format!("in {}", age(Duration::from_secs(left)))
            },
            worker,
            marks.owner.to_string().chars().take(8).collect(),
            marks.job.clone().unwrap_or_default(),
        ]);
    }
    table::render(&rows)
}

/// A duration in its two largest units.
fn age(duration: Duration) -> String {
    let text = humantime::format_duration(Duration::from_secs(duration.as_secs())).to_string();
    text.split(' ').take(2).collect::<Vec<_>>().join(" ")
}
