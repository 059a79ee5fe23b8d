//! Which byte suffers which fault: pure, driven by the pumps.

use std::collections::VecDeque;

/// Which way bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// From the client to the target.
    ToTarget,
    /// From the target to the client.
    FromTarget,
}

/// What happens to a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// It is reset on both sides. TCP says so (RST); a Unix socket cannot, it
    /// is closed.
    Reset,
    /// It is closed on both sides, as if in good order.
    Close,
    /// It goes silent for good: it stays open, and nothing passes any more, as
    /// when a machine in between vanishes.
    Freeze,
    /// What was read together with, but lies behind, the last byte is
    /// forwarded twice; if nothing lies behind it, nothing is.
    Duplicate,
}

/// The faults to come, and what was forwarded so far.
#[derive(Debug, Default)]
pub(super) struct Plan {
    to_target: Lane,
    from_target: Lane,
}

#[derive(Debug, Default)]
struct Lane {
    forwarded: u64,
    /// Faults, each with the bytes still to be forwarded since the one before.
    faults: VecDeque<(u64, Action)>,
}

/// How to go on with some bytes.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Step {
    /// How many of them to forward.
    pub(super) pass: usize,
    /// What to do then.
    pub(super) then: Option<Action>,
}

impl Plan {
    pub(super) fn inject(&mut self, direction: Direction, after: u64, action: Action) {
        self.lane(direction).faults.push_back((after, action));
    }

    pub(super) fn clear(&mut self) {
        self.to_target.faults.clear();
        self.from_target.faults.clear();
    }

    pub(super) fn pending(&self) -> usize {
        self.to_target.faults.len() + self.from_target.faults.len()
    }

    pub(super) fn forwarded(&self, direction: Direction) -> u64 {
        match direction {
            Direction::ToTarget => self.to_target.forwarded,
            Direction::FromTarget => self.from_target.forwarded,
        }
    }

    /// Decides on the next `available` bytes, of which there is at least one.
    ///
    /// Called again with the rest, it always comes to an end: each call
    /// forwards something or uses up a fault.
    pub(super) fn admit(&mut self, direction: Direction, available: usize) -> Step {
        let lane = self.lane(direction);
        let Some((left, action)) = lane.faults.front_mut() else {
            lane.forwarded += available as u64;
            return Step {
                pass: available,
                then: None,
            };
        };
        let action = *action;
        let pass = usize::try_from(*left).map_or(available, |left| left.min(available));
        *left -= pass as u64;
        let due = *left == 0;
        if due {
            lane.faults.pop_front();
        }
        lane.forwarded += pass as u64;
        Step {
            pass,
            then: due.then_some(action),
        }
    }

    fn lane(&mut self, direction: Direction) -> &mut Lane {
        match direction {
            Direction::ToTarget => &mut self.to_target,
            Direction::FromTarget => &mut self.from_target,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn each_fault_comes_at_its_byte_whatever_the_pieces(
            faults in proptest::collection::vec(0_u64..50, 0..6),
            pieces in proptest::collection::vec(1_usize..30, 0..20),
        ) {
            let mut plan = Plan::default();
            for after in &faults {
                plan.inject(Direction::ToTarget, *after, Action::Duplicate);
            }
            let (mut passed, mut happened) = (0_u64, Vec::new());
            for piece in &pieces {
                let mut rest = *piece;
                while rest > 0 {
                    let step = plan.admit(Direction::ToTarget, rest);
                    prop_assert!(step.pass > 0 || step.then.is_some());
                    rest -= step.pass;
                    passed += step.pass as u64;
                    happened.extend(step.then.map(|_| passed));
                }
            }
            let points = faults.iter().scan(0, |sum, after| { *sum += after; Some(*sum) });
            // A fault at the very end of the bytes happens there if its last
            // byte has passed, else with the byte that follows.
            let due: Vec<_> = points.filter(|point| *point <= passed).collect();
            prop_assert!(due.starts_with(&happened));
            prop_assert!(due[happened.len()..].iter().all(|point| *point == passed));
            prop_assert_eq!(plan.pending(), faults.len() - happened.len());
            prop_assert_eq!(plan.forwarded(Direction::ToTarget), passed);
            prop_assert_eq!(plan.forwarded(Direction::FromTarget), 0);
        }
    }

    #[test]
    fn the_other_direction_is_left_alone() {
        let mut plan = Plan::default();
        plan.inject(Direction::FromTarget, 3, Action::Reset);
        let step = plan.admit(Direction::ToTarget, 10);
        assert_eq!((step.pass, step.then), (10, None));
        let step = plan.admit(Direction::FromTarget, 10);
        assert_eq!((step.pass, step.then), (3, Some(Action::Reset)));
    }
}
