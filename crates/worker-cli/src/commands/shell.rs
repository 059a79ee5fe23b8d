//! `worker shell`: a shell, or a command, in an instance that exists.

use std::io::{self, IsTerminal as _};
use std::sync::Arc;

use anyhow::Context as _;
use backend_core::{
    Backend, Capability, Found, LossCause, Outcome, Provider, ShellOptions, ShellStreams,
};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use worker_core::{CancelCause, Canceller};

use crate::args::{Global, ShellArguments};
use crate::exit::ExitStatus;
use crate::report::Problem;
use crate::stderr::say;
use crate::terminal::Raw;
use crate::{kept, providers, report, signals, terminal};

/// Runs the command.
pub(super) async fn shell(
    arguments: &ShellArguments,
    global: &Global,
) -> anyhow::Result<ExitStatus> {
    let interactive = arguments.command.is_empty();
    // A command whose output goes elsewhere gives its bytes as they are.
    let on_terminal = io::stdin().is_terminal() && (interactive || io::stdout().is_terminal());
    if interactive && !on_terminal {
        return Err(anyhow::Error::msg(Problem::new(
            "a shell needs a terminal, and standard input is none",
            "give it a command to run: `worker shell ID -- COMMAND`",
        )));
    }
    let instance = find(arguments).await?;
    if !instance.provider.capabilities().has(Capability::Shell) {
        return Err(refusal(&instance));
    }
    if interactive && !global.quiet {
        greet(&instance);
    }
    let ended = attend(&instance, arguments, on_terminal).await;
    super::settle(&*instance.provider).await;
    let outcome = match ended? {
        Ended::Itself(outcome) => outcome,
        Ended::Told(status) => return Ok(status),
    };
    if let Outcome::Lost(loss) = &outcome {
        if on_terminal {
            // The cursor is wherever the shell has left it.
            say("\n");
        }
        let hint = match loss.cause {
            LossCause::InstanceGone => "`worker ps` lists the instances that exist",
            _ => "the instance may still be there: `worker ps` lists those that exist",
        };
        report::print_error(&anyhow::Error::msg(Problem::new(&*loss.detail, hint)));
    }
    Ok(ExitStatus::of_outcome(&outcome))
}

/// An instance that exists.
struct Existing {
    backend: &'static Backend,
    provider: Arc<dyn Provider>,
    found: Found,
}

/// How a shell came to its end.
enum Ended {
    /// So.
    Itself(Outcome),
    /// This process was told to end, or its output was closed.
    Told(ExitStatus),
}

/// Stays with the shell until it ends, or this process is told to.
async fn attend(
    instance: &Existing,
    arguments: &ShellArguments,
    on_terminal: bool,
) -> anyhow::Result<Ended> {
    let canceller = Canceller::new();
    listen(&canceller).context("cannot listen for signals")?;
    let cancel = canceller.cancel_handle();
    let described = on_terminal.then(terminal::describe).transpose();
    let options = ShellOptions {
        command: arguments.command.clone(),
        terminal: described.context("cannot listen to the terminal")?,
    };
    let streams = ShellStreams {
        input: &mut tokio::io::stdin(),
        output: &mut tokio::io::stdout(),
        errors: &mut tokio::io::stderr(),
    };
    let raw = on_terminal.then(Raw::enter).transpose();
    let raw = raw.context("cannot change the mode of the terminal")?;
    let shell = instance.provider.shell(&instance.found, &options, streams);
    let ended = tokio::select! {
        biased;
        cause = cancel.requested() => Ok(Ended::Told(ExitStatus::of_cancel(Some(cause)))),
        ended = shell => ended.map(Ended::Itself),
    };
    drop(raw);
    match ended {
        Err(error) if is_closed(&error) => {
            let status = ExitStatus::of_cancel(Some(CancelCause::OutputClosed));
            Ok(Ended::Told(status))
        }
        ended => Ok(ended?),
    }
}

/// Whether our own output was closed, which is no error.
fn is_closed(error: &(dyn std::error::Error + 'static)) -> bool {
    let own = error.downcast_ref::<io::Error>();
    own.is_some_and(|own| own.kind() == io::ErrorKind::BrokenPipe)
        || error.source().is_some_and(is_closed)
}

/// Cancels whenever this process is asked to end, by QUIT too: its usual end
/// would leave the terminal as it is.
fn listen(canceller: &Canceller) -> io::Result<()> {
    signals::cancel_on_signals(canceller)?;
    let mut quit = signal(SignalKind::quit())?;
    let canceller = canceller.clone();
    tokio::spawn(async move {
        while quit.recv().await.is_some() {
            canceller.cancel(CancelCause::Terminate);
        }
    });
    Ok(())
}

/// Finds the instance by its id, at once, or by the beginning of it, which
/// only one may have. All backends are asked at the same time.
async fn find(arguments: &ShellArguments) -> anyhow::Result<Existing> {
    let wanted = arguments.instance.as_str();
    let mut lists = JoinSet::new();
    for (backend, provider) in providers::selected(&arguments.backends)? {
        lists.spawn(async move {
            let listing = match &provider {
                Ok(provider) => provider.list_reachable().await,
                Err(error) => Err(error.clone()).into(),
            };
            (backend, provider, listing)
        });
    }
    let (mut candidates, mut silent) = (Vec::new(), Vec::new());
    while let Some(listed) = lists.join_next().await {
        let (backend, provider, listing) = listed.context("cannot ask a backend")?;
        for error in listing.unanswered {
            silent.push((backend.alias, listing.answered, error));
        }
        let Ok(provider) = provider else {
            continue;
        };
        for found in listing.found {
            let id = found.marks.instance.as_str();
            let (exact, fits) = (id == wanted, id.starts_with(wanted));
            let existing = Existing {
                backend,
                provider: provider.clone(),
                found,
            };
            if exact {
                return Ok(existing);
            }
            if fits {
                candidates.push(existing);
            }
        }
    }
    for (alias, answered, error) in silent {
        report::print_no_answer(alias, answered, error);
    }
    choose(wanted, candidates)
}

fn choose(wanted: &str, mut candidates: Vec<Existing>) -> anyhow::Result<Existing> {
    let problem = |message, hint| anyhow::Error::msg(Problem::new(message, hint));
    let only = candidates.pop().ok_or_else(|| {
        let message = format!("there is no instance `{wanted}`");
        problem(message, "`worker ps` lists those that exist")
    })?;
    if candidates.is_empty() {
        return Ok(only);
    }
    candidates.push(only);
    let mut names: Vec<_> = candidates
        .iter()
        .map(|one| format!("{} on {}", one.found.marks.instance, one.backend.alias))
        .collect();
    names.sort();
    let message = format!("`{wanted}` may be any of {}", names.join(", "));
    Err(problem(message, "give more of the id"))
}

fn refusal(instance: &Existing) -> anyhow::Error {
    let error = backend_core::Error::unsupported(Capability::Shell);
    let message = format!(
        "cannot open a shell in the instance `{}` on backend `{}`",
        instance.found.marks.instance, instance.backend.alias
    );
    let hint = "`local`, `docker` and `ssh` have shells; an instance behind a server can be \
                entered on the server's machine, by its id";
    anyhow::Error::from(error).context(Problem::new(message, hint))
}

fn greet(instance: &Existing) {
    let marks = &instance.found.marks;
    let until = if marks.kept {
        format!("kept until {}", kept::minute(marks.expires))
    } else {
        "which ends with its job".to_owned()
    };
    say(&format!(
        "worker: in {} on {}, {until}; `exit` leaves it\n",
        marks.instance, instance.backend.alias
    ));
}
