//! What the backend can be told.

use std::path::PathBuf;
use std::time::Duration;

use backend_core::{Capabilities, Capability, Kind, OptionValue, SecretString};

use crate::endpoint::Endpoints;

backend_core::options! {
    /// The options of the backend `http`.
    pub struct HttpOptions {
        /// Where the server is: `http://` or `https://` and a host, or
        /// `unix://` and the path of a socket. Several are a pool: a start
        /// goes to one of them, and to the next where that one cannot.
        endpoint: Endpoints, example "https://builds.example.com";
        /// The token, as the server knows it.
        token: Option<SecretString>, example "…";
        /// A file with the token, in place of `token`.
        token_file: Option<PathBuf>, example "/etc/worker/token";
        /// A PEM file with the certificates of the authorities that the
        /// server's certificate is checked against, in place of the system's.
        ca_file: Option<PathBuf>, example "/etc/ssl/own-ca.pem";
        /// How long an instance outlives this process. It is renewed every
        /// third of it.
        lease: Duration = "60s", example "60s";
        /// How long a connection that is lost may take to come back, before
        /// the run is lost.
        resume_window: Duration = "5m", example "5m";
        /// How long connecting may take.
        connect_timeout: Duration = "10s", example "10s";
        /// A private key file, for services that hand out machines over SSH.
        /// Default: those that `ssh` uses.
        identity_file: Option<PathBuf>, example "~/.ssh/ci";
        /// What the server's instances can do, by the names that `GET /v1`
        /// lists. Setup refuses a server that lacks one of them, and each
        /// instance is required to have them. If it is not given, `signals`
        /// and that scripts are executed are taken for granted, with what the
        /// protocol itself brings.
        capabilities: Vec<CapabilityName>, example "executes-scripts,signals,exact-signals";
    }
}

/// What is taken for granted where nothing is said.
const GRANTED: [Capability; 4] = [
    Capability::ExecutesScripts,
    Capability::Signals,
    Capability::FoundByOthers,
    Capability::Resumes,
];

impl HttpOptions {
    /// What the provider claims.
    pub(crate) fn claimed(&self) -> Capabilities {
        if self.capabilities.is_empty() {
            return GRANTED.into();
        }
        self.capabilities.iter().map(|it| it.0).collect()
    }
}

/// The name of a capability, as an option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CapabilityName(pub Capability);

impl OptionValue for CapabilityName {
    const KIND: Kind = Kind::Text;

    fn parse(text: &str) -> Result<Self, String> {
        // The protocol has no call for these, whatever the server could do.
        let never = [Capability::Keeps, Capability::Shell];
        let known = Capability::ALL.iter().copied();
        let known = known.filter(|capability| !never.contains(capability));
        known
            .clone()
            .find(|capability| capability.name() == text)
            .map(Self)
            .ok_or_else(|| {
                let names: Vec<_> = known.map(Capability::name).collect();
                match backend_core::nearest(text, names.iter().copied()) {
                    Some(near) => format!("no capability; did you mean `{near}`?"),
                    None => format!("no capability; there are {}", names.join(", ")),
                }
            })
    }
}
