//! The marks on everything that Worker creates: whose it is, which worker made
//! it, and until when it may live.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::{InstanceId, OwnerId, WorkerProcess};

/// The marks on one instance, from which `worker reap` decides.
///
/// They travel as labels, as a file beside the instance, or in whatever way
/// the far side can hold text. Times are seconds since 1970 on the worker's
/// clock. Nothing in them is secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Marks {
    /// The instance.
    pub instance: InstanceId,
    /// Whose it is.
    pub owner: OwnerId,
    /// The name of the job, if it has one.
    #[serde(default)]
    pub job: Option<String>,
    /// The worker that made it.
    pub worker: WorkerProcess,
    /// When it was made.
    pub created: u64,
    /// From when on it may be removed whoever lives.
    pub expires: u64,
    /// Whether it is meant to outlive its worker until it expires (`--keep`).
    #[serde(default)]
    pub kept: bool,
}

const PREFIX: &str = "worker.";

impl Marks {
    /// The marks as label pairs, all keys beginning with `worker.`.
    pub fn to_labels(&self) -> Vec<(String, String)> {
        let mut pairs = vec![
            ("instance", self.instance.to_string()),
            ("owner", self.owner.to_string()),
            ("boot-id", self.worker.boot_id.clone()),
            ("pid-namespace", self.worker.pid_namespace.clone()),
            ("pid", self.worker.pid.to_string()),
            ("pid-started", self.worker.started.to_string()),
            ("created", self.created.to_string()),
            ("expires", self.expires.to_string()),
            ("kept", self.kept.to_string()),
        ];
        if let Some(job) = &self.job {
            pairs.push(("job", job.clone()));
        }
        pairs
            .into_iter()
            .map(|(key, value)| (format!("{PREFIX}{key}"), value))
            .collect()
    }

    /// Reads the marks back; `None` unless all of them are there and make
    /// sense: what is not surely ours is never touched.
    pub fn from_labels<'a>(label: impl Fn(&str) -> Option<&'a str>) -> Option<Self> {
        let get = |key: &str| label(&format!("{PREFIX}{key}"));
        Some(Self {
            instance: get("instance")?.parse().ok()?,
            owner: get("owner")?.parse().ok()?,
            job: get("job").map(str::to_owned),
            worker: WorkerProcess {
                boot_id: get("boot-id")?.to_owned(),
                pid_namespace: get("pid-namespace")?.to_owned(),
                pid: get("pid")?.parse().ok()?,
                started: get("pid-started")?.parse().ok()?,
            },
            created: get("created")?.parse().ok()?,
            expires: get("expires")?.parse().ok()?,
            kept: get("kept")? == "true",
        })
    }

    /// How long ago the instance was made; zero if the clock went backwards.
    pub fn age(&self, now: SystemTime) -> Duration {
        Duration::from_secs(unix_seconds(now).saturating_sub(self.created))
    }
}

/// Seconds since 1970; 0 for a clock before that.
pub fn unix_seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH)
        .map_or(0, |duration| duration.as_secs())
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::StartContext;

    #[test]
    fn labels_round_trip_and_none_may_lack() {
        let marks = StartContext::new().job("build 7").marks();
        let labels: HashMap<_, _> = marks.to_labels().into_iter().collect();
        let read = |labels: &HashMap<String, String>| {
            Marks::from_labels(|key| labels.get(key).map(String::as_str))
        };
        assert_eq!(read(&labels), Some(marks));
        for key in labels.keys().filter(|key| *key != "worker.job") {
            let mut fewer = labels.clone();
            fewer.remove(key);
            assert_eq!(read(&fewer), None, "{key}");
        }
    }
}
