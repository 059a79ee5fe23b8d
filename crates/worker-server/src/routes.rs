//! The paths of the protocol, and what answers them.

mod discovery;
mod health;
mod instances;
mod lease;
mod output;
mod processes;
mod runs;
mod script;
mod signal;

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::middleware;
use axum::routing::{get, post, put};
use http::{Method, Uri};
use worker_api::{Code, Problem};

use crate::answer::Refusal;
use crate::guard::{self, Guard};
use crate::host::Host;

/// What every handler is given.
pub(crate) type Hosting = State<Arc<Host>>;

/// All paths, behind the guard that knows who may.
pub(crate) fn router(host: Arc<Host>, guard: Arc<Guard>) -> Router {
    Router::new()
        .route("/v1", get(discovery::show))
        .route("/v1/instances", get(instances::list))
        .route(
            "/v1/instances/{iid}",
            get(instances::show)
                .put(instances::create)
                .delete(instances::delete),
        )
        .route("/v1/instances/{iid}/lease", put(lease::renew))
        .route("/v1/instances/{iid}/script", put(script::upload))
        .route("/v1/instances/{iid}/processes", get(processes::list))
        .route(
            "/v1/instances/{iid}/runs/{rid}",
            get(runs::show).put(runs::create),
        )
        .route("/v1/instances/{iid}/runs/{rid}/output", get(output::read))
        .route("/v1/instances/{iid}/runs/{rid}/signal", post(signal::send))
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .route("/openapi.json", get(health::openapi))
        .fallback(no_route)
        .method_not_allowed_fallback(no_method)
        .layer(middleware::from_fn_with_state(guard, guard::guard))
        .with_state(host)
}

async fn no_route(uri: Uri) -> Refusal {
    let detail = format!("there is no path `{}`", uri.path());
    Problem::new(Code::NoRoute, detail)
        .with_hint("`GET /openapi.json` lists the paths")
        .into()
}

async fn no_method(method: Method, uri: Uri) -> Refusal {
    let detail = format!("`{}` does not take {method}", uri.path());
    Problem::new(Code::MethodNotAllowed, detail).into()
}
