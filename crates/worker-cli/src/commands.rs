//! One module for each command.

mod backends;
mod completions;
mod conformance;
mod doctor;
mod man;
mod matrix;
pub(crate) mod ps;
mod reap;
mod run;
#[cfg(feature = "http")]
pub(crate) mod serve;
mod shell;

use std::pin::Pin;
use std::time::Duration;

use backend_core::Provider;

use crate::args::{Arguments, Command};
use crate::exit::ExitStatus;

/// How long the program waits, before it exits, for the clean-up of what was
/// dropped on the way.
const SETTLE_PATIENCE: Duration = Duration::from_mins(1);

/// Carries out the command.
pub(crate) fn dispatch(arguments: Arguments) -> anyhow::Result<ExitStatus> {
    let global = arguments.global;
    match arguments.command {
        Command::Run(arguments) => on_runtime(run::run(arguments, &global)),
        Command::Backends(arguments) => backends::backends(&arguments),
        Command::Completions(arguments) => completions::completions(&arguments),
        Command::Man(arguments) => man::man(&arguments),
        Command::Shell(arguments) => on_runtime(shell::shell(&arguments, &global)),
        Command::Doctor(arguments) => on_runtime(doctor::doctor(&arguments)),
        Command::Matrix(arguments) => on_runtime(matrix::matrix(&arguments)),
        Command::Ps(arguments) => on_runtime(ps::ps(&arguments)),
        Command::Reap(arguments) => on_runtime(reap::reap(&arguments)),
        #[cfg(feature = "http")]
        Command::Serve(arguments) => on_runtime(serve::serve(*arguments)),
        Command::Conformance(arguments) => on_runtime(conformance::conformance(&arguments)),
    }
}

fn on_runtime<T>(command: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    // Boxed, so that there is one runtime's loop in the program, and not one for
    // each command.
    let command: Pin<Box<dyn Future<Output = _> + '_>> = Box::pin(command);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let result = runtime.block_on(command);
    // A thread that waits in a read or write nobody will finish must not hold
    // up the end of the program.
    runtime.shutdown_background();
    result
}

/// Waits for the clean-up of what was dropped.
async fn settle(provider: &dyn Provider) {
    if tokio::time::timeout(SETTLE_PATIENCE, provider.settle())
        .await
        .is_err()
    {
        tracing::warn!("the clean-up takes too long: `worker reap` will find what is left");
    }
}

/// Writes a command's answer to standard output. A reader that has gone away
/// is not an error.
fn print(text: &str) -> anyhow::Result<()> {
    use std::io::Write as _;

    let mut output = std::io::stdout().lock();
    match output
        .write_all(text.as_bytes())
        .and_then(|()| output.flush())
    {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}
