//! `worker matrix`: one script on several backends, side by side.

use std::fmt::Write as _;
use std::fs::File;
use std::sync::Arc;

use anyhow::Context as _;
use backend_core::{Provider, WriterSink};
use worker_core::{Cancel, Canceller, EventLog, Job, JobResult, RetryStart, run_job};

use super::run;
use crate::args::{BackendOptions, BackendSelection, MatrixArguments};
use crate::difference::{Difference, first_difference};
use crate::exit::{ExitStatus, FAILURE, SUCCESS};
use crate::report::Problem;
use crate::{providers, report, script, signals, table};

/// Runs the command.
pub(super) async fn matrix(arguments: &MatrixArguments) -> anyhow::Result<ExitStatus> {
    let canceller = Canceller::new();
    signals::cancel_on_signals(&canceller).context("cannot listen for signals")?;
    // All of them before anything is created.
    let jobs = jobs(arguments)?;
    let mut running = Vec::new();
    for (alias, job, provider) in jobs {
        let cancel = canceller.cancel_handle();
        running.push((alias, tokio::spawn(one(job, provider, cancel))));
    }
    let mut ended = Vec::new();
    for (alias, task) in running {
        let (result, output) = task.await??;
        if let Some(error) = &result.error {
            let what = format!("on backend `{alias}` the script never began");
            report::print_error(&anyhow::Error::from(error.clone()).context(what));
        }
        ended.push((alias, result, output));
    }
    let (text, alike) = compare(&ended)?;
    super::print(&text)?;
    Ok(if alike { SUCCESS } else { FAILURE })
}

/// A backend's alias, and what is to run there.
type Planned = (String, Job, Arc<dyn Provider>);
/// A backend's alias, and what came of it.
type Ended = (String, JobResult, File);

fn jobs(arguments: &MatrixArguments) -> anyhow::Result<Vec<Planned>> {
    let mut environment = run::environment(&arguments.environment)?;
    let secrets = run::secrets(&arguments.environment.secret_env, &mut environment)?;
    let script = script::load(&arguments.script)?;
    for (key, _) in &arguments.options {
        let alias = key.split_once('.').map(|(alias, _)| alias);
        if !alias.is_some_and(|alias| arguments.backends.iter().any(|known| known == alias)) {
            let what = format!("the option `{key}` is for none of the chosen backends");
            let hint = "write -o ALIAS.KEY=VALUE, with the alias of one that -b names";
            return Err(anyhow::Error::msg(Problem::new(what, hint)));
        }
    }
    let one = |alias: &String| {
        let own = arguments.options.iter().filter_map(|(key, value)| {
            let (of, key) = key.split_once('.')?;
            (of == alias).then(|| (key.to_owned(), value.clone()))
        });
        let options = BackendOptions {
            options: own.collect(),
        };
        let configured = providers::configured(&BackendSelection {
            backend: Some(alias.clone()),
            options,
        })?;
        let settings = &configured.settings;
        let limits = run::limits(&arguments.limits, settings);
        let mut job = Job::new(script.clone());
        job.attributes = run::attributes(&arguments.attributes, settings, &limits);
        job.environment = environment.clone();
        job.secrets = secrets.clone();
        job.limits = limits;
        Ok((alias.clone(), job, configured.provider))
    };
    arguments.backends.iter().map(one).collect()
}

/// One job; its output goes into a file without a name.
async fn one(
    job: Job,
    provider: Arc<dyn Provider>,
    cancel: Cancel,
) -> anyhow::Result<(JobResult, File)> {
    let output = tempfile::tempfile().context("cannot make a temporary file for the output")?;
    let file = output.try_clone()?;
    let mut sink = WriterSink(tokio::fs::File::from_std(file));
    let provider = RetryStart::new(provider);
    let result = run_job(&provider, &job, &mut sink, &EventLog::none(), &cancel).await;
    super::settle(&provider).await;
    Ok((result, output))
}

/// The table, and where outputs first differ; whether all ended alike.
fn compare(ended: &[Ended]) -> anyhow::Result<(String, bool)> {
    let mut rows = vec![
        ["BACKEND", "EXIT", "TIME", "BYTES", "SHA-256"]
            .map(str::to_owned)
            .to_vec(),
    ];
    for (alias, result, _) in ended {
        rows.push(vec![
            alias.clone(),
            exit(result),
            report::rounded(result.durations.run).to_string(),
            result.output_bytes.to_string(),
            result.output_sha256.chars().take(16).collect(),
        ]);
    }
    let mut text = table::fitted(&rows, table::columns());
    let Some(((first, result, output), others)) = ended.split_first() else {
        return Ok((text, true));
    };
    let mut alike = result.outcome.is_some();
    for (alias, other, other_output) in others {
        alike &= exit(other) == exit(result);
        if let Some(difference) = first_difference(output, other_output)? {
            alike = false;
            let Difference {
                offset,
                line,
                left,
                right,
            } = difference;
            let width = first.len().max(alias.len());
            writeln!(
                text,
                "\n`{first}` and `{alias}` differ at byte {offset}, in line {line}:\n  \
                 {first:<width$}  {left}\n  {alias:<width$}  {right}"
            )?;
        }
    }
    Ok((text, alike))
}

/// How a job ended, in a word.
fn exit(result: &JobResult) -> String {
    if let Some(code) = result.exit_code {
        return code.to_string();
    }
    serde_json::to_value(result.ended_by)
        .ok()
        .and_then(|word| word.as_str().map(str::to_owned))
        .unwrap_or_default()
}
