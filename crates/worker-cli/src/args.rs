//! The command line, as data: help, man pages and completions come from it.

use std::path::PathBuf;

use backend_core::{InstanceId, OwnerId};
use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::{ArgValueCandidates, ArgValueCompleter};

use crate::completions;

mod run;
pub(crate) mod values;

pub(crate) use run::{
    AttributeArguments, EnvironmentArguments, KeepWhen, LimitArguments, RunArguments,
    ScriptArguments,
};

use run::run_help;
use values::pair;

/// Runs a script on a disposable compute instance: a process here, a
/// container, a machine over SSH, or something behind an HTTP API. It streams
/// the output, says truthfully how the script ended, and leaves nothing
/// behind.
#[derive(Debug, Parser)]
#[command(
    name = "worker",
    version,
    propagate_version = true,
    max_term_width = 100
)]
#[command(after_help = "Run `worker help COMMAND` for more, with examples.")]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every command takes.
#[derive(Debug, Args)]
pub(crate) struct Global {
    /// Say nothing but errors on standard error
    #[arg(long, short, global = true, conflicts_with = "verbose")]
    pub(crate) quiet: bool,
    /// Say more on standard error; twice for debugging
    #[arg(long, short, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
    /// The form of the log on standard error
    #[arg(
        long,
        global = true,
        value_enum,
        default_value = "text",
        value_name = "FORM"
    )]
    pub(crate) log_format: LogFormat,
    /// Read the configuration from this file [default: ./worker.toml, else
    /// worker/worker.toml in the user's configuration directory]
    #[arg(
        long,
        global = true,
        env = "WORKER_CONFIG",
        hide_env_values = true,
        value_name = "FILE"
    )]
    pub(crate) config: Option<PathBuf>,
}

/// The form of the log on standard error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// Lines for people
    Text,
    /// Lines of JSON
    Json,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a script on an instance of its own
    #[command(after_long_help = run_help())]
    Run(Box<RunArguments>),
    /// List the backends of this program, or the options of one
    #[command(after_long_help = BACKENDS_EXAMPLES)]
    Backends(BackendsArguments),
    /// List the instances that exist, alive or left behind
    #[command(after_long_help = PS_EXAMPLES)]
    Ps(PsArguments),
    /// Open a shell, or run a command, in a kept or running instance
    #[command(after_long_help = SHELL_HELP)]
    Shell(ShellArguments),
    /// Try each step of the backends for real, and explain what does not work
    #[command(after_long_help = DOCTOR_EXAMPLES)]
    Doctor(DoctorArguments),
    /// Run one script on several backends, side by side
    #[command(after_long_help = MATRIX_EXAMPLES)]
    Matrix(Box<MatrixArguments>),
    /// Remove the instances that dead workers left behind
    #[command(after_long_help = REAP_RULES)]
    Reap(ReapArguments),
    /// Put a backend behind an HTTP API, for `-b http` and other clients
    #[cfg(feature = "http")]
    #[command(after_long_help = crate::commands::serve::SERVE_HELP)]
    Serve(Box<crate::commands::serve::ServeArguments>),
    /// Run the behaviour suite against a backend, for authors of backends
    #[command(after_long_help = CONFORMANCE_EXAMPLES)]
    Conformance(ConformanceArguments),
    /// Print what a shell needs to complete command lines of `worker`
    #[command(after_long_help = COMPLETIONS_HELP)]
    Completions(CompletionsArguments),
    /// Print the manual page of the program, or of one of its commands
    #[command(after_long_help = MAN_EXAMPLES)]
    Man(ManArguments),
}

const BACKENDS_EXAMPLES: &str = "\
Examples:
  worker backends                          what is compiled in
  worker backends docker                   the options of one
  worker backends docker --explain         what they are set to, and by what
  worker backends --explain                the same for the settings of the job
  worker backends --template > worker.toml
  worker backends --schema                 for editors";

const DOCTOR_EXAMPLES: &str = "\
It lists every endpoint, host, key and file that a backend would use, and by
what it was named. Then it connects, looks at version, clock and credentials,
gets the image, starts an instance, uploads, runs, cancels and stops, and looks
for what was left behind; never for more than a minute. The report can be
pasted: secrets are hidden.

Examples:
  worker doctor                       every configured backend
  worker doctor -b docker --image debian:12
  worker doctor -b ssh -o hosts=ci@build1

Exit status: 0 if all would work, else 1.";

const MATRIX_EXAMPLES: &str = "\
Examples:
  worker matrix -b local -b docker build.sh
  worker matrix -b local -b docker -o docker.network=none -c 'uname -a'

Exit status: 0 if all backends give the same exit and the same output, else 1.";

const PS_EXAMPLES: &str = "\
Examples:
  worker ps                    every configured backend
  worker ps -b docker --json   one of them, for a program
  worker shell ID              look into one of them";

const SHELL_HELP: &str = "\
It begins in the script's directory, with its environment and as its user, and it
ends with the instance. Without a terminal it needs a command, which then has
pipes: any bytes, and standard error apart.

Examples:
  worker run --keep on-failure build.sh    says how to enter what it keeps
  worker shell w-3f                        the beginning of an id is enough
  worker shell w-3f -- make test
  worker shell -b docker w-3f -- tar c . > found.tar

Exit status: that of the shell or command; 128+n if signal n ended it, 75 if the
instance or the connection ended first, 125 if it never began.";

const CONFORMANCE_EXAMPLES: &str = "\
Examples:
  worker conformance -b local
  worker conformance -b docker --image debian:12 --filter O3 --jobs 1
  worker conformance -b http -o endpoint=http://127.0.0.1:7070 --junit report.xml";

const COMPLETIONS_HELP: &str = "\
The shell then asks the program itself: it completes backends, the options of the
chosen backend, and the words that they take.

  bash   worker completions bash > ~/.local/share/bash-completion/completions/worker
  zsh    worker completions zsh > ~/.zfunc/_worker      (a directory of $fpath)
  fish   worker completions fish > ~/.config/fish/completions/worker.fish";

const MAN_EXAMPLES: &str = "\
Examples:
  worker man run | man -l -
  worker man --directory ~/.local/share/man/man1   all of them";

#[derive(Debug, Args)]
pub(crate) struct CompletionsArguments {
    /// The shell
    #[arg(value_enum)]
    pub(crate) shell: Shell,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Shell {
    Bash,
    Zsh,
    Fish,
}

#[derive(Debug, Args)]
pub(crate) struct ManArguments {
    /// The command [default: the program]
    pub(crate) command: Option<String>,
    /// Write every page into this directory
    #[arg(long, value_name = "DIR", conflicts_with = "command")]
    pub(crate) directory: Option<PathBuf>,
}

const REAP_RULES: &str = "\
An instance of yours is removed when the worker that made it is dead, or when
it is past its expiry (all limits of its job and 10 minutes; 24 hours without
a hard limit). Nothing younger than a minute is removed, and nothing of another
owner unless --all-owners is given and it is past its expiry.

Examples:
  worker reap --dry-run    say what would be removed, and why
  worker reap -b docker";

#[derive(Debug, Clone, Args)]
pub(crate) struct BackendSelection {
    /// The backend to use [default: local]
    #[arg(
        long,
        short,
        value_name = "ALIAS",
        env = "WORKER_BACKEND",
        hide_env_values = true
    )]
    #[arg(add = ArgValueCandidates::new(completions::aliases))]
    pub(crate) backend: Option<String>,
    #[command(flatten)]
    pub(crate) options: BackendOptions,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct BackendOptions {
    /// An option of the backend; may be repeated (`worker backends ALIAS` lists them)
    #[arg(long = "option", short = 'o', value_name = "KEY=VALUE", value_parser = pair)]
    #[arg(add = ArgValueCompleter::new(completions::options))]
    pub(crate) options: Vec<(String, String)>,
}

#[derive(Debug, Args)]
pub(crate) struct OwnerArgument {
    /// Act for this owner [default: made once per user and machine]
    #[arg(long, value_name = "ID", help_heading = "Ownership")]
    pub(crate) owner: Option<OwnerId>,
}

#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag")]
pub(crate) struct BackendsArguments {
    /// Show the options of this backend
    #[arg(add = ArgValueCandidates::new(completions::aliases))]
    pub(crate) alias: Option<String>,
    /// Print JSON; for one backend, with the schema of its options
    #[arg(long, conflicts_with_all = ["schema", "template", "explain"])]
    pub(crate) json: bool,
    /// Print the JSON schema of the options, without an alias that of worker.toml
    #[arg(long, conflicts_with_all = ["template", "explain"])]
    pub(crate) schema: bool,
    /// Print a worker.toml with every setting, commented out
    #[arg(long, conflicts_with_all = ["alias", "explain"])]
    pub(crate) template: bool,
    /// Say what each option is set to, and where that comes from
    #[arg(long)]
    pub(crate) explain: bool,
    /// An option of the backend, as `worker run` takes it; may be repeated
    #[arg(long = "option", short = 'o', value_name = "KEY=VALUE", value_parser = pair)]
    #[arg(add = ArgValueCompleter::new(completions::options))]
    #[arg(requires = "alias", requires = "explain")]
    pub(crate) options: Vec<(String, String)>,
}

/// One backend, or every one that is configured.
#[derive(Debug, Args)]
pub(crate) struct BackendsSelection {
    /// Ask this backend only [default: every configured one]
    #[arg(long, short, value_name = "ALIAS")]
    #[arg(add = ArgValueCandidates::new(completions::aliases))]
    pub(crate) backend: Option<String>,
    /// An option of the backend; may be repeated
    #[arg(long = "option", short = 'o', value_name = "KEY=VALUE", value_parser = pair)]
    #[arg(add = ArgValueCompleter::new(completions::options))]
    #[arg(requires = "backend")]
    pub(crate) options: Vec<(String, String)>,
}

#[derive(Debug, Args)]
pub(crate) struct DoctorArguments {
    #[command(flatten)]
    pub(crate) backends: BackendsSelection,
    /// Try this image
    #[arg(long)]
    pub(crate) image: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct MatrixArguments {
    #[command(flatten)]
    pub(crate) script: ScriptArguments,
    /// A backend to run on; once for each
    #[arg(long = "backend", short = 'b', value_name = "ALIAS", required = true)]
    #[arg(add = ArgValueCandidates::new(completions::aliases))]
    pub(crate) backends: Vec<String>,
    /// An option of one of the backends; may be repeated
    #[arg(long = "option", short = 'o', value_name = "ALIAS.KEY=VALUE", value_parser = pair)]
    pub(crate) options: Vec<(String, String)>,
    #[command(flatten)]
    pub(crate) environment: EnvironmentArguments,
    #[command(flatten)]
    pub(crate) attributes: AttributeArguments,
    #[command(flatten)]
    pub(crate) limits: LimitArguments,
}

#[derive(Debug, Args)]
pub(crate) struct PsArguments {
    #[command(flatten)]
    pub(crate) backends: BackendsSelection,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ShellArguments {
    /// The instance: its id, or the beginning of it
    #[arg(value_name = "ID", value_parser = NonEmptyStringValueParser::new())]
    #[arg(add = ArgValueCandidates::new(completions::kept))]
    pub(crate) instance: String,
    /// A program and its arguments, in place of a shell
    #[arg(last = true, value_name = "COMMAND")]
    pub(crate) command: Vec<String>,
    #[command(flatten)]
    pub(crate) backends: BackendsSelection,
}

#[derive(Debug, Args)]
pub(crate) struct ReapArguments {
    /// Remove these instances now, kept or not, unless their worker is alive
    #[arg(value_name = "ID")]
    pub(crate) instances: Vec<InstanceId>,
    #[command(flatten)]
    pub(crate) backends: BackendsSelection,
    /// Say what would be removed, and remove nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) owner: OwnerArgument,
    /// Remove everyone's instances that are past their expiry
    #[arg(long, conflicts_with = "owner")]
    pub(crate) all_owners: bool,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ConformanceArguments {
    #[command(flatten)]
    pub(crate) backend: BackendSelection,
    /// Run only the cases whose id or title holds this text; may be repeated
    #[arg(long, value_name = "TEXT")]
    pub(crate) filter: Vec<String>,
    /// Run only the basic part, for a first version of a backend
    #[arg(long)]
    pub(crate) basic: bool,
    /// An image by its name
    #[arg(long)]
    pub(crate) image: Option<String>,
    /// How many cases at a time
    #[arg(long, default_value_t = 2)]
    pub(crate) jobs: usize,
    /// Write a JUnit report to this file
    #[arg(long, value_name = "FILE")]
    pub(crate) junit: Option<PathBuf>,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn options_need_a_key_and_an_equals_sign() {
        assert_eq!(pair("a=b=c"), Ok(("a".into(), "b=c".into())));
        assert_eq!(pair("a="), Ok(("a".into(), String::new())));
        assert!(pair("a").is_err() && pair("=b").is_err());
    }
}
