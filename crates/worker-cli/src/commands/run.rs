//! `worker run`: one script, on an instance of its own.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use backend_core::{Environment, StartAttributes};
use worker_core::{
    Canceller, Job, JobResult, Limits, Listener, OnMaxOutput, OutputLimit, RetryStart, Secrets,
    run_job,
};

use crate::args::{
    AttributeArguments, EnvironmentArguments, Global, LimitArguments, MaxOutputAction, Profile,
    RunArguments,
};
use crate::exit::ExitStatus;
use crate::output::{ResultFile, event_log, event_writer, standard_output};
use crate::report::Problem;
use crate::{environment_file, providers, report, script, signals};

/// Runs the command. All that can be wrong with the command line is found
/// before anything is created.
pub(super) async fn run(
    arguments: Box<RunArguments>,
    global: &Global,
) -> anyhow::Result<ExitStatus> {
    // First of all, so that a cancel during the preparations is heard too:
    // reading a script from standard input may take forever.
    let canceller = Canceller::new();
    signals::cancel_on_signals(&canceller).context("cannot listen for signals")?;
    let arguments: Arc<RunArguments> = arguments.into();
    let read = tokio::task::spawn_blocking({
        let arguments = arguments.clone();
        move || job(&arguments)
    });
    let cancel = canceller.cancel_handle();
    let job = tokio::select! {
        biased;
        cause = cancel.requested() => return Ok(ExitStatus::of_cancel(Some(cause))),
        job = read => job??,
    };
    let backend = &arguments.backend;
    let provider = RetryStart::new(providers::provider(
        &backend.backend,
        &backend.options.options,
    )?);
    let mut result_file = arguments
        .result
        .as_deref()
        .map(ResultFile::create)
        .transpose()?;
    let mut listeners: Vec<Listener> = Vec::new();
    if let Some(path) = &arguments.events {
        listeners.push(Box::new(event_writer(path)?));
    }
    if !global.quiet {
        listeners.push(Box::new(report::narrate));
    }

    let mut sink = standard_output();
    let result = run_job(&provider, &job, &mut sink, &event_log(listeners), &cancel).await;
    super::settle(&provider).await;

    report_result(&result, result_file.as_mut(), global);
    Ok(ExitStatus::of(&result))
}

fn report_result(result: &JobResult, file: Option<&mut ResultFile>, global: &Global) {
    if let Some(file) = file
        && let Err(error) = file.write(result)
    {
        report::print_error(&error);
    }
    if !global.quiet || result.error.is_some() || result.stop_error.is_some() {
        report::say(&report::summary(result));
    }
}

fn job(arguments: &RunArguments) -> anyhow::Result<Job> {
    let limits = limits(&arguments.limits);
    limits.check().context(Problem::new(
        "these limits cannot hold",
        "`worker run --help` says what each limit is about",
    ))?;
    let mut environment = environment(&arguments.environment)?;
    let secrets = secrets(&arguments.environment.secret_env, &mut environment)?;
    let mut job = Job::new(script::load(&arguments.script)?);
    job.name.clone_from(&arguments.job);
    job.attributes = attributes(&arguments.attributes, &limits);
    job.environment = environment;
    job.secrets = secrets;
    job.limits = limits;
    job.owner.clone_from(&arguments.owner.owner);
    Ok(job)
}

fn environment(arguments: &EnvironmentArguments) -> anyhow::Result<Environment> {
    let mut environment = Environment::new();
    for path in &arguments.env_file {
        read_file(path, &mut environment).with_context(|| {
            let what = format!("cannot use the environment file `{}`", path.display());
            Problem::new(
                what,
                "each line is KEY=VALUE, empty, or a comment that begins with `#`",
            )
        })?;
    }
    for (name, value) in &arguments.env {
        environment.set(name, value).context(Problem::new(
            "cannot set a variable of --env",
            "give it another name, or a shorter value",
        ))?;
    }
    Ok(environment)
}

/// The secrets of the job, which are also set in `environment`.
fn secrets(names: &[String], environment: &mut Environment) -> anyhow::Result<Secrets> {
    for name in names {
        std::env::var(name)
            .map_err(anyhow::Error::from)
            .and_then(|value| Ok(environment.set(name, value).map(drop)?))
            .with_context(|| {
                let what = format!("cannot pass on the secret `{name}` of --secret-env");
                Problem::new(
                    what,
                    "set the variable in the environment of `worker` itself",
                )
            })?;
    }
    let secrets = Secrets::new();
    let value = |name| environment.get(name).unwrap_or_default().as_bytes();
    secrets
        .add(names.iter().map(|name| (name.as_str(), value(name))))
        .context(Problem::new(
            "cannot mask a secret of --secret-env",
            "use a longer secret, or pass it with -e if it need not be masked",
        ))?;
    Ok(secrets)
}

fn read_file(path: &PathBuf, environment: &mut Environment) -> anyhow::Result<()> {
    let text = std::fs::read_to_string(path)?;
    environment_file::read(&text, environment).map_err(anyhow::Error::msg)
}

fn attributes(arguments: &AttributeArguments, limits: &Limits) -> StartAttributes {
    let text = |argument: &Option<String>| argument.clone().unwrap_or_default();
    StartAttributes {
        language: text(&arguments.language),
        osx_image: text(&arguments.osx_image),
        dist: text(&arguments.dist),
        group: text(&arguments.group),
        os: text(&arguments.os),
        arch: text(&arguments.arch),
        image_name: text(&arguments.image),
        vm_type: text(&arguments.vm_type),
        hard_timeout: limits.hard,
    }
}

fn limits(arguments: &LimitArguments) -> Limits {
    let mut limits = match arguments.profile {
        Some(Profile::Ci) => Limits::ci(),
        None => Limits::default(),
    };
    limits.startup = arguments.startup_timeout.unwrap_or(limits.startup);
    limits.upload = arguments.upload_timeout.unwrap_or(limits.upload);
    limits.hard = arguments.hard_timeout.or(limits.hard);
    limits.silence = arguments.silence_timeout.or(limits.silence);
    limits.grace = arguments.grace.unwrap_or(limits.grace);
    if let Some(size) = arguments.max_output {
        limits.output = Some(OutputLimit {
            size,
            on_exceed: OnMaxOutput::Stop,
        });
    }
    if let (Some(output), Some(action)) = (&mut limits.output, arguments.on_max_output) {
        output.on_exceed = match action {
            MaxOutputAction::Stop => OnMaxOutput::Stop,
            MaxOutputAction::Truncate => OnMaxOutput::Truncate,
        };
    }
    limits
}
