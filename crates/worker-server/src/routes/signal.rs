//! `POST …/signal`: to the whole process group.

use axum::Extension;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::IntoResponse as _;
use backend_core::Signal;
use http::{HeaderMap, StatusCode};
use worker_api::{Code, Problem, SignalRequest};

use super::{Hosting, runs};
use crate::answer::Answer;
use crate::host::not_ready;
use crate::request;
use crate::tokens::Caller;

pub(super) async fn send(
    State(host): Hosting,
    Extension(caller): Extension<Caller>,
    Path((iid, rid)): Path<(String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    let limits = &host.options.limits;
    let run = runs::find(&host, &caller, &iid, &rid)?;
    let bytes = request::body(&headers, body, limits.document_bytes, limits.body_pause).await?;
    let wanted: SignalRequest = request::json(&headers, &bytes)?;
    let number = wanted.signal.parse().ok().and_then(Signal::from_number);
    let signal = number.or_else(|| Signal::from_name(&wanted.signal));
    let Some(signal) = signal else {
        let detail = "`signal` is neither the name nor the number of a signal of Linux";
        return Err(Problem::new(Code::Invalid, detail)
            .in_stage("signal")
            .into());
    };
    let hosted = host.find(&caller.name, &request::id(&iid)?)?;
    if !run.has_ended() {
        let Some(instance) = hosted.instance() else {
            return Err(not_ready(&hosted).in_stage("signal").into());
        };
        let sent = instance.signal(signal).await;
        sent.map_err(|error| Problem::of(&error, "signal"))?;
    }
    Ok(StatusCode::ACCEPTED.into_response())
}
