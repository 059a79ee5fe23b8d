//! `worker run`: one script, on an instance of its own.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use backend_core::{Capability, Chain, Environment, Error, ErrorKind, Provider, StartAttributes};
use worker_core::{
    Canceller, EndedBy, Job, JobResult, Keep, Limits, Listener, OnMaxOutput, OutputLimit,
    RetryStart, Secrets, run_job,
};

use crate::args::{
    AttributeArguments, EnvironmentArguments, Global, KeepWhen, LimitArguments, RunArguments,
};
use crate::exit::ExitStatus;
use crate::files::{ResultFile, event_log, event_writer};
use crate::job_settings::{JobSettings, MaxOutputAction, Profile};
use crate::live::Live;
use crate::output::Output;
use crate::report::Problem;
use crate::{environment_file, kept, providers, report, script, signals, stderr};

/// How long a run may take to remove what was kept and is past its time.
const TIDY_PATIENCE: Duration = Duration::from_secs(20);

/// Runs the command. All that can be wrong with the command line is found
/// before anything is created, and told in the result file too.
pub(super) async fn run(
    arguments: Box<RunArguments>,
    global: &Global,
) -> anyhow::Result<ExitStatus> {
    // First of all, so that a cancel during the preparations is heard too:
    // reading a script from standard input may take forever.
    let canceller = Canceller::new();
    signals::cancel_on_signals(&canceller).context("cannot listen for signals")?;
    let path = arguments.result.as_deref();
    let mut file = path.map(ResultFile::create).transpose()?;
    let name = arguments.job.clone();
    let arguments = Arc::new(*arguments);
    let ran = carry_out(arguments.clone(), global, &canceller).await;
    let result = match &ran {
        Ok(result) => result,
        Err(error) => &JobResult::never_started(name, Some(as_one(error))),
    };
    if let Some(file) = &mut file
        && let Err(error) = file.write(result)
    {
        report::print_error(&error);
    }
    let result = ran?;
    report::conclude(&result, global.quiet);
    if result.kept.is_some() {
        let configured = providers::configured(&arguments.backend)?;
        let reached = kept::Reached {
            alias: &providers::alias(&arguments.backend)?,
            options: &arguments.backend.options.options,
            config: global.config.as_deref(),
            has_shells: configured.provider.capabilities().has(Capability::Shell),
        };
        kept::conclude(&result, &reached, global.quiet);
    }
    Ok(ExitStatus::of(&result))
}

async fn carry_out(
    arguments: Arc<RunArguments>,
    global: &Global,
    canceller: &Canceller,
) -> anyhow::Result<JobResult> {
    let read = tokio::task::spawn_blocking({
        let arguments = arguments.clone();
        move || job(&arguments)
    });
    let cancel = canceller.cancel_handle();
    let job = tokio::select! {
        biased;
        cause = cancel.requested() => {
            let mut result = JobResult::never_started(arguments.job.clone(), None);
            result.ended_by = EndedBy::Cancel;
            result.cancelled_by = Some(cause);
            return Ok(result);
        }
        job = read => job??,
    };
    let (job, provider) = job;
    let provider = RetryStart::new(provider);
    let mut listeners: Vec<Listener> = Vec::new();
    if let Some(path) = &arguments.events {
        listeners.push(Box::new(event_writer(path)?));
    }
    let live = Live::begin(global);
    if !global.quiet {
        let mut shown = live.as_ref().map(Live::listener);
        listeners.push(Box::new(move |event| {
            if !shown.as_mut().is_some_and(|shown| shown(event)) {
                report::narrate(event);
            }
        }));
    }
    let mut output = Output::open(arguments.output.as_deref())?;
    output.cancel_when_closed(canceller);
    let events = event_log(listeners);
    // Beside the job, so that it costs no time.
    let alias = providers::alias(&arguments.backend)?;
    let tidy = kept::tidy(&alias, &provider, job.owner.clone());
    let run = run_job(&provider, &job, &mut output, &events, &cancel);
    let (result, ()) = tokio::join!(run, async {
        tokio::time::timeout(TIDY_PATIENCE, tidy).await.ok();
    });
    super::settle(&provider).await;
    drop(live);
    if let Some(complaint) = output.complaint() {
        tracing::warn!("{complaint}");
    }
    Ok(result)
}

/// An error as it goes into the result: with all of its reasons.
fn as_one(error: &anyhow::Error) -> Error {
    Error::new(ErrorKind::InvalidInput, Chain(error.as_ref()).to_string())
        .map_texts(|text| stderr::secrets().mask_text(text))
}

fn job(arguments: &RunArguments) -> anyhow::Result<(Job, Arc<dyn Provider>)> {
    // The secrets first: they are masked in what is told of all else.
    let mut environment = environment(&arguments.environment)?;
    let secrets = secrets(&arguments.environment.secret_env, &mut environment)?;
    let configured = providers::configured(&arguments.backend)?;
    let settings = &configured.settings;
    let limits = limits(&arguments.limits, settings);
    limits.check().context(Problem::new(
        "these limits cannot hold",
        "`worker run --help` says what each limit is about",
    ))?;
    let mut job = Job::new(script::load(&arguments.script)?);
    job.name.clone_from(&arguments.job);
    job.attributes = attributes(&arguments.attributes, settings, &limits);
    job.environment = environment;
    job.secrets = secrets;
    job.limits = limits;
    job.owner.clone_from(&arguments.owner.owner);
    job.keep = match arguments.keep {
        None => Keep::Never,
        Some(KeepWhen::Always) => Keep::Always,
        Some(KeepWhen::OnFailure) => Keep::OnFailure,
    };
    Ok((job, configured.provider))
}

pub(super) fn environment(arguments: &EnvironmentArguments) -> anyhow::Result<Environment> {
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
pub(super) fn secrets(names: &[String], environment: &mut Environment) -> anyhow::Result<Secrets> {
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
    let secrets = stderr::secrets();
    let value = |name| environment.get(name).unwrap_or_default().as_bytes();
    secrets
        .add(names.iter().map(|name| (name.as_str(), value(name))))
        .context(Problem::new(
            "cannot mask a secret of --secret-env",
            "use a longer secret, or pass it with -e if it need not be masked",
        ))?;
    Ok(secrets.clone())
}

fn read_file(path: &PathBuf, environment: &mut Environment) -> anyhow::Result<()> {
    let text = std::fs::read_to_string(path)?;
    environment_file::read(&text, environment).map_err(anyhow::Error::msg)
}

pub(super) fn attributes(
    arguments: &AttributeArguments,
    settings: &JobSettings,
    limits: &Limits,
) -> StartAttributes {
    let text = |argument: &Option<String>, setting: &Option<String>| {
        argument
            .as_ref()
            .or(setting.as_ref())
            .cloned()
            .unwrap_or_default()
    };
    StartAttributes {
        language: text(&arguments.language, &settings.language),
        osx_image: text(&arguments.osx_image, &settings.osx_image),
        dist: text(&arguments.dist, &settings.dist),
        group: text(&arguments.group, &settings.group),
        os: text(&arguments.os, &settings.os),
        arch: text(&arguments.arch, &settings.arch),
        image_name: text(&arguments.image, &settings.image),
        vm_type: text(&arguments.vm_type, &settings.vm_type),
        hard_timeout: limits.hard,
    }
}

/// The limits: each from the command line, else from the configuration, else
/// from the profile.
pub(super) fn limits(arguments: &LimitArguments, settings: &JobSettings) -> Limits {
    let mut limits = match arguments.profile.or(settings.profile) {
        Some(Profile::Ci) => Limits::ci(),
        None => Limits::default(),
    };
    let first = |argument: Option<Duration>, setting: Option<Duration>| argument.or(setting);
    let startup = first(arguments.startup_timeout, settings.startup_timeout);
    limits.startup = startup.unwrap_or(limits.startup);
    let upload = first(arguments.upload_timeout, settings.upload_timeout);
    limits.upload = upload.unwrap_or(limits.upload);
    limits.hard = first(arguments.hard_timeout, settings.hard_timeout).or(limits.hard);
    limits.silence = first(arguments.silence_timeout, settings.silence_timeout).or(limits.silence);
    let grace = first(arguments.grace, settings.grace);
    limits.grace = grace.unwrap_or(limits.grace);
    if let Some(size) = arguments.max_output.or(settings.max_output) {
        limits.output = Some(OutputLimit {
            size,
            on_exceed: OnMaxOutput::Stop,
        });
    }
    let action = arguments.on_max_output.or(settings.on_max_output);
    if let (Some(output), Some(action)) = (&mut limits.output, action) {
        output.on_exceed = match action {
            MaxOutputAction::Stop => OnMaxOutput::Stop,
            MaxOutputAction::Truncate => OnMaxOutput::Truncate,
        };
    }
    limits
}
