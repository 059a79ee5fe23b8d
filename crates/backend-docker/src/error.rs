//! Everything that can go wrong, one variant for each step, and what it is in
//! the words of the contract.

use std::io;

use backend_core::{Error, ErrorKind, InstanceId, Operation, OutOfOrder};

use crate::discovery::DiscoveryFailure;
use crate::engine_error::EngineError;
use crate::image::ImageFailure;

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
    #[error("containers are Linux, so `os` cannot be `{0}`")]
    OtherSystem(String),
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

impl Failure {
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
            Self::VariableRefused(_) | Self::EnvironmentTooLarge | Self::OtherSystem(_) => {
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
