//! `PUT …/script`: raw bytes, atomically, once.

use axum::Extension;
use axum::body::Body;
use axum::extract::{Path, State};
use backend_core::OutOfOrder;
use http::{HeaderMap, StatusCode};
use worker_api::{Code, Digest, InstanceState, Problem, ScriptDocument, header};

use super::Hosting;
use crate::answer::{Answer, document};
use crate::host::not_ready;
use crate::hosted::Script;
use crate::request;
use crate::tokens::Caller;

/// Names one upload, so that the same one may be repeated after its answer
/// was lost.
const IDEMPOTENCY_KEY: &str = "idempotency-key";

pub(super) async fn upload(
    State(host): Hosting,
    Extension(caller): Extension<Caller>,
    Path(iid): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    let id = request::id(&iid)?;
    let hosted = host.find(&caller.name, &id)?;
    let said = request::text(&headers, header::CONTENT_DIGEST)
        .map(Digest::from_header)
        .transpose()
        .map_err(|error| Problem::new(Code::Malformed, error.to_string()).in_stage("upload"))?;
    let key = request::text(&headers, IDEMPOTENCY_KEY).map(str::to_owned);
    let limits = &host.options.limits;
    let bytes = request::body(&headers, body, limits.script_bytes, limits.body_pause).await?;
    let digest = Digest::of(&bytes);
    if said.is_some_and(|said| said != digest) {
        let detail = "the body does not have the SHA-256 that its Content-Digest says";
        return Err(Problem::new(Code::DigestMismatch, detail)
            .in_stage("upload")
            .into());
    }
    let Some(instance) = hosted.instance() else {
        return Err(not_ready(&hosted).in_stage("upload").into());
    };
    if hosted.state() != InstanceState::Ready {
        return Err(not_ready(&hosted).in_stage("upload").into());
    }
    let Ok(mut script) = hosted.script.try_lock() else {
        return Err(Problem::out_of_order(OutOfOrder::Uploading, "upload").into());
    };
    match &*script {
        Some(there) if key.is_some() && there.key == key && there.digest == digest => {
            Ok(document(StatusCode::OK, &told(there)))
        }
        Some(_) => Err(Problem::out_of_order(OutOfOrder::Stale, "upload").into()),
        None => {
            // Cancel safe by the contract: a request that is given up leaves
            // nothing that can run.
            let uploaded = instance.upload_script(&bytes).await;
            uploaded.map_err(|error| Problem::of(&error, "upload"))?;
            let uploaded = Script {
                key,
                bytes: bytes.len() as u64,
                digest,
            };
            let answer = document(StatusCode::CREATED, &told(&uploaded));
            *script = Some(uploaded);
            Ok(answer)
        }
    }
}

fn told(script: &Script) -> ScriptDocument {
    ScriptDocument {
        bytes: script.bytes,
        sha256: script.digest.to_hex(),
    }
}
