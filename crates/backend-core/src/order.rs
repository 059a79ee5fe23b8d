//! The order of an instance's calls: what is said of one that is out of it.

use crate::ErrorKind;

/// A call that does not fit how far its instance has come. Every backend says
/// the same of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum OutOfOrder {
    /// An upload onto an instance that has a script.
    #[error("the instance already has a script, so it is stale")]
    Stale,
    /// An upload beside another.
    #[error("another upload is under way")]
    Uploading,
    /// A run without a script.
    #[error("there is no script yet")]
    NoScript,
    /// A second run.
    #[error("the script was run before")]
    RunBefore,
    /// A signal without a run.
    #[error("the script has not been run")]
    NotRun,
    /// Anything after the end.
    #[error("the instance is stopped")]
    Stopped,
}

impl OutOfOrder {
    /// The kind of error that it is.
    pub fn kind(self) -> ErrorKind {
        match self {
            Self::Stale => ErrorKind::Stale,
            _ => ErrorKind::InvalidState,
        }
    }
}
