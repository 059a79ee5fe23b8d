//! Everything that can go wrong, one variant for each step, and what it is in
//! the words of the contract.

use std::io;
use std::path::PathBuf;

use backend_core::without_images::NoImages;
use backend_core::{Error, ErrorKind, InstanceId, Operation, OutOfOrder};
use rustix::io::Errno;

use crate::machine::Controller;

#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error("cannot {step} {}", path.display())]
    File {
        step: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    #[error("{} is not a directory of its own, but a link or a file", .0.display())]
    BaseNotADirectory(PathBuf),
    #[error("{} belongs to user {owner}, not to user {own}", path.display())]
    BaseForeign { path: PathBuf, owner: u32, own: u32 },
    #[error("{} has mode {mode:o}: others may use it", path.display())]
    BaseOpen { path: PathBuf, mode: u32 },
    #[error("{} exists already", .0.display())]
    Occupied(PathBuf),
    #[error("cannot set up the cgroup {}", path.display())]
    Cgroup { path: PathBuf, source: io::Error },
    #[error("no cgroup of version 2 can be made by this user on this machine")]
    NoCgroup,
    #[error(
        "no cgroup with the controller `{}` can be made by this user on this machine, so `{}` cannot be set",
        .0.name(), .0.option()
    )]
    NoLimit(Controller),
    #[error(transparent)]
    NoImages(#[from] NoImages),
    #[error("this machine has `{attribute}` `{own}`, not `{value}`")]
    OtherMachine {
        attribute: &'static str,
        value: String,
        own: &'static str,
    },
    #[error(transparent)]
    Order(#[from] OutOfOrder),
    #[error("the instance was removed by someone else")]
    Gone(#[source] Box<Failure>),
    #[error("the environment variable `{0}` is set by the backend itself")]
    ReservedVariable(&'static str),
    #[error(
        "the environment is too large: {0} bytes with the arguments, more than the kernel takes"
    )]
    EnvironmentTooLarge(usize),
    #[error("cannot make the pipe for the output")]
    Pipe(#[source] io::Error),
    #[error("cannot make a terminal")]
    Terminal(#[source] io::Error),
    #[error("cannot write the output of the shell")]
    ShellOutput(#[source] io::Error),
    #[error("the instance is gone")]
    Removed,
    #[error("cannot begin a process")]
    Spawn(#[source] io::Error),
    #[error("cannot {step} in the new process")]
    ChildSetup {
        step: &'static str,
        source: io::Error,
    },
    #[error("cannot send {signal} to the script")]
    Signal {
        signal: backend_core::Signal,
        source: io::Error,
    },
    #[error("{} is not a place of this provider", .0.display())]
    OtherPlace(PathBuf),
    #[error("may be left: {}", .0.join("; "))]
    Leftover(Vec<String>),
    #[error("the start was cancelled")]
    Cancelled,
    #[error("the runtime ended")]
    RuntimeEnded,
}

impl Failure {
    /// A failure of a step on a file.
    pub(crate) fn file(
        step: &'static str,
        path: impl Into<PathBuf>,
        source: impl Into<io::Error>,
    ) -> Self {
        let path = path.into();
        let source = backend_core::with_permissions(&path, source.into());
        Self::File { step, path, source }
    }

    /// The error of the contract, for this operation.
    pub(crate) fn during(self, operation: Operation) -> Error {
        let (kind, hint) = (self.kind(), self.hint());
        Error::failed(kind, "local", operation, self)
            .with_hint_if_any(hint)
            .retryable_if(kind == ErrorKind::Exhausted)
    }

    /// The error of the contract, for this operation on this instance.
    pub(crate) fn on(self, id: &InstanceId, operation: Operation) -> Error {
        self.during(operation).on_instance(id)
    }

    /// Whether it may be no more than a consequence of a removal elsewhere.
    pub(crate) fn lacks_something(&self) -> bool {
        self.kind() == ErrorKind::Io
    }

    fn kind(&self) -> ErrorKind {
        match self {
            Self::File { source, .. }
            | Self::Cgroup { source, .. }
            | Self::Pipe(source)
            | Self::Terminal(source)
            | Self::Spawn(source)
            | Self::ChildSetup { source, .. }
            | Self::Signal { source, .. } => kind_of(source),
            Self::BaseNotADirectory(_)
            | Self::BaseForeign { .. }
            | Self::BaseOpen { .. }
            | Self::NoCgroup => ErrorKind::Unsuitable,
            Self::NoLimit(_) | Self::NoImages(_) => ErrorKind::Unsupported,
            Self::OtherMachine { .. }
            | Self::ReservedVariable(_)
            | Self::EnvironmentTooLarge(_)
            | Self::OtherPlace(_) => ErrorKind::InvalidInput,
            Self::Occupied(_) => ErrorKind::Stale,
            Self::Order(call) => call.kind(),
            Self::Gone(_) | Self::Removed => ErrorKind::Gone,
            Self::ShellOutput(_) => ErrorKind::Io,
            Self::Leftover(_) => ErrorKind::Leftover,
            Self::Cancelled | Self::RuntimeEnded => ErrorKind::Cancelled,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::BaseNotADirectory(_) | Self::BaseForeign { .. } | Self::BaseOpen { .. } => Some(
                "name a directory that does not exist yet with the option `directory`; it is made with the right mode".into(),
            ),
            Self::File { source, .. } => match kind_of(source) {
                ErrorKind::Exhausted => {
                    Some("make room, or choose another place with the option `directory`".into())
                }
                ErrorKind::Denied => {
                    Some("choose a place that can be written with the option `directory`".into())
                }
                _ => None,
            },
            Self::NoLimit(_) => Some(
                "run the worker in a delegated cgroup (`systemd-run --user --scope -p Delegate=yes`), as root, or without the limit".into(),
            ),
            Self::NoCgroup => Some("leave the option `containment` at `auto`".into()),
            Self::NoImages(_) => {
                Some("choose a backend that has images, such as `docker`".into())
            }
            Self::Leftover(_) => Some("`worker reap` tries again".into()),
            _ => None,
        }
    }
}

fn kind_of(error: &io::Error) -> ErrorKind {
    let Some(errno) = error.raw_os_error().map(Errno::from_raw_os_error) else {
        return ErrorKind::Io;
    };
    match errno {
        Errno::NOSPC | Errno::DQUOT | Errno::MFILE | Errno::NFILE | Errno::NOMEM | Errno::AGAIN => {
            ErrorKind::Exhausted
        }
        Errno::ACCESS | Errno::PERM | Errno::ROFS => ErrorKind::Denied,
        _ => ErrorKind::Io,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_may_be_retried_and_a_read_only_one_not() {
        let failure = |errno: Errno| {
            Failure::file("write", "/x", io::Error::from(errno)).during(Operation::Upload)
        };
        let full = failure(Errno::NOSPC);
        assert_eq!(
            (full.kind(), full.is_retryable()),
            (ErrorKind::Exhausted, true)
        );
        let read_only = failure(Errno::ROFS);
        assert_eq!(
            (read_only.kind(), read_only.is_retryable()),
            (ErrorKind::Denied, false)
        );
        assert!(read_only.hint().unwrap().contains("directory"));
    }

    #[test]
    fn each_level_says_its_own_and_not_its_source() {
        let error = Failure::Spawn(io::Error::from(Errno::AGAIN)).during(Operation::Run);
        let text = backend_core::Chain(&error).to_string();
        assert_eq!(text.matches("temporarily unavailable").count(), 1, "{text}");
    }
}
