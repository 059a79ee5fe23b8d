//! A server in a process of its own: this test program, run again.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use backend_core::{Backend, OwnerId, ProviderConfig};
use serde::{Deserialize, Serialize};
use testbed::Daemon;
use tokio_util::sync::CancellationToken;
use worker_server::{Listen, Server, ServerOptions, TlsFiles, Tokens};

const VARIABLE: &str = "WORKER_TEST_SERVE";

/// The name of the test that is the server, in programs with a harness.
pub(crate) const SERVING: &str = "serving";

/// What a server is to be.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Plan {
    pub(crate) backend: String,
    pub(crate) options: BTreeMap<String, String>,
    /// 0 is any free port.
    pub(crate) port: u16,
    pub(crate) socket: Option<PathBuf>,
    pub(crate) tokens: Option<String>,
    pub(crate) certificate: Option<(PathBuf, PathBuf)>,
    pub(crate) state: Option<PathBuf>,
    pub(crate) drain_seconds: Option<u64>,
    pub(crate) grace_seconds: Option<u64>,
    pub(crate) output_bytes: Option<u64>,
    pub(crate) instances: Option<usize>,
    pub(crate) head_seconds: Option<u64>,
    /// Where the server writes its endpoint.
    ready: PathBuf,
}

impl Plan {
    pub(crate) fn new(backend: &str) -> Self {
        Self {
            backend: backend.into(),
            ..Self::default()
        }
    }

    pub(crate) fn option(mut self, key: &str, value: &str) -> Self {
        self.options.insert(key.into(), value.into());
        self
    }

    /// Starts the server, and waits until it listens.
    pub(crate) fn start(mut self) -> Serving {
        let directory = tempfile::tempdir().unwrap();
        self.ready = directory.path().join("endpoint");
        self.state
            .get_or_insert_with(|| directory.path().join("state"));
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args([SERVING, "--exact", "--nocapture"])
            .env(VARIABLE, serde_json::to_string(&self).unwrap())
            .env("WORKER_STATE_DIR", directory.path().join("worker"));
        let ready = self.ready.clone();
        let grace = Duration::from_secs(20);
        let mut daemon = Daemon::start("worker serve", &command, directory, grace).unwrap();
        let bound = Duration::from_secs(30);
        daemon.wait_until(bound, |_| ready.exists()).unwrap();
        let endpoint = std::fs::read_to_string(ready).unwrap();
        Serving {
            daemon,
            endpoint,
            plan: self,
        }
    }
}

/// A server that runs until it is dropped.
#[derive(Debug)]
pub(crate) struct Serving {
    pub(crate) daemon: Daemon,
    pub(crate) endpoint: String,
    pub(crate) plan: Plan,
}

impl Serving {
    pub(crate) fn address(&self) -> std::net::SocketAddr {
        let (_, address) = self.endpoint.split_once("://").unwrap();
        address.parse().unwrap()
    }

    /// Its resident memory at its most, in KiB.
    pub(crate) fn memory(&self) -> u64 {
        let status = format!("/proc/{}/status", self.daemon.pid());
        let status = std::fs::read_to_string(status).unwrap();
        let line = status
            .lines()
            .find(|line| line.starts_with("VmHWM:"))
            .unwrap();
        line.split_ascii_whitespace()
            .nth(1)
            .unwrap()
            .parse()
            .unwrap()
    }
}

/// Is the server, if this process is to be one: then it never returns.
pub(crate) fn serve_if_asked() {
    let Ok(plan) = std::env::var(VARIABLE) else {
        return;
    };
    let plan: Plan = serde_json::from_str(&plan).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    tracing_subscriber::fmt()
        .with_max_level(tracing_subscriber::filter::LevelFilter::DEBUG)
        .with_ansi(false)
        .with_writer(std::io::stderr)
        .init();
    runtime.block_on(serve(plan));
    std::process::exit(0);
}

fn backend(alias: &str) -> &'static Backend {
    match alias {
        "docker" => &backend_docker::BACKEND,
        "local" => &backend_local::BACKEND,
        "fake" => &backend_fake::BACKEND,
        other => panic!("no backend {other}"),
    }
}

async fn serve(plan: Plan) {
    let config: ProviderConfig = plan.options.iter().collect();
    let provider = (backend(&plan.backend).provider)(&config).unwrap();
    provider.setup().await.unwrap();
    let state = plan.state.clone().unwrap();
    let owner = OwnerId::kept_in(&state).unwrap();
    let mut options = ServerOptions::new(&state, owner);
    options.listen.push(match &plan.socket {
        Some(path) => Listen::Unix(path.clone()),
        None => Listen::Tcp(([127, 0, 0, 1], plan.port).into()),
    });
    if let Some(tokens) = &plan.tokens {
        options.tokens = Tokens::read(&tokens.as_str().into()).unwrap();
    }
    options.tls = plan
        .certificate
        .clone()
        .map(|(certificate, key)| TlsFiles { certificate, key });
    if let Some(seconds) = plan.drain_seconds {
        options.drain_timeout = Duration::from_secs(seconds);
    }
    if let Some(seconds) = plan.grace_seconds {
        options.limits.grace = Duration::from_secs(seconds);
    }
    if let Some(bytes) = plan.output_bytes {
        options.limits.output_bytes = bytes;
    }
    if let Some(instances) = plan.instances {
        options.limits.instances = instances;
    }
    if let Some(seconds) = plan.head_seconds {
        options.limits.head_timeout = Duration::from_secs(seconds);
        options.limits.body_pause = Duration::from_secs(seconds);
    }
    options.backend.alias.clone_from(&plan.backend);
    let server = Server::bind(provider, options).await.unwrap();
    let endpoint = server.endpoints().remove(0);
    let aside = plan.ready.with_extension("new");
    std::fs::write(&aside, endpoint).unwrap();
    std::fs::rename(aside, &plan.ready).unwrap();
    let (shutdown, now) = (CancellationToken::new(), CancellationToken::new());
    let mut term =
        tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()).unwrap();
    let (first, second) = (shutdown.clone(), now.clone());
    tokio::spawn(async move {
        term.recv().await;
        first.cancel();
        term.recv().await;
        second.cancel();
    });
    server.serve(shutdown, now).await.unwrap();
}
