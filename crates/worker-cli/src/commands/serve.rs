//! `worker serve`: any backend behind the HTTP API `worker/1`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use backend_core::{ByteSize, OwnerId, backend, state_directory};
use clap::Args;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use worker_server::{Listen, Server, ServerOptions, TlsFiles, Tokens};

use crate::args::values::{duration, size};
use crate::args::{BackendSelection, OwnerArgument};
use crate::exit::{ExitStatus, SUCCESS};
use crate::providers;
use crate::report::Problem;
use crate::stderr::say;

/// The variable that holds the token, or the lines of a token file.
const TOKEN: &str = "WORKER_SERVE_TOKEN";

pub(crate) const SERVE_HELP: &str = "\
Tokens: --token-file FILE, or the variable WORKER_SERVE_TOKEN. Each line is a
TOKEN, or NAME full|read TOKEN; `sha256:` and 64 hexadecimal digits may stand
for a token. Callers of one NAME share their instances, and `read` may only
watch them. Without tokens it listens on loopback and Unix sockets only.

Examples:
  worker serve                                     in front of `local`, at 127.0.0.1:7070
  worker serve -b docker --listen unix:///run/worker.sock
  worker serve --listen 0.0.0.0:443 --token-file tokens --tls-certificate c.pem --tls-key k.pem

The first INT or TERM drains: nothing new is taken, and what runs may end
within --drain-timeout. A second one ends what is left at once. With -v each
request is logged; with --log-format json as a line of JSON.";

#[derive(Debug, Args)]
pub(crate) struct ServeArguments {
    /// Where to listen: IP:PORT, or `unix://` and a path; may be repeated
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:7070", value_parser = listen)]
    listen: Vec<Listen>,
    #[command(flatten)]
    backend: BackendSelection,
    /// Take the tokens from this file
    #[arg(long, value_name = "FILE", help_heading = "Who may")]
    token_file: Option<PathBuf>,
    /// Serve TLS with this certificate (PEM)
    #[arg(
        long,
        value_name = "FILE",
        requires = "tls_key",
        help_heading = "Who may"
    )]
    tls_certificate: Option<PathBuf>,
    /// The certificate's private key (PEM)
    #[arg(
        long,
        value_name = "FILE",
        requires = "tls_certificate",
        help_heading = "Who may"
    )]
    tls_key: Option<PathBuf>,
    /// Listen beyond loopback without TLS: only behind a proxy that has it
    #[arg(long, help_heading = "Who may")]
    plain_http_beyond_loopback: bool,
    #[command(flatten)]
    limits: ServerLimitArguments,
    /// Where what outlives the server is kept; one server at a time
    /// [default: `serve` in Worker's state directory]
    #[arg(long, value_name = "DIR")]
    state_directory: Option<PathBuf>,
    #[command(flatten)]
    owner: OwnerArgument,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Limits")]
struct ServerLimitArguments {
    /// Instances at a time
    #[arg(long, value_name = "NUMBER", default_value_t = 1000)]
    max_instances: usize,
    /// Output of one run; one that writes more is stopped
    #[arg(long, value_name = "SIZE", default_value = "1G", value_parser = size)]
    max_output: ByteSize,
    /// Output that is kept on disk over all runs
    #[arg(long, value_name = "SIZE", default_value = "16G", value_parser = size)]
    max_kept_output: ByteSize,
    /// A script
    #[arg(long, value_name = "SIZE", default_value = "64M", value_parser = size)]
    max_script: ByteSize,
    /// The life of an instance
    #[arg(long, value_name = "DURATION", default_value = "24h", value_parser = duration)]
    max_lifetime: Duration,
    /// Connections at a time; more wait
    #[arg(long, value_name = "NUMBER", default_value_t = 1024)]
    max_connections: usize,
    /// Requests per second of one caller
    #[arg(long, value_name = "NUMBER", default_value_t = 5000)]
    max_requests: u32,
    /// How long a run has between TERM and KILL, where the server ends it
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = duration)]
    grace: Duration,
    /// How long instances may go on once the server is told to end
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = duration)]
    drain_timeout: Duration,
}

/// Runs the command.
pub(super) async fn serve(arguments: ServeArguments) -> anyhow::Result<ExitStatus> {
    let alias = providers::alias(&arguments.backend)?;
    let chosen = backend(&alias)?;
    let provider = providers::provider(&alias, &arguments.backend.options.options)?;
    let mut options = options(&arguments)?;
    options.backend.alias = chosen.alias.into();
    options.backend.name = chosen.human_readable_name.into();
    provider.setup().await?;

    let open = options.tokens.is_empty();
    let (shutdown, now) = (CancellationToken::new(), CancellationToken::new());
    end_on_signals(&shutdown, &now).context("cannot listen for signals")?;
    let bound = Server::bind(provider, options).await;
    let server = bound.map_err(|error| match error.hint() {
        Some(hint) => anyhow::Error::new(error).context(Problem::new("cannot serve", hint)),
        None => anyhow::Error::new(error),
    })?;
    if open {
        say("worker: there are no tokens: whoever can connect to it here may use it\n");
    }
    for endpoint in server.endpoints() {
        say(&format!(
            "worker: serving `{}` at {endpoint}\n",
            chosen.alias
        ));
    }
    server
        .serve(shutdown, now)
        .await
        .context("cannot read what an earlier server has left")?;
    Ok(SUCCESS)
}

fn options(arguments: &ServeArguments) -> anyhow::Result<ServerOptions> {
    let state = arguments.state_directory.clone();
    let state = state.or_else(|| state_directory().map(|directory| directory.join("serve")));
    let state = state.context(Problem::new(
        "there is no directory to keep the server's state in",
        "give it one with --state-directory",
    ))?;
    let owner = arguments.owner.owner.clone();
    let mut options = ServerOptions::new(state, owner.unwrap_or_else(OwnerId::current));
    options.listen.clone_from(&arguments.listen);
    options.tokens = tokens(arguments)?;
    options.tls = match (&arguments.tls_certificate, &arguments.tls_key) {
        (Some(certificate), Some(key)) => Some(TlsFiles {
            certificate: certificate.clone(),
            key: key.clone(),
        }),
        _ => None,
    };
    options.plain_beyond_loopback = arguments.plain_http_beyond_loopback;
    let (given, limits) = (&arguments.limits, &mut options.limits);
    limits.instances = given.max_instances;
    limits.instances_per_caller = given.max_instances;
    limits.output_bytes = given.max_output.0;
    limits.kept_bytes = given.max_kept_output.0;
    limits.script_bytes = given.max_script.0;
    limits.max_lifetime = given.max_lifetime;
    limits.max_lease = given.max_lifetime;
    limits.connections = given.max_connections.max(1);
    limits.requests_per_second = given.max_requests;
    limits.grace = given.grace;
    options.drain_timeout = given.drain_timeout;
    Ok(options)
}

fn tokens(arguments: &ServeArguments) -> anyhow::Result<Tokens> {
    let hint = "each line is TOKEN or NAME full|read TOKEN; a token has 16 characters at least";
    let (text, from) = match (&arguments.token_file, std::env::var(TOKEN)) {
        (Some(path), _) => {
            let from = format!("the token file `{}`", path.display());
            let text = std::fs::read_to_string(path).with_context(|| {
                Problem::new(format!("cannot use {from}"), "can this user read it?")
            })?;
            (text, from)
        }
        (None, Ok(text)) => (text, format!("the variable {TOKEN}")),
        (None, Err(std::env::VarError::NotPresent)) => return Ok(Tokens::none()),
        (None, Err(error)) => {
            let what = format!("cannot use the variable {TOKEN}");
            return Err(error).context(Problem::new(what, hint));
        }
    };
    Tokens::read(&text.into()).context(Problem::new(format!("cannot use {from}"), hint))
}

fn listen(text: &str) -> Result<Listen, String> {
    if let Some(path) = text.strip_prefix("unix://") {
        return if path.starts_with('/') {
            Ok(Listen::Unix(path.into()))
        } else {
            Err("behind `unix://` stands an absolute path".into())
        };
    }
    let address: Result<SocketAddr, _> = text.parse();
    address
        .map(Listen::Tcp)
        .map_err(|_| "it is neither IP:PORT, such as 127.0.0.1:7070, nor unix:///PATH".into())
}

/// The first INT or TERM drains, a second one ends at once.
fn end_on_signals(shutdown: &CancellationToken, now: &CancellationToken) -> std::io::Result<()> {
    for kind in [SignalKind::interrupt(), SignalKind::terminate()] {
        let mut signals = signal(kind)?;
        let (shutdown, now) = (shutdown.clone(), now.clone());
        tokio::spawn(async move {
            while signals.recv().await.is_some() {
                if shutdown.is_cancelled() {
                    now.cancel();
                }
                shutdown.cancel();
            }
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read() {
        assert_eq!(listen("unix:///x").unwrap(), Listen::Unix("/x".into()));
        assert!(matches!(listen("[::1]:80"), Ok(Listen::Tcp(_))));
        for wrong in ["", "7070", "localhost:7070", "unix://x", "127.0.0.1"] {
            assert!(listen(wrong).is_err(), "{wrong}");
        }
    }
}
