//! What an engine says of a container, as far as it is needed. Read by us and
//! not by bollard, whose types refuse an answer as a whole for one word in it
//! that they do not know; engines differ in such words.

use std::collections::HashMap;

use serde::Deserialize;

/// `GET /containers/{id}/json`.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Inspection {
    #[serde(rename = "State")]
    pub(crate) state: State,
    #[serde(rename = "Config", default)]
    pub(crate) config: Config,
    #[serde(rename = "HostConfig", default)]
    pub(crate) host: Host,
}

/// What the container may have of its machine.
#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct Host {
    /// In bytes; 0 for no limit.
    #[serde(rename = "Memory", default)]
    pub(crate) memory: i64,
}

/// How the container is.
#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct State {
    #[serde(rename = "Status", default)]
    pub(crate) status: String,
    #[serde(rename = "Running", default)]
    pub(crate) running: bool,
    #[serde(rename = "ExitCode", default)]
    pub(crate) exit_code: Option<i64>,
    #[serde(rename = "OOMKilled", default)]
    pub(crate) oom_killed: bool,
    #[serde(rename = "Error", default)]
    pub(crate) error: String,
}

/// What the container was made from.
#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct Config {
    #[serde(rename = "Labels", default)]
    pub(crate) labels: Option<HashMap<String, String>>,
}

/// One entry of `GET /containers/json`.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Listed {
    #[serde(rename = "Id")]
    pub(crate) id: String,
    #[serde(rename = "Image", default)]
    pub(crate) image: String,
    #[serde(rename = "Labels", default)]
    pub(crate) labels: Option<HashMap<String, String>>,
    #[serde(rename = "State", default)]
    pub(crate) state: String,
}

/// `GET /exec/{id}/json`.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct ExecInspection {
    #[serde(rename = "Running", default)]
    running: bool,
    #[serde(rename = "ExitCode", default)]
    exit_code: Option<i64>,
}

impl ExecInspection {
    /// Its exit code, once it has one.
    pub(crate) fn ended_with(&self) -> Option<i64> {
        self.exit_code.filter(|_| !self.running)
    }
}

impl State {
    /// Whether it has ended. A container that was only created has not.
    pub(crate) fn has_ended(&self) -> bool {
        !self.running && self.status != "created" && self.status != "configured"
    }

    /// Whether somebody is removing it.
    pub(crate) fn is_being_removed(&self) -> bool {
        matches!(self.status.as_str(), "removing" | "dead")
    }
}
