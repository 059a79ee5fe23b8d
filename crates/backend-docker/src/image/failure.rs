//! Why there is no image to start from.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use backend_core::ErrorKind;

use crate::engine_error::EngineError;

/// Cheap to clone, since several starts may wait for one pull.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum ImageFailure {
    #[error("no image was named, and none is set for these attributes")]
    NotChosen,
    #[error("`{name}` is not the name of an image: {why}")]
    Malformed { name: String, why: String },
    #[error("`{text}` is not a platform: {why}")]
    Platform { text: String, why: &'static str },
    #[error("there is no image `{name}` on the engine, and it is not pulled: {why}")]
    NotThere { name: String, why: &'static str },
    #[error("cannot pull `{name}`{}", Trouble(.credentials))]
    Pull {
        name: String,
        problem: PullProblem,
        /// What was wrong with the credentials, if something was.
        credentials: Option<String>,
        source: Arc<EngineError>,
    },
    #[error("the pull of `{name}` made no progress for {limit:?}")]
    Stalled { name: String, limit: Duration },
    #[error("cannot {step} `{name}`")]
    Engine {
        step: &'static str,
        name: String,
        source: Arc<EngineError>,
    },
    #[error("`{name}` was pulled for another platform than {platform}")]
    OtherPlatform { name: String, platform: String },
    #[error("cannot use {} as a root file system: {why}", path.display())]
    NotATar { path: PathBuf, why: &'static str },
    #[error("cannot read the root file system {}", path.display())]
    Unreadable {
        path: PathBuf,
        source: Arc<io::Error>,
    },
    #[error("cannot import the root file system {}", path.display())]
    Import {
        path: PathBuf,
        source: Arc<EngineError>,
    },
    #[error("the import of {} made no progress for {limit:?}", path.display())]
    ImportStalled { path: PathBuf, limit: Duration },
    #[error("the root file system {} changed while it was read", .0.display())]
    Changed(PathBuf),
    #[error("the runtime ended")]
    RuntimeEnded,
}

/// What keeps an image from being pulled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PullProblem {
    /// There is no such image, or none for the platform.
    NotFound,
    /// The registry asks for credentials, or refused those that it got.
    Denied,
    /// The registry's certificate is not one that the engine trusts.
    Untrusted,
    /// The registry takes no more for now.
    TooMany,
    /// The engine's disk is full.
    Full,
    /// The registry does not answer as it should, for now.
    Unreachable,
    /// The engine itself does not answer.
    Engine,
    /// Anything else.
    Other,
}

impl PullProblem {
    /// What an error of the engine means. Engines say most of it as text only:
    /// the status is 500 whatever happened at the registry.
    pub(crate) fn of(error: &EngineError) -> Self {
        match error {
            EngineError::Status { status, message } => Self::of_message(*status, message),
            EngineError::Connection { .. } | EngineError::Timeout { .. } => Self::Engine,
            EngineError::Protocol { .. } | EngineError::Missing(_) | EngineError::Nonsense(_) => {
                Self::Other
            }
        }
    }

    fn of_message(status: u16, message: &str) -> Self {
        // In this order: "denied: too many failed logins" is refused for good,
        // and "manifest unknown" may come with the word "unauthorized".
        const SIGNS: [(PullProblem, &[&str]); 6] = [
            (
                PullProblem::TooMany,
                &["toomanyrequests", "too many requests", "rate limit"],
            ),
            (PullProblem::Full, &["no space left"]),
            (
                PullProblem::Untrusted,
                &["x509:", "server gave http response to https", "tls: "],
            ),
            (
                PullProblem::Denied,
                &[
                    "denied",
                    "unauthorized",
                    "no basic auth credentials",
                    "authentication required",
                    "forbidden",
                    "incorrect username or password",
                ],
            ),
            (
                PullProblem::NotFound,
                &[
                    "manifest unknown",
                    "not found",
                    "name unknown",
                    "no matching manifest",
                    "no such image",
                    "no image found in",
                    "does not exist",
                ],
            ),
            (
                PullProblem::Unreachable,
                &[
                    "connection refused",
                    "connection reset",
                    "no such host",
                    "no route to host",
                    "network is unreachable",
                    "timeout",
                    "timed out",
                    "deadline exceeded",
                    "unexpected eof",
                    ": eof",
                    "server misbehaving",
                    "temporary failure",
                    "unexpected http status: 5",
                    "status code 5",
                    "service unavailable",
                    "bad gateway",
                    "internal server error",
                    "request canceled",
                ],
            ),
        ];
        let message = message.to_lowercase();
        let sign = SIGNS
            .into_iter()
            .find(|(_, signs)| signs.iter().any(|sign| message.contains(sign)));
        match (sign, status) {
            (Some((problem, _)), _) => problem,
            (None, 401 | 403) => Self::Denied,
            (None, 404) => Self::NotFound,
            (None, 429) => Self::TooMany,
            (None, 502..=504) => Self::Unreachable,
            (None, _) => Self::Other,
        }
    }

    fn kind(self) -> ErrorKind {
        match self {
            Self::NotFound => ErrorKind::NotFound,
            Self::Denied => ErrorKind::Denied,
            Self::Untrusted => ErrorKind::Untrusted,
            Self::TooMany | Self::Full => ErrorKind::Exhausted,
            Self::Unreachable | Self::Engine => ErrorKind::Unreachable,
            Self::Other => ErrorKind::Protocol,
        }
    }

    fn hint(self) -> Option<&'static str> {
        Some(match self {
            Self::NotFound => "check the image's name, tag and platform",
            Self::Denied => {
                "check the image's name; if it is private, `docker login` to its registry"
            }
            Self::Untrusted => {
                "give the engine the registry's certificate, or list the registry under its insecure registries"
            }
            Self::TooMany => "wait, or `docker login` for a higher limit",
            Self::Full => "make room on the engine's disk: `docker system df` shows what fills it",
            Self::Unreachable => "check that the engine can reach the registry, and try again",
            Self::Engine | Self::Other => return None,
        })
    }
}

impl ImageFailure {
    pub(crate) fn kind(&self) -> ErrorKind {
        match self {
            Self::NotChosen
            | Self::Malformed { .. }
            | Self::NotATar { .. }
            | Self::Platform { .. } => ErrorKind::InvalidInput,
            Self::NotThere { .. } | Self::OtherPlatform { .. } => ErrorKind::NotFound,
            Self::Pull { problem, .. } => problem.kind(),
            Self::Stalled { .. } | Self::ImportStalled { .. } => ErrorKind::TimedOut,
            Self::Unreadable { source, .. } => match source.kind() {
                io::ErrorKind::NotFound => ErrorKind::NotFound,
                io::ErrorKind::PermissionDenied => ErrorKind::Denied,
                _ => ErrorKind::Io,
            },
            Self::Import { source, .. } => match (source.kind(), &**source) {
                // The archive breaks off, or is none behind its beginning.
                (ErrorKind::Io, EngineError::Status { message, .. }) if message.contains("tar") => {
                    ErrorKind::InvalidInput
                }
                (kind, _) => kind,
            },
            Self::Engine { source, .. } => source.kind(),
            Self::Changed(_) => ErrorKind::InvalidState,
            Self::RuntimeEnded => ErrorKind::Cancelled,
        }
    }

    pub(crate) fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NotChosen => {
                "name one with `--image`, or set the option `default-image`".into()
            }
            Self::Malformed { .. } => "an image is named as in `debian:12`, `registry.example.com:5000/team/tool:1` or `debian@sha256:…`".into(),
            Self::Platform { .. } => "such as `linux/arm64` or `linux/arm/v7`".into(),
            Self::NotThere { .. } => {
                "`docker pull` it, or set the option `pull-policy` to `missing`".into()
            }
            Self::Pull { problem, .. } => problem.hint()?.into(),
            Self::Stalled { .. } => {
                "check the engine's connection to the registry; the option `pull-timeout` sets the limit".into()
            }
            Self::OtherPlatform { .. } => "check the option `platform`".into(),
            Self::NotATar { .. } => {
                "the option `rootfs` names a tar file, compressed or not, such as `docker export` writes".into()
            }
            Self::Unreadable { .. } => "check the option `rootfs`".into(),
            _ => return None,
        })
    }

    /// Whether the same start may succeed later.
    pub(crate) fn is_retryable(&self) -> bool {
        match self {
            Self::Pull { problem, .. } => matches!(
                problem,
                PullProblem::TooMany | PullProblem::Unreachable | PullProblem::Engine
            ),
            Self::Stalled { .. } | Self::ImportStalled { .. } | Self::Changed(_) => true,
            Self::Engine { .. } | Self::Import { .. } => matches!(
                self.kind(),
                ErrorKind::Unreachable | ErrorKind::TimedOut | ErrorKind::Exhausted
            ),
            _ => false,
        }
    }
}

/// What was wrong with the credentials, in brackets.
struct Trouble<'a>(&'a Option<String>);

impl fmt::Display for Trouble<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(trouble) => write!(f, " (without credentials: {trouble})"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What Docker 20.10 and 28 and Podman 4.3 say.
    #[test]
    fn the_words_of_engines_are_told_apart() {
        for (status, message, problem, retryable) in [
            (
                404,
                "manifest for 127.0.0.1:5000/x:1 not found: manifest unknown: manifest unknown",
                PullProblem::NotFound,
                false,
            ),
            (
                404,
                "pull access denied for nosuch, repository does not exist or may require 'docker login': denied: requested access to the resource is denied",
                PullProblem::Denied,
                false,
            ),
            (
                500,
                "Get \"http://127.0.0.1:5000/v2/x/manifests/1\": no basic auth credentials",
                PullProblem::Denied,
                false,
            ),
            (
                500,
                "unauthorized: authentication required",
                PullProblem::Denied,
                false,
            ),
            (
                500,
                "toomanyrequests: You have reached your pull rate limit.",
                PullProblem::TooMany,
                true,
            ),
            (
                500,
                "Get \"http://127.0.0.1:1/v2/\": dial tcp 127.0.0.1:1: connect: connection refused",
                PullProblem::Unreachable,
                true,
            ),
            (
                500,
                "received unexpected HTTP status: 503 Service Unavailable",
                PullProblem::Unreachable,
                true,
            ),
            (
                500,
                "net/http: TLS handshake timeout",
                PullProblem::Unreachable,
                true,
            ),
            (
                500,
                "Get \"https://r/v2/\": net/http: request canceled while waiting for connection (Client.Timeout exceeded while awaiting headers)",
                PullProblem::Unreachable,
                true,
            ),
            (
                500,
                "Get \"https://127.0.0.1:5000/v2/\": http: server gave HTTP response to HTTPS client",
                PullProblem::Untrusted,
                false,
            ),
            (
                500,
                "Get \"https://r/v2/\": x509: certificate signed by unknown authority",
                PullProblem::Untrusted,
                false,
            ),
            (
                500,
                "no matching manifest for linux/s390x in the manifest list entries",
                PullProblem::NotFound,
                false,
            ),
            (
                500,
                "write /var/lib/docker/tmp/GetImageBlob1: no space left on device",
                PullProblem::Full,
                false,
            ),
            (500, "something new", PullProblem::Other, false),
            (503, "something new", PullProblem::Unreachable, true),
            (429, "", PullProblem::TooMany, true),
        ] {
            let source = EngineError::Status {
                status,
                message: message.into(),
            };
            assert_eq!(PullProblem::of(&source), problem, "{message}");
            let failure = ImageFailure::Pull {
                name: "x:1".into(),
                problem,
                credentials: None,
                source: Arc::new(source),
            };
            assert_eq!(failure.is_retryable(), retryable, "{message}");
        }
    }

    proptest! {
        #[test]
        fn any_message_is_some_problem(status: u16, message in ".{0,60}") {
            PullProblem::of_message(status, &message);
        }
    }
}
