//! The requests of the protocol, as values.

use std::time::Duration;

use backend_core::InstanceId;
use bytes::Bytes;
use reqwest::Method;
use serde::Serialize;
use worker_api::{Digest, JSON, MAX_CHUNK, OCTETS, RunId, header};

use crate::remote::DOCUMENT;

/// How long one request waits for news: well below the minute after which
/// default proxies lose patience.
pub(crate) const WAIT: Duration = Duration::from_secs(20);

/// One request.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Bytes,
    pub(crate) wait: Option<Duration>,
    /// The most bytes of an answer.
    pub(crate) most: usize,
}

impl Call {
    fn new(method: Method, path: String) -> Self {
        Self {
            method,
            path,
            headers: Vec::new(),
            body: Bytes::new(),
            wait: None,
            most: DOCUMENT,
        }
    }

    fn waiting(self) -> Self {
        Self {
            wait: Some(WAIT),
            ..self
        }
    }

    fn json(mut self, body: &impl Serialize) -> Self {
        // Our own types are made of what JSON has.
        self.body = serde_json::to_vec(body).unwrap_or_default().into();
        self.headers.push(("content-type", JSON.into()));
        self
    }

    pub(crate) fn discover() -> Self {
        Self::new(Method::GET, "/v1".into())
    }

    pub(crate) fn create(id: &InstanceId, body: &worker_api::CreateInstance) -> Self {
        Self::new(Method::PUT, instance(id)).json(body)
    }

    /// Waits for a change after `since`.
    pub(crate) fn show_since(id: &InstanceId, since: u64) -> Self {
        Self::new(Method::GET, format!("{}?since={since}", instance(id))).waiting()
    }

    pub(crate) fn show(id: &InstanceId) -> Self {
        Self::new(Method::GET, instance(id))
    }

    pub(crate) fn list(cursor: Option<&str>) -> Self {
        let mut path = "/v1/instances?state=starting&state=ready&state=stopping".to_owned();
        if let Some(cursor) = cursor {
            path.push_str("&cursor=");
            path.push_str(cursor);
        }
        Self::new(Method::GET, path)
    }

    pub(crate) fn renew(id: &InstanceId, lease: Duration) -> Self {
        let ttl_s = seconds(lease);
        Self::new(Method::PUT, format!("{}/lease", instance(id)))
            .json(&worker_api::LeaseRequest { ttl_s })
    }

    pub(crate) fn delete(id: &InstanceId) -> Self {
        // The server answers within half a minute, whatever happens.
        Self::new(Method::DELETE, instance(id)).waiting_silently(Duration::from_secs(30))
    }

    fn waiting_silently(mut self, wait: Duration) -> Self {
        self.wait = Some(wait);
        self
    }

    pub(crate) fn upload(id: &InstanceId, script: Bytes, key: &str) -> Self {
        let mut call = Self::new(Method::PUT, format!("{}/script", instance(id)));
        let digest = Digest::of(&script).to_header();
        call.headers.push(("content-type", OCTETS.into()));
        call.headers.push((header::CONTENT_DIGEST, digest));
        call.headers.push(("idempotency-key", key.to_owned()));
        call.body = script;
        call.waiting_silently(Duration::from_secs(30))
    }

    pub(crate) fn begin(id: &InstanceId, run: &RunId, body: &worker_api::CreateRun) -> Self {
        Self::new(Method::PUT, of_run(id, run)).json(body)
    }

    /// Waits for the end of the run.
    pub(crate) fn ended(id: &InstanceId, run: &RunId) -> Self {
        Self::new(Method::GET, of_run(id, run)).waiting()
    }

    pub(crate) fn output(id: &InstanceId, run: &RunId, offset: u64) -> Self {
        let path = format!(
            "{}/output?offset={offset}&limit={MAX_CHUNK}",
            of_run(id, run)
        );
        Self {
            most: usize::try_from(MAX_CHUNK).unwrap_or(usize::MAX),
            ..Self::new(Method::GET, path).waiting()
        }
    }

    pub(crate) fn signal(id: &InstanceId, run: &RunId, signal: backend_core::Signal) -> Self {
        let signal = signal.number().to_string();
        Self::new(Method::POST, format!("{}/signal", of_run(id, run)))
            .json(&worker_api::SignalRequest { signal })
    }

    pub(crate) fn processes(id: &InstanceId) -> Self {
        Self::new(Method::GET, format!("{}/processes", instance(id)))
    }
}

/// Whole seconds, at least one.
pub(crate) fn seconds(duration: Duration) -> u32 {
    let rounded = duration.as_secs() + u64::from(duration.subsec_nanos() > 0);
    u32::try_from(rounded).unwrap_or(u32::MAX).clamp(1, 604_800)
}

fn instance(id: &InstanceId) -> String {
    format!("/v1/instances/{id}")
}

fn of_run(id: &InstanceId, run: &RunId) -> String {
    format!("/v1/instances/{id}/runs/{run}")
}
