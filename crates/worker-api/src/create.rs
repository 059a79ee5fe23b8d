//! What clients ask for. Unknown members are refused.

use std::collections::BTreeMap;
use std::time::Duration;

use backend_core::StartAttributes;
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize};

/// The body of `PUT /v1/instances/{iid}`: what instance is wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct CreateInstance {
    /// What the job asks of its instance, to choose an image by. Members that
    /// are missing or empty are not asked for.
    #[serde(deserialize_with = "object")]
    pub attributes: Attributes,
    /// Seconds that the lease lasts unless it is renewed. Default: the
    /// server's `lease_s`, of which it is also capped.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schemars(range(min = 1, max = 604_800)))]
    pub lease_s: Option<u32>,
    /// Seconds after which the instance is ended whoever renews its lease.
    /// Default and cap: the server's `max_lifetime_s`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schemars(range(min = 1, max = 31_536_000)))]
    pub max_lifetime_s: Option<u32>,
    /// The name of the job, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schemars(length(max = 256)))]
    pub job: Option<String>,
    /// Texts of the client's own, by which it finds the instance again. At
    /// most 64; keys of at most 128 bytes, values of at most 1024.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[cfg_attr(feature = "openapi", schemars(extend("maxProperties" = 64)))]
    pub labels: BTreeMap<String, String>,
    /// What the instance must have, by the names of capabilities. One that the
    /// server does not have or does not know is refused (422), never ignored.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "openapi", schemars(length(max = 64)))]
    pub require: Vec<String>,
}

/// Reads a struct from an object only: serde also takes an array for one, and
/// an empty one for all defaults.
fn object<'de, D: Deserializer<'de>, T: DeserializeOwned>(deserializer: D) -> Result<T, D::Error> {
    let members = serde_json::Map::deserialize(deserializer)?;
    serde_json::from_value(members.into()).map_err(D::Error::custom)
}

/// What a job asks of its instance. An empty text is not asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct Attributes {
    /// The language the script is written for, such as `go`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub language: String,
    /// The macOS image, such as `xcode15`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub osx_image: String,
    /// The distribution, such as `bookworm`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub dist: String,
    /// The release group of the image, such as `stable`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub group: String,
    /// The operating system, such as `linux`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub os: String,
    /// The processor architecture, such as `amd64`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub arch: String,
    /// One image by its name; it wins over all others.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub image_name: String,
    /// The class of machine, where the server has several.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub vm_type: String,
}

impl From<&StartAttributes> for Attributes {
    fn from(attributes: &StartAttributes) -> Self {
        let attributes = attributes.clone();
        Self {
            language: attributes.language,
            osx_image: attributes.osx_image,
            dist: attributes.dist,
            group: attributes.group,
            os: attributes.os,
            arch: attributes.arch,
            image_name: attributes.image_name,
            vm_type: attributes.vm_type,
        }
    }
}

impl From<&Attributes> for StartAttributes {
    fn from(attributes: &Attributes) -> Self {
        let attributes = attributes.clone();
        Self {
            language: attributes.language,
            osx_image: attributes.osx_image,
            dist: attributes.dist,
            group: attributes.group,
            os: attributes.os,
            arch: attributes.arch,
            image_name: attributes.image_name,
            vm_type: attributes.vm_type,
            // What the server plans by is the lifetime.
            hard_timeout: None,
        }
    }
}

/// The body of `PUT /v1/instances/{iid}/lease`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct LeaseRequest {
    /// Seconds that the lease lasts from now on; capped by the server's
    /// `max_lease_s`.
    #[cfg_attr(feature = "openapi", schemars(range(min = 1, max = 604_800)))]
    pub ttl_s: u32,
}

/// The body of `PUT /v1/instances/{iid}/runs/{rid}`.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct CreateRun {
    /// Variables to add to the instance's environment. Never shown again.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub environment: BTreeMap<String, String>,
    /// Milliseconds to wait for the end of the output after the script has
    /// ended, while a child of it still holds the output open. Default: 5000.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schemars(range(max = 3_600_000)))]
    pub drain_ms: Option<u32>,
    /// Limits that the server watches. Default: none but its own.
    #[serde(
        deserialize_with = "object",
        skip_serializing_if = "RunLimits::is_none"
    )]
    pub limits: RunLimits,
}

impl std::fmt::Debug for CreateRun {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CreateRun")
            .field("environment", &self.environment.keys().collect::<Vec<_>>())
            .field("drain_ms", &self.drain_ms)
            .field("limits", &self.limits)
            .finish()
    }
}

/// Limits on one run, watched by the server. A breach ends the run as
/// `stopped`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct RunLimits {
    /// Seconds that the run may take.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schemars(range(min = 1)))]
    pub time_s: Option<u32>,
    /// Seconds without any output.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schemars(range(min = 1)))]
    pub silence_s: Option<u32>,
    /// Bytes of output; capped by the server's `output_bytes`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_bytes: Option<u64>,
}

impl RunLimits {
    /// Whether there are none.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }

    /// The limit on time.
    pub fn time(&self) -> Option<Duration> {
        self.time_s
            .map(|seconds| Duration::from_secs(seconds.into()))
    }

    /// The limit on silence.
    pub fn silence(&self) -> Option<Duration> {
        self.silence_s
            .map(|seconds| Duration::from_secs(seconds.into()))
    }
}

/// The body of `POST /v1/instances/{iid}/runs/{rid}/signal`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct SignalRequest {
    /// The signal's name (`TERM`, with or without `SIG`) or number on Linux.
    #[cfg_attr(feature = "openapi", schemars(length(min = 1, max = 16)))]
    pub signal: String,
}
