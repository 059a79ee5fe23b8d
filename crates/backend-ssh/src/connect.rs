//! Connecting: TCP, key exchange, host key, authentication, each with a limit
//! of its own.

use std::borrow::Cow;
use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use russh::client::{self, Config, Handle, Handler};
use russh::keys::{Algorithm, EcdsaCurve, PublicKeyBase64 as _, PublicKeyOrCertificate};
use russh::{Preferred, cipher};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::auth;
use crate::connection::Connection;
use crate::error::{Failure, HostKeyProblem, Stage};
use crate::known_hosts::HostKey;
use crate::machine::{Machine, Trust};
use crate::prompt::Prompt;
use crate::trust;

/// How many connections to one address are not yet authenticated at once.
/// OpenSSH begins to turn away at 10 of all clients (`MaxStartups`), dropbear
/// at 5 of one address.
const UNAUTHENTICATED: usize = 4;

/// How many bytes the server may send before we take them: what one instance
/// may have in memory is little more than this.
const WINDOW: u32 = 2 << 20;

/// Connects and authenticates, through the jump host if there is one.
///
/// # Cancel safety
///
/// Dropping it closes what was open.
pub(crate) async fn connect(machine: &Machine) -> Result<Connection, Failure> {
    connect_telling(machine, &mut |_| ()).await
}

/// The same, and tells each stage when it begins.
pub(crate) async fn connect_telling(
    machine: &Machine,
    begins: &mut (dyn FnMut(Stage) + Send),
) -> Result<Connection, Failure> {
    begins(Stage::Connect);
    match &machine.jump {
        None => {
            let _turn = turn(machine).await;
            let stream = dial(machine).await?;
            begins(Stage::Handshake);
            let handle = handshake(machine, Prompt::new(stream)).await?;
            begins(Stage::Auth);
            Ok(Connection::new(
                authenticate(machine, handle).await?,
                machine,
                None,
            ))
        }
        Some(jump) => {
            let through = Box::pin(connect(jump)).await?;
            let _turn = turn(machine).await;
            let stream = through.forward(&machine.host, machine.port).await?;
            begins(Stage::Handshake);
            let handle = handshake(machine, stream).await?;
            begins(Stage::Auth);
            let handle = authenticate(machine, handle).await?;
            Ok(Connection::new(handle, machine, Some(through)))
        }
    }
}

/// Opens the TCP connection. A server that has too many closes it before it
/// says anything, or says so: that passes, and is tried again.
async fn dial(machine: &Machine) -> Result<TcpStream, Failure> {
    let limit = machine.limits.connect;
    let late = |stage| Failure::TimedOut {
        stage,
        address: machine.address.clone(),
        limit,
    };
    let deadline = Instant::now() + limit;
    let mut tries = 0;
    loop {
        tries += 1;
        let stream = timeout_at(
            deadline,
            TcpStream::connect((machine.host.as_str(), machine.port)),
        )
        .await
        .map_err(|_| late(Stage::Connect))?
        .map_err(|source| not_connected(machine, source))?;
        stream
            .set_nodelay(true)
            .map_err(|source| not_connected(machine, source))?;
        let greeting = timeout(machine.limits.handshake, greeting(&stream)).await;
        match greeting {
            Err(_) => {
                return Err(Failure::TimedOut {
                    stage: Stage::Handshake,
                    address: machine.address.clone(),
                    limit: machine.limits.handshake,
                });
            }
            Ok(Greeting::Some) => return Ok(stream),
            Ok(Greeting::TurnedAway) => {
                let pause = Duration::from_millis(fastrand::u64(50..250) * u64::from(tries.min(4)));
                if Instant::now() + pause >= deadline {
                    let address = machine.address.clone();
                    return Err(Failure::TurnedAway { address, tries });
                }
                tracing::debug!(
                    address = machine.address,
                    tries,
                    "turned away; trying again"
                );
                sleep(pause).await;
            }
        }
    }
}

enum Greeting {
    Some,
    TurnedAway,
}

/// Waits for the first bytes, and leaves them where they are.
async fn greeting(stream: &TcpStream) -> Greeting {
    let mut first = [0; 24];
    match stream.peek(&mut first).await {
        Ok(0) | Err(_) => Greeting::TurnedAway,
        Ok(length) => {
            let text = first.get(..length).unwrap_or_default();
            // What OpenSSH says before it closes: for MaxStartups, and for a penalty
            // of the address (PerSourcePenalties).
            if text.starts_with(b"Exceeded") || text.starts_with(b"Not allowed at this time") {
                Greeting::TurnedAway
            } else {
                Greeting::Some
            }
        }
    }
}

fn not_connected(machine: &Machine, source: io::Error) -> Failure {
    // The resolver's errors have no number of the system's.
    if source.raw_os_error().is_none() && source.kind() != io::ErrorKind::TimedOut {
        let host = machine.host.clone();
        return Failure::Resolve { host, source };
    }
    let address = machine.address.clone();
    Failure::Connect { address, source }
}

async fn handshake<S>(machine: &Machine, stream: S) -> Result<Handle<Client>, Failure>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let refusal = Arc::new(Mutex::new(None));
    let client = Client {
        trust: machine.trust.clone(),
        address: machine.address.clone(),
        refusal: refusal.clone(),
    };
    let config = Arc::new(config(machine)?);
    let limit = machine.limits.handshake;
    let connected = timeout(limit, client::connect_stream(config, stream, client)).await;
    let refusal = || {
        refusal
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    };
    match connected {
        Ok(Ok(handle)) => Ok(handle),
        Ok(Err(source)) => Err(refusal().unwrap_or_else(|| Failure::Handshake {
            address: machine.address.clone(),
            source: Box::new(source),
        })),
        Err(_) => Err(Failure::TimedOut {
            stage: Stage::Handshake,
            address: machine.address.clone(),
            limit,
        }),
    }
}

async fn authenticate(
    machine: &Machine,
    mut handle: Handle<Client>,
) -> Result<Handle<Client>, Failure> {
    let limit = machine.limits.auth;
    let owned = machine.clone();
    let authenticating = async {
        let keys = tokio::task::spawn_blocking(move || auth::load_keys(&owned)).await;
        let keys = keys.unwrap_or(Err(Failure::Cancelled))?;
        auth::authenticate(&mut handle, machine, keys).await
    };
    match timeout(limit, authenticating).await {
        Ok(result) => result.map(|()| handle),
        Err(_) => Err(Failure::TimedOut {
            stage: Stage::Auth,
            address: machine.address.clone(),
            limit,
        }),
    }
}

fn config(machine: &Machine) -> Result<Config, Failure> {
    let limits = &machine.limits;
    // Twice what the questions take: only a write that hangs comes so far.
    let unanswered = u32::try_from(limits.unanswered).unwrap_or(2);
    let given_up = limits
        .keepalive
        .saturating_mul(unanswered.saturating_add(2));
    Ok(Config {
        window_size: WINDOW,
        nodelay: true,
        keepalive_interval: Some(limits.keepalive),
        keepalive_max: limits.unanswered,
        inactivity_timeout: Some(given_up),
        preferred: Preferred {
            key: Cow::Owned(host_key_algorithms(&trust::known_algorithms(
                &machine.trust,
            )?)),
            // The fastest with hardware for it, and as safe as the others.
            cipher: Cow::Borrowed(&[
                cipher::AES_128_GCM,
                cipher::AES_256_GCM,
                cipher::CHACHA20_POLY1305,
                cipher::AES_256_CTR,
                cipher::AES_128_CTR,
            ]),
            ..Preferred::DEFAULT
        },
        ..Config::default()
    })
}

/// The algorithms of host keys, those that are known for the machine first, so
/// that a server with several shows one that we can compare.
fn host_key_algorithms(known: &[String]) -> Vec<Algorithm> {
    let mut algorithms = vec![
        Algorithm::Ed25519,
        Algorithm::Ecdsa {
            curve: EcdsaCurve::NistP256,
        },
        Algorithm::Ecdsa {
            curve: EcdsaCurve::NistP384,
        },
        Algorithm::Ecdsa {
            curve: EcdsaCurve::NistP521,
        },
    ];
    algorithms.sort_by_key(|algorithm| {
        let known = known.iter().position(|known| known == algorithm.as_str());
        known.unwrap_or(usize::MAX)
    });
    algorithms
}

/// By host and port.
type Turns = HashMap<(String, u16), Arc<Semaphore>>;

/// Waits until few enough other connections of this program are on their way
/// to the same address.
async fn turn(machine: &Machine) -> Option<OwnedSemaphorePermit> {
    static TURNS: Mutex<Option<Turns>> = Mutex::new(None);
    let turns = {
        let mut all = TURNS.lock().unwrap_or_else(PoisonError::into_inner);
        let all = all.get_or_insert_default();
        // Those that nobody waits for or holds need not be kept.
        all.retain(|_, turns| {
            Arc::strong_count(turns) > 1 || turns.available_permits() < UNAUTHENTICATED
        });
        all.entry((machine.host.clone(), machine.port))
            .or_insert_with(|| Arc::new(Semaphore::new(UNAUTHENTICATED)))
            .clone()
    };
    // The semaphore is never closed.
    turns.acquire_owned().await.ok()
}

/// Our side of a connection.
#[derive(Debug)]
pub(crate) struct Client {
    trust: Trust,
    address: String,
    /// Why the host key was refused; the library has no room for it.
    refusal: Arc<Mutex<Option<Failure>>>,
}

impl Handler for Client {
    type Error = russh::Error;

    async fn check_server_key(
        &mut self,
        shown: &PublicKeyOrCertificate,
    ) -> Result<bool, russh::Error> {
        let key = match shown {
            PublicKeyOrCertificate::PublicKey { key, .. } => HostKey {
                algorithm: key.algorithm().as_str().to_owned(),
                blob: key.public_key_bytes(),
            },
            // None was asked for.
            PublicKeyOrCertificate::Certificate(_) => {
                self.refuse(Failure::HostKey {
                    name: self.address.clone(),
                    algorithm: String::new(),
                    fingerprint: String::new(),
                    problem: Box::new(HostKeyProblem::Certificate),
                });
                return Ok(false);
            }
        };
        let (trust, address) = (self.trust.clone(), self.address.clone());
        let checked =
            tokio::task::spawn_blocking(move || trust::check(&trust, &address, &key)).await;
        match checked.unwrap_or(Err(Failure::Cancelled)) {
            Ok(()) => Ok(true),
            Err(failure) => {
                self.refuse(failure);
                Ok(false)
            }
        }
    }

    async fn auth_banner(
        &mut self,
        banner: &str,
        _: &mut client::Session,
    ) -> Result<(), russh::Error> {
        let shown: String = banner.chars().take(1000).collect();
        tracing::debug!(
            address = self.address,
            banner = shown.trim(),
            "the server's banner"
        );
        Ok(())
    }
}

impl Client {
    fn refuse(&self, failure: Failure) {
        *self.refusal.lock().unwrap_or_else(PoisonError::into_inner) = Some(failure);
    }
}
