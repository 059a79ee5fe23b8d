//! Servers, providers and jobs for the tests.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use backend_core::testkit::FaultProxy;
use backend_core::{
    Instance, Provider, ProviderConfig, ProviderExt as _, RunOptions, RunResult, StartAttributes,
};
use testbed::{SshKind, SshServer, SshSetup};

/// Both kinds of servers.
pub(crate) const KINDS: [SshKind; 2] = [SshKind::OpenSsh, SshKind::Dropbear];

/// A server, or `None` where there can be none here, which is said by name.
pub(crate) fn server(kind: SshKind, setup: &SshSetup) -> Option<SshServer> {
    match SshServer::start(kind, setup) {
        Ok(server) => Some(server),
        Err(error) => {
            testbed::missing("ssh", &format!("{error:#}"));
            None
        }
    }
}

/// A configuration for this server, at `port`.
pub(crate) fn config_at(server: &SshServer, port: u16) -> ProviderConfig {
    let known_hosts = known_hosts(server);
    ProviderConfig::from([
        ("hosts", format!("{}@127.0.0.1:{port}", server.user())),
        ("identity-file", server.identity().display().to_string()),
        ("known-hosts", known_hosts.display().to_string()),
        ("identity-agent", "none".into()),
        ("ssh-config", "none".into()),
    ])
}

pub(crate) fn config(server: &SshServer) -> ProviderConfig {
    config_at(server, server.port())
}

/// Its host key for any port: through a proxy it is the same.
fn known_hosts(server: &SshServer) -> PathBuf {
    let path = server.directory().join("known_hosts_any_port");
    let line = format!("127.0.0.1 {}\n", server.host_key("ed25519").unwrap());
    std::fs::write(&path, line).unwrap();
    path
}

pub(crate) fn provider(config: &ProviderConfig) -> Arc<dyn Provider> {
    (backend_ssh::BACKEND.provider)(config).unwrap()
}

pub(crate) async fn proxy(server: &SshServer) -> FaultProxy {
    let target = std::net::SocketAddr::from(([127, 0, 0, 1], server.port()));
    FaultProxy::tcp(target).await.unwrap()
}

pub(crate) fn port(proxy: &FaultProxy) -> u16 {
    proxy.address().unwrap().port()
}

pub(crate) async fn ready(provider: &dyn Provider, script: &str) -> Box<dyn Instance> {
    let instance = provider
        .start_new(&StartAttributes::default())
        .await
        .unwrap();
    instance.upload_script(script.as_bytes()).await.unwrap();
    instance
}

/// One job from start to stop: its result and output.
pub(crate) async fn job(provider: &dyn Provider, script: &str) -> (RunResult, Vec<u8>) {
    let instance = ready(provider, script).await;
    let mut output = Vec::new();
    let result = instance
        .run_script(&RunOptions::default(), &mut output)
        .await;
    instance.stop().await.unwrap();
    (result.unwrap(), output)
}

/// Waits until `done`, for `bound` at the most.
pub(crate) async fn until(bound: Duration, what: &str, mut done: impl FnMut() -> bool) {
    let began = Instant::now();
    while !done() {
        assert!(began.elapsed() < bound, "not within {bound:?}: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The processes of this machine that have `text` in their arguments.
pub(crate) fn processes_with(text: &str) -> Vec<String> {
    let all = std::fs::read_dir("/proc").unwrap().flatten();
    let lines = all.filter_map(|process| std::fs::read(process.path().join("cmdline")).ok());
    let lines = lines.map(|line| String::from_utf8_lossy(&line).replace('\0', " "));
    lines.filter(|line| line.contains(text)).collect()
}
