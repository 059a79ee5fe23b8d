//! The program `worker`, as a library that its `main` calls.
//!
//! Here the concrete backends are named, and only to link them: each registers
//! itself with `backend-core`. A crate that nothing names is not linked, so
//! these lines are what a feature really switches.

#[cfg(feature = "docker")]
use backend_docker as _;
#[cfg(feature = "fake")]
use backend_fake as _;
#[cfg(feature = "http")]
use backend_http as _;
#[cfg(feature = "local")]
use backend_local as _;
#[cfg(feature = "ssh")]
use backend_ssh as _;

#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;

mod args;
mod commands;
mod completions;
mod config_file;
mod config_text;
mod difference;
#[cfg(all(
    test,
    feature = "docker",
    feature = "fake",
    feature = "http",
    feature = "local",
    feature = "ssh"
))]
mod documents;
mod environment_file;
mod exit;
mod exit_statuses;
mod files;
mod findings;
mod job_settings;
mod kept;
mod live;
mod option_facts;
mod output;
mod providers;
mod report;
mod script;
mod signals;
mod stderr;
mod table;
mod template;
mod terminal;

use std::process::ExitCode;

use clap::Parser as _;

/// Runs the program with the arguments of this process.
pub fn main() -> ExitCode {
    completions::answer();
    let arguments = args::Arguments::parse();
    stderr::install_log(&arguments.global);
    config_file::choose(arguments.global.config.clone());
    let status = commands::dispatch(arguments).unwrap_or_else(|error| {
        report::print_error(&error);
        exit::NEVER_STARTED
    });
    status.into()
}
