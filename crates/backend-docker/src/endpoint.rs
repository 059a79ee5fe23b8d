//! Where an engine listens, and the byte stream to it.

use std::fmt;
use std::io;
use std::path::PathBuf;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

pub(crate) use address::{Address, port};
pub(crate) use ssh::SshTarget;
pub(crate) use tls::Tls;

mod address;
mod ssh;
mod tls;

/// Where an engine listens.
#[derive(Debug, Clone)]
pub(crate) enum Endpoint {
    /// A socket of this machine.
    Unix(PathBuf),
    /// A TCP address: in plain text, or over TLS.
    Tcp {
        /// A name or an address; an IPv6 address without its brackets.
        host: String,
        port: u16,
        tls: Option<Tls>,
    },
    /// What `docker system dial-stdio` reaches on another machine.
    Ssh(SshTarget),
}

/// A byte stream to an engine.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

impl Endpoint {
    pub(crate) fn has_tls(&self) -> bool {
        matches!(self, Self::Tcp { tls: Some(_), .. })
    }

    /// The certificates of its TLS, if it has any, for people.
    pub(crate) fn certificates(&self) -> Option<String> {
        match self {
            Self::Tcp { tls, .. } => tls.as_ref().map(Tls::shown),
            Self::Unix(_) | Self::Ssh(_) => None,
        }
    }

    /// Opens a stream. The caller bounds the time.
    pub(crate) async fn connect(&self) -> io::Result<Box<dyn Stream>> {
        Ok(match self {
            Self::Unix(path) => Box::new(UnixStream::connect(path).await?),
            Self::Tcp { host, port, tls } => {
                let stream = TcpStream::connect((host.as_str(), *port)).await?;
                stream.set_nodelay(true)?;
                match tls {
                    Some(tls) => Box::new(tls.connect(host, stream).await?),
                    None => Box::new(stream),
                }
            }
            Self::Ssh(target) => Box::new(target.connect()?),
        })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
            Self::Tcp { host, port, .. } if host.contains(':') => {
                write!(f, "tcp://[{host}]:{port}")
            }
            Self::Tcp { host, port, .. } => write!(f, "tcp://{host}:{port}"),
            Self::Ssh(target) => target.fmt(f),
        }
    }
}
