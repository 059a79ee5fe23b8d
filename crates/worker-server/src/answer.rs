//! Answers: documents, and problems for what is refused.

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;
use worker_api::{JSON, PROBLEM_JSON, Problem};

/// What a handler gives.
pub(crate) type Answer = Result<Response, Refusal>;

/// A problem as an answer.
#[derive(Debug)]
pub(crate) struct Refusal(pub(crate) Problem);

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        Self(problem)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let problem = self.0;
        let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::BAD_REQUEST);
        let mut response = document_as(status, PROBLEM_JSON, &problem);
        let headers = response.headers_mut();
        if let Some(milliseconds) = problem.retry_after_ms {
            // Whole seconds, rounded up: the header has no smaller ones.
            let seconds = milliseconds.div_ceil(1000).to_string();
            if let Ok(value) = HeaderValue::from_str(&seconds) {
                headers.insert(header::RETRY_AFTER, value);
            }
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(
                header::WWW_AUTHENTICATE,
                HeaderValue::from_static("Bearer realm=\"worker\""),
            );
        }
        response
    }
}

/// A document as an answer.
pub(crate) fn document(status: StatusCode, document: &impl Serialize) -> Response {
    document_as(status, JSON, document)
}

fn document_as(
    status: StatusCode,
    media_type: &'static str,
    document: &impl Serialize,
) -> Response {
    // Our own types are made of what JSON has.
    let body = serde_json::to_vec(document).unwrap_or_default();
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
