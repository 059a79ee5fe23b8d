//! `/healthz`, `/readyz`, `/openapi.json`: open only on loopback.

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::header::CONTENT_TYPE;
use http::{HeaderValue, StatusCode};
use worker_api::{JSON, OPENAPI};

use super::Hosting;
use crate::answer::Answer;

/// The process answers.
pub(super) async fn alive() -> Response {
    StatusCode::NO_CONTENT.into_response()
}

/// It takes new instances.
pub(super) async fn ready(State(host): Hosting) -> Answer {
    host.check_open()?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// The reference of the protocol.
pub(super) async fn openapi() -> Response {
    let mut response = Response::new(Body::from(OPENAPI));
    let value = HeaderValue::from_static(JSON);
    response.headers_mut().insert(CONTENT_TYPE, value);
    response
}
