//! `worker completions`: what a shell has to run, once, to complete command
//! lines of `worker`.

use clap_complete::env::{EnvCompleter as _, Fish, Zsh};

use crate::args::{CompletionsArguments, Shell};
use crate::completions::VARIABLE;
use crate::exit::{ExitStatus, SUCCESS};

/// The shell's own script of `clap_complete` takes `KEY=VALUE` apart.
const BASH: &str = include_str!("../completions.bash");

/// Runs the command.
pub(super) fn completions(arguments: &CompletionsArguments) -> anyhow::Result<ExitStatus> {
    let mut script = Vec::new();
    let name = "worker";
    match arguments.shell {
        Shell::Bash => script.extend_from_slice(BASH.as_bytes()),
        Shell::Zsh => Zsh.write_registration(VARIABLE, name, name, name, &mut script)?,
        Shell::Fish => Fish.write_registration(VARIABLE, name, name, name, &mut script)?,
    }
    super::print(&String::from_utf8_lossy(&script))?;
    Ok(SUCCESS)
}
