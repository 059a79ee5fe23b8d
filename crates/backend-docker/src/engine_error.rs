//! Why a call to the engine failed, and what that is in the words of the contract.

use std::time::Duration;

use backend_core::ErrorKind;
use bollard::errors::Error as BollardError;

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

    /// What its reader can do about it.
    pub(crate) fn hint(&self) -> Option<String> {
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
