//! Finding and removing what dead workers left behind.

use std::time::SystemTime;

use backend_core::reap::{ReapDecision, ReapScope, decide};
use backend_core::{Found, Provider, Result};

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
/// `dry_run` only decides. One that cannot be removed does not keep the others.
///
/// # Errors
///
/// Those of [`Provider::list`].
pub async fn reap(
    provider: &dyn Provider,
    scope: &ReapScope,
    dry_run: bool,
) -> Result<Vec<Reaped>> {
    let mut reaped = Vec::new();
    for found in provider.list().await? {
        let decision = decide(&found, scope, SystemTime::now());
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
    Ok(reaped)
}
