//! The progress of a pull, summed over the layers.

use std::collections::HashMap;

use super::messages::{Amounts, Message};

/// Layers of one image. More are counted no further: an engine that invents
/// them would fill the memory.
const MOST_LAYERS: usize = 10_000;

/// What the layers of one image have come to.
#[derive(Debug, Default)]
pub(super) struct Layers {
    layers: HashMap<String, Layer>,
}

/// How far a pull or an import is.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Amount {
    /// Bytes.
    pub(crate) done: u64,
    /// Bytes, of all layers whose size is known so far.
    pub(crate) total: u64,
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Layer {
    status: String,
    seen: Amounts,
    amount: Amount,
}

impl Layers {
    /// Takes one message, and says whether anything has moved since the last.
    pub(super) fn take(&mut self, message: &Message) -> bool {
        let status = message.status.as_deref().unwrap_or_default();
        // An engine that waits for its registry counts the seconds.
        if status.starts_with("Retrying") || status.starts_with("Waiting") {
            return false;
        }
        let Some(id) = &message.id else {
            return true;
        };
        if !self.layers.contains_key(id) && self.layers.len() >= MOST_LAYERS {
            return false;
        }
        let layer = self.layers.entry(id.clone()).or_default();
        let seen = message.progress.unwrap_or_default();
        if layer.status == status && layer.seen == seen {
            return false;
        }
        status.clone_into(&mut layer.status);
        layer.seen = seen;
        layer.move_on();
        true
    }

    /// The sum over all layers.
    pub(super) fn amount(&self) -> Amount {
        let sum = |of: fn(&Amount) -> u64| {
            let parts = self.layers.values().map(|layer| of(&layer.amount));
            parts.fold(0, u64::saturating_add)
        };
        Amount {
            done: sum(|amount| amount.done),
            total: sum(|amount| amount.total),
        }
    }
}

impl Layer {
    /// Only the download counts: the extraction, which overlaps with the
    /// download of other layers, would count every byte twice.
    fn move_on(&mut self) {
        let bytes = |number: Option<i64>| u64::try_from(number.unwrap_or(0)).unwrap_or(0);
        if self.status.starts_with("Downloading") {
            let current = bytes(self.seen.current);
            self.amount.total = self.amount.total.max(bytes(self.seen.total)).max(current);
            self.amount.done = self.amount.done.max(current);
        } else if [
            "Download complete",
            "Verifying",
            "Extracting",
            "Pull complete",
        ]
        .iter()
        .any(|word| self.status.starts_with(word))
        {
            self.amount.done = self.amount.total;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn message(id: &str, status: &str, current: i64, total: i64) -> Message {
        let text = format!(
            r#"{{"id":"{id}","status":"{status}","progressDetail":{{"current":{current},"total":{total}}}}}"#
        );
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn layers_are_summed_and_the_extraction_counts_nothing() {
        let mut layers = Layers::default();
        for (id, status, current, total, done, of) in [
            ("a", "Pulling fs layer", 0, 0, 0, 0),
            ("a", "Downloading", 10, 100, 10, 100),
            ("b", "Downloading", 5, 50, 15, 150),
            ("a", "Download complete", 0, 0, 105, 150),
            ("a", "Extracting", 1, 100, 105, 150),
            ("c", "Already exists", 0, 0, 105, 150),
            ("b", "Downloading", -5, -1, 105, 150),
            ("b", "Pull complete", 0, 0, 150, 150),
        ] {
            assert!(layers.take(&message(id, status, current, total)));
            let amount = layers.amount();
            assert_eq!((amount.done, amount.total), (done, of), "{id} {status}");
        }
    }

    #[test]
    fn waiting_is_no_progress() {
        let mut layers = Layers::default();
        assert!(layers.take(&message("a", "Downloading", 10, 100)));
        assert!(!layers.take(&message("a", "Downloading", 10, 100)));
        assert!(!layers.take(&message("a", "Retrying in 5 seconds", 0, 0)));
        assert!(!layers.take(&message("a", "Retrying in 4 seconds", 0, 0)));
        assert!(layers.take(&message("a", "Downloading", 11, 100)));
    }

    proptest! {
        #[test]
        fn done_never_shrinks_nor_passes_the_total(steps in prop::collection::vec(
            ("[ab]", prop::sample::select(vec!["Downloading", "Extracting", "Pull complete", "?"]), any::<i64>(), any::<i64>()), 0..20,
        )) {
            let mut layers = Layers::default();
            let mut before = Amount::default();
            for (id, status, current, total) in steps {
                layers.take(&message(&id, status, current, total));
                let now = layers.amount();
                prop_assert!(now.done <= now.total && now.done >= before.done && now.total >= before.total);
                before = now;
            }
        }
    }
}
