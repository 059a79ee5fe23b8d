//! The server: bound, served, drained.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use backend_core::Provider;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::spawn_blocking;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;
use worker_api::InstanceEndCause;

use crate::guard::{Guard, Peer};
use crate::host::Host;
use crate::options::{Listen, ServerOptions};
use crate::routes;
use crate::store::Store;
use crate::transport::{Impatient, Listener, Stream, TlsError, acceptor, handshake};

/// The largest head of a request.
const HEAD_BYTES: usize = 64 << 10;

/// How long a client may read on after its run was ended by a drain.
const LINGER: Duration = Duration::from_secs(3);

/// How long the removal of what a drain has ended may take beyond its grace.
const REMOVAL: Duration = Duration::from_mins(1);

/// Why a server cannot begin.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// It would be open to the network without a token.
    #[error(
        "refusing to listen at {0} without a token: everyone who reaches it could run scripts here"
    )]
    NoToken(String),
    /// It would send tokens and output over the network in the clear.
    #[error(
        "refusing to listen at {0} without TLS: tokens and output would be readable on the way"
    )]
    NoTls(String),
    /// There is nowhere to listen.
    #[error("there is no address to listen at")]
    NoAddress,
    /// Another server has the state directory.
    #[error("another server uses the state directory `{0}`")]
    InUse(String),
    /// The state directory cannot be used.
    #[error("cannot use the state directory `{directory}`")]
    State {
        /// The directory.
        directory: String,
        /// Why.
        source: io::Error,
    },
    /// An address cannot be had.
    #[error("cannot listen at {address}")]
    Bind {
        /// The address.
        address: String,
        /// Why.
        source: io::Error,
    },
    /// Certificate or key.
    #[error("cannot serve TLS")]
    Tls(#[from] TlsError),
}

impl StartError {
    /// What to do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NoToken(_) => {
                Some("give it tokens, or let it listen at 127.0.0.1 or a Unix socket")
            }
            Self::NoTls(_) => Some(
                "give it a certificate and a key, or say in words that a proxy in front of it has them",
            ),
            Self::InUse(_) => Some("give each server a state directory of its own"),
            _ => None,
        }
    }
}

/// A server that is bound, and not yet serving.
pub struct Server {
    host: Arc<Host>,
    listeners: Vec<Listener>,
    tls: Option<TlsAcceptor>,
    router: Router,
}

impl Server {
    /// Binds every address, and takes the state directory.
    ///
    /// # Errors
    ///
    /// [`StartError`]; nothing is left bound.
    pub async fn bind(
        provider: Arc<dyn Provider>,
        options: ServerOptions,
    ) -> Result<Self, StartError> {
        check(&options)?;
        let tls = match options.tls.clone() {
            Some(files) => Some(blocking(move || acceptor(&files)).await?),
            None => None,
        };
        let directory = options.state_directory.clone();
        let opened = blocking(move || Ok::<_, StartError>(Store::open(&directory))).await?;
        let store = opened.map_err(|source| {
            let directory = options.state_directory.display().to_string();
            match source.kind() {
                io::ErrorKind::WouldBlock => StartError::InUse(directory),
                _ => StartError::State { directory, source },
            }
        })?;
        let mut listeners = Vec::new();
        for listen in &options.listen {
            let bound = Listener::bind(listen).await;
            listeners.push(bound.map_err(|source| StartError::Bind {
                address: shown(listen),
                source,
            })?);
        }
        let guard = Guard::new(options.tokens.clone(), options.limits.requests_per_second);
        let host = Arc::new(Host::new(provider, options, store));
        Ok(Self {
            router: routes::router(host.clone(), Arc::new(guard)),
            host,
            listeners,
            tls,
        })
    }

    /// Where it listens, as clients name it: `http://127.0.0.1:8080`.
    pub fn endpoints(&self) -> Vec<String> {
        let tls = self.tls.is_some();
        let endpoints = self.listeners.iter();
        endpoints
            .filter_map(|listener| listener.endpoint(tls).ok())
            .collect()
    }

    /// Serves until `shutdown` is called, and then drains: takes nothing new,
    /// lets instances go on for the drain timeout, ends what is left (at once,
    /// if `now` is called too), and returns when nothing is.
    ///
    /// # Errors
    ///
    /// If what an earlier server has left cannot be read.
    ///
    /// # Cancel safety
    ///
    /// A dropped future leaves its instances to the next server with the same
    /// state directory.
    pub async fn serve(
        self,
        shutdown: CancellationToken,
        now: CancellationToken,
    ) -> io::Result<()> {
        crate::recovery::recover(&self.host).await?;
        let closing = CancellationToken::new();
        let connections = Arc::new(Semaphore::new(self.host.options.limits.connections));
        let tracker = TaskTracker::new();
        let mut accepting = Vec::new();
        for listener in self.listeners {
            let accept = Accept {
                tls: self.tls.clone().filter(|_| listener.is_tcp()),
                listener,
                router: self.router.clone(),
                head_timeout: self.host.options.limits.head_timeout,
                connections: connections.clone(),
                closing: closing.clone(),
                tracker: tracker.clone(),
            };
            accepting.push(tokio_util::task::AbortOnDropHandle::new(tokio::spawn(
                accept.run(),
            )));
        }
        shutdown.cancelled().await;
        drain(&self.host, &now).await;
        closing.cancel();
        drop(accepting);
        tracker.close();
        tokio::time::timeout(LINGER, tracker.wait()).await.ok();
        self.host.provider.settle().await;
        Ok(())
    }
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server")
            .field("endpoints", &self.endpoints())
            .finish_non_exhaustive()
    }
}

/// Waits for the instances that there are, and ends those that take too long.
async fn drain(host: &Host, now: &CancellationToken) {
    host.drain();
    let patience = host.options.drain_timeout;
    tracing::info!(instances = host.alive().len(), ?patience, "draining");
    tokio::select! {
        () = all_gone(host) => return,
        () = tokio::time::sleep(patience) => {}
        () = now.cancelled() => {}
    }
    let rest = host.alive();
    tracing::warn!(instances = rest.len(), "ending what is left");
    for hosted in &rest {
        hosted.end(InstanceEndCause::Drain);
    }
    let bound = host.options.limits.grace + REMOVAL;
    if tokio::time::timeout(bound, all_gone(host)).await.is_err() {
        let left: Vec<_> = host
            .alive()
            .iter()
            .map(|hosted| hosted.id.to_string())
            .collect();
        tracing::error!(
            left = left.join(", "),
            "some instances cannot be removed; the next server with this state directory tries again"
        );
    }
    // Whoever waits for the end of such a run can read it now.
    tokio::time::sleep(LINGER).await;
}

async fn all_gone(host: &Host) {
    for hosted in host.alive() {
        let mut view = hosted.watch();
        // The sender is in `hosted`.
        view.wait_for(|view| view.state == worker_api::InstanceState::Gone)
            .await
            .ok();
    }
}

/// Accepts the connections of one listener.
struct Accept {
    listener: Listener,
    tls: Option<TlsAcceptor>,
    router: Router,
    head_timeout: Duration,
    connections: Arc<Semaphore>,
    closing: CancellationToken,
    tracker: TaskTracker,
}

impl Accept {
    async fn run(self) {
        loop {
            // Never closed. Without a permit nothing is accepted: the kernel
            // keeps who waits.
            let Ok(permit) = self.connections.clone().acquire_owned().await else {
                return;
            };
            match self.listener.accept().await {
                Ok((stream, peer)) => {
                    let serve = self.serve(stream, peer, permit);
                    self.tracker.spawn(serve);
                }
                Err(error) => {
                    // Out of descriptors, most likely: some will come free.
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }

    fn serve(
        &self,
        stream: Box<dyn Stream>,
        peer: Peer,
        permit: OwnedSemaphorePermit,
    ) -> impl Future<Output = ()> + Send + use<> {
        let (tls, router) = (self.tls.clone(), self.router.clone());
        let (closing, head_timeout) = (self.closing.clone(), self.head_timeout);
        async move {
            let _permit = permit;
            let stream = match tls {
                Some(acceptor) => match handshake(&acceptor, stream).await {
                    Ok(stream) => stream,
                    Err(error) => {
                        tracing::debug!(%error, "a TLS handshake failed");
                        return;
                    }
                },
                None => stream,
            };
            let stream = TokioIo::new(Impatient::new(stream, head_timeout));
            let service = router.map_request(move |mut request: http::Request<_>| {
                request.extensions_mut().insert(peer);
                request
            });
            let mut connection = std::pin::pin!(
                http1::Builder::new()
                    .timer(TokioTimer::new())
                    .header_read_timeout(head_timeout)
                    .max_buf_size(HEAD_BYTES)
                    .serve_connection(stream, TowerToHyperService::new(service))
            );
            let ended = tokio::select! {
                ended = connection.as_mut() => ended,
                () = closing.cancelled() => {
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            };
            if let Err(error) = ended {
                tracing::debug!(%error, "a connection ended");
            }
        }
    }
}

fn check(options: &ServerOptions) -> Result<(), StartError> {
    if options.listen.is_empty() {
        return Err(StartError::NoAddress);
    }
    for listen in &options.listen {
        let Listen::Tcp(address) = listen else {
            continue;
        };
        if address.ip().to_canonical().is_loopback() {
            continue;
        }
        if options.tokens.is_empty() {
            return Err(StartError::NoToken(address.to_string()));
        }
        if options.tls.is_none() && !options.plain_beyond_loopback {
            return Err(StartError::NoTls(address.to_string()));
        }
    }
    Ok(())
}

fn shown(listen: &Listen) -> String {
    match listen {
        Listen::Tcp(address) => address.to_string(),
        Listen::Unix(path) => path.display().to_string(),
    }
}

async fn blocking<T: Send + 'static, E: Send + 'static>(
    work: impl FnOnce() -> Result<T, E> + Send + 'static,
) -> Result<T, StartError>
where
    StartError: From<E>,
{
    match spawn_blocking(work).await {
        Ok(result) => result.map_err(StartError::from),
        Err(error) => Err(StartError::State {
            directory: String::new(),
            source: io::Error::other(error),
        }),
    }
}
