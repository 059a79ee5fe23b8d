//! The lease of an instance: renewed for as long as somebody holds on to it.

use std::sync::Arc;
use std::time::Duration;

use backend_core::InstanceId;
use tokio_util::task::AbortOnDropHandle;

use crate::call::Call;
use crate::error::{CallError, Retry};
use crate::remote::Remote;

/// Parts of a lease after which it is renewed, and after which a renewal that
/// failed is tried again.
const RENEWALS: u32 = 3;
const ATTEMPTS: u32 = 20;

/// Renews the lease until what this gives is dropped, or the instance is gone.
pub(crate) fn keep(remote: Arc<Remote>, id: InstanceId, lease: Duration) -> AbortOnDropHandle<()> {
    AbortOnDropHandle::new(tokio::spawn(async move {
        loop {
            tokio::time::sleep(lease / RENEWALS).await;
            while let Err(error) = remote.call(&Call::renew(&id, lease)).await {
                if is_final(&error) {
                    tracing::debug!(instance = %id, %error, "the lease is renewed no more");
                    return;
                }
                tracing::debug!(instance = %id, %error, "cannot renew the lease; trying again");
                tokio::time::sleep(lease / ATTEMPTS).await;
            }
        }
    }))
}

fn is_final(error: &CallError) -> bool {
    error.is_gone() || (error.retry() == Retry::Never && error.code().is_some())
}
