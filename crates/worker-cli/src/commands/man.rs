//! `worker man`: manual pages, from the same data as `--help`.

use std::path::Path;

use anyhow::Context as _;
use backend_core::nearest;
use clap::{Command, CommandFactory as _};
use clap_mangen::Man;

use crate::args::{Arguments, ManArguments};
use crate::exit::{ExitStatus, SUCCESS};
use crate::files::cannot_write;
use crate::report::Problem;

/// Runs the command.
pub(super) fn man(arguments: &ManArguments) -> anyhow::Result<ExitStatus> {
    let pages = pages();
    if let Some(directory) = &arguments.directory {
        for page in &pages {
            write(page, directory)?;
        }
        return Ok(SUCCESS);
    }
    let wanted = match &arguments.command {
        Some(command) => format!("worker-{command}"),
        None => "worker".to_owned(),
    };
    let page = pages.iter().find(|page| name(page) == wanted);
    let page = page.with_context(|| unknown(&wanted, &pages))?;
    super::print(&String::from_utf8_lossy(&rendered(page)?))?;
    Ok(SUCCESS)
}

/// The program and each of its commands.
fn pages() -> Vec<Command> {
    let mut program = Arguments::command();
    // Gives each command the name of its page.
    program.build();
    let commands = program.get_subcommands();
    let commands = commands.filter(|command| command.get_name() != "help");
    let commands: Vec<_> = commands.cloned().collect();
    std::iter::once(program).chain(commands).collect()
}

/// `worker`, or `worker-run`.
fn name(page: &Command) -> &str {
    page.get_display_name().unwrap_or(page.get_name())
}

fn rendered(page: &Command) -> std::io::Result<Vec<u8>> {
    let mut text = Vec::new();
    Man::new(page.clone()).render(&mut text)?;
    Ok(text)
}

fn write(page: &Command, directory: &Path) -> anyhow::Result<()> {
    let path = directory.join(format!("{}.1", name(page)));
    std::fs::write(&path, rendered(page)?).with_context(|| cannot_write("manual page", &path))
}

fn unknown(wanted: &str, pages: &[Command]) -> Problem {
    let wanted = wanted.trim_start_matches("worker-");
    let names = || {
        let names = pages.iter().map(name);
        names.filter_map(|page| page.strip_prefix("worker-"))
    };
    let message = match nearest(wanted, names()) {
        Some(near) => format!("there is no command `{wanted}`: did you mean `{near}`?"),
        None => format!("there is no command `{wanted}`"),
    };
    Problem::new(message, "`worker --help` lists the commands")
}
