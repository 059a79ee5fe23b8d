//! How often: a bucket of tokens for each key, pure over a given time.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Duration;

use tokio::time::Instant;

/// The most keys that are remembered. Beyond, those that are full again go.
const KEYS: usize = 4096;

/// Lets each key act `rate` times a second, and as often at once.
#[derive(Debug)]
pub(crate) struct RateLimit<K> {
    rate: f64,
    buckets: HashMap<K, Bucket>,
}

#[derive(Debug)]
struct Bucket {
    left: f64,
    since: Instant,
}

impl<K: Eq + Hash> RateLimit<K> {
    pub(crate) fn new(rate: u32) -> Self {
        Self {
            rate: f64::from(rate.max(1)),
            buckets: HashMap::new(),
        }
    }

    /// Takes one turn of `key`.
    ///
    /// # Errors
    ///
    /// How long until there is one.
    pub(crate) fn take(&mut self, key: K, now: Instant) -> Result<(), Duration> {
        let rate = self.rate;
        if self.buckets.len() >= KEYS && !self.buckets.contains_key(&key) {
            self.buckets.retain(|_, bucket| bucket.at(now, rate) < rate);
            if self.buckets.len() >= KEYS {
                return Err(Duration::from_secs(1));
            }
        }
        let bucket = self.buckets.entry(key).or_insert(Bucket {
            left: rate,
            since: now,
        });
        bucket.left = bucket.at(now, rate);
        bucket.since = now;
        if bucket.left >= 1.0 {
            bucket.left -= 1.0;
            Ok(())
        } else {
            Err(Duration::from_secs_f64((1.0 - bucket.left) / rate))
        }
    }
}

impl Bucket {
    fn at(&self, now: Instant, rate: f64) -> f64 {
        let grown = now.saturating_duration_since(self.since).as_secs_f64() * rate;
        (self.left + grown).min(rate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_and_then_the_rate_holds() {
        let (mut limit, begin) = (RateLimit::new(10), Instant::now());
        for _ in 0..10 {
            limit.take("a", begin).unwrap();
        }
        let wait = limit.take("a", begin).unwrap_err();
        assert!(wait <= Duration::from_millis(100) && wait > Duration::from_millis(90));
        limit.take("b", begin).unwrap();
        limit.take("a", begin + Duration::from_millis(101)).unwrap();
        assert!(limit.take("a", begin + Duration::from_millis(102)).is_err());
    }

    #[test]
    fn keys_are_bounded() {
        let (mut limit, begin) = (RateLimit::new(1), Instant::now());
        for key in 0..KEYS {
            limit.take(key, begin).unwrap();
        }
        assert!(limit.take(KEYS, begin).is_err());
        limit.take(KEYS, begin + Duration::from_secs(2)).unwrap();
        assert_eq!(limit.buckets.len(), 1);
    }
}
