//! What a start is told about the job that it is for.

use std::time::{Duration, SystemTime};

use crate::marks::unix_seconds;
use crate::{InstanceId, Marks, OwnerId, ProgressReporter, WorkerProcess};

/// How long an instance may live where the job has no limits.
pub const DEFAULT_LIFETIME: Duration = Duration::from_hours(24);

/// What a start is told about the job that it is for.
///
/// [`StartContext::new`] is right for a program that just wants an instance;
/// `worker-core` fills in the job and its limits.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct StartContext {
    /// The id that the instance will have.
    pub id: InstanceId,
    /// Whose instance it is.
    pub owner: OwnerId,
    /// The name of the job, for people.
    pub job: Option<String>,
    /// How long the instance may live at the most: all limits of the job and
    /// some time to clean up. After it, anyone may reap it.
    pub lifetime: Duration,
    /// Whether the instance is meant to outlive this process, until its
    /// lifetime ends.
    pub keep: bool,
    /// Where progress goes.
    pub progress: ProgressReporter,
}

impl StartContext {
    /// A new random id, this user's owner, and a lifetime of 24 hours.
    pub fn new() -> Self {
        Self {
            id: InstanceId::random(),
            owner: OwnerId::current(),
            job: None,
            lifetime: DEFAULT_LIFETIME,
            keep: false,
            progress: ProgressReporter::default(),
        }
    }

    /// The same with this owner.
    #[must_use]
    pub fn owner(self, owner: OwnerId) -> Self {
        Self { owner, ..self }
    }

    /// The same for the job of this name.
    #[must_use]
    pub fn job(self, job: impl Into<String>) -> Self {
        Self {
            job: Some(job.into()),
            ..self
        }
    }

    /// The same with this lifetime.
    #[must_use]
    pub fn lifetime(self, lifetime: Duration) -> Self {
        Self { lifetime, ..self }
    }

    /// The same with progress reported to `progress`.
    #[must_use]
    pub fn progress(self, progress: ProgressReporter) -> Self {
        Self { progress, ..self }
    }

    /// The marks for what this start creates, made by this process, now.
    pub fn marks(&self) -> Marks {
        let created = unix_seconds(SystemTime::now());
        Marks {
            instance: self.id.clone(),
            owner: self.owner.clone(),
            job: self.job.clone(),
            worker: WorkerProcess::current(),
            created,
            expires: created.saturating_add(self.lifetime.as_secs()),
            kept: self.keep,
        }
    }
}

impl Default for StartContext {
    fn default() -> Self {
        Self::new()
    }
}
