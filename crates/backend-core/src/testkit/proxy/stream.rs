//! Connections that are TCP or Unix sockets.

use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream, tcp, unix};

use super::Endpoint;

pub(super) enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Listener {
    pub(super) async fn bind(endpoint: &Endpoint) -> io::Result<Self> {
        Ok(match endpoint {
            Endpoint::Tcp(address) => Self::Tcp(TcpListener::bind(address).await?),
            Endpoint::Unix(path) => Self::Unix(UnixListener::bind(path)?),
        })
    }

    pub(super) fn endpoint(&self) -> io::Result<Endpoint> {
        match self {
            Self::Tcp(listener) => listener.local_addr().map(Endpoint::Tcp),
            Self::Unix(listener) => listener
                .local_addr()?
                .as_pathname()
                .map(Endpoint::from)
                .ok_or_else(|| io::Error::other("the socket has no path")),
        }
    }

    pub(super) async fn accept(&self) -> io::Result<(ReadHalf, WriteHalf)> {
        match self {
            Self::Tcp(listener) => tcp_halves(listener.accept().await?.0),
            Self::Unix(listener) => Ok(unix_halves(listener.accept().await?.0)),
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // A socket whose file is still there refuses connections, but cannot
        // be bound again.
        if let Ok(Endpoint::Unix(path)) = self.endpoint() {
            std::fs::remove_file(path).ok();
        }
    }
}

pub(super) async fn connect(target: &Endpoint) -> io::Result<(ReadHalf, WriteHalf)> {
    match target {
        Endpoint::Tcp(address) => tcp_halves(TcpStream::connect(address).await?),
        Endpoint::Unix(path) => Ok(unix_halves(UnixStream::connect(path).await?)),
    }
}

fn tcp_halves(stream: TcpStream) -> io::Result<(ReadHalf, WriteHalf)> {
    stream.set_nodelay(true)?;
    let (read, write) = stream.into_split();
    Ok((ReadHalf::Tcp(read), WriteHalf::Tcp(write)))
}

fn unix_halves(stream: UnixStream) -> (ReadHalf, WriteHalf) {
    let (read, write) = stream.into_split();
    (ReadHalf::Unix(read), WriteHalf::Unix(write))
}

pub(super) enum ReadHalf {
    Tcp(tcp::OwnedReadHalf),
    Unix(unix::OwnedReadHalf),
}

impl ReadHalf {
    pub(super) async fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(half) => half.read(buffer).await,
            Self::Unix(half) => half.read(buffer).await,
        }
    }
}

pub(super) enum WriteHalf {
    Tcp(tcp::OwnedWriteHalf),
    Unix(unix::OwnedWriteHalf),
}

impl WriteHalf {
    pub(super) async fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Tcp(half) => half.write_all(bytes).await,
            Self::Unix(half) => half.write_all(bytes).await,
        }
    }

    /// Says that no more bytes will come. The other side may be gone.
    pub(super) async fn shutdown(&mut self) {
        match self {
            Self::Tcp(half) => half.shutdown().await.ok(),
            Self::Unix(half) => half.shutdown().await.ok(),
        };
    }

    /// Has the connection reset when its other half is dropped too. Without
    /// `forget`, an orderly end would be sent before.
    pub(super) fn reset(self) {
        match self {
            Self::Tcp(half) => {
                // Fails only on a connection that is no more.
                half.as_ref().set_zero_linger().ok();
                half.forget();
            }
            Self::Unix(half) => half.forget(),
        }
    }
}
