//! Whether an engine answers at an endpoint, and is not too old.

use std::time::Duration;

use backend_core::Examination;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::Incoming;
use hyper::{Request, Response, StatusCode};

use super::failure::Unanswered;
use super::version::ApiVersion;
use crate::endpoint::Endpoint;
use crate::engine::Engine;
use crate::engine_error::EngineError;
use crate::transport;

/// More than what engines say to a ping.
const LONGEST_ANSWER: usize = 64 << 10;

/// What Go's server says in plain text to who speaks plain text to TLS.
const TLS_ONLY: &str = "HTTP request to an HTTPS server";

/// Asks the engine at `endpoint` for the version of its API, for as long as
/// `patience`; the answers of the engine that comes of it may take `limit`. The
/// step that fails is left open in `examination`: the caller knows more of it.
///
/// The version is not negotiated further: every call goes to a path without
/// one, which an engine answers in its own newest version. So no engine refuses
/// a call for being newer than itself, or for being older than it likes; a
/// newer one leaves out nothing that we read, an older one ignores what it does
/// not know, and the oldest that has all we need is what is checked here.
pub(super) async fn attempt(
    endpoint: Endpoint,
    (patience, limit): (Duration, Duration),
    examination: &mut Examination,
) -> Result<Engine, Unanswered> {
    let asked = async {
        examination.begin("connect");
        examination.detail(endpoint.to_string());
        let stream = endpoint.connect().await;
        let stream = stream.map_err(|error| Unanswered::connection(&error, &endpoint))?;
        examination.begin("version");
        let request = Request::get("/_ping").body(Empty::<Bytes>::new());
        let request = request.map_err(|error| Unanswered::Connection(error.to_string()))?;
        let answer = transport::request_on(stream, request).await;
        let answer = answer.map_err(|error| Unanswered::answer(&error, &endpoint))?;
        let date = answer.headers().get("date").cloned();
        Ok((said(answer).await?, date))
    };
    let answer = tokio::time::timeout(patience, asked).await;
    let (version, date) = answer.map_err(|_| Unanswered::Timeout(patience))??;
    let engine = Engine::new(endpoint, limit).map_err(|error| odd(&error))?;
    let version = match version {
        Some(version) => version,
        None => told(&engine, patience).await?,
    };
    examination.detail(format!("API {version}"));
    if !version.is_supported() {
        return Err(Unanswered::TooOld(version));
    }
    let date = date.and_then(|date| httpdate::parse_http_date(date.to_str().ok()?).ok());
    if let Some(date) = date {
        examination.clock(date);
    }
    Ok(engine)
}

/// The version in the head of the answer to a ping: it costs an engine
/// nothing, while `/version` starts a process. Engines of old do not say it.
async fn said(answer: Response<Incoming>) -> Result<Option<ApiVersion>, Unanswered> {
    let status = answer.status();
    let version = answer.headers().get("api-version");
    let version = version.map(|version| version.to_str().unwrap_or("?").to_owned());
    if status == StatusCode::OK {
        return match version {
            None => Ok(None),
            Some(text) => text.parse().map(Some).map_err(|()| no_version(&text)),
        };
    }
    let body = Limited::new(answer.into_body(), LONGEST_ANSWER);
    let text = match body.collect().await {
        Ok(body) => body.to_bytes(),
        Err(_) => Bytes::new(),
    };
    let text = String::from_utf8_lossy(&text);
    if text.contains(TLS_ONLY) {
        return Err(Unanswered::TlsOnly);
    }
    let refusal = EngineError::status(status.as_u16(), &text);
    Err(Unanswered::NotAnEngine(format!(
        "to a ping, it answers {status}: {refusal}"
    )))
}

async fn told(engine: &Engine, patience: Duration) -> Result<ApiVersion, Unanswered> {
    let ask = |docker: bollard::Docker| async move { docker.version().await };
    let answer = engine.call_within(patience, ask).await;
    let version = answer.map_err(|error| odd(&error))?.api_version;
    let text = version.unwrap_or_default();
    text.parse().map_err(|()| no_version(&text))
}

fn no_version(text: &str) -> Unanswered {
    let short: String = text.chars().take(40).collect();
    Unanswered::NotAnEngine(format!("`{short}` is not a version of the API"))
}

fn odd(error: &EngineError) -> Unanswered {
    Unanswered::NotAnEngine(backend_core::Chain(error).to_string())
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::UnixListener;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(10);

    /// An engine that gives these answers, one on each connection.
    async fn attempted(answers: &'static [&'static str]) -> Result<Engine, Unanswered> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("engine.sock");
        let listener = UnixListener::bind(&path).unwrap();
        let serve = async {
            for answer in answers {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = [0; 4096];
                let length = stream.read(&mut request).await.unwrap();
                assert!(
                    request[..length].starts_with(b"GET /_ping ")
                        || request[..length].starts_with(b"GET /version ")
                );
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = serve => unreachable!(),
            result = attempted_at(path.clone()) => result,
        }
    }

    async fn attempted_at(path: std::path::PathBuf) -> Result<Engine, Unanswered> {
        let mut examination = Examination::default();
        attempt(Endpoint::Unix(path), (LIMIT, LIMIT), &mut examination).await
    }

    #[tokio::test]
    async fn the_version_is_in_the_head_or_asked_for() {
        let good: [&[&str]; 2] = [
            &["HTTP/1.1 200 OK\r\nApi-Version: 1.24\r\nContent-Length: 2\r\n\r\nOK"],
            &[
                "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK",
                "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 21\r\n\r\n{\"ApiVersion\":\"1.30\"}",
            ],
        ];
        for answers in good {
            attempted(answers).await.unwrap();
        }
    }

    #[tokio::test]
    async fn an_engine_that_is_none_or_too_old_is_refused() {
        let bad: [(&[&str], &str); 7] = [
            (
                &["HTTP/1.1 200 OK\r\nApi-Version: 1.23\r\nContent-Length: 0\r\n\r\n"],
                "1.23",
            ),
            (
                &["HTTP/1.1 200 OK\r\nApi-Version: new\r\nContent-Length: 0\r\n\r\n"],
                "`new`",
            ),
            (
                &["HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\nlost"],
                "404",
            ),
            (
                &[
                    "HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n",
                    "",
                ],
                "TLS only",
            ),
            (&["SSH-2.0-OpenSSH\r\n\r\n"], "not an engine"),
            (
                &[
                    "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
                    "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
                ],
                "not a version",
            ),
            (
                &[
                    "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
                    "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[[",
                ],
                "not an engine",
            ),
        ];
        for (answers, part) in bad {
            let error = attempted(answers).await.unwrap_err().to_string();
            assert!(error.contains(part), "{part}: {error}");
        }
    }

    #[tokio::test]
    async fn what_cannot_be_reached_says_why() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("engine.sock");
        let reason = || attempted_at(path.clone());
        assert!(matches!(reason().await, Err(Unanswered::Absent)));
        drop(UnixListener::bind(&path).unwrap());
        assert!(matches!(reason().await, Err(Unanswered::Refused)));
    }

    #[tokio::test(start_paused = true)]
    async fn silence_has_an_end() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("engine.sock");
        let _listener = UnixListener::bind(&path).unwrap();
        let result = attempted_at(path).await;
        assert!(matches!(result, Err(Unanswered::Timeout(LIMIT))));
    }
}
