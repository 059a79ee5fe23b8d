//! One engine: every call to it with its own limit of time, and its errors
//! told apart.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bollard::errors::Error as BollardError;
use bollard::{API_DEFAULT_VERSION, BollardRequest, Docker};
use http_body_util::BodyExt as _;
use hyper::body::Bytes;
use hyper::{Method, Request};
use serde::de::DeserializeOwned;

use crate::endpoint::Endpoint;
use crate::engine_error::EngineError;
use crate::transport;

/// An engine at an endpoint. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Engine {
    endpoint: Arc<Endpoint>,
    docker: Docker,
    limit: Duration,
}

impl Engine {
    /// The engine at `endpoint`, whose answers may take `limit`.
    pub(crate) fn new(endpoint: Endpoint, limit: Duration) -> Result<Self, EngineError> {
        let endpoint = Arc::new(endpoint);
        let target = endpoint.clone();
        let transport = move |request: BollardRequest| {
            let endpoint = target.clone();
            async move { transport::send(&endpoint, request).await }
        };
        // The limits are ours, for each call: bollard's covers only the time
        // to the head of the answer. The address is never resolved.
        let never = u64::from(u32::MAX);
        let address = Some("http://localhost");
        Docker::connect_with_custom_transport(transport, address, never, API_DEFAULT_VERSION)
            .map(|docker| Self {
                endpoint: endpoint.clone(),
                docker,
                limit,
            })
            .map_err(|source| EngineError::Connection {
                endpoint: endpoint.to_string(),
                source,
            })
    }

    /// How long an answer may take.
    pub(crate) fn limit(&self) -> Duration {
        self.limit
    }

    pub(crate) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Makes one call, within the limit of time.
    pub(crate) async fn call<T, C>(&self, call: impl FnOnce(Docker) -> C) -> Result<T, EngineError>
    where
        C: Future<Output = Result<T, BollardError>>,
    {
        self.call_within(self.limit, call).await
    }

    /// Makes one call, within this limit of time.
    pub(crate) async fn call_within<T, C>(
        &self,
        limit: Duration,
        call: impl FnOnce(Docker) -> C,
    ) -> Result<T, EngineError>
    where
        C: Future<Output = Result<T, BollardError>>,
    {
        match tokio::time::timeout(limit, call(self.docker.clone())).await {
            Ok(answer) => answer.map_err(|error| self.error(error)),
            Err(_) => Err(self.timed_out(limit)),
        }
    }

    /// Gets a document, within the limit of time. For answers of which bollard
    /// asks more than is needed.
    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, EngineError> {
        let body = self.call(async |_| self.exchange(Method::GET, path).await);
        serde_json::from_slice(&body.await??).map_err(|source| EngineError::Protocol {
            endpoint: self.endpoint.to_string(),
            source: source.into(),
        })
    }

    /// Asks for something, and waits for its whole answer however long it takes.
    pub(crate) async fn post(&self, path: &str) -> Result<Bytes, EngineError> {
        let answer = self.exchange(Method::POST, path).await;
        answer.map_err(|error| self.error(error))?
    }

    /// The same, within the limit of time.
    pub(crate) async fn post_within_limit(&self, path: &str) -> Result<Bytes, EngineError> {
        tokio::time::timeout(self.limit, self.post(path))
            .await
            .unwrap_or_else(|_| Err(self.timed_out(self.limit)))
    }

    /// One request without a body; the answer's body, or the engine's refusal.
    async fn exchange(
        &self,
        method: Method,
        path: &str,
    ) -> Result<Result<Bytes, EngineError>, BollardError> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .body(bollard::body_full(Bytes::new()))?;
        let response = transport::send(&self.endpoint, request).await?;
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        if status.is_success() {
            return Ok(Ok(body));
        }
        Ok(Err(Self::refusal(status.as_u16(), &body)))
    }

    /// The error of a call that took too long.
    pub(crate) fn timed_out(&self, limit: Duration) -> EngineError {
        EngineError::Timeout {
            endpoint: self.endpoint.to_string(),
            limit,
        }
    }

    /// Asks whether the engine answers at all.
    pub(crate) async fn ping(&self, limit: Duration) -> Result<(), EngineError> {
        let ping = |docker: Docker| async move { docker.ping().await };
        self.call_within(limit, ping).await.map(|_| ())
    }

    /// What an answer with this status and body means.
    pub(crate) fn refusal(status: u16, body: &[u8]) -> EngineError {
        #[derive(serde::Deserialize)]
        struct Told {
            message: String,
        }
        let message = serde_json::from_slice(body).map_or_else(
            |_| String::from_utf8_lossy(body).into_owned(),
            |Told { message }| message,
        );
        EngineError::status(status, &message)
    }

    /// Sends one request of ours, and gives the head of the answer. The caller
    /// bounds the time, and what it reads of the answer.
    ///
    /// # Cancel safety
    ///
    /// Dropped, it closes the connection; so does the answer.
    pub(crate) async fn send<B>(
        &self,
        request: hyper::Request<B>,
    ) -> Result<hyper::Response<hyper::body::Incoming>, EngineError>
    where
        B: hyper::body::Body + Send + 'static,
        B::Data: Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let stream = self.endpoint.connect().await;
        let stream = stream.map_err(|error| self.error(error.into()))?;
        let response = transport::request_on(stream, request).await;
        response.map_err(|error| self.error(error.into()))
    }

    /// What an error of bollard's means.
    pub(crate) fn error(&self, error: BollardError) -> EngineError {
        let endpoint = self.endpoint.to_string();
        match error {
            BollardError::DockerResponseServerError {
                status_code,
                message,
            } => EngineError::status(status_code, &message),
            BollardError::DockerStreamError { error } => EngineError::status(500, &error),
            BollardError::IOError { .. }
            | BollardError::HyperResponseError { .. }
            | BollardError::HttpClientError { .. } => EngineError::Connection {
                endpoint,
                source: error,
            },
            _ => EngineError::Protocol {
                endpoint,
                source: error,
            },
        }
    }
}
