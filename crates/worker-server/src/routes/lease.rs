//! `PUT …/lease`: the instance may live on.

use std::time::Duration;

use axum::Extension;
use axum::body::Body;
use axum::extract::{Path, State};
use http::{HeaderMap, StatusCode};
use worker_api::{Code, LeaseDocument, LeaseRequest, Problem};

use super::Hosting;
use crate::answer::{Answer, document};
use crate::request;
use crate::tokens::Caller;

pub(super) async fn renew(
    State(host): Hosting,
    Extension(caller): Extension<Caller>,
    Path(iid): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    let id = request::id(&iid)?;
    let limits = &host.options.limits;
    let bytes = request::body(&headers, body, limits.document_bytes, limits.body_pause).await?;
    let wanted: LeaseRequest = request::json(&headers, &bytes)?;
    if wanted.ttl_s == 0 || wanted.ttl_s > 604_800 {
        return Err(Problem::new(Code::Invalid, "`ttl_s` must be 1 to 604800").into());
    }
    let hosted = host.find(&caller.name, &id)?;
    let ttl = Duration::from_secs(wanted.ttl_s.into()).min(limits.max_lease);
    if !hosted.renew(ttl) {
        let detail = format!("the lease of the instance `{id}` has ended");
        return Err(Problem::new(Code::LeaseExpired, detail).into());
    }
    let lease = LeaseDocument {
        remaining_s: hosted.lease_remaining().as_secs(),
    };
    Ok(document(StatusCode::OK, &lease))
}
