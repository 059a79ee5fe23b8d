//! Problems: RFC 9457 documents, and the contract's errors on the wire.

use backend_core::{Chain, Error, ErrorKind, OutOfOrder};
use serde::{Deserialize, Serialize};

const URN: &str = "urn:worker:problem:";

/// What is wrong, as `application/problem+json` (RFC 9457).
///
/// Only an answer with a `type` of ours says anything about an instance: a
/// bare 404 is a proxy's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
pub struct Problem {
    /// `urn:worker:problem:` and a code.
    #[serde(rename = "type")]
    pub kind: String,
    /// The kind of problem, in a few words.
    #[serde(default)]
    pub title: String,
    /// The status of the answer.
    #[serde(default)]
    pub status: u16,
    /// What is wrong this time.
    #[serde(default)]
    pub detail: String,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<Box<str>>,
    /// Whether the same request may succeed later, and is safe to repeat.
    #[serde(default)]
    pub retryable: bool,
    /// Milliseconds to wait before that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u32>,
    /// The step that failed: start, upload, run, signal, stop.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage: Option<Box<str>>,
}

macro_rules! codes {
    ($($(#[doc = $doc:literal])+ $name:ident = $word:literal, $status:literal, $kind:ident;)+) => {
        /// The kinds of problems.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Code {
            $($(#[doc = $doc])+ $name,)+
        }

        impl Code {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// The last part of the problem's `type`.
            pub fn word(self) -> &'static str {
                match self { $(Self::$name => $word),+ }
            }

            /// The status that it is answered with.
            pub fn status(self) -> u16 {
                match self { $(Self::$name => $status),+ }
            }

            /// The kind of error that it is for a client.
            pub fn error_kind(self) -> ErrorKind {
                match self { $(Self::$name => ErrorKind::$kind),+ }
            }
        }
    };
}

codes! {
    /// The request cannot be read: a path, a query, JSON.
    Malformed = "malformed", 400, Protocol;
    /// No token, or one that is not known.
    Unauthorized = "unauthorized", 401, Denied;
    /// The token may not do this.
    Forbidden = "forbidden", 403, Denied;
    /// There is no such instance or run, for this caller.
    NotFound = "not-found", 404, Gone;
    /// There is no such path.
    NoRoute = "no-route", 404, Protocol;
    /// The path does not take this method.
    MethodNotAllowed = "method-not-allowed", 405, Protocol;
    /// The body took too long to come.
    Timeout = "timeout", 408, Unreachable;
    /// The id is in use, with another body or by someone else.
    Conflict = "conflict", 409, InvalidState;
    /// The instance has a script.
    StaleInstance = "stale-instance", 409, Stale;
    /// It does not fit the state: a run before the script, a second run.
    InvalidState = "invalid-state", 409, InvalidState;
    /// The instance is no more.
    Gone = "gone", 410, Gone;
    /// The lease has expired.
    LeaseExpired = "lease-expired", 410, Gone;
    /// The body is over the limit.
    TooLarge = "too-large", 413, InvalidInput;
    /// The body has another media type than the path takes.
    MediaType = "media-type", 415, Protocol;
    /// A member or value makes no sense.
    Invalid = "invalid", 422, InvalidInput;
    /// The body does not have the digest that its header says.
    DigestMismatch = "digest-mismatch", 422, Io;
    /// Something in `require` that the server does not have or does not know.
    Requirement = "requirement", 422, Unsupported;
    /// The backend does not do this.
    Unsupported = "unsupported", 422, Unsupported;
    /// The backend knows no such image or other named thing.
    UnknownImage = "unknown-image", 422, NotFound;
    /// Too many requests or instances now.
    TooMany = "too-many", 429, Exhausted;
    /// Something failed in the server.
    Internal = "internal", 500, Io;
    /// The backend failed for good.
    Backend = "backend", 500, Unsuitable;
    /// Something may be left behind.
    Leftover = "leftover", 500, Leftover;
    /// The server is being shut down, or is not ready yet.
    Unavailable = "unavailable", 503, Unreachable;
    /// The backend has no room now.
    Exhausted = "exhausted", 503, Exhausted;
    /// What is behind the server does not answer.
    Unreachable = "unreachable", 503, Unreachable;
    /// What is behind the server took too long.
    BackendTimeout = "backend-timeout", 503, TimedOut;
}

impl Code {
    /// The code of this word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.word() == word)
    }

    /// How a backend's error is told.
    pub fn of(kind: ErrorKind) -> Self {
        match kind {
            ErrorKind::InvalidInput | ErrorKind::InvalidOption => Self::Invalid,
            ErrorKind::NotFound => Self::UnknownImage,
            ErrorKind::Stale => Self::StaleInstance,
            ErrorKind::InvalidState => Self::InvalidState,
            ErrorKind::TimedOut => Self::BackendTimeout,
            ErrorKind::Exhausted => Self::Exhausted,
            ErrorKind::Unsupported => Self::Unsupported,
            ErrorKind::Gone => Self::Gone,
            ErrorKind::Unreachable => Self::Unreachable,
            ErrorKind::Leftover => Self::Leftover,
            ErrorKind::Cancelled => Self::Unavailable,
            ErrorKind::Io => Self::Internal,
            _ => Self::Backend,
        }
    }
}

impl Problem {
    /// A problem of this kind.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self {
            kind: format!("{URN}{}", code.word()),
            title: code.word().replace('-', " "),
            status: code.status(),
            detail: detail.into(),
            hint: None,
            // What is answered with 503 may be retried, what with 500 may not.
            retryable: matches!(code.status(), 408 | 429 | 503),
            retry_after_ms: None,
            stage: None,
        }
    }

    /// The same with a hint.
    #[must_use]
    pub fn with_hint(self, hint: impl Into<Box<str>>) -> Self {
        Self {
            hint: Some(hint.into()),
            ..self
        }
    }

    /// The same, to be retried after so many milliseconds.
    #[must_use]
    pub fn retry_after_ms(self, milliseconds: u32) -> Self {
        Self {
            retryable: true,
            retry_after_ms: Some(milliseconds),
            ..self
        }
    }

    /// The same for this step.
    #[must_use]
    pub fn in_stage(self, stage: impl Into<Box<str>>) -> Self {
        Self {
            stage: Some(stage.into()),
            ..self
        }
    }

    /// What a backend's error is on the wire.
    pub fn of(error: &Error, stage: &str) -> Self {
        Self {
            hint: error.hint().map(Box::from),
            retryable: error.is_retryable(),
            ..Self::new(Code::of(error.kind()), Chain(error).to_string()).in_stage(stage)
        }
    }

    /// What a call that does not fit the instance's state is on the wire.
    pub fn out_of_order(call: OutOfOrder, stage: &str) -> Self {
        Self::new(Code::of(call.kind()), call.to_string()).in_stage(stage)
    }

    /// Its code, if the problem is one of this protocol.
    pub fn code(&self) -> Option<Code> {
        Code::from_word(self.kind.strip_prefix(URN)?)
    }

    /// Whether the problem is one of this protocol, of whatever code.
    pub fn is_ours(&self) -> bool {
        self.kind.starts_with(URN)
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.detail.as_str(), self.title.as_str()) {
            ("", "") => f.write_str(&self.kind),
            ("", title) => f.write_str(title),
            (detail, _) => f.write_str(detail),
        }
    }
}

impl std::error::Error for Problem {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_have_words_of_their_own_and_come_back() {
        for code in Code::ALL {
            assert_eq!(Problem::new(*code, "x").code(), Some(*code));
        }
        let foreign = Problem {
            kind: "about:blank".into(),
            ..Problem::new(Code::NotFound, "")
        };
        assert_eq!((foreign.code(), foreign.is_ours()), (None, false));
    }

    #[test]
    fn the_kinds_that_a_caller_decides_by_survive_the_wire() {
        use ErrorKind as Kind;
        for kind in [
            Kind::InvalidInput,
            Kind::NotFound,
            Kind::Stale,
            Kind::InvalidState,
            Kind::TimedOut,
            Kind::Exhausted,
            Kind::Unsupported,
            Kind::Gone,
            Kind::Unreachable,
            Kind::Leftover,
            Kind::Io,
        ] {
            assert_eq!(Code::of(kind).error_kind(), kind);
        }
    }

    #[test]
    fn what_may_be_retried_is_what_the_backend_says() {
        let error = Error::new(ErrorKind::Unreachable, "no engine");
        assert!(!Problem::of(&error, "start").retryable);
        assert!(Problem::of(&error.retryable(), "start").retryable);
    }
}
