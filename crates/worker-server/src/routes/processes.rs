//! `GET …/processes`: what runs, for a person.

use axum::Extension;
use axum::extract::{Path, State};
use http::StatusCode;
use worker_api::{Problem, ProcessesDocument};

use super::Hosting;
use crate::answer::{Answer, document};
use crate::host::not_ready;
use crate::request;
use crate::tokens::Caller;

pub(super) async fn list(
    State(host): Hosting,
    Extension(caller): Extension<Caller>,
    Path(iid): Path<String>,
) -> Answer {
    let hosted = host.find(&caller.name, &request::id(&iid)?)?;
    let Some(instance) = hosted.instance() else {
        return Err(not_ready(&hosted).into());
    };
    let listed = instance.processes().await;
    let processes = listed.map_err(|error| Problem::of(&error, "processes"))?;
    Ok(document(StatusCode::OK, &ProcessesDocument { processes }))
}
