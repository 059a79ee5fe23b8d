//! A proxy between a client and a server that does what networks do.

mod plan;
mod stream;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

pub use plan::{Action, Direction};

use plan::Plan;
use stream::{Listener, ReadHalf, WriteHalf};

/// Where to listen or to connect: a TCP address or a Unix socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    /// A TCP address.
    Tcp(SocketAddr),
    /// The path of a Unix socket.
    Unix(PathBuf),
}

impl From<SocketAddr> for Endpoint {
    fn from(address: SocketAddr) -> Self {
        Self::Tcp(address)
    }
}

impl From<PathBuf> for Endpoint {
    fn from(path: PathBuf) -> Self {
        Self::Unix(path)
    }
}

impl From<&Path> for Endpoint {
    fn from(path: &Path) -> Self {
        Self::Unix(path.to_owned())
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => path.display().fmt(f),
        }
    }
}

/// A proxy that forwards every connection to a target, byte for byte, until it
/// is told to do otherwise.
///
/// Dropping it closes the listener and all connections.
#[derive(Debug)]
pub struct FaultProxy {
    endpoint: Endpoint,
    control: Arc<Control>,
    accepting: AbortOnDropHandle<()>,
}

/// What the connections of one proxy share.
struct Control {
    target: Mutex<Endpoint>,
    plan: Mutex<Plan>,
    /// Whether nothing is forwarded for now.
    stalled: watch::Sender<bool>,
    /// Whether nobody listens for now.
    refusing: watch::Sender<bool>,
    /// Whether the listener is open: follows `refusing`.
    listening: watch::Sender<bool>,
    delay: Mutex<Duration>,
    /// Cancelled to reset the connections that there are, then replaced.
    connections: Mutex<CancellationToken>,
    tasks: TaskTracker,
}

impl fmt::Debug for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Control")
            .field("target", &self.target)
            .field("connections", &self.tasks.len())
            .finish_non_exhaustive()
    }
}

impl FaultProxy {
    /// Listens on a free port of 127.0.0.1.
    pub async fn tcp(target: impl Into<Endpoint>) -> io::Result<Self> {
        let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
        Self::listen(loopback, target).await
    }

    /// Listens on a new Unix socket at `path`.
    pub async fn unix(path: impl Into<PathBuf>, target: impl Into<Endpoint>) -> io::Result<Self> {
        Self::listen(path.into(), target).await
    }

    /// Listens at `endpoint`, and forwards to `target`.
    pub async fn listen(
        endpoint: impl Into<Endpoint>,
        target: impl Into<Endpoint>,
    ) -> io::Result<Self> {
        let listener = Listener::bind(&endpoint.into()).await?;
        let endpoint = listener.endpoint()?;
        let control = Arc::new(Control {
            target: Mutex::new(target.into()),
            plan: Mutex::default(),
            stalled: watch::Sender::new(false),
            refusing: watch::Sender::new(false),
            listening: watch::Sender::new(true),
            delay: Mutex::default(),
            connections: Mutex::default(),
            tasks: TaskTracker::new(),
        });
        control.tasks.close();
        let accepting = tokio::spawn(accept(control.clone(), listener, endpoint.clone()));
        Ok(Self {
            endpoint,
            control,
            accepting: AbortOnDropHandle::new(accepting),
        })
    }

    /// Where it listens.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// The TCP address at which it listens, if it is one.
    pub fn address(&self) -> Option<SocketAddr> {
        match self.endpoint {
            Endpoint::Tcp(address) => Some(address),
            Endpoint::Unix(_) => None,
        }
    }

    /// Does `action` once, when `after` more bytes, counted from now over all
    /// connections, have been forwarded in this direction: exactly these bytes
    /// are forwarded, and the connection that carries the last of them suffers.
    ///
    /// Faults of one direction happen one after another, each counted from the
    /// one before.
    pub fn inject(&self, direction: Direction, after: u64, action: Action) {
        lock(&self.control.plan).inject(direction, after, action);
    }

    /// Forgets the faults that have not happened yet.
    pub fn clear(&self) {
        lock(&self.control.plan).clear();
    }

    /// How many injected faults have not happened yet.
    pub fn pending(&self) -> usize {
        lock(&self.control.plan).pending()
    }

    /// How many bytes were forwarded in this direction, over all connections.
    pub fn forwarded(&self, direction: Direction) -> u64 {
        lock(&self.control.plan).forwarded(direction)
    }

    /// How many connections there are now.
    pub fn connections(&self) -> usize {
        self.control.tasks.len()
    }

    /// Forwards nothing on any connection until [`resume`](Self::resume);
    /// connections stay open, and new ones are accepted.
    pub fn stall(&self) {
        self.control.stalled.send_replace(true);
    }

    /// Ends a stall.
    pub fn resume(&self) {
        self.control.stalled.send_replace(false);
    }

    /// Holds back each piece for so long before it is forwarded.
    pub fn delay(&self, delay: Duration) {
        *lock(&self.control.delay) = delay;
    }

    /// Resets all connections that there are now, and waits until they are.
    pub async fn reset(&self) {
        let connections = std::mem::take(&mut *lock(&self.control.connections));
        connections.cancel();
        self.control.tasks.wait().await;
    }

    /// Closes the listener, so that new connections are refused, or opens it
    /// again at the same place; connections that there are stay.
    pub async fn refuse(&self, refuse: bool) {
        self.control.refusing.send_replace(refuse);
        let mut listening = self.control.listening.subscribe();
        // Ends also when the accepting task has ended, which keeps none open.
        while *listening.borrow_and_update() == refuse && !self.accepting.is_finished() {
            if listening.changed().await.is_err() {
                return;
            }
        }
    }

    /// Forwards new connections to another target from now on.
    pub fn retarget(&self, target: impl Into<Endpoint>) {
        *lock(&self.control.target) = target.into();
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        lock(&self.control.connections).cancel();
        if let Endpoint::Unix(path) = &self.endpoint {
            std::fs::remove_file(path).ok();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn accept(control: Arc<Control>, first: Listener, endpoint: Endpoint) {
    let mut refusing = control.refusing.subscribe();
    let mut listener = Some(first);
    loop {
        if *refusing.borrow_and_update() {
            listener = None;
        } else if listener.is_none() {
            listener = rebind(&endpoint).await;
        }
        control.listening.send_replace(listener.is_some());
        let accepted = async {
            match &listener {
                Some(listener) => listener.accept().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            changed = refusing.changed() => if changed.is_err() { return },
            client = accepted => if let Ok(client) = client {
                let kill = lock(&control.connections).clone();
                let serving = control.clone();
                control.tasks.spawn(async move { serving.serve(client, kill).await });
            } else {
                // Out of descriptors, most likely: some will come free.
                tokio::time::sleep(Duration::from_millis(10)).await;
            },
        }
    }
}

/// Opens the listener again. The place was ours a moment ago; whoever took it
/// meanwhile may leave it again.
async fn rebind(endpoint: &Endpoint) -> Option<Listener> {
    for _ in 0..100 {
        if let Ok(listener) = Listener::bind(endpoint).await {
            return Some(listener);
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    None
}

/// How one direction of a connection came to its end.
enum End {
    /// Its reader or writer ended by itself.
    Closed,
    /// A fault ended it.
    Fault(Action),
}

impl Control {
    async fn serve(&self, client: (ReadHalf, WriteHalf), kill: CancellationToken) {
        let target = lock(&self.target).clone();
        let (mut from_client, mut to_client) = client;
        let server = tokio::select! {
            () = kill.cancelled() => return to_client.reset(),
            server = stream::connect(&target) => server,
        };
        let Ok((mut from_server, mut to_server)) = server else {
            return to_client.reset();
        };
        let fault = {
            let up = self.pump(Direction::ToTarget, &mut from_client, &mut to_server);
            let down = self.pump(Direction::FromTarget, &mut from_server, &mut to_client);
            tokio::select! {
                () = kill.cancelled() => Some(Action::Reset),
                fault = both(up, down) => fault,
            }
        };
        match fault {
            Some(Action::Reset) => {
                to_client.reset();
                to_server.reset();
            }
            Some(Action::Freeze) => {
                // Both ends stay open, and nothing passes any more.
                kill.cancelled().await;
                to_client.reset();
                to_server.reset();
            }
            // Closed by being dropped.
            Some(Action::Close | Action::Duplicate) | None => {}
        }
    }

    async fn pump(&self, direction: Direction, from: &mut ReadHalf, to: &mut WriteHalf) -> End {
        let mut buffer = vec![0; 16 << 10];
        let mut stalled = self.stalled.subscribe();
        loop {
            let Ok(length @ 1..) = from.read(&mut buffer).await else {
                to.shutdown().await;
                return End::Closed;
            };
            let delay = *lock(&self.delay);
            if !delay.is_zero() {
                tokio::time::sleep(delay).await;
            }
            // The sender lives as long as this borrow of it.
            stalled.wait_for(|stalled| !stalled).await.ok();
            let mut rest = buffer.get(..length).unwrap_or_default();
            while !rest.is_empty() {
                let step = lock(&self.plan).admit(direction, rest.len());
                let (pass, kept) = rest.split_at(step.pass);
                rest = kept;
                if to.write_all(pass).await.is_err() {
                    return End::Closed;
                }
                match step.then {
                    None => {}
                    Some(Action::Duplicate) => {
                        // Twice: once here, once as it would be anyway.
                        let again = rest;
                        if to.write_all(again).await.is_err() {
                            return End::Closed;
                        }
                    }
                    Some(action) => return End::Fault(action),
                }
            }
        }
    }
}

/// Runs both directions to their ends, or until a fault in one of them.
async fn both(up: impl Future<Output = End>, down: impl Future<Output = End>) -> Option<Action> {
    let (mut up, mut down) = (std::pin::pin!(up), std::pin::pin!(down));
    let (mut up_open, mut down_open) = (true, true);
    while up_open || down_open {
        let end = tokio::select! {
            end = &mut up, if up_open => { up_open = false; end }
            end = &mut down, if down_open => { down_open = false; end }
        };
        if let End::Fault(action) = end {
            return Some(action);
        }
    }
    None
}
