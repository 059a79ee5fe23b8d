//! The machines, and how many instances each of them has from here.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::machine::Machine;

/// One machine, and what it can take.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) machine: Arc<Machine>,
    pub(crate) slots: u32,
    pub(crate) weight: u32,
}

/// All machines of a provider.
#[derive(Debug)]
pub(crate) struct Places {
    all: Vec<Place>,
    used: Mutex<Vec<u32>>,
    freed: Notify,
}

/// One instance's share of a machine. Dropping it frees it.
#[derive(Debug)]
pub(crate) struct Permit {
    places: Arc<Places>,
    pub(crate) index: usize,
}

impl Places {
    pub(crate) fn new(all: Vec<Place>) -> Self {
        let used = Mutex::new(vec![0; all.len()]);
        Self {
            all,
            used,
            freed: Notify::new(),
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Place> {
        self.all.iter()
    }

    pub(crate) fn get(&self, index: usize) -> Option<&Place> {
        self.all.get(index)
    }

    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    /// A share of the machine with the most room, but for those in `without`;
    /// `None` if none of them has any right now.
    pub(crate) fn try_acquire(self: &Arc<Self>, without: &[usize]) -> Option<Permit> {
        let mut used = self.lock();
        let index = choose(&self.all, &used, without)?;
        *used.get_mut(index)? += 1;
        Some(Permit {
            places: self.clone(),
            index,
        })
    }

    /// The same, when there is one.
    pub(crate) async fn acquire(self: &Arc<Self>, without: &[usize]) -> Permit {
        loop {
            // Listening begins before the look, so that no change is missed.
            let freed = self.freed.notified();
            tokio::pin!(freed);
            freed.as_mut().enable();
            if let Some(permit) = self.try_acquire(without) {
                return permit;
            }
            freed.await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<u32>> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(used) = self.places.lock().get_mut(self.index) {
            *used = used.saturating_sub(1);
        }
        self.places.freed.notify_waiters();
    }
}

/// Of the machines that have room, the one with the least load for its weight;
/// of equals the first.
fn choose(all: &[Place], used: &[u32], without: &[usize]) -> Option<usize> {
    let candidates = all.iter().zip(used).enumerate();
    let candidates = candidates
        .filter(|(index, (place, used))| **used < place.slots && !without.contains(index));
    let load = |place: &Place, used: u32, other: &Place| {
        u64::from(used) * u64::from(other.weight) * u64::from(place.weight > 0)
    };
    let best = candidates.min_by(|(_, (one, used_one)), (_, (other, used_other))| {
        load(one, **used_one, other).cmp(&load(other, **used_other, one))
    });
    best.map(|(index, _)| index)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::machine::{Credentials, Limits, Trust};

    fn place(slots: u32, weight: u32) -> Place {
        let second = Duration::from_secs(1);
        let machine = Machine {
            address: "u@h:22".into(),
            user: "u".into(),
            host: "h".into(),
            port: 22,
            trust: Trust::Anyone,
            credentials: Credentials::default(),
            jump: None,
            limits: Limits {
                connect: second,
                handshake: second,
                auth: second,
                keepalive: second,
                unanswered: 2,
            },
        };
        Place {
            machine: Arc::new(machine),
            slots,
            weight,
        }
    }

    #[test]
    fn the_least_loaded_for_its_weight_is_chosen() {
        let all = [place(9, 1), place(9, 3), place(1, 9)];
        for (used, without, expected) in [
            (&[0, 0, 0][..], &[][..], Some(0)),
            (&[1, 0, 1], &[], Some(1)),
            (&[1, 2, 1], &[], Some(1)),
            (&[1, 3, 1], &[], Some(0)),
            (&[2, 3, 0], &[], Some(2)),
            (&[1, 3, 1], &[0], Some(1)),
            (&[9, 9, 1], &[], None),
            (&[0, 0, 0], &[0, 1, 2], None),
        ] {
            assert_eq!(
                choose(&all, used, without),
                expected,
                "{used:?} {without:?}"
            );
        }
    }

    #[tokio::test]
    async fn who_waits_for_a_place_gets_it_when_it_is_freed() {
        let places = Arc::new(Places::new(vec![place(1, 1)]));
        let permit = places.try_acquire(&[]).unwrap();
        assert!(places.try_acquire(&[]).is_none());
        let waiting = places.clone();
        let waiter = tokio::spawn(async move { waiting.acquire(&[]).await.index });
        tokio::task::yield_now().await;
        drop(permit);
        assert_eq!(waiter.await.unwrap(), 0);
    }
}
