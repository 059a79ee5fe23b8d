//! Who named an endpoint.

use std::fmt;

/// Who named an endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    Option,
    DockerHost,
    /// This context of the docker client.
    Context(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Option => f.write_str("the option `endpoint`"),
            Self::DockerHost => f.write_str("the variable DOCKER_HOST"),
            Self::Context(name) => write!(f, "docker's context `{name}`"),
        }
    }
}
