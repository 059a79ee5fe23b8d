//! The call by which an engine makes an image, of a registry's or of a tar file.

use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::{Body, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::{Method, Request, Response};
use tokio::time::Instant;

use super::messages::{Message, Messages};
use crate::engine::Engine;
use crate::engine_error::EngineError;

/// More than any refusal of an engine.
const LONGEST_REFUSAL: usize = 64 << 10;
const CREDENTIALS: HeaderName = HeaderName::from_static("x-registry-auth");

/// Why no image was made.
#[derive(Debug)]
pub(super) enum NotMade {
    /// Nothing moved for the limit of time.
    Stalled,
    Engine(EngineError),
}

/// Has the engine make an image, and hands on what it says meanwhile. `moved`
/// says whether a message is progress, and after a silence of `limit` whether
/// anything else has moved (the body); without any progress, it is given up.
///
/// Not by bollard: it writes credentials in an alphabet that the engine does
/// not read (base64 with `+` and `/`), and takes a message that has only
/// `error` for a success.
///
/// # Cancel safety
///
/// Dropped, it closes the connection, and the engine gives up.
pub(super) async fn create<B>(
    engine: &Engine,
    query: &[(&str, &str)],
    credentials: Option<HeaderValue>,
    body: B,
    limit: Duration,
    mut moved: impl FnMut(Option<&Message>) -> bool,
) -> Result<(), NotMade>
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let mut request = Request::builder()
        .method(Method::POST)
        .uri(format!("/images/create?{}", encoded(query)))
        .header(CONTENT_TYPE, "application/x-tar");
    if let Some(credentials) = credentials {
        request = request.header(CREDENTIALS, credentials);
    }
    let request = request
        .body(body)
        .map_err(|error| NotMade::Engine(engine.error(error.into())))?;
    let response = unless_stalled(engine.send(request), limit, || moved(None)).await?;
    let response = response.map_err(NotMade::Engine)?;
    if !response.status().is_success() {
        let refusal = unless_stalled(refusal(response), limit, || false).await?;
        return Err(NotMade::Engine(refusal));
    }
    let mut body = response.into_body();
    let mut messages = Messages::default();
    let mut last_move = Instant::now();
    loop {
        let left = limit.saturating_sub(last_move.elapsed());
        let frame = unless_stalled(body.frame(), left, || moved(None)).await?;
        let Some(frame) = frame else { break };
        let frame = frame.map_err(|error| NotMade::Engine(engine.error(error.into())))?;
        let Ok(bytes) = frame.into_data() else {
            continue;
        };
        for message in messages.take(&bytes).map_err(nonsense)? {
            check(&message)?;
            if moved(Some(&message)) {
                last_move = Instant::now();
            }
        }
    }
    let last = messages.finish().map_err(nonsense)?;
    last.map_or(Ok(()), |message| check(&message))
}

/// Waits, as long as something moves within each `limit`.
async fn unless_stalled<T>(
    work: impl Future<Output = T>,
    limit: Duration,
    mut moved: impl FnMut() -> bool,
) -> Result<T, NotMade> {
    let mut work = std::pin::pin!(work);
    loop {
        match tokio::time::timeout(limit, &mut work).await {
            Ok(done) => return Ok(done),
            Err(_) if moved() => {}
            Err(_) => return Err(NotMade::Stalled),
        }
    }
}

fn check(message: &Message) -> Result<(), NotMade> {
    // An engine that has begun to answer cannot change the status any more.
    message.failure().map_or(Ok(()), |text| {
        Err(NotMade::Engine(EngineError::status(500, text)))
    })
}

fn nonsense(why: String) -> NotMade {
    NotMade::Engine(EngineError::Nonsense(why))
}

/// Reads what an engine says when it refuses.
async fn refusal(response: Response<Incoming>) -> EngineError {
    let status = response.status().as_u16();
    let body = http_body_util::Limited::new(response.into_body(), LONGEST_REFUSAL);
    let text = match body.collect().await {
        Ok(body) => body.to_bytes(),
        Err(_) => Bytes::new(),
    };
    Engine::refusal(status, &text)
}

/// A query, with everything but the plainest characters encoded.
fn encoded(query: &[(&str, &str)]) -> String {
    let escaped = |text: &str| -> String {
        let escape = |byte: u8| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' => {
                char::from(byte).to_string()
            }
            byte => format!("%{byte:02X}"),
        };
        text.bytes().map(escape).collect()
    };
    let pairs = query
        .iter()
        .map(|(key, value)| format!("{key}={}", escaped(value)));
    pairs.collect::<Vec<_>>().join("&")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_value_ends_it() {
        let query = [("fromImage", "a/b:1@sha256:0"), ("platform", "x&y=z é")];
        let text = "fromImage=a%2Fb%3A1%40sha256%3A0&platform=x%26y%3Dz%20%C3%A9";
        assert_eq!(encoded(&query), text);
    }
}
