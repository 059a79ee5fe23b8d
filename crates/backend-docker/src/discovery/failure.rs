//! Why there is no engine.

use std::fmt;
use std::io;
use std::time::Duration;

use backend_core::ErrorKind;

use super::origin::Origin;
use super::version::ApiVersion;
use crate::docker_config::BadFile;
use crate::endpoint::Endpoint;

#[derive(Debug, thiserror::Error)]
pub(crate) enum DiscoveryFailure {
    #[error("the endpoint of {origin} cannot be used: {why}")]
    Malformed { origin: Origin, why: String },
    #[error("the endpoint of {0} cannot be found")]
    Configuration(Origin, #[source] BadFile),
    #[error("docker's current context, and so the endpoint, cannot be found")]
    CurrentContext(#[source] BadFile),
    #[error("there can be no TLS to the endpoint of {origin}")]
    Tls { origin: Origin, source: BadFile },
    #[error("the option `cert-path` is set, and {0}")]
    NoUseForCertificates(String),
    #[error("the engine at the endpoint {endpoint}, which {origin} names, cannot be used")]
    Named {
        origin: Origin,
        endpoint: String,
        source: Unanswered,
    },
    #[error("no engine answers at any endpoint that was tried: {}", List(.tried))]
    None { tried: Vec<(String, Unanswered)> },
    #[error("the runtime ended")]
    RuntimeEnded,
}

/// Why one endpoint cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unanswered {
    #[error("there is no such socket")]
    Absent,
    #[error("nothing listens there")]
    Refused,
    #[error("{0}")]
    Denied(String),
    #[error("it cannot be reached: {0}")]
    Connection(String),
    #[error("its certificate is refused: {0}")]
    Untrusted(String),
    #[error("it refuses our certificate, or wants one: {0}")]
    Distrusting(String),
    #[error("it does not speak TLS")]
    NoTls,
    #[error("it speaks TLS only")]
    TlsOnly,
    #[error("it did not answer within {0:?}")]
    Timeout(Duration),
    #[error("it is not an engine: {0}")]
    NotAnEngine(String),
    #[error(
        "its API has the version {0}, and the oldest that is supported is {least}",
        least = crate::MIN_SUPPORTED_API_VERSION
    )]
    TooOld(ApiVersion),
}

impl Unanswered {
    /// What an error of the connection means.
    pub(super) fn connection(error: &io::Error, endpoint: &Endpoint) -> Self {
        if let Some(error) = tls_error(error) {
            return Self::tls(error);
        }
        match error.kind() {
            io::ErrorKind::NotFound => Self::Absent,
            io::ErrorKind::ConnectionRefused => Self::Refused,
            io::ErrorKind::PermissionDenied => Self::Denied(match endpoint {
                Endpoint::Unix(path) => backend_core::why_unusable(path, error),
                Endpoint::Tcp { .. } | Endpoint::Ssh(_) => "permission denied".into(),
            }),
            _ => Self::Connection(error.to_string()),
        }
    }

    /// What an error of HTTP means. In TLS 1.3 a server refuses its client only
    /// after the handshake, and may close the connection faster than it can say
    /// why.
    pub(super) fn answer(error: &hyper::Error, endpoint: &Endpoint) -> Self {
        let after_tls = endpoint.has_tls();
        let mut next: Option<&(dyn std::error::Error + 'static)> = Some(error);
        while let Some(error) = next {
            if let Some(error) = error.downcast_ref::<io::Error>() {
                return match Self::connection(error, endpoint) {
                    Self::Connection(why) if after_tls => Self::Distrusting(why),
                    meaning => meaning,
                };
            }
            next = error.source();
        }
        if after_tls && error.is_incomplete_message() {
            return Self::Distrusting("it closed the connection".into());
        }
        Self::NotAnEngine(error.to_string())
    }

    fn tls(error: &rustls::Error) -> Self {
        match error {
            rustls::Error::InvalidCertificate(_) => Self::Untrusted(error.to_string()),
            rustls::Error::AlertReceived(_) => Self::Distrusting(error.to_string()),
            rustls::Error::InvalidMessage(_) => Self::NoTls,
            error => Self::Connection(error.to_string()),
        }
    }

    fn kind(&self) -> ErrorKind {
        match self {
            Self::Absent
            | Self::Refused
            | Self::Connection(_)
            | Self::Timeout(_)
            | Self::NoTls
            | Self::TlsOnly => ErrorKind::Unreachable,
            Self::Denied(_) | Self::Distrusting(_) => ErrorKind::Denied,
            Self::Untrusted(_) => ErrorKind::Untrusted,
            Self::NotAnEngine(_) => ErrorKind::Protocol,
            Self::TooOld(_) => ErrorKind::Unsuitable,
        }
    }

    fn hint(&self) -> &'static str {
        match self {
            Self::Denied(_) => {
                "add your user to the group of the socket, mostly `docker` (`sudo usermod -aG docker $USER`, then log in again), or use a rootless engine"
            }
            Self::Untrusted(_) => {
                "name the directory with the engine's `ca.pem` with the option `cert-path`, and the engine by the name in its certificate"
            }
            Self::Distrusting(_) => {
                "put the `cert.pem` and `key.pem` that the engine knows into the directory of the option `cert-path`"
            }
            Self::NoTls => "leave out the certificates, or check the port",
            Self::TlsOnly => {
                "name the directory with `ca.pem`, `cert.pem` and `key.pem` with the option `cert-path`"
            }
            Self::TooOld(_) => "update the engine",
            _ => "check that the engine runs, and the endpoint's address",
        }
    }
}

impl DiscoveryFailure {
    pub(crate) fn kind(&self) -> ErrorKind {
        match self {
            Self::Malformed { .. } | Self::Tls { .. } | Self::NoUseForCertificates(_) => {
                ErrorKind::InvalidOption
            }
            Self::Configuration(..) | Self::CurrentContext(_) => ErrorKind::InvalidInput,
            Self::Named { source, .. } => source.kind(),
            Self::None { tried } => match likeliest(tried) {
                Some(why) => why.kind(),
                None => ErrorKind::MissingEndpoint,
            },
            Self::RuntimeEnded => ErrorKind::Cancelled,
        }
    }

    pub(crate) fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Malformed { .. } => {
                "such as `unix:///run/docker.sock`, `tcp://engine.example:2376` or `ssh://me@engine.example`".into()
            }
            Self::Configuration(..) | Self::CurrentContext(_) => {
                "`docker context ls` shows the contexts; the option `endpoint` names an engine without one".into()
            }
            Self::Tls { .. } => {
                "the directory has `ca.pem` of the engine's authority, and `cert.pem` and `key.pem` of ours".into()
            }
            Self::NoUseForCertificates(_) => "name a `tcp` endpoint, or leave out `cert-path`".into(),
            Self::Named { source, .. } => source.hint().into(),
            Self::None { tried } => match likeliest(tried) {
                Some(why) => why.hint().into(),
                None => "start Docker or Podman, or name an engine with the option `endpoint` or with DOCKER_HOST".into(),
            },
            Self::RuntimeEnded => return None,
        })
    }

    /// Whether the same may succeed later.
    pub(crate) fn is_retryable(&self) -> bool {
        self.kind() == ErrorKind::Unreachable
    }
}

/// Of several that failed, the one that somebody is likely to mean: the first
/// that is there.
fn likeliest(tried: &[(String, Unanswered)]) -> Option<&Unanswered> {
    let mut there = tried.iter().map(|(_, why)| why);
    there.find(|why| !matches!(why, Unanswered::Absent))
}

fn tls_error(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref()
}

struct List<'a>(&'a [(String, Unanswered)]);

impl fmt::Display for List<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, (endpoint, why)) in self.0.iter().enumerate() {
            let separator = if place == 0 { "" } else { "; " };
            write!(f, "{separator}{endpoint} ({why})")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_tried_is_listed_and_the_likeliest_one_decides() {
        let absent = || ("unix:///a".to_owned(), Unanswered::Absent);
        let denied = (
            "unix:///b".to_owned(),
            Unanswered::Denied("permission denied".into()),
        );
        let none = DiscoveryFailure::None {
            tried: vec![absent()],
        };
        assert_eq!(none.kind(), ErrorKind::MissingEndpoint);
        assert!(none.hint().unwrap().contains("start Docker"));
        let one = DiscoveryFailure::None {
            tried: vec![absent(), denied],
        };
        assert_eq!((one.kind(), one.is_retryable()), (ErrorKind::Denied, false));
        assert!(one.hint().unwrap().contains("usermod -aG docker"));
        assert_eq!(
            one.to_string(),
            "no engine answers at any endpoint that was tried: unix:///a (there is no such socket); unix:///b (permission denied)"
        );
    }

    #[test]
    fn an_old_engine_is_refused_with_both_versions() {
        let failure = DiscoveryFailure::Named {
            origin: Origin::DockerHost,
            endpoint: "tcp://h:1".into(),
            source: Unanswered::TooOld("1.23".parse().unwrap()),
        };
        assert_eq!(failure.kind(), ErrorKind::Unsuitable);
        let text = backend_core::Chain(&failure).to_string();
        for part in ["endpoint", "tcp://h:1", "DOCKER_HOST", "1.23", "1.24"] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }
}
