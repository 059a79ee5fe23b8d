//! `/v1/instances`: created, shown, listed, deleted.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::Extension;
use axum::body::Body;
use axum::extract::{Path, RawQuery, State};
use axum::response::{IntoResponse as _, Response};
use backend_core::InstanceId;
use http::{HeaderMap, StatusCode};
use worker_api::{
    Code, CreateInstance, InstanceEnd, InstanceEndCause, InstanceList, InstanceState, Problem,
};

use super::Hosting;
use crate::answer::{Answer, document};
use crate::host::Made;
use crate::request;
use crate::tokens::Caller;

/// Instances in one answer to a list.
const PAGE: usize = 100;

/// How long a deletion waits until the instance is gone: shorter than the
/// minute after which proxies lose patience.
const DELETION: Duration = Duration::from_secs(30);

pub(super) async fn create(
    State(host): Hosting,
    Extension(caller): Extension<Caller>,
    Path(iid): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    let id: InstanceId = request::id(&iid)?;
    let limits = &host.options.limits;
    let bytes = request::body(&headers, body, limits.document_bytes, limits.body_pause).await?;
    let wanted: CreateInstance = request::json(&headers, &bytes)?;
    check(&wanted)?;
    let (status, hosted) = match host.create(&caller.name, &id, wanted)? {
        Made::New(hosted) => (StatusCode::CREATED, hosted),
        Made::There(hosted) => (StatusCode::OK, hosted),
    };
    Ok(document(status, &hosted.document()))
}

/// What the types cannot say of a request.
fn check(wanted: &CreateInstance) -> Result<(), Problem> {
    let invalid = |detail: String| Problem::new(Code::Invalid, detail).in_stage("start");
    for (name, seconds, most) in [
        ("lease_s", wanted.lease_s, 604_800),
        ("max_lifetime_s", wanted.max_lifetime_s, 31_536_000),
    ] {
        if seconds.is_some_and(|seconds| !(1..=most).contains(&seconds)) {
            return Err(invalid(format!("`{name}` must be 1 to {most}")));
        }
    }
    if wanted.labels.len() > 64 {
        return Err(invalid("there are more than 64 labels".into()));
    }
    let too_long = |(key, value): (&String, &String)| key.len() > 128 || value.len() > 1024;
    if wanted.labels.iter().any(too_long) {
        return Err(invalid(
            "a label's key has more than 128 bytes, or its value more than 1024".into(),
        ));
    }
    if wanted.require.len() > 64 {
        return Err(invalid("more than 64 things are required".into()));
    }
    if wanted
        .job
        .as_ref()
        .is_some_and(|job| job.chars().count() > 256)
    {
        return Err(invalid("`job` has more than 256 characters".into()));
    }
    Ok(())
}

pub(super) async fn show(
    State(host): Hosting,
    Extension(caller): Extension<Caller>,
    Path(iid): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Answer {
    let pairs = request::query(query.as_deref(), &["since"])?;
    let since = request::number(&pairs, "since")?;
    let hosted = host.find(&caller.name, &request::id(&iid)?)?;
    if let Some(since) = since {
        let wait = request::wait(&headers, host.options.limits.wait);
        let mut view = hosted.watch();
        tokio::select! {
            _ = view.wait_for(|view| view.rev > since) => {}
            () = tokio::time::sleep(wait) => {}
        }
    }
    Ok(document(StatusCode::OK, &hosted.document()))
}

pub(super) async fn list(
    State(host): Hosting,
    Extension(caller): Extension<Caller>,
    RawQuery(query): RawQuery,
) -> Answer {
    let pairs = request::query(query.as_deref(), &["label", "state", "cursor"])?;
    let mut labels = BTreeMap::new();
    let (mut states, mut cursor) = (Vec::new(), None);
    for (key, value) in pairs {
        match key.as_str() {
            "label" => {
                let (label, text) = value.split_once('=').ok_or_else(|| {
                    let detail = format!("`label` is not `KEY=VALUE`: `{value}`");
                    Problem::new(Code::Malformed, detail)
                })?;
                labels.insert(label.to_owned(), text.to_owned());
            }
            "state" => states.push(state(&value)?),
            _ => cursor = Some(request::id::<InstanceId>(&value)?),
        }
    }
    let mut matching = host.list(&caller.name, cursor.as_ref());
    matching.retain(|hosted| {
        hosted.has_labels(&labels) && (states.is_empty() || states.contains(&hosted.state()))
    });
    let more = matching.len() > PAGE;
    matching.truncate(PAGE);
    let last = matching.last().map(|hosted| hosted.id.to_string());
    let page = InstanceList {
        next: last.filter(|_| more),
        items: matching.iter().map(|hosted| hosted.document()).collect(),
    };
    Ok(document(StatusCode::OK, &page))
}

fn state(text: &str) -> Result<InstanceState, Problem> {
    Ok(match text {
        "starting" => InstanceState::Starting,
        "ready" => InstanceState::Ready,
        "stopping" => InstanceState::Stopping,
        "gone" => InstanceState::Gone,
        _ => {
            let detail = format!("`state` is no state: `{text}`");
            return Err(Problem::new(Code::Malformed, detail)
                .with_hint("it is starting, ready, stopping or gone"));
        }
    })
}

/// Answers when the instance is gone; 202 where that takes longer, and a
/// problem where a removal has failed, which goes on all the same.
pub(super) async fn delete(
    State(host): Hosting,
    Extension(caller): Extension<Caller>,
    Path(iid): Path<String>,
) -> Answer {
    // One that was forgotten, or never was, is gone too.
    let Ok(hosted) = host.find(&caller.name, &request::id(&iid)?) else {
        return Ok(StatusCode::NO_CONTENT.into_response());
    };
    let mut view = hosted.watch();
    let before = view.borrow_and_update().rev;
    hosted.end(InstanceEndCause::Deleted);
    hosted.again.notify_one();
    let settled = view.wait_for(|view| {
        let failed = removal_problem(view.end.as_ref()).is_some();
        view.state == InstanceState::Gone || (failed && view.rev > before)
    });
    let settled = tokio::time::timeout(DELETION, settled).await;
    let view = hosted.view();
    if view.state == InstanceState::Gone {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    match removal_problem(view.end.as_ref()).filter(|_| settled.is_ok()) {
        Some(problem) => Err(Problem {
            retryable: true,
            ..Problem::new(Code::Leftover, problem.detail.as_str()).in_stage("stop")
        }
        .into()),
        None => Ok(accepted(&hosted)),
    }
}

/// The problem of a removal; one of a start is another matter.
fn removal_problem(end: Option<&InstanceEnd>) -> Option<&Problem> {
    let problem = end?.problem.as_ref()?;
    (problem.stage.as_deref() == Some("stop")).then_some(problem)
}

fn accepted(hosted: &crate::hosted::Hosted) -> Response {
    document(StatusCode::ACCEPTED, &hosted.document())
}
