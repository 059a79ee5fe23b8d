//! Everything that can go wrong, one variant for each step, and what it is in
//! the words of the contract.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use backend_core::{Error, ErrorKind, InstanceId, Operation};

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
    #[error("there are no images on this backend, so `{attribute}` cannot be `{value}`")]
    NoImages {
        attribute: &'static str,
        value: String,
    },
    #[error("this backend has Linux machines, so `os` cannot be `{0}`")]
    OtherSystem(String),
    #[error("the environment variable `{0}` is set by the backend itself")]
    ReservedVariable(&'static str),
    #[error("the environment is too large: {0} bytes, more than the machine gives a process")]
    EnvironmentTooLarge(usize),
    #[error("the instance already has a script, so it is stale")]
    Stale,
    #[error("there is no script yet")]
    NoScript,
    #[error("the script was run before")]
    RunBefore,
    #[error("the script has not been run")]
    NotRun,
    #[error("the instance is stopped")]
    Stopped,
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
    Unreadable(io::Error),
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
            _ => Self::Protocol,
        }
    }

    fn kind(self, text: &str) -> ErrorKind {
        match self {
            Self::Unsuitable | Self::Prepare => ErrorKind::Unsuitable,
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
    /// The error of the contract, for this operation.
    pub(crate) fn during(self, operation: Operation) -> Error {
        let (kind, hint, retryable) = (self.kind(), self.hint(), self.is_retryable());
        let mut error = Error::failed(kind, "ssh", operation, self);
        if let Some(hint) = hint {
            error = error.with_hint(hint);
        }
        if retryable {
            error = error.retryable();
        }
        error
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
            Self::File { .. } | Self::Remember { .. } => ErrorKind::Io,
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
            Self::NoImages { .. } => ErrorKind::Unsupported,
            Self::OtherSystem(_)
            | Self::ReservedVariable(_)
            | Self::EnvironmentTooLarge(_)
            | Self::OtherPlace(_) => ErrorKind::InvalidInput,
            Self::Stale => ErrorKind::Stale,
            Self::NoScript | Self::RunBefore | Self::NotRun | Self::Stopped => {
                ErrorKind::InvalidState
            }
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

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::AllFailed(last) => return last.hint(),
            Self::Shared(shared) | Self::Broke(shared) => return shared.hint(),
            Self::NoHosts => "name one with the option `hosts`: `user@host:port`".into(),
            Self::Config { .. } => "correct the file, or name another with the option `ssh-config` (or `none`)".into(),
            Self::Key { path, problem } => match problem {
                KeyProblem::TooOpen(_) => format!("chmod 600 {}", path.display()),
                KeyProblem::Encrypted | KeyProblem::WrongPassphrase => {
                    "set WORKER_SSH_PASSPHRASE, or add the key to an agent".into()
                }
                KeyProblem::Rsa => "add it to an agent (`ssh-add`), or use an ed25519 key".into(),
                KeyProblem::Unreadable(_) | KeyProblem::NoKey(_) => {
                    "name a private key with the option `identity-file`".into()
                }
            },
            Self::Resolve { .. } => "check the name in the option `hosts`".into(),
            Self::Connect { .. } => "check that the SSH server runs, and its port".into(),
            Self::TimedOut { stage, .. } => match stage {
                Stage::Connect => "check the address and the firewall, or raise `connect-timeout`".into(),
                Stage::Handshake => "check that an SSH server is there, or raise `handshake-timeout`".into(),
                Stage::Auth => "raise `auth-timeout`".into(),
            },
            Self::TurnedAway { .. } => "the server takes no more connections (MaxStartups): try later".into(),
            Self::HostKey { name, algorithm, problem, .. } => match &**problem {
                HostKeyProblem::Unknown { .. } | HostKeyProblem::Authority { .. } => format!(
                    "make sure that it is the right one, and add it (`ssh-keyscan -t {}`), or set `host-key-policy` to `accept-new`",
                    algorithm.trim_start_matches("ssh-")
                ),
                HostKeyProblem::Changed { place, .. } => format!(
                    "someone may listen in; if the machine was really changed: ssh-keygen -R '{name}' -f {}",
                    place.path.display()
                ),
                HostKeyProblem::Revoked(_) => "do not connect to it".into(),
                HostKeyProblem::NotPinned(_) => "someone may listen in; if the machine was really changed, pin its new key".into(),
                HostKeyProblem::Certificate => "let the server show a plain host key too".into(),
            },
            Self::Denied { .. } => "name a key with `identity-file`, run an agent, or set WORKER_SSH_PASSWORD".into(),
            Self::Agent { .. } => "start the agent, or set `identity-agent` to `none`".into(),
            Self::ExecRefused { .. } => "the account must be allowed to run commands (no ForceCommand, no restricted shell)".into(),
            Self::NoShell { .. } => "the machine needs /bin/sh, and an account that may use it".into(),
            Self::Far { kind, text, .. } => match kind {
                FarKind::Unsuitable => "the machine needs Linux with util-linux or busybox".into(),
                FarKind::Directory | FarKind::Full => {
                    "make room, or choose another place with the option `directory`".into()
                }
                FarKind::Stale => "look at what is there, and remove it; or set `revert`".into(),
                FarKind::Revert => "repair the machine by hand, and remove the slot".into(),
                FarKind::Prepare if !text.is_empty() => "correct the command in the option `prepare`".into(),
                _ => return None,
            },
            Self::NoImages { .. } => "choose a backend that has images, such as `docker`".into(),
            Self::Leftover { .. } => "the machine removes it by itself when the lease has run out; `worker reap` does it before".into(),
            _ => return None,
        })
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
