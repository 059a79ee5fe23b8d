//! `GET …/output`: bytes by offset, with a length on every answer.

use axum::Extension;
use axum::body::Body;
use axum::extract::{Path, RawQuery, State};
use axum::response::Response;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue};
use worker_api::{Code, MAX_CHUNK, OCTETS, Problem, header};

use super::{Hosting, runs};
use crate::answer::Answer;
use crate::journal::{BeyondEnd, Piece};
use crate::request;
use crate::tokens::Caller;

/// Bytes in an answer where the request does not say.
const DEFAULT_LIMIT: u64 = 256 << 10;

pub(super) async fn read(
    State(host): Hosting,
    Extension(caller): Extension<Caller>,
    Path((iid, rid)): Path<(String, String)>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Answer {
    let pairs = request::query(query.as_deref(), &["offset", "limit"])?;
    let offset = request::number(&pairs, "offset")?.unwrap_or(0);
    let limit = request::number(&pairs, "limit")?.unwrap_or(DEFAULT_LIMIT);
    if limit == 0 {
        return Err(Problem::new(Code::Malformed, "`limit` must be at least 1").into());
    }
    let run = runs::find(&host, &caller, &iid, &rid)?;
    let wait = request::wait(&headers, host.options.limits.wait);
    let read = run.journal.read(offset, limit.min(MAX_CHUNK), wait);
    let piece = read.await.map_err(|error| {
        Problem::new(
            Code::Internal,
            format!("the output cannot be read: {error}"),
        )
    })?;
    match piece {
        Ok(piece) => Ok(answer(offset, piece)),
        Err(BeyondEnd(length)) => {
            let detail = format!("offset {offset} lies beyond the {length} bytes that there are");
            Err(Problem::new(Code::Invalid, detail)
                .in_stage("output")
                .into())
        }
    }
}

fn answer(offset: u64, piece: Piece) -> Response {
    let mut response = Response::new(Body::from(piece.bytes));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(OCTETS));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    for (name, value) in [
        (header::OFFSET, offset.to_string()),
        (header::NEXT_OFFSET, piece.next_offset.to_string()),
        (header::COMPLETE, piece.complete.to_string()),
        (header::CONTENT_DIGEST, piece.digest.to_header()),
    ] {
        // Numbers, words and base64 are visible ASCII.
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
    response
}
