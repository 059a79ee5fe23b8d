//! Everything that can fail, on purpose or by misuse.

use backend_core::without_images::NoImages;
use backend_core::{Error, ErrorKind, InstanceId, Operation, OutOfOrder};

/// Why a step failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error("{0}")]
    Setup(String),
    #[error("{0}")]
    Start(String),
    #[error("a failure that passes, as configured by `start-failures`")]
    StartPasses,
    #[error(transparent)]
    NoImages(NoImages),
    #[error("the start was cancelled")]
    StartCancelled,
    #[error("{}", OutOfOrder::Stale)]
    Stale,
    #[error("{0}")]
    Upload(String),
    #[error("{0}")]
    Run(String),
    #[error("{}", OutOfOrder::NoScript)]
    NoScript(Operation),
    #[error("{}", OutOfOrder::NotRun)]
    NotBegun(Operation),
    #[error("{}", OutOfOrder::Uploading)]
    Uploading,
    #[error("{}", OutOfOrder::RunBefore)]
    RunTwice,
    #[error("{}", OutOfOrder::Stopped)]
    Stopped(Operation),
    #[error("the instance is left behind, as configured by `stop-failures`")]
    Stop(Operation),
    #[error("{0}")]
    Signal(String),
    #[error("{0}")]
    List(String),
}

impl Failure {
    /// The contract's error; the only place where one is made.
    pub(crate) fn into_error(self, instance: Option<&InstanceId>) -> Error {
        use ErrorKind as Kind;
        let (kind, operation) = match &self {
            Self::Setup(_) => (Kind::Unreachable, Operation::Setup),
            Self::Start(_) => (Kind::Unsuitable, Operation::Start),
            Self::StartPasses => (Kind::Unreachable, Operation::Start),
            Self::NoImages(_) => (Kind::Unsupported, Operation::Start),
            Self::StartCancelled => (Kind::Cancelled, Operation::Start),
            Self::Stale => (Kind::Stale, Operation::Upload),
            Self::Upload(_) => (Kind::Exhausted, Operation::Upload),
            Self::Uploading => (Kind::InvalidState, Operation::Upload),
            Self::Run(_) => (Kind::Exhausted, Operation::Run),
            Self::RunTwice => (Kind::InvalidState, Operation::Run),
            Self::NoScript(operation) | Self::NotBegun(operation) | Self::Stopped(operation) => {
                (Kind::InvalidState, *operation)
            }
            Self::Stop(operation) => (Kind::Leftover, *operation),
            Self::Signal(_) => (Kind::Unreachable, Operation::Signal),
            Self::List(_) => (Kind::Unreachable, Operation::List),
        };
        let passes = matches!(self, Self::StartPasses);
        let error = Error::failed(kind, "fake", operation, self).retryable_if(passes);
        match instance {
            Some(instance) => error.on_instance(instance),
            None => error,
        }
    }
}
