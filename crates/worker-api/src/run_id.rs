//! The id of a run.

use std::fmt;
use std::str::FromStr;

use backend_core::{InstanceId, InvalidId};
use serde::{Deserialize, Serialize};

/// The id of a run, chosen by the client; its form is that of an
/// [`InstanceId`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RunId(InstanceId);

impl RunId {
    /// A new random one.
    pub fn random() -> Self {
        Self(InstanceId::random())
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for RunId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        text.parse().map(Self)
    }
}
