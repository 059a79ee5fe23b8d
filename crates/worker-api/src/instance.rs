//! What a server says of an instance.

use std::collections::BTreeMap;

use backend_core::InstanceId;
use serde::{Deserialize, Serialize};

use crate::{Problem, RunId};

/// The answer to `GET` and `PUT /v1/instances/{iid}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
pub struct InstanceDocument {
    /// Its id.
    #[cfg_attr(feature = "openapi", schemars(with = "String"))]
    pub id: InstanceId,
    /// Where it is in its life.
    pub state: InstanceState,
    /// Counts the changes of this document; for `?since=`. A lease that runs
    /// or is renewed is no change.
    #[serde(default)]
    pub rev: u64,
    /// Seconds that are left of the lease.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease_remaining_s: Option<u64>,
    /// How to upload and run, once it is ready. Missing: over HTTP.
    #[serde(default)]
    pub connect: Connect,
    /// The image that it was made from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// The name of the job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<String>,
    /// The labels from its creation.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// How far the start is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<ProgressDocument>,
    /// Its run, once there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schemars(with = "Option<String>"))]
    pub run: Option<RunId>,
    /// How long things took.
    #[serde(default)]
    pub timings: Timings,
    /// How it ended, once it is `gone`; while it is `stopping`, why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<InstanceEnd>,
}

/// Where an instance is in its life. The order is the order of life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum InstanceState {
    /// It is being made.
    Starting,
    /// It takes a script, and runs it.
    Ready,
    /// It is being removed.
    Stopping,
    /// It is no more, or never came to be.
    Gone,
}

/// How to upload and run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Connect {
    /// By this API.
    #[default]
    Http,
    /// Over SSH, to this address, with this host key and no other.
    Ssh(SshConnect),
}

/// A machine that is reached over SSH.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
pub struct SshConnect {
    /// Its name or address.
    pub host: String,
    /// Its port.
    #[serde(default = "ssh_port")]
    pub port: u16,
    /// The account.
    pub user: String,
    /// Its host key, as in a `known_hosts` file: type and base64.
    pub host_key: String,
}

fn ssh_port() -> u16 {
    22
}

/// How far a start is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
pub struct ProgressDocument {
    /// The phase: queued, connecting, pulling, creating, waiting, ready, notice.
    pub phase: String,
    /// A short text for a person.
    #[serde(default)]
    pub detail: String,
    /// How much of the phase is done, in the phase's own unit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub done: Option<u64>,
    /// How much there is to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<u64>,
}

/// How long things took, in milliseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct Timings {
    /// Since the instance was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub age_ms: Option<u64>,
    /// From its creation until it was ready, by its backend.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub startup_ms: Option<u64>,
}

/// How and why an instance ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
pub struct InstanceEnd {
    /// Why.
    pub by: InstanceEndCause,
    /// The problem of a start that failed, or of a removal that fails.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<Problem>,
}

/// Why an instance ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum InstanceEndCause {
    /// The client deleted it.
    Deleted,
    /// Its lease was not renewed.
    Lease,
    /// It reached the end of its lifetime.
    Lifetime,
    /// Its start failed.
    StartFailed,
    /// The server was shut down.
    Drain,
    /// The server was started anew, and could not take it up again.
    Restart,
    /// Something that this reader does not know.
    #[serde(other)]
    Other,
}

impl InstanceEndCause {
    /// The cause as a sentence.
    pub fn describe(self) -> &'static str {
        match self {
            Self::Deleted => "it was deleted",
            Self::Lease => "its lease was not renewed",
            Self::Lifetime => "it reached the end of its lifetime",
            Self::StartFailed => "its start failed",
            Self::Drain => "the server was shut down",
            Self::Restart => "the server was started anew",
            Self::Other => "it does not say why",
        }
    }
}

/// The answer to `GET /v1/instances`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
pub struct InstanceList {
    /// The instances of the caller, by id.
    pub items: Vec<InstanceDocument>,
    /// The cursor of the next page, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// The answer to `PUT /v1/instances/{iid}/lease`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
pub struct LeaseDocument {
    /// Seconds that are left.
    pub remaining_s: u64,
}

/// The answer to `PUT /v1/instances/{iid}/script`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
pub struct ScriptDocument {
    /// Its length.
    pub bytes: u64,
    /// Its SHA-256, in lower-case hexadecimal.
    pub sha256: String,
}

/// The answer to `GET /v1/instances/{iid}/processes`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
pub struct ProcessesDocument {
    /// One process a line, for a person; null where nothing runs.
    pub processes: Option<String>,
}
