//! Everything that can fail, and what it is in the contract.

use std::path::PathBuf;
use std::time::Duration;

use backend_core::{Error, ErrorKind, InstanceId, Operation, OutOfOrder};
use worker_api::{Code, InstanceEndCause, InvalidChunk, Problem};

use crate::endpoint::Endpoint;

/// Why a step failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error("the file `{}`, which the option `{option}` names, cannot be read: {why}", path.display())]
    File {
        option: &'static str,
        path: PathBuf,
        why: String,
    },
    #[error("`{}` holds no certificate in the form of PEM", .1.display())]
    NoCertificate(&'static str, PathBuf),
    #[error("`token` and `token-file` are both set")]
    TwoTokens,
    #[error("the token holds what no header can: only visible ASCII is possible")]
    Token,
    #[error("no HTTP client can be made: {0}")]
    Client(String),
    #[error("the server at {endpoint} cannot be used")]
    Server {
        endpoint: String,
        source: Box<Failure>,
    },
    #[error(transparent)]
    Call(#[from] CallError),
    #[error("the server speaks `{0}`, not `worker/1`")]
    OtherApi(String),
    #[error("the server does not have the capability `{missing}`; it has {has}")]
    Lacks { missing: String, has: String },
    #[error("there is no server left to try")]
    NoServer,
    #[error("the server has ended the instance: {}", .0.describe())]
    Ended(InstanceEndCause),
    #[error("the start was cancelled")]
    StartCancelled,
    #[cfg(not(feature = "ssh"))]
    #[error("the server wants the script over SSH, which this program was built without")]
    NoSsh,
    #[cfg(feature = "ssh")]
    #[error("the machine that the service handed out cannot be used")]
    Machine(#[source] Error),
    #[error("an upload was given up half way; the instance is of no use any more")]
    Spoiled,
    #[error(transparent)]
    Order(#[from] OutOfOrder),
    #[error("the instance may be left at {endpoint}, until its lease of {lease:?} has run out")]
    Left {
        endpoint: String,
        lease: Duration,
        source: CallError,
    },
    #[error("what was found is at {0}, which is no server of this configuration")]
    Elsewhere(String),
}

/// Why one request gave no usable answer.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum CallError {
    /// Nothing was sent.
    #[error("cannot connect: {0}")]
    Connect(String),
    /// The connection broke, or nothing came in time: the request may have
    /// had its effect.
    #[error("the connection failed: {0}")]
    Transport(String),
    /// A problem of the protocol.
    #[error(transparent)]
    Problem(Box<Problem>),
    /// An answer that is not the protocol's: a proxy's, most likely.
    #[error("an answer of status {status} that is not of this protocol")]
    Foreign {
        status: u16,
        retry_after: Option<Duration>,
    },
    /// An answer that makes no sense.
    #[error("an answer that makes no sense: {0}")]
    Malformed(String),
}

impl From<InvalidChunk> for CallError {
    fn from(error: InvalidChunk) -> Self {
        Self::Malformed(error.to_string())
    }
}

/// What to do after a request that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Retry {
    /// It may succeed later.
    Later(Option<Duration>),
    /// It may, but not for long: something is wrong with what answers.
    Doubtful,
    /// It will not.
    Never,
}

impl CallError {
    pub(crate) fn retry(&self) -> Retry {
        match self {
            Self::Connect(_) | Self::Transport(_) => Retry::Later(None),
            Self::Problem(problem) if problem.retryable => Retry::Later(
                problem
                    .retry_after_ms
                    .map(|milliseconds| Duration::from_millis(milliseconds.into())),
            ),
            Self::Problem(_) => Retry::Never,
            Self::Foreign {
                status,
                retry_after,
            } => match status {
                408 | 425 | 429 | 502 | 503 | 504 => Retry::Later(*retry_after),
                // A proxy that lost its way may find it again.
                404 => Retry::Doubtful,
                _ => Retry::Never,
            },
            Self::Malformed(_) => Retry::Doubtful,
        }
    }

    /// The code of the protocol's problem, if it is one.
    pub(crate) fn code(&self) -> Option<Code> {
        match self {
            Self::Problem(problem) => problem.code(),
            _ => None,
        }
    }

    /// Whether the server says that the instance is no more.
    pub(crate) fn is_gone(&self) -> bool {
        matches!(
            self.code(),
            Some(Code::NotFound | Code::Gone | Code::LeaseExpired)
        )
    }

    /// Whether the request can have had no effect.
    pub(crate) fn had_no_effect(&self) -> bool {
        match self {
            Self::Connect(_) => true,
            Self::Problem(problem) => problem.status < 500,
            Self::Foreign { status, .. } => (300..500).contains(status),
            Self::Transport(_) | Self::Malformed(_) => false,
        }
    }

    fn kind(&self) -> ErrorKind {
        match self {
            Self::Connect(_) | Self::Transport(_) => ErrorKind::Unreachable,
            Self::Problem(problem) => problem.code().map_or(ErrorKind::Protocol, Code::error_kind),
            Self::Foreign { status, .. } => match status {
                401 | 403 | 407 => ErrorKind::Denied,
                413 => ErrorKind::InvalidInput,
                408 | 429 | 502..=504 => ErrorKind::Unreachable,
                _ => ErrorKind::Protocol,
            },
            Self::Malformed(_) => ErrorKind::Protocol,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Connect(why) if why.contains("certificate") => Some(
                "name a PEM file with the authority of the server's certificate with the option `ca-file`, and the server by a name that is in the certificate".into(),
            ),
            Self::Connect(_) => Some("is the server running, and `endpoint` right?".into()),
            Self::Problem(problem) if problem.status == 401 => Some(
                "set WORKER_HTTP_TOKEN or `token-file` to a token that the server knows".into(),
            ),
            Self::Problem(problem) => problem.hint.as_deref().map(str::to_owned),
            Self::Foreign { status, .. } => Some(match status {
                300..=399 => "redirects are not followed: set `endpoint` to where they lead".into(),
                413 => "a proxy in between limits bodies (nginx: client_max_body_size)".into(),
                _ => "is there a proxy in between, or another service at `endpoint`?".to_owned(),
            }),
            Self::Transport(_) | Self::Malformed(_) => None,
        }
    }
}

impl Failure {
    /// The same, of this server.
    pub(crate) fn of_server(self, endpoint: &Endpoint) -> Self {
        Self::Server {
            endpoint: endpoint.to_string(),
            source: Box::new(self),
        }
    }

    /// The error of the contract, for this operation; the only place where one
    /// is made.
    pub(crate) fn during(self, operation: Operation) -> Error {
        let (kind, hint, retryable) = (self.kind(), self.hint(), self.is_retryable());
        Error::failed(kind, "http", operation, self)
            .with_hint_if_any(hint)
            .retryable_if(retryable)
    }

    /// The error of the contract, for this operation on this instance.
    pub(crate) fn on(self, id: &InstanceId, operation: Operation) -> Error {
        self.during(operation).on_instance(id)
    }

    /// Whether the same step may succeed later, and repeating it is safe.
    fn is_retryable(&self) -> bool {
        match self {
            Self::Call(call) => matches!(call.retry(), Retry::Later(_)),
            Self::Server { source, .. } => source.is_retryable(),
            Self::Ended(_) | Self::NoServer => true,
            #[cfg(feature = "ssh")]
            Self::Machine(error) => error.is_retryable(),
            _ => false,
        }
    }

    fn kind(&self) -> ErrorKind {
        use ErrorKind as Kind;
        match self {
            Self::File { .. } | Self::NoCertificate(..) | Self::TwoTokens | Self::Token => {
                Kind::InvalidOption
            }
            Self::Client(_) => Kind::Io,
            Self::Server { source, .. } => source.kind(),
            Self::Call(call) => call.kind(),
            Self::OtherApi(_) | Self::Lacks { .. } => Kind::Unsuitable,
            Self::NoServer => Kind::Unreachable,
            Self::Ended(_) => Kind::Gone,
            Self::StartCancelled => Kind::Cancelled,
            #[cfg(not(feature = "ssh"))]
            Self::NoSsh => Kind::Unsupported,
            #[cfg(feature = "ssh")]
            Self::Machine(error) => error.kind(),
            Self::Spoiled => Kind::InvalidState,
            Self::Order(call) => call.kind(),
            Self::Left { .. } => Kind::Leftover,
            Self::Elsewhere(_) => Kind::InvalidInput,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Server { source, .. } => source.hint(),
            Self::Call(call) => call.hint(),
            Self::Lacks { .. } => {
                Some("set `capabilities` to what the server has, or use another server".into())
            }
            #[cfg(feature = "ssh")]
            Self::Machine(error) => error.hint().map(str::to_owned),
            #[cfg(not(feature = "ssh"))]
            Self::NoSsh => Some("build it with the features `http` and `ssh`".into()),
            Self::TwoTokens => Some("set one of the two".into()),
            Self::File { option, path, .. } if path.exists() => Some(format!(
                "give it to this user (`chown $USER {}`, as root), or name another file with the option `{option}`",
                path.display()
            )),
            Self::File { option, .. } | Self::NoCertificate(option, _) => {
                Some(format!("name the right file with the option `{option}`"))
            }
            _ => None,
        }
    }
}
