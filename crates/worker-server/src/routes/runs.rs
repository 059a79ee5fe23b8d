//! `…/runs/{rid}`: begun once, and shown.

use axum::Extension;
use axum::body::Body;
use axum::extract::{Path, State};
use backend_core::InstanceId;
use http::{HeaderMap, StatusCode};
use worker_api::{Code, CreateRun, Problem, RunId};

use std::sync::Arc;

use super::Hosting;
use crate::answer::{Answer, document};
use crate::host::{Host, Made};
use crate::hosted_run::HostedRun;
use crate::request;
use crate::tokens::Caller;

pub(super) async fn create(
    State(host): Hosting,
    Extension(caller): Extension<Caller>,
    Path((iid, rid)): Path<(String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    let (id, run): (InstanceId, RunId) = (request::id(&iid)?, request::id(&rid)?);
    let limits = &host.options.limits;
    let bytes = request::body(&headers, body, limits.document_bytes, limits.body_pause).await?;
    let wanted: CreateRun = request::json(&headers, &bytes)?;
    if wanted.limits.time_s == Some(0) || wanted.limits.silence_s == Some(0) {
        let detail = "a limit on time or silence must be at least one second";
        return Err(Problem::new(Code::Invalid, detail).in_stage("run").into());
    }
    if wanted.drain_ms.is_some_and(|drain| drain > 3_600_000) {
        let detail = "`drain_ms` must be at most 3600000";
        return Err(Problem::new(Code::Invalid, detail).in_stage("run").into());
    }
    let hosted = host.find(&caller.name, &id)?;
    let (status, run) = match host.begin_run(&hosted, run, wanted).await? {
        Made::New(run) => (StatusCode::CREATED, run),
        Made::There(run) => (StatusCode::OK, run),
    };
    Ok(document(status, &run.document()))
}

pub(super) async fn show(
    State(host): Hosting,
    Extension(caller): Extension<Caller>,
    Path((iid, rid)): Path<(String, String)>,
    headers: HeaderMap,
) -> Answer {
    let run = find(&host, &caller, &iid, &rid)?;
    let wait = request::wait(&headers, host.options.limits.wait);
    tokio::time::timeout(wait, run.until_ended()).await.ok();
    Ok(document(StatusCode::OK, &run.document()))
}

/// The caller's run of these ids.
pub(super) fn find(
    host: &Host,
    caller: &Caller,
    iid: &str,
    rid: &str,
) -> Result<Arc<HostedRun>, Problem> {
    let rid: RunId = request::id(rid)?;
    let hosted = host.find(&caller.name, &request::id(iid)?)?;
    hosted
        .run()
        .filter(|run| run.id == rid)
        .ok_or_else(|| Problem::new(Code::NotFound, format!("there is no run `{rid}`")))
}
