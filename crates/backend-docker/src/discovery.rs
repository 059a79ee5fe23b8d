//! Which engine is meant, and whether it can be used.

use std::time::Duration;

use crate::engine::Engine;
use crate::error::Failure;
use crate::options::DockerOptions;
pub(crate) use failure::DiscoveryFailure;
use plan::{Plan, Surroundings};

mod attempt;
mod failure;
mod origin;
mod plan;
mod version;

#[cfg(test)]
mod on_engine;

/// How long a well-known socket may take to answer: there are others to try.
const PATIENCE: Duration = Duration::from_secs(5);

/// Finds the engine: the one that the option `endpoint` names, else
/// `DOCKER_HOST`, else the docker client's current context; one that is named
/// is the only one that is tried. If none is, the first of the well-known
/// sockets that answers. The engine has answered, and its API is not too old.
///
/// # Errors
///
/// What was tried, and why each cannot be used.
///
/// # Cancel safety
///
/// Nothing is left of it but a thread that reads small files to their ends.
pub(crate) async fn discover(options: &DockerOptions) -> Result<Engine, Failure> {
    let found = find(options, Surroundings::of_process()).await;
    found.map_err(Failure::Discovery)
}

async fn find(
    options: &DockerOptions,
    surroundings: Surroundings,
) -> Result<Engine, DiscoveryFailure> {
    let limit = options.request_timeout;
    let own = options.clone();
    // It reads files: the configuration of the docker client, certificates.
    let planning = move || plan::plan(&own, &surroundings);
    let plan = tokio::task::spawn_blocking(planning).await;
    match plan.map_err(|_| DiscoveryFailure::RuntimeEnded)?? {
        Plan::Named(origin, endpoint) => {
            let shown = endpoint.to_string();
            let attempt = attempt::attempt(endpoint, limit, limit).await;
            attempt.map_err(|source| DiscoveryFailure::Named {
                origin,
                endpoint: shown,
                source,
            })
        }
        Plan::Any(endpoints) => {
            let mut tried = vec![];
            for endpoint in endpoints {
                let shown = endpoint.to_string();
                match attempt::attempt(endpoint, limit.min(PATIENCE), limit).await {
                    Ok(engine) => return Ok(engine),
                    Err(why) => tried.push((shown, why)),
                }
            }
            Err(DiscoveryFailure::None { tried })
        }
    }
}
