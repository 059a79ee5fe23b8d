//! Work that many starts wait for, and that is done once.

use std::collections::HashMap;
use std::future::Future;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

/// Pieces of work under way, by what they are about.
///
/// A piece of work begins with the first who waits for it, and is ended when
/// the last one goes away. What it says of its progress is seen by all of them.
#[derive(Debug)]
pub(super) struct Shared<K, P, T> {
    under_way: Mutex<HashMap<K, Weak<Work<P, T>>>>,
}

#[derive(Debug)]
struct Work<P, T> {
    state: watch::Receiver<State<P, T>>,
    /// Ends the work with the last of those that hold this.
    _task: AbortOnDropHandle<()>,
}

#[derive(Debug)]
struct State<P, T> {
    progress: P,
    outcome: Option<T>,
}

/// Where a piece of work tells its progress. Clones share it.
#[derive(Debug)]
pub(super) struct Teller<P, T>(Arc<watch::Sender<State<P, T>>>);

impl<P, T> Clone for Teller<P, T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<P, T> Teller<P, T> {
    pub(super) fn tell(&self, progress: P) {
        self.0.send_modify(|state| state.progress = progress);
    }
}

impl<K, P, T> Shared<K, P, T>
where
    K: Eq + Hash,
    P: Default + Copy + PartialEq + Send + Sync + 'static,
    T: Clone + Send + Sync + 'static,
{
    pub(super) fn new() -> Self {
        Self {
            under_way: Mutex::default(),
        }
    }

    /// Waits for the work about `key`, which is begun by `begin` unless it is
    /// under way; one that has ended is begun anew. `None` if the runtime, or
    /// the work by a panic, ended before.
    ///
    /// # Cancel safety
    ///
    /// Dropped, it leaves the work to the others who wait for it.
    pub(super) async fn join<W>(
        &self,
        key: K,
        begin: impl FnOnce(Teller<P, T>) -> W,
        mut progress: impl FnMut(P),
    ) -> Option<T>
    where
        W: Future<Output = T> + Send + 'static,
    {
        let work = self.work(key, begin);
        let mut state = work.state.clone();
        let mut told = P::default();
        loop {
            let now = {
                let state = state.borrow_and_update();
                if let Some(outcome) = &state.outcome {
                    return Some(outcome.clone());
                }
                state.progress
            };
            if now != told {
                progress(now);
                told = now;
            }
            state.changed().await.ok()?;
        }
    }

    fn work<W>(&self, key: K, begin: impl FnOnce(Teller<P, T>) -> W) -> Arc<Work<P, T>>
    where
        W: Future<Output = T> + Send + 'static,
    {
        let mut under_way = self
            .under_way
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let found = under_way.get(&key).and_then(Weak::upgrade);
        if let Some(work) = found.filter(|work| work.state.borrow().outcome.is_none()) {
            return work;
        }
        under_way.retain(|_, work| work.strong_count() > 0);
        let (sender, state) = watch::channel(State {
            progress: P::default(),
            outcome: None,
        });
        let sender = Arc::new(sender);
        let working = begin(Teller(sender.clone()));
        let task = tokio::spawn(async move {
            let outcome = working.await;
            sender.send_modify(|state| state.outcome = Some(outcome));
        });
        let work = Arc::new(Work {
            state,
            _task: AbortOnDropHandle::new(task),
        });
        under_way.insert(key, Arc::downgrade(&work));
        work
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::time::Duration;

    use tokio::sync::Semaphore;

    use super::*;

    struct Bench {
        shared: Arc<Shared<&'static str, u32, u32>>,
        begun: Arc<AtomicU32>,
        gate: Arc<Semaphore>,
    }

    impl Bench {
        fn new() -> Self {
            Self {
                shared: Arc::new(Shared::new()),
                begun: Arc::default(),
                gate: Arc::new(Semaphore::new(0)),
            }
        }

        /// Waits for work that ends when the gate opens.
        async fn join(&self, key: &'static str, seen: &AtomicU32) -> Option<u32> {
            let (begun, gate) = (self.begun.clone(), self.gate.clone());
            let work = |teller: Teller<u32, u32>| async move {
                let number = begun.fetch_add(1, Ordering::SeqCst) + 1;
                teller.tell(7);
                gate.acquire().await.unwrap().forget();
                number
            };
            let progress = |done| seen.store(done, Ordering::SeqCst);
            self.shared.join(key, work, progress).await
        }
    }

    #[tokio::test(start_paused = true)]
    async fn many_wait_for_one_and_see_its_progress() {
        let bench = Bench::new();
        let seen = [(); 3].map(|()| AtomicU32::new(0));
        let open = async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            assert!(seen.iter().all(|seen| seen.load(Ordering::SeqCst) == 7));
            bench.gate.add_permits(1);
        };
        let [a, b, c] = &seen;
        let (a, b, c, ()) = tokio::join!(
            bench.join("x", a),
            bench.join("x", b),
            bench.join("x", c),
            open
        );
        assert_eq!((a, b, c), (Some(1), Some(1), Some(1)));
        bench.gate.add_permits(1);
        assert_eq!(bench.join("x", &AtomicU32::new(0)).await, Some(2));
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_goes_away_does_not_end_it_and_the_last_one_does() {
        let bench = Bench::new();
        let seen = AtomicU32::new(0);
        let limit = Duration::from_secs(1);
        let open = async {
            tokio::time::sleep(2 * limit).await;
            bench.gate.add_permits(1);
        };
        let impatient = tokio::time::timeout(limit, bench.join("x", &seen));
        let (gone, stayed, ()) = tokio::join!(impatient, bench.join("x", &seen), open);
        assert!(gone.is_err());
        assert_eq!(stayed, Some(1));

        let both = (bench.join("y", &seen), bench.join("y", &seen));
        let both = async { tokio::join!(both.0, both.1) };
        tokio::time::timeout(limit, both).await.unwrap_err();
        tokio::time::sleep(limit).await;
        // Had the work gone on, it would take this.
        bench.gate.add_permits(1);
        tokio::time::sleep(limit).await;
        assert_eq!(bench.gate.available_permits(), 1);
        assert_eq!(bench.join("y", &seen).await, Some(3));
    }

    #[tokio::test]
    async fn work_that_panics_is_no_outcome() {
        let shared: Shared<&str, u32, u32> = Shared::new();
        let begin = |_: Teller<u32, u32>| async { panic!("as told") };
        assert_eq!(shared.join("x", begin, |_| ()).await, None);
    }
}
