//! A container's attached streams, as bytes.

use std::io;
use std::time::Duration;

use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::Bytes;
use hyper::header::{CONNECTION, CONTENT_TYPE, UPGRADE};
use hyper::upgrade::Upgraded;
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::sleep;

use crate::engine::Engine;
use crate::engine_error::EngineError;
use crate::frames::{Channel, Frames};

/// As much as a Unix socket holds by default, and some: fewer reads, less time.
const BUFFER: usize = 256 << 10;

/// What to attach to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Attach {
    /// Input and output.
    Both,
    /// Output only, from now on.
    Output,
}

/// What came of [`Attached::write_or_read`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    /// All is written.
    Written,
    /// Something was read, or that there will be nothing.
    Read { any: bool },
}

/// The attached streams of one container.
pub(crate) struct Attached {
    stream: TokioIo<Upgraded>,
    buffer: Vec<u8>,
    /// How much of the buffer was read last.
    filled: usize,
    frames: Frames,
}

impl Attached {
    /// Attaches to a container. The caller bounds the time.
    pub(crate) async fn open(
        engine: &Engine,
        container: &str,
        what: Attach,
    ) -> Result<Self, EngineError> {
        let input = match what {
            Attach::Both => "&stdin=1",
            Attach::Output => "",
        };
        let path = format!("/containers/{container}/attach?stream=1&stdout=1&stderr=1{input}");
        let stream = hijack(engine, &path, Empty::<Bytes>::new()).await?;
        Ok(Self {
            stream,
            buffer: vec![0; BUFFER],
            filled: 0,
            frames: Frames::default(),
        })
    }

    /// Writes to the container's stdin.
    pub(crate) async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await?;
        self.stream.flush().await
    }

    /// Writes `bytes` to the container's stdin as [`write`](Self::write) does,
    /// unless something comes from the container meanwhile: it may take no more,
    /// and an engine does not say so by itself. What is left of `bytes` is then
    /// not written yet.
    ///
    /// # Errors
    ///
    /// `TimedOut` also where nothing is taken for as long as `patience`.
    pub(crate) async fn write_or_read(
        &mut self,
        bytes: &mut &[u8],
        patience: Duration,
    ) -> io::Result<Progress> {
        let (mut reader, mut writer) = tokio::io::split(&mut self.stream);
        while !bytes.is_empty() {
            tokio::select! {
                biased;
                written = writer.write(bytes) => match written? {
                    0 => return Err(io::ErrorKind::WriteZero.into()),
                    written => *bytes = bytes.get(written..).unwrap_or_default(),
                },
                read = reader.read(&mut self.buffer) => {
                    self.filled = read?;
                    return Ok(Progress::Read { any: self.filled > 0 });
                }
                () = sleep(patience) => {
                    let what = format!("nothing was taken for {patience:?}");
                    return Err(io::Error::new(io::ErrorKind::TimedOut, what));
                }
            }
        }
        writer.flush().await?;
        Ok(Progress::Written)
    }

    /// Reads what there is; `false` at the end of the stream.
    ///
    /// # Errors
    ///
    /// Also an end within a frame: that is a cut.
    ///
    /// # Cancel safety
    ///
    /// Safe: a dropped read has read nothing.
    pub(crate) async fn read(&mut self) -> io::Result<bool> {
        self.filled = 0;
        self.filled = self.stream.read(&mut self.buffer).await?;
        if self.filled == 0 && self.frames.is_inside() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(self.filled > 0)
    }

    /// The pieces of what was read last.
    pub(crate) fn pieces(&mut self) -> Pieces<'_> {
        Pieces {
            input: self.buffer.get(..self.filled).unwrap_or_default(),
            frames: &mut self.frames,
        }
    }
}

/// Pieces of the two streams, in the order in which they came.
pub(crate) struct Pieces<'a> {
    input: &'a [u8],
    frames: &'a mut Frames,
}

impl<'a> Pieces<'a> {
    /// The next piece.
    ///
    /// # Errors
    ///
    /// Bytes that are no frames.
    pub(crate) fn next(&mut self) -> io::Result<Option<(Channel, &'a [u8])>> {
        self.frames
            .next(&mut self.input)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
    }
}

/// Posts a request whose connection becomes a stream. The caller bounds the time.
pub(crate) async fn hijack<B>(
    engine: &Engine,
    path: &str,
    body: B,
) -> Result<TokioIo<Upgraded>, EngineError>
where
    B: hyper::body::Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let request = Request::builder()
        .method(Method::POST)
        .uri(path)
        .header(CONNECTION, "Upgrade")
        .header(UPGRADE, "tcp")
        .header(CONTENT_TYPE, "application/json")
        .body(body)
        .map_err(|error| engine.error(error.into()))?;
    let response = engine.send(request).await?;
    let status = response.status();
    // Engines before API 1.24 answered 200 and switched all the same.
    if !matches!(status, StatusCode::SWITCHING_PROTOCOLS | StatusCode::OK) {
        const MOST: usize = 64 << 10;
        let body = Limited::new(response.into_body(), MOST).collect().await;
        let body = body.map(http_body_util::Collected::to_bytes);
        let body = body.unwrap_or_default();
        return Err(Engine::refusal(status.as_u16(), &body));
    }
    let upgraded = hyper::upgrade::on(response).await;
    let upgraded = upgraded.map_err(|error| engine.error(error.into()))?;
    Ok(TokioIo::new(upgraded))
}
