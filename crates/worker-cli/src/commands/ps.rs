//! `worker ps`: the instances that exist, on every configured backend.

use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use backend_core::reap::ReapScope;
use backend_core::{Backend, Found, FoundState, Liveness, OwnerId, unix_seconds};
use serde_json::json;
use worker_core::reap_kept;

use crate::args::PsArguments;
use crate::exit::{ExitStatus, FAILURE, SUCCESS};
use crate::{kept, providers, report, table};

/// Runs the command. What was kept and is past its time is removed on the way.
pub(super) async fn ps(arguments: &PsArguments) -> anyhow::Result<ExitStatus> {
    let owner = OwnerId::current();
    let scope = ReapScope::Owner(owner.clone());
    let mut found = Vec::new();
    let mut status = SUCCESS;
    for (backend, provider) in providers::selected(&arguments.backends)? {
        let listing = match &provider {
            Ok(provider) => provider.list_reachable().await,
            Err(error) => Err(error.clone()).into(),
        };
        if let Ok(provider) = provider {
            let (left, reaped) = reap_kept(&*provider, &scope, listing.found).await;
            kept::tell(backend.alias, &reaped);
            found.extend(left.into_iter().map(|found| (backend, found)));
        }
        for error in listing.unanswered {
            report::print_no_answer(backend.alias, listing.answered, error);
            status = FAILURE;
        }
    }
    let text = if arguments.json {
        as_json(&found)?
    } else if found.is_empty() && status != SUCCESS {
        "no instances where there was an answer\n".to_owned()
    } else {
        as_table(&found, &owner, table::columns())
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

pub(crate) fn as_table(
    found: &[(&Backend, Found)],
    owner: &OwnerId,
    columns: Option<usize>,
) -> String {
    if found.is_empty() {
        return "no instances\n".into();
    }
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
            Liveness::Dead => "ended".to_owned(),
            Liveness::Elsewhere => "elsewhere".to_owned(),
        };
        let owner = if marks.owner == *owner {
            "you".to_owned()
        } else {
            marks.owner.to_string().chars().take(8).collect()
        };
        rows.push(vec![
            marks.instance.to_string(),
            backend.alias.to_owned(),
            state(found).to_owned(),
            age(marks.age(now)),
            if left == 0 {
                "past".to_owned()
            } else {
                format!("in {}", age(Duration::from_secs(left)))
            },
            worker,
            owner,
            // Whoever can make a container can say anything in its labels.
            table::one_line(marks.job.as_deref().unwrap_or_default()).into_owned(),
        ]);
    }
    table::fitted(&rows, columns)
}

fn state(found: &Found) -> &'static str {
    match (found.state, found.marks.kept) {
        (FoundState::Running, true) => "running, kept",
        (FoundState::Running, false) => "running",
        (FoundState::Stopped, true) => "stopped, kept",
        (FoundState::Stopped, false) => "stopped",
        (_, true) => "unknown, kept",
        (_, false) => "unknown",
    }
}

/// A duration in its two largest units.
pub(super) fn age(duration: Duration) -> String {
    let text = humantime::format_duration(Duration::from_secs(duration.as_secs())).to_string();
    text.split(' ').take(2).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use backend_core::{Capability, Error, StartContext};

    use super::*;

    static ANY: Backend = Backend {
        alias: "any",
        human_readable_name: "Any backend",
        options: || &[],
        provider: |_| Err(Error::unsupported(Capability::ExecutesScripts)),
    };

    fn found() -> Vec<(&'static Backend, Found)> {
        let mut context = StartContext::new()
            .owner("someone-else".parse().unwrap())
            .job("nightly build");
        context.id = "w-0123456789abcdef".parse().unwrap();
        let mut marks = context.marks();
        marks.created -= 3 * 3600 + 25 * 60;
        marks.worker.started += 1;
        marks.expires = marks.created + 1;
        marks.kept = true;
        vec![(&ANY, Found::new(marks, FoundState::Stopped, "here"))]
    }

    #[test]
    fn the_name_of_a_job_is_one_line_and_no_command_for_a_terminal() {
        let mut found = found();
        found[0].1.marks.job = Some("a\n\x1b[2Jb".into());
        let table = as_table(&found, &"me".parse().unwrap(), None);
        assert!(table.contains(r#""a\n\u{1b}[2Jb""#), "{table}");
        assert_eq!(table.lines().count(), 2);
    }

    #[test]
    fn a_table_where_it_fits_and_a_list_where_not() {
        let owner = "me".parse().unwrap();
        let shown = |columns| as_table(&found(), &owner, columns);
        insta::assert_snapshot!(shown(Some(60)), @"
        INSTANCE  w-0123456789abcdef
        BACKEND   any
        STATE     stopped, kept
        AGE       3h 25m
        EXPIRES   past
        WORKER    ended
        OWNER     someone-
        JOB       nightly build
        ");
        let wide = shown(None);
        assert_eq!(wide.lines().count(), 2);
        let mine = as_table(&found(), &"someone-else".parse().unwrap(), None);
        assert!(mine.contains(" you "), "{mine}");
    }
}
