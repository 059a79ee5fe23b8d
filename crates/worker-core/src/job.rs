//! What a job is made of.

use std::fmt;

use backend_core::{Environment, OwnerId, StartAttributes};

use crate::{Keep, Limits, Secrets};

/// One script with its attributes and limits.
#[derive(Clone)]
#[non_exhaustive]
pub struct Job {
    /// A name for people; it is on everything that is created.
    pub name: Option<String>,
    /// The script, any bytes.
    pub script: Vec<u8>,
    /// What the script wants of its instance.
    pub attributes: StartAttributes,
    /// What to add to the environment of the script.
    pub environment: Environment,
    /// What is masked in the output, in events and in errors.
    pub secrets: Secrets,
    /// How long and how much.
    pub limits: Limits,
    /// Whose instance it is; this user's where it is `None`.
    pub owner: Option<OwnerId>,
    /// Whether the instance is left when the job is over.
    pub keep: Keep,
}

impl Job {
    /// A job that runs `script`, with no attributes, no environment, and the
    /// default limits.
    pub fn new(script: impl Into<Vec<u8>>) -> Self {
        Self {
            name: None,
            script: script.into(),
            attributes: StartAttributes::default(),
            environment: Environment::new(),
            secrets: Secrets::new(),
            limits: Limits::default(),
            owner: None,
            keep: Keep::Never,
        }
    }
}

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A script may hold anything, and is none of the log's business.
        f.debug_struct("Job")
            .field("name", &self.name)
            .field("script_bytes", &self.script.len())
            .field("attributes", &self.attributes)
            .field("environment", &self.environment)
            .field("secrets", &self.secrets)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}
