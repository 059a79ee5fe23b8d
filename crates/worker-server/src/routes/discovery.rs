//! `GET /v1`: what this server is.

use axum::extract::State;
use http::StatusCode;
use worker_api::{API, Discovery, MAX_CHUNK, ServerInfo, ServerLimits};

use super::Hosting;
use crate::answer::{Answer, document};

pub(super) async fn show(State(host): Hosting) -> Answer {
    let limits = &host.options.limits;
    let seconds = |duration: std::time::Duration| u32::try_from(duration.as_secs()).ok();
    let discovery = Discovery {
        api: API.into(),
        server: ServerInfo {
            name: "worker".into(),
            version: env!("CARGO_PKG_VERSION").into(),
        },
        backend: host.options.backend.clone(),
        capabilities: Some(host.capabilities()),
        limits: ServerLimits {
            script_bytes: Some(limits.script_bytes),
            output_bytes: Some(limits.output_bytes),
            chunk_bytes: Some(MAX_CHUNK),
            lease_s: seconds(limits.lease),
            max_lease_s: seconds(limits.max_lease),
            max_lifetime_s: seconds(limits.max_lifetime),
            wait_s: seconds(limits.wait),
            instances: u32::try_from(limits.instances_per_caller).ok(),
        },
    };
    Ok(document(StatusCode::OK, &discovery))
}
