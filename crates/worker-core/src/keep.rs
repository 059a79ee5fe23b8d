//! Whether an instance is left when its job is over.

use serde::Serialize;

use crate::{EndedBy, JobResult};

/// When to leave the instance of a job for its owner to look at.
///
/// One that is kept carries the mark, and is removed once it is past its
/// expiry, by whoever looks next. It needs a backend with the capability
/// [`Keeps`](backend_core::Capability::Keeps). If the worker itself dies, an
/// instance that might have been kept is left until its expiry too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Keep {
    /// Always remove it.
    #[default]
    Never,
    /// Leave it unless the job was a success or was cancelled.
    OnFailure,
    /// Leave it however the job ended.
    Always,
}

impl Keep {
    /// Whether the instance may come to be kept.
    pub fn may_keep(self) -> bool {
        self != Self::Never
    }

    /// Whether the instance of a job that ended like this is to be left.
    pub(crate) fn keeps(self, result: &JobResult) -> bool {
        match self {
            Self::Never => false,
            Self::OnFailure => !result.success() && result.ended_by != EndedBy::Cancel,
            Self::Always => true,
        }
    }
}

/// An instance that was left on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Kept {
    /// From when on it is removed by whoever looks next: seconds since 1970.
    pub expires: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept() {
        let result = |ended_by, exit_code| JobResult {
            ended_by,
            exit_code,
            output_complete: true,
            ..JobResult::never_started(None, None)
        };
        let (good, bad) = (
            result(EndedBy::Script, Some(0)),
            result(EndedBy::Script, Some(1)),
        );
        let (late, cancelled) = (
            result(EndedBy::Timeout, None),
            result(EndedBy::Cancel, None),
        );
        let never = result(EndedBy::NeverStarted, None);
        for (keep, kept) in [
            (Keep::Never, [false; 5]),
            (Keep::OnFailure, [false, true, true, false, true]),
            (Keep::Always, [true; 5]),
        ] {
            let all = [&good, &bad, &late, &cancelled, &never];
            assert_eq!(all.map(|result| keep.keeps(result)), kept, "{keep:?}");
        }
    }
}
