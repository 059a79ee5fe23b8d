//! Everything that can go wrong, one variant for each step, and what it is in
//! the words of the contract.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use backend_core::without_images::NoImages;
use backend_core::{Error, ErrorKind, InstanceId, Operation, OutOfOrder};

use crate::hint;
use crate::known_hosts::Place;

#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error("no machine is configured")]
    NoHosts,
    #[error("{}:{line}: {text}", path.display())]
    Config {
        path: PathBuf,
        line: usize,
        text: String,
    },
    #[error("the options contradict each other: {0}")]
    Options(String),
    #[error("cannot read {}", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("the private key {} {problem}", path.display())]
    Key { path: PathBuf, problem: KeyProblem },
    #[error("cannot find the address of {host}")]
    Resolve { host: String, source: io::Error },
    #[error("cannot connect to {address}")]
    Connect { address: String, source: io::Error },
    #[error("{stage} {address} took longer than {}", humane(*limit))]
    TimedOut {
        stage: Stage,
        address: String,
        limit: Duration,
    },
    #[error("{address} closed {tries} connections before it said anything")]
    TurnedAway { address: String, tries: u32 },
    #[error("the key exchange with {address} failed")]
    Handshake {
        address: String,
        source: Box<russh::Error>,
    },
    #[error("the host key of {name} ({algorithm} {fingerprint}) {problem}")]
    HostKey {
        name: String,
        algorithm: String,
        fingerprint: String,
        problem: Box<HostKeyProblem>,
    },
    #[error("cannot write the host key of {name} into {}", path.display())]
    Remember {
        name: String,
        path: PathBuf,
        source: io::Error,
    },
    #[error("{address} refused {user}: tried {tried}; it takes {takes}")]
    Denied {
        address: String,
        user: String,
        tried: String,
        takes: String,
    },
    #[error("cannot reach {target} through {jump}")]
    Jump {
        target: String,
        jump: String,
        source: Box<russh::Error>,
    },
    #[error("cannot ask the agent at {}", path.display())]
    Agent {
        path: PathBuf,
        source: Box<russh::keys::Error>,
    },
    #[error("no session can be opened on the connection to {address}")]
    Session {
        address: String,
        source: Box<russh::Error>,
    },
    #[error("{address} refused to run a command")]
    ExecRefused { address: String },
    #[error("the connection to {address} was lost: {reason}")]
    Lost { address: String, reason: String },
    #[error("no POSIX shell answered on {address}: {remarks}")]
    NoShell { address: String, remarks: String },
    #[error("{address} said what makes no sense: {text}")]
    Garbage { address: String, text: String },
    #[error("{address} did not answer within {}", humane(*limit))]
    Silent { address: String, limit: Duration },
    #[error("{address}: {text}")]
    Far {
        address: String,
        kind: FarKind,
        text: String,
    },
    #[error("the connection was lost, and could not be re-made within {}", humane(*window))]
    WindowOver {
        window: Duration,
        #[source]
        last: Option<Box<Failure>>,
    },
    /// The connection broke while an answer was waited for.
    #[error("the connection broke")]
    Broke(#[source] std::sync::Arc<Failure>),
    /// What others were told too.
    #[error(transparent)]
    Shared(std::sync::Arc<Failure>),
    #[error("no machine can be used")]
    AllFailed(#[source] Box<Failure>),
    #[error(transparent)]
    NoImages(#[from] NoImages),
    #[error("this backend has Linux machines, so `os` cannot be `{0}`")]
    OtherSystem(String),
    #[error("the environment variable `{0}` is set by the backend itself")]
    ReservedVariable(&'static str),
    #[error("the environment is too large: {0} bytes, more than the machine gives a process")]
    EnvironmentTooLarge(usize),
    #[error("cannot write the output of the shell")]
    ShellOutput(#[source] io::Error),
    #[error(transparent)]
    Order(#[from] OutOfOrder),
    #[error("{0} is not a place of this provider")]
    OtherPlace(String),
    #[error("may be left: {what}")]
    Leftover {
        what: String,
        #[source]
        source: Box<Failure>,
    },
    #[error("the start was cancelled")]
    Cancelled,
}

/// The stages that have a limit of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    Connect,
    Handshake,
    Auth,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connect => "connecting to",
            Self::Handshake => "the key exchange with",
            Self::Auth => "authentication at",
        })
    }
}

/// What is wrong with a private key file.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeyProblem {
    #[error("cannot be read: {0}")]
    Unreadable(String),
    #[error("has mode {0:04o}: others may read it")]
    TooOpen(u32),
    #[error("is encrypted, and there is no passphrase")]
    Encrypted,
    #[error("cannot be decrypted with the passphrase")]
    WrongPassphrase,
    #[error("is an RSA key, which only an agent can use here")]
    Rsa,
    #[error("is not a private key: {0}")]
    NoKey(String),
}

/// Why a host key is not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HostKeyProblem {
    #[error("is not known: {} has no entry for {name}", list_of(files))]
    Unknown { name: String, files: Vec<PathBuf> },
    #[error(
        "is not known, and {} would have an authority decide, which is not supported",
        show(place)
    )]
    Authority { place: Place },
    #[error("has changed: {} has {algorithm} {fingerprint}", show(place))]
    Changed {
        place: Place,
        algorithm: String,
        fingerprint: String,
    },
    #[error("is revoked by {}", show(.0))]
    Revoked(Place),
    #[error("is not the one that was pinned, {0}")]
    NotPinned(String),
    #[error("is a certificate, which is not supported")]
    Certificate,
}

/// What the far side refuses for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FarKind {
    Unsuitable,
    Directory,
    Full,
    Stale,
    Gone,
    Prepare,
    Revert,
    Leftover,
    Architecture,
    Logout,
    Protocol,
}

impl FarKind {
    pub(crate) fn of(word: &str) -> Self {
        match word {
            "unsuitable" => Self::Unsuitable,
            "directory" => Self::Directory,
            "full" => Self::Full,
            "stale" => Self::Stale,
            "gone" => Self::Gone,
            "prepare" => Self::Prepare,
            "revert" => Self::Revert,
            "leftover" => Self::Leftover,
            "architecture" => Self::Architecture,
            "logout" => Self::Logout,
            _ => Self::Protocol,
        }
    }

    fn kind(self, text: &str) -> ErrorKind {
        match self {
            Self::Unsuitable | Self::Prepare | Self::Logout => ErrorKind::Unsuitable,
            Self::Directory | Self::Full if text.contains("No space left") => ErrorKind::Exhausted,
            Self::Directory => ErrorKind::Denied,
            Self::Full => ErrorKind::Exhausted,
            Self::Stale => ErrorKind::Stale,
            Self::Gone => ErrorKind::Gone,
            Self::Revert | Self::Leftover => ErrorKind::Leftover,
            Self::Architecture => ErrorKind::InvalidInput,
            Self::Protocol => ErrorKind::Protocol,
        }
    }
}

impl Failure {
    pub(crate) fn file(path: PathBuf, source: io::Error) -> Self {
        let source = backend_core::with_permissions(&path, source);
        Self::File { path, source }
    }

    /// The error of the contract, for this operation.
    pub(crate) fn during(self, operation: Operation) -> Error {
        let (kind, hint, retryable) = (self.kind(), hint::of(&self), self.is_retryable());
        Error::failed(kind, "ssh", operation, self)
            .with_hint_if_any(hint)
            .retryable_if(retryable)
    }

    /// The error of the contract, for this operation on this instance.
    pub(crate) fn on(self, id: &InstanceId, operation: Operation) -> Error {
        self.during(operation).on_instance(id)
    }

    /// Whether another attempt to connect may succeed.
    pub(crate) fn may_pass(&self) -> bool {
        !matches!(
            self,
            Self::HostKey { .. }
                | Self::Denied { .. }
                | Self::Key { .. }
                | Self::Config { .. }
                | Self::Far { .. }
                | Self::NoShell { .. }
                | Self::Garbage { .. }
        )
    }

    pub(crate) fn kind(&self) -> ErrorKind {
        match self {
            Self::NoHosts => ErrorKind::MissingEndpoint,
            Self::Config { .. } | Self::Options(_) => ErrorKind::InvalidOption,
            Self::File { .. } | Self::Remember { .. } | Self::ShellOutput(_) => ErrorKind::Io,
            Self::Key { .. } | Self::Denied { .. } | Self::ExecRefused { .. } => ErrorKind::Denied,
            Self::Resolve { .. }
            | Self::Connect { .. }
            | Self::TurnedAway { .. }
            | Self::Handshake { .. }
            | Self::Jump { .. }
            | Self::Agent { .. }
            | Self::Session { .. }
            | Self::Lost { .. }
            | Self::WindowOver { .. } => ErrorKind::Unreachable,
            Self::TimedOut { .. } | Self::Silent { .. } => ErrorKind::TimedOut,
            Self::HostKey { .. } => ErrorKind::Untrusted,
            Self::NoShell { .. } => ErrorKind::Unsuitable,
            Self::Garbage { .. } => ErrorKind::Protocol,
            Self::Far { kind, text, .. } => kind.kind(text),
            Self::AllFailed(last) => last.kind(),
            Self::Shared(shared) | Self::Broke(shared) => shared.kind(),
            Self::NoImages(_) => ErrorKind::Unsupported,
            Self::OtherSystem(_)
            | Self::ReservedVariable(_)
            | Self::EnvironmentTooLarge(_)
            | Self::OtherPlace(_) => ErrorKind::InvalidInput,
            Self::Order(call) => call.kind(),
            Self::Leftover { .. } => ErrorKind::Leftover,
            Self::Cancelled => ErrorKind::Cancelled,
        }
    }

    fn is_retryable(&self) -> bool {
        match self {
            Self::AllFailed(last) => last.is_retryable(),
            Self::Shared(shared) | Self::Broke(shared) => shared.is_retryable(),
            Self::Far { .. } => self.kind() == ErrorKind::Exhausted,
            Self::Resolve { .. }
            | Self::Connect { .. }
            | Self::TimedOut { .. }
            | Self::TurnedAway { .. }
            | Self::Jump { .. }
            | Self::Session { .. } => true,
            _ => false,
        }
    }
}

fn show(place: &Place) -> String {
    format!("{}:{}", place.path.display(), place.line)
}

fn list_of(files: &[PathBuf]) -> String {
    let files: Vec<_> = files
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    if files.is_empty() {
        "no file".into()
    } else {
        files.join(" nor ")
    }
}

fn humane(duration: Duration) -> String {
    format!("{duration:?}")
}
