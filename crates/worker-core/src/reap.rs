//! Finding and removing what dead workers left behind.

use std::time::SystemTime;

use backend_core::reap::{ReapDecision, ReapScope, decide, decide_kept, decide_named};
use backend_core::{Error, Found, InstanceId, Provider, Result};

/// What came of a look at every instance of a provider.
#[derive(Debug)]
#[must_use = "a place that did not answer may hold instances"]
pub struct Reaping {
    /// What was decided on each instance that was found.
    pub reaped: Vec<Reaped>,
    /// How many of the provider's places answered.
    pub answered: usize,
    /// Why each of the others did not: what is there was left.
    pub unanswered: Vec<Error>,
}

/// What was decided on one found instance, and what came of it.
#[derive(Debug)]
pub struct Reaped {
    /// The instance.
    pub found: Found,
    /// What was decided.
    pub decision: ReapDecision,
    /// What came of its removal; `None` where none was tried.
    pub removal: Option<Result<()>>,
}

/// Looks at every instance of `provider` and removes what may be removed; with
/// `dry_run` only decides. One that cannot be removed, and a
/// place that does not answer, do not keep the others.
pub async fn reap(provider: &dyn Provider, scope: &ReapScope, dry_run: bool) -> Reaping {
    carry_out(provider, dry_run, |found| {
        Some(decide(found, scope, SystemTime::now()))
    })
    .await
}

/// Removes the instances of these ids, kept or not, unless their worker lives:
/// what their owner no longer wants. Ids that are not found are not told.
pub async fn reap_named(
    provider: &dyn Provider,
    scope: &ReapScope,
    ids: &[InstanceId],
    dry_run: bool,
) -> Reaping {
    carry_out(provider, dry_run, |found| {
        let named = ids.contains(&found.marks.instance);
        named.then(|| decide_named(found, scope))
    })
    .await
}

/// Removes the instances that were kept and are past their expiry, of those
/// that were found, and gives back the others: what anyone does who looks.
pub async fn reap_kept(
    provider: &dyn Provider,
    scope: &ReapScope,
    found: Vec<Found>,
) -> (Vec<Found>, Vec<Reaped>) {
    let (mut others, mut reaped) = (Vec::new(), Vec::new());
    for found in found {
        match decide_kept(&found, scope, SystemTime::now()) {
            Some(decision) => reaped.push(Reaped {
                removal: Some(provider.remove(&found).await),
                found,
                decision,
            }),
            None => others.push(found),
        }
    }
    (others, reaped)
}

/// What `decide` decides on each instance, `None` where it is not asked for.
async fn carry_out(
    provider: &dyn Provider,
    dry_run: bool,
    decide: impl Fn(&Found) -> Option<ReapDecision>,
) -> Reaping {
    let listing = provider.list_reachable().await;
    let mut reaped = Vec::new();
    for found in listing.found {
        let Some(decision) = decide(&found) else {
            continue;
        };
        let removal = if decision.removes() && !dry_run {
            Some(provider.remove(&found).await)
        } else {
            None
        };
        reaped.push(Reaped {
            found,
            decision,
            removal,
        });
    }
    Reaping {
        reaped,
        answered: listing.answered,
        unanswered: listing.unanswered,
    }
}
