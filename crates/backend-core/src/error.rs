//! The one error of the contract.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

use crate::Capability;

/// The result of everything in the contract.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, for a program to decide by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// No backend of this alias is registered.
    UnknownBackend,
    /// Two backends are registered under one alias.
    DuplicateAlias,
    /// An option is unknown, malformed, missing or contradicts another.
    InvalidOption,
    /// The configuration lacks an endpoint where one is required.
    MissingEndpoint,
    /// The caller passed something that cannot be used, such as an
    /// environment variable that no shell can hold.
    InvalidInput,
    /// The engine, host or server could not be reached or did not answer.
    Unreachable,
    /// The far side is too old, too new, or lacks what is needed.
    Unsuitable,
    /// The far side's identity was refused (host key, certificate).
    Untrusted,
    /// Credentials were refused, or permission was denied.
    Denied,
    /// The image, or another named thing, does not exist.
    NotFound,
    /// The instance was used before and not reverted.
    Stale,
    /// The call does not fit the instance's state: run before upload, a second
    /// run, anything after stop.
    InvalidState,
    /// A time limit of the step ran out.
    TimedOut,
    /// No room now: slots, addresses, disk, processes.
    Exhausted,
    /// The backend does not have the capability that was asked for.
    Unsupported,
    /// The instance no longer exists.
    Gone,
    /// The far side said something that makes no sense.
    Protocol,
    /// An operation of the local system failed.
    Io,
    /// Something may be left behind; the message names it.
    Leftover,
    /// The future or its provider was cancelled.
    Cancelled,
}

/// The step of the contract that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Operation {
    /// Making a provider from its configuration.
    Configure,
    /// `Provider::setup`.
    Setup,
    /// `Provider::start`.
    Start,
    /// `Instance::upload_script`.
    Upload,
    /// `Instance::run_script`.
    Run,
    /// `Instance::signal`.
    Signal,
    /// `Instance::processes`.
    Processes,
    /// `Instance::stop`.
    Stop,
    /// `Provider::list`.
    List,
    /// `Provider::remove`.
    Remove,
    /// `Provider::shell`.
    Shell,
}

impl Operation {
    /// What the step does, as it reads after "failed to".
    pub fn describe(self) -> &'static str {
        match self {
            Self::Configure => "configure the backend",
            Self::Setup => "set up the backend",
            Self::Start => "start an instance",
            Self::Upload => "upload the script",
            Self::Run => "run the script",
            Self::Signal => "signal the script",
            Self::Processes => "list processes",
            Self::Stop => "stop the instance",
            Self::List => "list instances",
            Self::Remove => "remove the instance",
            Self::Shell => "open a shell in the instance",
        }
    }
}

/// An error of a backend or of the registry.
///
/// `Display` prints this level only ("failed to start an instance on backend
/// `docker`"); the reasons follow through [`source`](StdError::source), each
/// printing its own level. The text is for people and may change; decide by
/// [`kind`](Self::kind). Cheap to clone, since several callers may wait for
/// one operation.
#[derive(Clone)]
pub struct Error(Arc<Inner>);

#[derive(Clone)]
struct Inner {
    kind: ErrorKind,
    operation: Option<Operation>,
    backend: Option<String>,
    instance: Option<String>,
    retryable: bool,
    hint: Option<String>,
    message: Option<String>,
    source: Option<Arc<dyn StdError + Send + Sync>>,
}

impl Error {
    /// An error of this kind that stands for itself, with a text of its own.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Arc::new(Inner {
            kind,
            operation: None,
            backend: None,
            instance: None,
            retryable: false,
            hint: None,
            message: Some(message.into()),
            source: None,
        }))
    }

    /// The failure of `operation` on `backend`, because of `source`.
    pub fn failed(
        kind: ErrorKind,
        backend: impl Into<String>,
        operation: Operation,
        source: impl StdError + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(Inner {
            kind,
            operation: Some(operation),
            backend: Some(backend.into()),
            instance: None,
            retryable: false,
            hint: None,
            message: None,
            source: Some(Arc::new(source)),
        }))
    }

    /// The refusal of something that the backend does not claim to do.
    pub fn unsupported(capability: Capability) -> Self {
        Self::new(
            ErrorKind::Unsupported,
            format!("this backend does not have the capability `{capability}`"),
        )
    }

    /// Says which instance this is about.
    #[must_use]
    pub fn on_instance(self, id: impl fmt::Display) -> Self {
        self.with(|inner| inner.instance = Some(id.to_string()))
    }

    /// Says what the reader can do about it: one sentence, lower case, no full stop.
    #[must_use]
    pub fn with_hint(self, hint: impl Into<String>) -> Self {
        self.with(|inner| inner.hint = Some(hint.into()))
    }

    /// The same as [`with_hint`](Self::with_hint), where there is one.
    #[must_use]
    pub fn with_hint_if_any(self, hint: Option<String>) -> Self {
        match hint {
            Some(hint) => self.with_hint(hint),
            None => self,
        }
    }

    /// Says that the same call may succeed later, and is safe to repeat:
    /// nothing that it did can have taken effect twice.
    #[must_use]
    pub fn retryable(self) -> Self {
        self.retryable_if(true)
    }

    /// Says whether it is [`retryable`](Self::retryable).
    #[must_use]
    pub fn retryable_if(self, retryable: bool) -> Self {
        self.with(|inner| inner.retryable = retryable)
    }

    /// Adds the reason for this error.
    #[must_use]
    pub fn caused_by(self, source: impl StdError + Send + Sync + 'static) -> Self {
        self.with(|inner| inner.source = Some(Arc::new(source)))
    }

    /// What went wrong, for a program to decide by.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The step that failed, if it was one.
    pub fn operation(&self) -> Option<Operation> {
        self.0.operation
    }

    /// The alias of the backend, if one was involved.
    pub fn backend(&self) -> Option<&str> {
        self.0.backend.as_deref()
    }

    /// The id of the instance, if there was one.
    pub fn instance(&self) -> Option<&str> {
        self.0.instance.as_deref()
    }

    /// Whether the same call may succeed later and is safe to repeat.
    ///
    /// Decided where the foreign error is read, by who knows what it means.
    pub fn is_retryable(&self) -> bool {
        self.0.retryable
    }

    /// What the reader can do about it.
    pub fn hint(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }

    /// The same error with every text in it, its reasons' too, rewritten by
    /// `rewrite`: for masking what a foreign error may have quoted.
    #[must_use]
    pub fn map_texts(&self, rewrite: impl Fn(&str) -> String) -> Self {
        let mut texts = Vec::new();
        let mut next = self.source();
        while let Some(reason) = next {
            texts.push(rewrite(&reason.to_string()));
            next = reason.source();
        }
        let reasons = texts
            .into_iter()
            .rev()
            .fold(None, |source, text| Some(Arc::new(Reason { text, source })));
        let mapped = |text: &Option<String>| text.as_deref().map(&rewrite);
        Self(Arc::new(Inner {
            instance: mapped(&self.0.instance),
            hint: mapped(&self.0.hint),
            message: mapped(&self.0.message),
            source: reasons.map(|reason| reason as Arc<dyn StdError + Send + Sync>),
            ..(*self.0).clone()
        }))
    }

    fn with(mut self, change: impl FnOnce(&mut Inner)) -> Self {
        change(Arc::make_mut(&mut self.0));
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(message) = &self.0.message {
            return f.write_str(message);
        }
        let step = self
            .0
            .operation
            .map_or("use the backend", Operation::describe);
        write!(f, "failed to {step}")?;
        if let Some(instance) = &self.0.instance {
            write!(f, " `{instance}`")?;
        }
        if let Some(backend) = &self.0.backend {
            write!(f, " on backend `{backend}`")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.0.kind)
            .field("message", &format_args!("{}", Chain(self)))
            .field("retryable", &self.0.retryable)
            .finish_non_exhaustive()
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0
            .source
            .as_deref()
            .map(|source| source as &(dyn StdError + 'static))
    }
}

/// A reason of which only the text is left.
#[derive(Debug)]
struct Reason {
    text: String,
    source: Option<Arc<Reason>>,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl StdError for Reason {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source
            .as_deref()
            .map(|source| source as &(dyn StdError + 'static))
    }
}

/// Shows an error and all of its reasons on one line, joined by ": ".
///
/// ```
/// # use backend_core::{Chain, Error, ErrorKind, Operation};
/// let reason = std::io::Error::other("disk full");
/// let error = Error::failed(ErrorKind::Io, "local", Operation::Upload, reason);
/// assert_eq!(
///     Chain(&error).to_string(),
///     "failed to upload the script on backend `local`: disk full",
/// );
/// ```
#[derive(Clone, Copy)]
pub struct Chain<'a>(pub &'a (dyn StdError + 'static));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut next = self.0.source();
        while let Some(error) = next {
            write!(f, ": {error}")?;
            next = error.source();
        }
        Ok(())
    }
}

impl fmt::Debug for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn display_prints_this_level_only() {
        let error = Error::failed(
            ErrorKind::NotFound,
            "docker",
            Operation::Start,
            std::io::Error::other("no such image `x`"),
        );
        assert_eq!(
            error.to_string(),
            "failed to start an instance on backend `docker`"
        );
        let named = error
            .clone()
            .on_instance("w1")
            .with_hint("pull it")
            .retryable();
        assert_eq!(
            named.to_string(),
            "failed to start an instance `w1` on backend `docker`"
        );
        assert_eq!(named.hint(), Some("pull it"));
        assert!(named.is_retryable() && !error.is_retryable());
        assert_eq!(error.source().unwrap().to_string(), "no such image `x`");
    }

    #[test]
    fn every_text_can_be_rewritten() {
        let inner = Error::new(ErrorKind::Denied, "hunter2 was refused");
        let error = Error::failed(ErrorKind::NotFound, "docker", Operation::Start, inner)
            .with_hint("not hunter2")
            .retryable();
        let masked = error.map_texts(|text| text.replace("hunter2", "***"));
        assert_eq!(
            Chain(&masked).to_string(),
            "failed to start an instance on backend `docker`: *** was refused"
        );
        assert_eq!(
            (masked.kind(), masked.hint()),
            (ErrorKind::NotFound, Some("not ***"))
        );
        assert!(masked.is_retryable());
    }
}
