//! `worker reap`: removes what dead workers left behind.

use backend_core::reap::ReapScope;
use backend_core::{Backend, Chain, OwnerId};
use serde_json::json;
use worker_core::{Reaped, Reaping};

use crate::args::ReapArguments;
use crate::exit::{ExitStatus, FAILURE, SUCCESS};
use crate::{kept, providers, report};

/// Runs the command.
pub(super) async fn reap(arguments: &ReapArguments) -> anyhow::Result<ExitStatus> {
    let owner = arguments
        .owner
        .owner
        .clone()
        .unwrap_or_else(OwnerId::current);
    let scope = if arguments.all_owners {
        ReapScope::AllOwners(owner)
    } else {
        ReapScope::Owner(owner)
    };
    let mut status = SUCCESS;
    let mut all_answered = true;
    let mut all = Vec::new();
    for (backend, provider) in providers::selected(&arguments.backends)? {
        let reaping = match &provider {
            Ok(provider) => {
                let (scope, dry_run) = (&scope, arguments.dry_run);
                if arguments.instances.is_empty() {
                    worker_core::reap(&**provider, scope, dry_run).await
                } else {
                    let ids = &arguments.instances;
                    worker_core::reap_named(&**provider, scope, ids, dry_run).await
                }
            }
            Err(error) => Reaping {
                reaped: Vec::new(),
                answered: 0,
                unanswered: vec![error.clone()],
            },
        };
        all.extend(reaping.reaped.into_iter().map(|reaped| (backend, reaped)));
        for error in reaping.unanswered {
            report::print_no_answer(backend.alias, reaping.answered, error);
            all_answered = false;
        }
        if let Ok(provider) = provider {
            super::settle(&*provider).await;
        }
    }
    for (backend, reaped) in &all {
        if matches!(reaped.removal, Some(Ok(()))) {
            kept::forget(backend.alias, reaped.found.marks.instance.as_str());
        }
    }
    for id in &arguments.instances {
        if !all
            .iter()
            .any(|(_, reaped)| reaped.found.marks.instance == *id)
        {
            let message = if all_answered {
                format!("there is no instance `{id}`")
            } else {
                format!("there is no instance `{id}` where there was an answer")
            };
            let hint = "`worker ps` lists those that exist";
            report::print_error(&anyhow::Error::msg(report::Problem::new(message, hint)));
            status = FAILURE;
        }
    }
    let failed = |(_, reaped): &(_, Reaped)| matches!(reaped.removal, Some(Err(_)));
    if !all_answered || all.iter().any(failed) {
        status = FAILURE;
    }
    let text = if arguments.json {
        as_json(&all)?
    } else {
        as_lines(&all, all_answered)
    };
    super::print(&text)?;
    Ok(status)
}

fn as_json(all: &[(&Backend, Reaped)]) -> anyhow::Result<String> {
    let entries: Vec<_> = all
        .iter()
        .map(|(backend, reaped)| {
            json!({
                "backend": backend.alias,
                "instance": reaped.found,
                "removes": reaped.decision.removes(),
                "reason": reaped.decision.to_string(),
                "removed": matches!(reaped.removal, Some(Ok(()))),
                "error": reaped.removal.as_ref().and_then(|removal| {
                    removal.as_ref().err().map(|error| Chain(error).to_string())
                }),
            })
        })
        .collect();
    Ok(serde_json::to_string_pretty(&entries)? + "\n")
}

fn as_lines(all: &[(&Backend, Reaped)], all_answered: bool) -> String {
    if all.is_empty() && all_answered {
        return "nothing was left behind\n".into();
    }
    if all.is_empty() {
        return "nothing was left behind where there was an answer\n".into();
    }
    all.iter()
        .map(|(backend, reaped)| line(backend, reaped))
        .collect()
}

fn line(backend: &Backend, reaped: &Reaped) -> String {
    let done = match &reaped.removal {
        Some(Ok(())) => "removed".to_owned(),
        Some(Err(error)) => format!("could not be removed ({})", Chain(error)),
        None if reaped.decision.removes() => "would be removed".to_owned(),
        None => "left".to_owned(),
    };
    let instance = &reaped.found.marks.instance;
    format!(
        "{instance} on {}: {done}: {}\n",
        backend.alias, reaped.decision
    )
}
