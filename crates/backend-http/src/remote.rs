//! One server: requests to it, and answers that are checked.

use std::time::Duration;

use backend_core::{ExposeSecret as _, SecretString};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{Certificate, Client, Response, redirect};
use serde::de::DeserializeOwned;
use tokio::time::timeout;
use worker_api::{MAX_DOCUMENT, PROBLEM_JSON, Problem, header};

use crate::backoff::Patience;
use crate::call::Call;
use crate::endpoint::Endpoint;
use crate::error::{CallError, Failure};
use crate::options::HttpOptions;

/// How long an answer may take beyond the wait that was asked for, and how long
/// it may pause.
const SLACK: Duration = Duration::from_secs(10);

/// Bytes per second below which a transfer counts as stalled.
const SLOWEST: u64 = 16 << 10;

/// How long a listing is tried again: somebody waits for it, and others may
/// have answered.
const LOOKS_WITHIN: Duration = Duration::from_secs(10);

/// Idle connections are closed before servers and proxies do.
const IDLE: Duration = Duration::from_secs(5);

/// One server.
#[derive(Debug)]
pub(crate) struct Remote {
    pub(crate) endpoint: Endpoint,
    client: Client,
    /// How long to keep trying what may succeed later.
    window: Duration,
}

/// An answer within bounds, whose status is one of success.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Remote {
    /// Makes the client; connects to nothing.
    pub(crate) fn new(
        endpoint: Endpoint,
        options: &HttpOptions,
        token: Option<&SecretString>,
        authorities: Option<&[Certificate]>,
    ) -> Result<Self, Failure> {
        let mut headers = HeaderMap::new();
        if let Some(token) = token {
            let text = format!("Bearer {}", token.expose_secret());
            let mut value = HeaderValue::from_str(&text).map_err(|_| Failure::Token)?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        let mut builder = Client::builder()
            .user_agent(concat!("worker/", env!("CARGO_PKG_VERSION")))
            .default_headers(headers)
            .redirect(redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .connect_timeout(options.connect_timeout)
            .pool_idle_timeout(IDLE)
            .http1_only();
        if let Endpoint::Unix(path) = &endpoint {
            builder = builder.unix_socket(path.clone());
        }
        if let Some(authorities) = authorities {
            builder = builder.tls_certs_only(authorities.iter().cloned());
        } else if !endpoint.is_tls() {
            // No TLS: whatever the system lacks must not matter.
            builder = builder.tls_certs_only([]);
        }
        let client = builder
            .build()
            .map_err(|error| Failure::Client(chain(&error)))?;
        Ok(Self {
            endpoint,
            client,
            window: options.resume_window,
        })
    }

    /// Makes one request.
    ///
    /// # Cancel safety
    ///
    /// A dropped request may have had its effect.
    pub(crate) async fn call(&self, call: &Call) -> Result<Reply, CallError> {
        let id = format!("{:016x}", fastrand::u64(..));
        let transfer = Duration::from_secs(call.body.len() as u64 / SLOWEST);
        let patience = call.wait.unwrap_or_default() + SLACK + transfer;
        let mut request = self
            .client
            .request(call.method.clone(), self.endpoint.url(&call.path))
            .header(header::REQUEST_ID, &id);
        if let Some(wait) = call.wait {
            request = request.header(header::PREFER, worker_api::prefer_wait(wait));
        }
        for (name, value) in &call.headers {
            request = request.header(*name, value);
        }
        if !call.body.is_empty() || call.method != reqwest::Method::GET {
            request = request.body(call.body.clone());
        }
        let response = timeout(patience, request.send()).await;
        let response = response
            .map_err(|_| silence())?
            .map_err(|error| failure(&error))?;
        let echoed = response.headers().get(header::REQUEST_ID);
        if echoed.is_some_and(|echoed| echoed.as_bytes() != id.as_bytes()) {
            // The answer to another request: something has doubled bytes.
            return Err(CallError::Malformed("it answers another request".into()));
        }
        let reply = read(response, call.most).await?;
        if (200..300).contains(&reply.status) {
            return Ok(reply);
        }
        Err(refused(&reply))
    }

    /// The patience with a request that may be repeated.
    pub(crate) fn patience(&self) -> Patience {
        Patience::new(self.window)
    }

    /// Makes a request that may be repeated, until it succeeds, is refused for
    /// good, or was tried for as long as there is patience.
    pub(crate) async fn persist(&self, call: &Call) -> Result<Reply, CallError> {
        let mut patience = self.patience();
        loop {
            match self.call(call).await {
                Ok(reply) => return Ok(reply),
                Err(error) => patience.after(error).await?,
            }
        }
    }

    /// The same for a document.
    pub(crate) async fn document<T: DeserializeOwned>(&self, call: &Call) -> Result<T, CallError> {
        self.document_within(self.window, call).await
    }

    /// The same, with less patience: for somebody who only wants to look.
    pub(crate) async fn look<T: DeserializeOwned>(&self, call: &Call) -> Result<T, CallError> {
        self.document_within(self.window.min(LOOKS_WITHIN), call)
            .await
    }

    async fn document_within<T: DeserializeOwned>(
        &self,
        bound: Duration,
        call: &Call,
    ) -> Result<T, CallError> {
        let mut patience = Patience::new(bound);
        loop {
            match self.call(call).await.and_then(|reply| reply.json()) {
                Ok(document) => return Ok(document),
                Err(error) => patience.after(error).await?,
            }
        }
    }
}

impl Reply {
    /// The document in it.
    pub(crate) fn json<T: DeserializeOwned>(&self) -> Result<T, CallError> {
        serde_json::from_slice(&self.body).map_err(|error| {
            // Without what stands there, which may be anything.
            let what = match error.classify() {
                serde_json::error::Category::Data => "a document of another form",
                _ => "no JSON",
            };
            CallError::Malformed(format!("{what} (at byte {})", error.column()))
        })
    }

    /// The text of a header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// All of an answer of at most `most` bytes.
async fn read(mut response: Response, most: usize) -> Result<Reply, CallError> {
    let too_long = || CallError::Malformed(format!("it has more than {most} bytes"));
    let said = response.content_length().unwrap_or(0);
    let said = usize::try_from(said).ok().filter(|said| *said <= most);
    let mut body = Vec::with_capacity(said.ok_or_else(too_long)?);
    let status = response.status().as_u16();
    let headers = std::mem::take(response.headers_mut());
    loop {
        let piece = timeout(SLACK, response.chunk()).await;
        let piece = piece
            .map_err(|_| silence())?
            .map_err(|error| failure(&error))?;
        let Some(bytes) = piece else { break };
        if body.len() + bytes.len() > most {
            return Err(too_long());
        }
        body.extend_from_slice(&bytes);
    }
    Ok(Reply {
        status,
        headers,
        body,
    })
}

/// What an answer that is none of success says.
fn refused(reply: &Reply) -> CallError {
    let media_type = reply.header(CONTENT_TYPE.as_str()).unwrap_or_default();
    let is_problem = media_type.split(';').next().unwrap_or_default().trim() == PROBLEM_JSON;
    if is_problem
        && let Ok(problem) = serde_json::from_slice::<Problem>(&reply.body)
        && problem.is_ours()
    {
        // The status line is what counts.
        return CallError::Problem(Box::new(Problem {
            status: reply.status,
            ..problem
        }));
    }
    let seconds = reply
        .header(RETRY_AFTER.as_str())
        .and_then(|text| text.parse().ok());
    CallError::Foreign {
        status: reply.status,
        retry_after: seconds.map(Duration::from_secs),
    }
}

fn silence() -> CallError {
    CallError::Transport("no answer in time".into())
}

/// A failure of the transport, told without the URL.
fn failure(error: &reqwest::Error) -> CallError {
    if error.is_connect() {
        CallError::Connect(chain(error))
    } else {
        CallError::Transport(chain(error))
    }
}

/// The reasons below an error of the library, whose own level holds the URL.
fn chain(error: &reqwest::Error) -> String {
    let mut texts = Vec::new();
    let mut next = std::error::Error::source(error);
    while let Some(reason) = next {
        let text = reason.to_string();
        if texts.last() != Some(&text) {
            texts.push(text);
        }
        next = reason.source();
    }
    if texts.is_empty() {
        "the request failed".to_owned()
    } else {
        texts.join(": ")
    }
}

/// The bound of an answer that is a document.
pub(crate) const DOCUMENT: usize = MAX_DOCUMENT;
