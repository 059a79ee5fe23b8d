//! The wire types of `worker/1`, the HTTP API in front of Worker's backends.
//!
//! `worker-server` answers with them, `backend-http` reads them, and the
//! `OpenAPI` document of this crate ([`OPENAPI`]) is generated from them. What
//! both sides must decide alike is here too, as pure functions: outcomes and
//! errors to and from the wire, the headers of an answer with output, digests,
//! the `Prefer` header.
//!
//! Members of answers that a reader does not know are ignored, so that a
//! server may say more; members of requests that a server does not know are
//! refused, so that no wish is dropped in silence. Times on the wire are
//! durations, never clock times.

#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;

mod create;
mod digest;
mod discovery;
mod instance;
#[cfg(feature = "openapi")]
mod openapi;
mod outcome;
mod output;
mod prefer;
mod problem;
mod run;
mod run_id;

pub use create::{Attributes, CreateInstance, CreateRun, LeaseRequest, RunLimits, SignalRequest};
pub use digest::{Digest, InvalidDigest};
pub use discovery::{BackendInfo, Discovery, ServerInfo, ServerLimits};
pub use instance::{
    Connect, InstanceDocument, InstanceEnd, InstanceEndCause, InstanceList, InstanceState,
    LeaseDocument, ProcessesDocument, ProgressDocument, ScriptDocument, SshConnect, Timings,
};
#[cfg(feature = "openapi")]
pub use openapi::document;
pub use outcome::{LostBy, StoppedBy, WireOutcome};
pub use output::{Chunk, ChunkHead, InvalidChunk};
pub use prefer::{prefer_wait, wait_of};
pub use problem::{Code, Problem};
pub use run::{OutputSummary, RunDocument, RunState, RunTimings};
pub use run_id::RunId;

/// The name of the protocol, as [`Discovery::api`] says it.
pub const API: &str = "worker/1";

/// The first segment of every path but the health checks.
pub const PATH: &str = "/v1";

/// The most bytes of output in one answer. A server never sends more, so a
/// reader needs no more memory than that.
pub const MAX_CHUNK: u64 = 1 << 20;

/// The most bytes of JSON in one answer: a reader may refuse more.
pub const MAX_DOCUMENT: usize = 4 << 20;

/// The media type of JSON documents.
pub const JSON: &str = "application/json";

/// The media type of problems (RFC 9457).
pub const PROBLEM_JSON: &str = "application/problem+json";

/// The media type of scripts and output.
pub const OCTETS: &str = "application/octet-stream";

/// The `OpenAPI` 3.1 document of the protocol, as JSON.
pub const OPENAPI: &str = include_str!("../openapi.json");

/// Names of headers, in the lower case that HTTP libraries want.
pub mod header {
    /// Of a script or of a piece of output: its SHA-256 (RFC 9530).
    pub const CONTENT_DIGEST: &str = "content-digest";
    /// The offset of the first byte of the answer's output.
    pub const OFFSET: &str = "worker-offset";
    /// The offset to ask for next.
    pub const NEXT_OFFSET: &str = "worker-next-offset";
    /// `true` if no byte will come at the next offset any more.
    pub const COMPLETE: &str = "worker-complete";
    /// The name of one request, chosen by the client, and echoed.
    pub const REQUEST_ID: &str = "x-request-id";
    /// How long to wait for news (RFC 7240).
    pub const PREFER: &str = "prefer";
}
