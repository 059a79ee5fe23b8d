//! What a server says of a run.

use serde::{Deserialize, Serialize};

use crate::{RunId, WireOutcome};

/// The answer to `GET` and `PUT /v1/instances/{iid}/runs/{rid}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
pub struct RunDocument {
    /// Its id.
    #[cfg_attr(feature = "openapi", schemars(with = "String"))]
    pub id: RunId,
    /// Whether it has ended: then the output is final.
    pub state: RunState,
    /// How it ended; there once it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<WireOutcome>,
    /// Its output.
    #[serde(default)]
    pub output: OutputSummary,
    /// Whether anything in the instance ran out of memory.
    #[serde(default)]
    pub oom_seen: bool,
    /// Whether the engine ended the script as it was itself shut down.
    #[serde(default)]
    pub ended_by_engine: bool,
    /// What was still running at the end, one line each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub leftovers: Vec<String>,
    /// How long things took.
    #[serde(default)]
    pub timings: RunTimings,
}

/// Whether a run has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum RunState {
    /// Not yet.
    Running,
    /// It has, and the length of its output is final.
    Ended,
}

/// The output of a run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct OutputSummary {
    /// Bytes so far; final once the run has ended.
    pub bytes: u64,
    /// The SHA-256 of all of it, in lower-case hexadecimal, once it has ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// Whether every byte that the script wrote is there; known at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub complete: Option<bool>,
}

/// How long things took, in milliseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct RunTimings {
    /// From its beginning to its end, or until now.
    pub elapsed_ms: u64,
}
