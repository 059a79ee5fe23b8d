//! What a server is told.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use backend_core::OwnerId;
use worker_api::BackendInfo;

use crate::Tokens;

/// What a server is told.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ServerOptions {
    /// Where it listens.
    pub listen: Vec<Listen>,
    /// Who may use it. Without any, everyone who reaches it: it then refuses
    /// to listen beyond loopback and Unix sockets.
    pub tokens: Tokens,
    /// Certificate and key, for TLS on every TCP address.
    pub tls: Option<TlsFiles>,
    /// Whether it may listen beyond loopback without TLS.
    pub plain_beyond_loopback: bool,
    /// Where it keeps what must outlive it: one server at a time.
    pub state_directory: PathBuf,
    /// Whose instances it starts.
    pub owner: OwnerId,
    /// What is behind it, for discovery.
    pub backend: BackendInfo,
    /// Its limits.
    pub limits: Limits,
    /// How long instances may go on after it was told to end.
    pub drain_timeout: Duration,
}

impl ServerOptions {
    /// A server for `owner` that keeps its state in `state_directory`, listens
    /// nowhere yet, knows no tokens, and has the default limits.
    pub fn new(state_directory: impl Into<PathBuf>, owner: OwnerId) -> Self {
        Self {
            listen: Vec::new(),
            tokens: Tokens::none(),
            tls: None,
            plain_beyond_loopback: false,
            state_directory: state_directory.into(),
            owner,
            backend: BackendInfo::default(),
            limits: Limits::default(),
            drain_timeout: Duration::from_secs(30),
        }
    }
}

/// Where to listen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listen {
    /// At a TCP address; port 0 is any free one.
    Tcp(SocketAddr),
    /// At a Unix socket, made with mode 0600. What stands at the path is
    /// replaced if it is a socket on which nobody listens.
    Unix(PathBuf),
}

/// PEM files for TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate and what leads to its authority.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// What bounds a server.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Limits {
    /// Bytes of a script. 64 MiB.
    pub script_bytes: u64,
    /// Bytes of a JSON body: an environment is in it. 4 MiB.
    pub document_bytes: u64,
    /// Bytes of output of one run: a run that writes more is stopped. 1 GiB.
    pub output_bytes: u64,
    /// Bytes of all output that is kept: while there is more, no run begins,
    /// and one that writes is stopped. 16 GiB.
    pub kept_bytes: u64,
    /// Instances at a time. 1000.
    pub instances: usize,
    /// Instances at a time of one caller. 1000.
    pub instances_per_caller: usize,
    /// Connections at a time; more wait until one ends. 1024.
    pub connections: usize,
    /// Requests per second of one caller, with as many at once. 5000.
    pub requests_per_second: u32,
    /// A lease, where the client does not say. 60 s.
    pub lease: Duration,
    /// A lease at the most. 24 h.
    pub max_lease: Duration,
    /// An instance's life at the most. 24 h.
    pub max_lifetime: Duration,
    /// How long one request may wait for news. 60 s.
    pub wait: Duration,
    /// Between TERM and KILL, where the server ends a run. 10 s.
    pub grace: Duration,
    /// How long what is told of an instance, and its output, outlive it. 10 min.
    pub remembrance: Duration,
    /// How long a client may take for the head of a request, and be idle
    /// between two. 30 s.
    pub head_timeout: Duration,
    /// How long a body may pause. 10 s.
    pub body_pause: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            script_bytes: 64 << 20,
            document_bytes: 4 << 20,
            output_bytes: 1 << 30,
            kept_bytes: 16 << 30,
            instances: 1000,
            instances_per_caller: 1000,
            connections: 1024,
            requests_per_second: 5000,
            lease: Duration::from_mins(1),
            max_lease: Duration::from_hours(24),
            max_lifetime: Duration::from_hours(24),
            wait: Duration::from_mins(1),
            grace: Duration::from_secs(10),
            remembrance: Duration::from_mins(10),
            head_timeout: Duration::from_secs(30),
            body_pause: Duration::from_secs(10),
        }
    }
}
