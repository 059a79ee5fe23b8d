//! Which engine is meant, and whether it can be used.

use std::time::Duration;

use backend_core::{Candidate, Examination, Verdict};

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
pub(crate) async fn discover(
    options: &DockerOptions,
    examination: &mut Examination,
) -> Result<Engine, Failure> {
    let found = find(options, Surroundings::of_process(), examination).await;
    found.map_err(Failure::Discovery)
}

async fn find(
    options: &DockerOptions,
    surroundings: Surroundings,
    examination: &mut Examination,
) -> Result<Engine, DiscoveryFailure> {
    examination.begin("endpoint");
    let limit = options.request_timeout;
    let own = options.clone();
    // It reads files: the configuration of the docker client, certificates.
    let planning = move || plan::plan(&own, &surroundings);
    let plan = tokio::task::spawn_blocking(planning).await;
    match plan.map_err(|_| DiscoveryFailure::RuntimeEnded)?? {
        Plan::Named(origin, endpoint) => {
            let shown = endpoint.to_string();
            let certificates = endpoint.certificates().map(|name| Candidate {
                what: "certificates",
                ..candidate(name, origin.to_string(), Verdict::Used)
            });
            let attempt = attempt::attempt(endpoint, (limit, limit), examination).await;
            let verdict = attempt.as_ref().map_or_else(unusable, |_| Verdict::Used);
            let tried = candidate(shown.clone(), origin.to_string(), verdict);
            examination.candidates.push(tried);
            examination.candidates.extend(certificates);
            attempt.map_err(|source| DiscoveryFailure::Named {
                origin,
                endpoint: shown,
                source,
            })
        }
        Plan::Any(endpoints) => {
            let mut tried = vec![];
            let mut found = None;
            for endpoint in endpoints {
                let shown = endpoint.to_string();
                let mut verdict = Verdict::PassedOver(NOT_NEEDED.into());
                if found.is_none() {
                    let patience = (limit.min(PATIENCE), limit);
                    let mut steps = Examination::default();
                    match attempt::attempt(endpoint, patience, &mut steps).await {
                        Ok(engine) => {
                            examination.absorb(steps, None);
                            verdict = Verdict::Used;
                            found = Some(engine);
                        }
                        Err(why) => {
                            verdict = passed_over(&why);
                            tried.push((shown.clone(), why));
                        }
                    }
                }
                let candidate = candidate(shown, WELL_KNOWN.into(), verdict);
                examination.candidates.push(candidate);
            }
            found.ok_or_else(|| {
                examination.begin("connect");
                DiscoveryFailure::None { tried }
            })
        }
    }
}

const WELL_KNOWN: &str = "a well-known place";
const NOT_NEEDED: &str = "one before it answers";

fn candidate(name: String, origin: String, verdict: Verdict) -> Candidate {
    Candidate {
        what: "endpoint",
        name,
        origin,
        verdict,
    }
}

fn unusable(why: &failure::Unanswered) -> Verdict {
    Verdict::Unusable(why.to_string())
}

/// That nobody is there is nothing wrong with a place that nobody named.
fn passed_over(why: &failure::Unanswered) -> Verdict {
    match why {
        failure::Unanswered::Absent => Verdict::PassedOver(why.to_string()),
        why => unusable(why),
    }
}
