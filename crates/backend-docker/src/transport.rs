//! HTTP to an engine: one connection for each request, as the docker client
//! does it, so that no request can be lost on a connection that has gone stale.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bollard::{BollardRequest, errors::Error as BollardError};
use hyper::Response;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::header::{HOST, HeaderValue};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::endpoint::{Endpoint, Stream};

/// More than any answer of an engine but its streams of output: a list of
/// 10,000 containers with their labels has about 20 MiB.
const ANSWER_LIMIT: u64 = 64 << 20;

/// Sends one request of bollard's over a connection of its own, whose answer
/// may have [`ANSWER_LIMIT`] bytes at the most.
pub(crate) async fn send(
    endpoint: &Endpoint,
    request: BollardRequest,
) -> Result<Response<Incoming>, BollardError> {
    let stream = Limited {
        stream: endpoint.connect().await?,
        left: ANSWER_LIMIT,
    };
    Ok(request_on(stream, request).await?)
}

/// Sends one request over `stream`.
pub(crate) async fn request_on<B>(
    stream: impl Stream + 'static,
    mut request: hyper::Request<B>,
) -> Result<Response<Incoming>, hyper::Error>
where
    B: hyper::body::Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    // The socket is the address; what the header says does not matter, but it
    // has to be there.
    request
        .headers_mut()
        .insert(HOST, HeaderValue::from_static("localhost"));
    // On a connection of its own, the target is a path.
    if let Some(path) = request.uri().path_and_query() {
        *request.uri_mut() = path.clone().into();
    }
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // It ends with the response's body, or with the stream that it becomes.
    let connection = tokio::spawn(connection.with_upgrades());
    match sender.send_request(request).await {
        // Why the connection ended is what it says itself.
        Err(error) if error.is_canceled() => match connection.await {
            Ok(Err(reason)) => Err(reason),
            _ => Err(error),
        },
        answer => answer,
    }
}

/// A stream from which only so many bytes can be read.
struct Limited {
    stream: Box<dyn Stream>,
    left: u64,
}

impl AsyncRead for Limited {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        let bytes = buffer.filled().len().saturating_sub(before) as u64;
        let Some(left) = self.left.checked_sub(bytes) else {
            let text = "the engine's answer does not end";
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, text)));
        };
        self.left = left;
        read
    }
}

impl AsyncWrite for Limited {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
