//! What a server says of itself.

use serde::{Deserialize, Serialize};

/// The answer to `GET /v1`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
pub struct Discovery {
    /// `worker/1`.
    pub api: String,
    /// The server.
    pub server: ServerInfo,
    /// What is behind it.
    #[serde(default)]
    pub backend: BackendInfo,
    /// What instances can do, by the names of capabilities; a service may say
    /// nothing. A reader ignores names that it does not know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capabilities: Option<Vec<String>>,
    /// The server's limits.
    #[serde(default)]
    pub limits: ServerLimits,
}

/// Name and version of a server.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct ServerInfo {
    /// The program.
    pub name: String,
    /// Its version.
    pub version: String,
}

/// The backend behind a server.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct BackendInfo {
    /// Its alias, such as `docker`.
    pub alias: String,
    /// Its name for people.
    pub name: String,
}

/// The limits of a server. A member that is missing is not limited, or the
/// server does not say.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct ServerLimits {
    /// Bytes of a script.
    pub script_bytes: Option<u64>,
    /// Bytes of output of one run; a run that writes more is `stopped`.
    pub output_bytes: Option<u64>,
    /// Bytes of output in one answer.
    pub chunk_bytes: Option<u64>,
    /// Seconds of a lease, where none is asked for.
    pub lease_s: Option<u32>,
    /// Seconds of a lease at the most.
    pub max_lease_s: Option<u32>,
    /// Seconds of an instance's life at the most.
    pub max_lifetime_s: Option<u32>,
    /// Seconds that one request may wait for news.
    pub wait_s: Option<u32>,
    /// Instances at a time, for one caller.
    pub instances: Option<u32>,
}
