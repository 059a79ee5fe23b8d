//! Everything that can go wrong, one variant for each step, and what it is in
//! the words of the contract.

use std::io;
use std::time::Duration;

use backend_core::{Error, ErrorKind, InstanceId, Operation, OutOfOrder};
use bollard::errors::Error as BollardError;
use tokio::time::{Instant, sleep};

use crate::container::Container;
use crate::discovery::DiscoveryFailure;
use crate::gate::{Broken, NEVER_BEGAN};
use crate::image::ImageFailure;
use crate::inspection::Inspection;

#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The engine refused, or said something else than was asked for.
    #[error("cannot {step}")]
    Engine { step: String, source: EngineError },
    #[error("the image `{image}` cannot run /bin/sh: {reason}")]
    NoShell { image: String, reason: String },
    #[error("the container ended {during}: {reason}")]
    EndedEarly {
        during: &'static str,
        reason: String,
    },
    #[error("the container was removed {0}")]
    Gone(&'static str),
    #[error("the container could not take what was sent {during}: {reason}")]
    Refused {
        during: &'static str,
        reason: String,
    },
    #[error("the container had no room for what was sent {during}")]
    NoRoom { during: &'static str },
    #[error("the container ran out of memory {during}")]
    NoMemory { during: &'static str },
    /// Engines hear too late at times of what the kernel did, and for what.
    #[error("the container was killed {during}, most likely for lack of memory")]
    Killed { during: &'static str },
    #[error("a variable of the environment is one that the image's shell keeps for itself: {0}")]
    VariableRefused(String),
    #[error("the environment is more than a process can be given")]
    EnvironmentTooLarge,
    #[error("the connection to the container broke {during}")]
    Stream {
        during: &'static str,
        source: io::Error,
    },
    #[error("the container said what makes no sense {during}: {said}")]
    Nonsense { during: &'static str, said: String },
    #[error("the attribute `{attribute}` cannot be `{value}`: containers are Linux")]
    NotLinux {
        attribute: &'static str,
        value: String,
    },
    #[error(transparent)]
    Order(#[from] OutOfOrder),
    #[error("container {0} has ended, and nothing can be run in it")]
    Ended(String),
    #[error("cannot write the output of the shell")]
    ShellOutput(#[source] io::Error),
    #[error("the start was cancelled")]
    Cancelled,
    #[error("the runtime ended")]
    RuntimeEnded,
    #[error("may be left: container {name} on the engine at {endpoint}")]
    Leftover {
        name: String,
        endpoint: String,
        source: EngineError,
    },
    #[error("container {0} is not the instance that was found")]
    OtherInstance(String),

    // Each of these has its own kind, hint, and word on retrying.
    #[error(transparent)]
    Image(ImageFailure),
    #[error(transparent)]
    Discovery(DiscoveryFailure),
}

/// Why a call to the engine failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EngineError {
    #[error("the engine says: {message}")]
    Status { status: u16, message: String },
    #[error("the engine at {endpoint} does not answer")]
    Connection {
        endpoint: String,
        source: BollardError,
    },
    #[error("the engine at {endpoint} did not answer within {limit:?}")]
    Timeout { endpoint: String, limit: Duration },
    #[error("the engine at {endpoint} said something that makes no sense")]
    Protocol {
        endpoint: String,
        source: BollardError,
    },
    #[error("the engine did not say {0}")]
    Missing(&'static str),
    #[error("the engine sent {0}")]
    Nonsense(String),
}

impl EngineError {
    /// A refusal of the engine, with its message on one line and of a length
    /// that can be read.
    pub(crate) fn status(status: u16, message: &str) -> Self {
        const MOST: usize = 500;
        let mut text = message.split_whitespace().collect::<Vec<_>>().join(" ");
        if text.is_empty() {
            text = "nothing about why".into();
        }
        if let Some((end, _)) = text.char_indices().nth(MOST) {
            text.truncate(end);
            text.push('…');
        }
        Self::Status {
            status,
            message: text,
        }
    }
}

impl EngineError {
    /// Whether the engine itself says that there is no such container or image.
    pub(crate) fn is_gone(&self) -> bool {
        matches!(self, Self::Status { status: 404, message } if message.contains("o such"))
    }

    /// Whether it cannot be done in the container's state.
    pub(crate) fn is_conflict(&self) -> bool {
        matches!(self, Self::Status { status: 409, .. })
    }

    pub(crate) fn kind(&self) -> ErrorKind {
        match self {
            Self::Status { status, message } => kind_of(*status, message),
            Self::Connection { .. } => ErrorKind::Unreachable,
            Self::Timeout { .. } => ErrorKind::TimedOut,
            Self::Protocol { .. } | Self::Missing(_) | Self::Nonsense(_) => ErrorKind::Protocol,
        }
    }
}

/// What a refusal of the engine's is. Engines use 400, 404 and 500 for many
/// things; the text says which.
fn kind_of(status: u16, message: &str) -> ErrorKind {
    let text = message.to_ascii_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| text.contains(word));
    if says(&[
        "no space left",
        "no available ip",
        "too many open files",
        "cannot allocate memory",
    ]) {
        return ErrorKind::Exhausted;
    }
    if says(&["unknown runtime", "unknown or invalid runtime"]) {
        return ErrorKind::NotFound;
    }
    match status {
        401 | 403 => ErrorKind::Denied,
        404 => ErrorKind::NotFound,
        409 => ErrorKind::InvalidState,
        429 | 503 => ErrorKind::Exhausted,
        400 => ErrorKind::InvalidInput,
        _ if says(&["not found", "no such"]) => ErrorKind::NotFound,
        _ if says(&["invalid", "does not exist", "minimum memory"]) => ErrorKind::InvalidInput,
        _ => ErrorKind::Io,
    }
}

impl Failure {
    /// What is wrong with a gate: what broke, seen together with the state of
    /// its container.
    pub(crate) async fn of_gate(
        container: &Container,
        during: &'static str,
        broken: Option<Broken>,
    ) -> Self {
        let is_new = broken.is_some();
        let (said, broke) = match broken {
            Some(Broken::Refused(why, told)) => {
                let reason = told.trim_end().to_owned();
                return match why.as_str() {
                    // The one that was killed need not be the gate.
                    "killed" => Self::NoMemory { during },
                    _ if reason.contains("Killed") || reason.contains("allocate memory") => {
                        Self::NoMemory { during }
                    }
                    "size" => Self::EnvironmentTooLarge,
                    "environment" => Self::VariableRefused(reason),
                    "full" => Self::NoRoom { during },
                    _ => Self::Refused { during, reason },
                };
            }
            Some(Broken::Unexpected(report)) => {
                let said = format!("{report:?}");
                return Self::Nonsense { during, said };
            }
            Some(Broken::Stream(source)) if source.kind() == io::ErrorKind::InvalidData => {
                return Self::Stream { during, source };
            }
            Some(Broken::Stream(source)) => (String::new(), Some(source)),
            Some(Broken::Ended(said)) => (said, None),
            None => (String::new(), None),
        };
        let found = if is_new {
            ended(container).await
        } else {
            container.inspect().await
        };
        match found {
            Err(error) if error.is_gone() => Self::Gone(during),
            Err(error) => match broke {
                Some(source) => Self::Stream { during, source },
                None => Self::Engine {
                    step: format!("talk to the container {during}"),
                    source: error,
                },
            },
            Ok(found) if found.state.oom_killed => Self::NoMemory { during },
            Ok(found) if found.state.exit_code == Some(137) && found.host.memory > 0 => {
                Self::Killed { during }
            }
            // That is how a gate ends whose input does.
            Ok(found)
                if found.state.has_ended() && found.state.exit_code != Some(NEVER_BEGAN.into()) =>
            {
                let code = found.state.exit_code.unwrap_or(-1);
                let mut reason = format!("its first process exited with {code}");
                for more in [found.state.error, said] {
                    if !more.is_empty() {
                        reason = format!("{reason}: {more}");
                    }
                }
                Self::EndedEarly { during, reason }
            }
            Ok(_) => Self::Stream {
                during,
                source: broke.unwrap_or_else(|| io::ErrorKind::UnexpectedEof.into()),
            },
        }
    }

    /// The error of the contract, for this operation.
    pub(crate) fn during(self, operation: Operation) -> Error {
        let (kind, hint, retryable) = (self.kind(), self.hint(), self.is_retryable());
        Error::failed(kind, "docker", operation, self)
            .with_hint_if_any(hint)
            .retryable_if(retryable && operation == Operation::Start)
    }

    /// The error of the contract, for this operation on this instance.
    pub(crate) fn on(self, id: &InstanceId, operation: Operation) -> Error {
        self.during(operation).on_instance(id)
    }

    fn kind(&self) -> ErrorKind {
        match self {
            Self::Engine { source, .. } => source.kind(),
            Self::EndedEarly { .. } | Self::Gone(_) => ErrorKind::Gone,
            Self::NoRoom { .. } | Self::NoMemory { .. } | Self::Killed { .. } => {
                ErrorKind::Exhausted
            }
            Self::NoShell { .. } | Self::Refused { .. } => ErrorKind::Unsuitable,
            Self::VariableRefused(_) | Self::EnvironmentTooLarge | Self::NotLinux { .. } => {
                ErrorKind::InvalidInput
            }
            Self::Stream { .. } => ErrorKind::Unreachable,
            Self::Nonsense { .. } => ErrorKind::Protocol,
            Self::Order(call) => call.kind(),
            Self::Ended(_) => ErrorKind::InvalidState,
            Self::ShellOutput(_) => ErrorKind::Io,
            Self::Cancelled | Self::RuntimeEnded => ErrorKind::Cancelled,
            Self::Leftover { .. } => ErrorKind::Leftover,
            Self::OtherInstance(_) => ErrorKind::InvalidInput,
            Self::Image(failure) => failure.kind(),
            Self::Discovery(failure) => failure.kind(),
        }
    }

    /// Whether a start that failed so may succeed later: what it had made is
    /// removed, and nothing of a script was there yet.
    fn is_retryable(&self) -> bool {
        match self {
            Self::Stream { .. } => true,
            Self::Engine { source, .. } => matches!(
                source.kind(),
                ErrorKind::Unreachable | ErrorKind::TimedOut | ErrorKind::Exhausted
            ),
            Self::Image(failure) => failure.is_retryable(),
            Self::Discovery(failure) => failure.is_retryable(),
            _ => false,
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Image(failure) => return failure.hint(),
            Self::Discovery(failure) => return failure.hint(),
            Self::Engine { source, .. } => return source.hint(),
            Self::NoShell { .. } => {
                "choose an image with /bin/sh, such as `debian` or `busybox`: Worker begins its container with it"
            }
            Self::NoRoom { .. } => {
                "script and environment may have 512 MiB together: have the script fetch what is large"
            }
            Self::NoMemory { .. } | Self::Killed { .. } => {
                "script and environment are kept in memory of the container: raise the option `memory`"
            }
            Self::Refused { .. } => "the image needs the programs `head`, `wc` and `mkdir`",
            Self::VariableRefused(_) => "give the variable another name",
            Self::EnvironmentTooLarge => "put large values into the script, not into variables",
            Self::Leftover { .. } => "`worker reap -b docker` tries again",
            _ => return None,
        };
        Some(hint.into())
    }
}

/// What the engine says of a container whose stream has broken or ended: if that
/// is for the container's own end, the engine may know it later.
async fn ended(container: &Container) -> Result<Inspection, EngineError> {
    const LAG: Duration = Duration::from_secs(5);
    let began = Instant::now();
    loop {
        let found = container.inspect().await?;
        if found.state.has_ended() || began.elapsed() > LAG {
            return Ok(found);
        }
        sleep(LAG / 50).await;
    }
}

impl EngineError {
    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Connection { .. } => {
                "is the engine running, and may this user use its socket? `worker backends docker` shows the option `endpoint`"
            }
            Self::Timeout { .. } => {
                "a busy engine needs more time: raise the option `request-timeout`"
            }
            Self::Status { message, .. }
                if message.contains("unknown or invalid runtime")
                    || message.contains("Unknown runtime") =>
            {
                "`docker info` lists the runtimes of the engine"
            }
            Self::Status { message, .. }
                if message.contains("network") && message.contains("not found") =>
            {
                "`docker network ls` lists the networks of the engine; Worker makes none"
            }
            Self::Status { message, .. } if message.contains("bind source path does not exist") => {
                "the source of a bind is a path of the engine's machine, and has to exist there"
            }
            _ => return None,
        };
        Some(hint.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_engine_says_has_a_kind() {
        for (status, message, kind) in [
            (404, "No such image: x", ErrorKind::NotFound),
            (404, "network x not found", ErrorKind::NotFound),
            (
                400,
                "invalid mount config for type \"bind\": bind source path does not exist: /x",
                ErrorKind::InvalidInput,
            ),
            (400, "Unknown runtime specified x", ErrorKind::NotFound),
            (
                400,
                "Minimum memory limit allowed is 6MB",
                ErrorKind::InvalidInput,
            ),
            (403, "denied", ErrorKind::Denied),
            (409, "Conflict", ErrorKind::InvalidState),
            (
                500,
                "write /x: no space left on device",
                ErrorKind::Exhausted,
            ),
            (500, "network x not found", ErrorKind::NotFound),
            (500, "boom", ErrorKind::Io),
            (503, "", ErrorKind::Exhausted),
        ] {
            assert_eq!(kind_of(status, message), kind, "{status} {message}");
        }
    }

    #[test]
    fn a_404_from_something_in_between_is_not_gone() {
        let error = |message: &str| EngineError::Status {
            status: 404,
            message: message.into(),
        };
        assert!(error("No such container: x").is_gone());
        assert!(error("no such container").is_gone());
        assert!(!error("404 page not found").is_gone());
        assert!(!error("<html>Not Found</html>").is_gone());
    }
}
