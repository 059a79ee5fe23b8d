//! The arguments of `worker run`, some of which other commands share.

use std::path::PathBuf;
use std::time::Duration;

use backend_core::ByteSize;
use clap::{Args, ValueEnum};

use super::values::{choice, duration, pair, size};
use super::{BackendSelection, OwnerArgument};
use crate::exit_statuses;
use crate::job_settings::{MaxOutputAction, Profile};

const RUN_EXAMPLES: &str = "\
Examples:
  worker run build.sh                       a script, as a process of this machine
  worker run -c 'echo $MODE' -e MODE=fast   a line of shell, a variable
  generate | worker run -                   a script from standard input
  worker run -e MODE=fast --hard-timeout 10m build.sh
  worker run -b docker --image debian:12 build.sh
  worker run -b ssh -o hosts=ci@build1 build.sh
  worker run -b fake -o exit-code=3 build.sh    a rehearsal

Standard output is the script's output and nothing else.

";

pub(super) fn run_help() -> String {
    let statuses = exit_statuses::help();
    format!("{RUN_EXAMPLES}{statuses}`--result FILE` tells for sure which of these it was.")
}

#[derive(Debug, Args)]
pub(crate) struct RunArguments {
    #[command(flatten)]
    pub(crate) script: ScriptArguments,
    #[command(flatten)]
    pub(crate) backend: BackendSelection,
    #[command(flatten)]
    pub(crate) environment: EnvironmentArguments,
    #[command(flatten)]
    pub(crate) attributes: AttributeArguments,
    #[command(flatten)]
    pub(crate) limits: LimitArguments,
    /// A name for the job; it is on everything that is created
    #[arg(long, value_name = "NAME")]
    pub(crate) job: Option<String>,
    /// Leave the instance when the job is over, and print how to enter and remove it
    #[arg(long, value_enum, value_name = "WHEN")]
    pub(crate) keep: Option<KeepWhen>,
    /// Write the output to this file as well; it then goes on when standard
    /// output is closed
    #[arg(long, value_name = "FILE", help_heading = "Reports")]
    pub(crate) output: Option<PathBuf>,
    /// Write the result to this file, as JSON
    #[arg(long, value_name = "FILE", help_heading = "Reports")]
    pub(crate) result: Option<PathBuf>,
    /// Write what happens to this file, as lines of JSON
    #[arg(long, value_name = "FILE", help_heading = "Reports")]
    pub(crate) events: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) owner: OwnerArgument,
}

/// When to leave an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum KeepWhen {
    /// However the job ends
    Always,
    /// Unless it is a success, or is cancelled
    OnFailure,
}

/// Where the script comes from: one of the two.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct ScriptArguments {
    /// The script: a path, or `-` for standard input
    #[arg(value_name = "SCRIPT")]
    pub(crate) path: Option<PathBuf>,
    /// The script's text, in place of a path
    #[arg(long, short = 'c', value_name = "TEXT")]
    pub(crate) command: Option<String>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Environment of the script")]
pub(crate) struct EnvironmentArguments {
    /// Set a variable; may be repeated
    #[arg(long, short, value_name = "KEY=VALUE", value_parser = pair)]
    pub(crate) env: Vec<(String, String)>,
    /// Set the variables of a file: a KEY=VALUE each line, `#` begins a comment line
    #[arg(long, value_name = "FILE")]
    pub(crate) env_file: Vec<PathBuf>,
    /// Pass on a variable of this environment, and mask its value everywhere
    #[arg(long, value_name = "KEY")]
    pub(crate) secret_env: Vec<String>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "What the job wants of its instance")]
pub(crate) struct AttributeArguments {
    /// An image by its name
    #[arg(long)]
    pub(crate) image: Option<String>,
    /// The language of the script, to choose an image by
    #[arg(long)]
    pub(crate) language: Option<String>,
    /// The distribution, to choose an image by
    #[arg(long)]
    pub(crate) dist: Option<String>,
    /// The processor architecture
    #[arg(long)]
    pub(crate) arch: Option<String>,
    /// The release group, to choose an image by
    #[arg(long)]
    pub(crate) group: Option<String>,
    /// The operating system, to choose an image by
    #[arg(long)]
    pub(crate) os: Option<String>,
    /// The macOS image
    #[arg(long)]
    pub(crate) osx_image: Option<String>,
    /// The class of machine
    #[arg(long)]
    pub(crate) vm_type: Option<String>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Limits")]
pub(crate) struct LimitArguments {
    /// A set of limits: `ci` is 50 min hard, 10 min of silence, 4.5 MB of output
    #[arg(long, value_parser = choice::<Profile>())]
    pub(crate) profile: Option<Profile>,
    /// How long the start may take [default: 4m]
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub(crate) startup_timeout: Option<Duration>,
    /// How long the upload may take [default: 3m 30s]
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub(crate) upload_timeout: Option<Duration>,
    /// How long the script may run [default: no limit]
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub(crate) hard_timeout: Option<Duration>,
    /// How long the script may be silent [default: no limit]
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub(crate) silence_timeout: Option<Duration>,
    /// How long the script has between TERM and KILL [default: 10s]
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub(crate) grace: Option<Duration>,
    /// How much the script may write, such as 4500000 or 64M [default: no limit]
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub(crate) max_output: Option<ByteSize>,
    /// What happens when it writes more [default: stop]
    #[arg(long, value_parser = choice::<MaxOutputAction>())]
    pub(crate) on_max_output: Option<MaxOutputAction>,
}
