//! Which of the instances that were found may be removed: a pure decision.

use std::fmt;
use std::time::{Duration, SystemTime};

use crate::marks::unix_seconds;
use crate::worker_process::Liveness;
use crate::{Found, OwnerId};

/// Nothing younger than this is ever reaped: its worker may be between
/// creating it and telling anyone.
pub const MINIMUM_AGE: Duration = Duration::from_mins(1);

/// Whose leftovers to remove.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReapScope {
    /// Those of one owner.
    Owner(OwnerId),
    /// Everyone's, past their expiry.
    AllOwners(OwnerId),
}

/// What to do with one found instance, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ReapDecision {
    /// Remove it: the worker that made it is dead.
    RemoveDead,
    /// Remove it: it is past its expiry.
    RemoveExpired,
    /// Remove it: it was asked for by its id.
    RemoveNamed,
    /// Leave it: it belongs to another owner.
    KeepOther,
    /// Leave it: it is younger than [`MINIMUM_AGE`].
    KeepYoung,
    /// Leave it: the worker that made it lives.
    KeepAlive,
    /// Leave it until its expiry: it was kept on purpose.
    KeepKept,
    /// Leave it until its expiry: its worker ran elsewhere.
    KeepUnknown,
}

impl ReapDecision {
    /// Whether the instance is to be removed.
    pub fn removes(self) -> bool {
        matches!(
            self,
            Self::RemoveDead | Self::RemoveExpired | Self::RemoveNamed
        )
    }
}

impl fmt::Display for ReapDecision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::RemoveDead => "its worker is dead",
            Self::RemoveExpired => "past its expiry",
            Self::RemoveNamed => "asked for by its id",
            Self::KeepOther => "belongs to another owner",
            Self::KeepYoung => "younger than a minute",
            Self::KeepAlive => "its worker is alive",
            Self::KeepKept => "kept on purpose until its expiry",
            Self::KeepUnknown => "its worker ran on another boot or machine; left until its expiry",
        })
    }
}

/// Decides on one instance, at `now`.
///
/// Another owner's instance is removed only past its expiry and only with
/// [`ReapScope::AllOwners`]. Of ours, one is removed when the worker that made
/// it is dead on this boot, or past its expiry; nothing younger than a minute.
pub fn decide(found: &Found, scope: &ReapScope, now: SystemTime) -> ReapDecision {
    let marks = &found.marks;
    let expired = unix_seconds(now) >= marks.expires;
    let (ours, all) = match scope {
        ReapScope::Owner(owner) => (marks.owner == *owner, false),
        ReapScope::AllOwners(owner) => (marks.owner == *owner, true),
    };
    if !ours && !all {
        return ReapDecision::KeepOther;
    }
    if marks.age(now) < MINIMUM_AGE {
        return ReapDecision::KeepYoung;
    }
    if expired {
        return ReapDecision::RemoveExpired;
    }
    if !ours {
        return ReapDecision::KeepOther;
    }
    if marks.kept {
        return ReapDecision::KeepKept;
    }
    match marks.worker.liveness() {
        Liveness::Alive => ReapDecision::KeepAlive,
        Liveness::Dead => ReapDecision::RemoveDead,
        Liveness::Elsewhere => ReapDecision::KeepUnknown,
    }
}

/// Decides on one instance that was asked for by its id: kept or young, it is
/// removed, but not under a worker that lives.
pub fn decide_named(found: &Found, scope: &ReapScope) -> ReapDecision {
    let marks = &found.marks;
    let allowed = match scope {
        ReapScope::Owner(owner) => marks.owner == *owner,
        ReapScope::AllOwners(_) => true,
    };
    if !allowed {
        return ReapDecision::KeepOther;
    }
    match marks.worker.liveness() {
        Liveness::Alive => ReapDecision::KeepAlive,
        Liveness::Dead => ReapDecision::RemoveNamed,
        Liveness::Elsewhere if marks.kept => ReapDecision::RemoveNamed,
        Liveness::Elsewhere => ReapDecision::KeepUnknown,
    }
}

/// Decides on one instance for who looks without meaning to reap: only what
/// was kept on purpose and is past its expiry is removed. `None` is to leave it.
pub fn decide_kept(found: &Found, scope: &ReapScope, now: SystemTime) -> Option<ReapDecision> {
    let decision = decide(found, scope, now);
    (found.marks.kept && decision.removes()).then_some(decision)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{FoundState, Marks, StartContext};

    type Change = fn(&mut Marks);

    #[track_caller]
    fn assert_decision(change: impl FnOnce(&mut Marks), all: bool, expected: ReapDecision) {
        let context = StartContext::new();
        let owner = context.owner.clone();
        let mut marks = context.marks();
        marks.created -= 3600;
        change(&mut marks);
        let found = Found::new(marks, FoundState::Running, "here");
        let scope = if all {
            ReapScope::AllOwners(owner)
        } else {
            ReapScope::Owner(owner)
        };
        assert_eq!(decide(&found, &scope, SystemTime::now()), expected);
    }

    #[test]
    fn the_table_of_decisions() {
        let dead = |marks: &mut Marks| marks.worker.started += 1;
        let expired = |marks: &mut Marks| marks.expires = marks.created + 1;
        let other = |marks: &mut Marks| marks.owner = "someone-else".parse().unwrap();
        let young = |marks: &mut Marks| marks.created += 3590;
        let future = |marks: &mut Marks| marks.created += 9999;
        let kept = |marks: &mut Marks| marks.kept = true;
        let elsewhere = |marks: &mut Marks| marks.worker.boot_id = "x".into();
        let table: [(&[Change], bool, ReapDecision); 13] = [
            (&[], false, ReapDecision::KeepAlive),
            (&[dead], false, ReapDecision::RemoveDead),
            (&[expired], false, ReapDecision::RemoveExpired),
            (&[other], false, ReapDecision::KeepOther),
            (&[other], true, ReapDecision::KeepOther),
            (&[other, dead], true, ReapDecision::KeepOther),
            (&[other, expired], false, ReapDecision::KeepOther),
            (&[other, expired], true, ReapDecision::RemoveExpired),
            (&[dead, young], false, ReapDecision::KeepYoung),
            (&[dead, future], false, ReapDecision::KeepYoung),
            (&[dead, kept], false, ReapDecision::KeepKept),
            (&[expired, kept], false, ReapDecision::RemoveExpired),
            (&[elsewhere], false, ReapDecision::KeepUnknown),
        ];
        for (changes, all, expected) in table {
            assert_decision(
                |marks| changes.iter().for_each(|change| change(marks)),
                all,
                expected,
            );
        }
    }

    #[test]
    fn by_name_all_goes_but_what_lives_or_is_another_owners() {
        let context = StartContext::new();
        let scope = ReapScope::Owner(context.owner.clone());
        let named = |change: fn(&mut Marks)| {
            let mut marks = context.marks();
            change(&mut marks);
            decide_named(&Found::new(marks, FoundState::Running, "here"), &scope)
        };
        assert_eq!(named(|_| {}), ReapDecision::KeepAlive);
        let dead = named(|marks| marks.worker.started += 1);
        assert_eq!(dead, ReapDecision::RemoveNamed);
        let other = named(|marks| marks.owner = "someone-else".parse().unwrap());
        assert_eq!(other, ReapDecision::KeepOther);
        let elsewhere = named(|marks| marks.worker.boot_id = "x".into());
        assert_eq!(elsewhere, ReapDecision::KeepUnknown);
        let kept_elsewhere = named(|marks| {
            marks.worker.boot_id = "x".into();
            marks.kept = true;
        });
        assert_eq!(kept_elsewhere, ReapDecision::RemoveNamed);
    }

    #[test]
    fn in_passing_only_what_was_kept_and_is_past_goes() {
        let context = StartContext::new();
        let scope = ReapScope::Owner(context.owner.clone());
        for (kept, past, gone) in [
            (true, true, true),
            (true, false, false),
            (false, true, false),
        ] {
            let mut marks = context.marks();
            marks.created -= 3600;
            marks.kept = kept;
            if past {
                marks.expires = marks.created + 1;
            }
            let found = Found::new(marks, FoundState::Running, "here");
            let decision = decide_kept(&found, &scope, SystemTime::now());
            assert_eq!(decision.is_some(), gone, "kept {kept}, past {past}");
        }
    }
}
