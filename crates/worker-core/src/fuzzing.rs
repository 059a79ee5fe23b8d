//! What the fuzz targets of this crate check. Each takes any bytes, and panics
//! where a property does not hold; its seeds are in `tests/seeds`.
//!
//! The models are slow, and obviously right; the unit tests use them too.

#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a property that does not hold is a panic"
)]

use std::sync::LazyLock;

use backend_core::{ByteSize, OutputSink as _};
use sha2::{Digest as _, Sha256};
use tokio::runtime::Runtime;

use crate::mask::{MASK, patterns};
use crate::pipeline::Pipeline;
use crate::{EventLog, Job, MINIMUM_SECRET, Masker, OnMaxOutput, OutputLimit, Secrets};

/// All targets of this crate.
#[cfg(test)]
const TARGETS: &[testbed::FuzzTarget] = &[("job_masker", masker), ("job_output", output)];

/// An input: where to cut it, some secrets, and the output of a script.
struct Input<'a> {
    secrets: Vec<&'a [u8]>,
    /// Of all the secrets.
    patterns: Vec<Vec<u8>>,
    text: &'a [u8],
    /// The text whole, in bytes, in pieces of a size, in two.
    ways: [Vec<&'a [u8]>; 4],
}

impl<'a> Input<'a> {
    /// The first two bytes say where to cut; then come the secrets and the
    /// text, with a line `===` between two of them.
    fn read(bytes: &'a [u8]) -> Option<Self> {
        let [size, at, rest @ ..] = bytes else {
            return None;
        };
        let (mut secrets, mut text) = (Vec::new(), rest);
        while secrets.len() < 8
            && let Some(end) = text.windows(5).position(|part| part == b"\n===\n")
        {
            if end >= MINIMUM_SECRET {
                secrets.push(&text[..end]);
            }
            text = &text[end + 5..];
        }
        let (one, other) = text.split_at(text.len() * usize::from(*at) / 256);
        let size = usize::from(size % 31) + 1;
        Some(Self {
            patterns: secrets.iter().flat_map(|secret| patterns(secret)).collect(),
            secrets,
            text,
            ways: [
                vec![text],
                text.chunks(1).collect(),
                text.chunks(size).collect(),
                vec![one, other],
            ],
        })
    }

    fn secrets(&self) -> Secrets {
        let secrets = Secrets::new();
        let named = self.secrets.iter().map(|secret| ("S", *secret));
        secrets.add(named).unwrap();
        secrets
    }

    /// Whether `output` has a secret in it. One with a `*` could be made by the
    /// mask itself.
    fn is_in(&self, output: &[u8]) -> bool {
        let secrets = self.secrets.iter().filter(|secret| !secret.contains(&b'*'));
        secrets.into_iter().any(|secret| contains(output, secret))
    }
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|there| there == part)
}

/// Masking: as the model says for any pieces, and no secret is left; nor is one
/// that is added on the way, from then on.
pub fn masker(bytes: &[u8]) {
    let Some(input) = Input::read(bytes) else {
        return;
    };
    let expected = masked(&input.patterns, input.text);
    assert!(!input.is_in(&expected));
    for pieces in &input.ways {
        let mut masker = input.secrets().masker();
        assert_eq!(all(&mut masker, pieces), expected);
    }
    let Some((late, early)) = input.secrets.split_last() else {
        return;
    };
    let secrets = Secrets::new();
    secrets
        .add(early.iter().map(|secret| ("S", *secret)))
        .unwrap();
    let mut masker = secrets.masker();
    let [.., halves] = &input.ways;
    let before = masker.push(halves[0]).into_owned();
    secrets.add([("S", *late)]).unwrap();
    let after = all(&mut masker, &halves[1..]);
    assert!(!input.is_in(&after));
    // Nothing but secrets is lost.
    if input
        .patterns
        .iter()
        .all(|pattern| !contains(input.text, pattern))
    {
        assert_eq!([before, after].concat(), input.text);
    }
}

fn all(masker: &mut Masker, pieces: &[&[u8]]) -> Vec<u8> {
    let mut output = Vec::new();
    for piece in pieces {
        output.extend_from_slice(&masker.push(piece));
    }
    output.extend(masker.finish());
    output
}

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_time().build().unwrap()
});

/// The whole way of the output: masked, then cut, for any pieces, with length
/// and hash of what was delivered.
pub fn output(bytes: &[u8]) {
    let Some((limit, rest)) = bytes.split_first() else {
        return;
    };
    let Some(input) = Input::read(rest) else {
        return;
    };
    let limit = usize::from(*limit);
    let (expected, truncated) = cut(&masked(&input.patterns, input.text), limit);
    assert!(!input.is_in(&expected));
    for pieces in &input.ways {
        let mut job = Job::new("");
        job.secrets = input.secrets();
        job.limits.output = Some(OutputLimit {
            size: ByteSize(limit as u64),
            on_exceed: OnMaxOutput::Truncate,
        });
        let (mut delivered, events) = (Vec::new(), EventLog::none());
        let mut pipeline = Pipeline::new(&mut delivered, &job, &events);
        let summary = RUNTIME.block_on(async {
            for piece in pieces {
                pipeline.write(piece).await.unwrap();
            }
            pipeline.finish().await
        });
        assert_eq!(delivered, expected);
        assert_eq!(
            (summary.bytes, summary.truncated),
            (expected.len() as u64, truncated)
        );
        let hash = Sha256::digest(&expected);
        assert_eq!(summary.sha256.len(), 2 * hash.len());
        for (byte, digits) in hash.iter().zip(summary.sha256.as_bytes().chunks(2)) {
            assert_eq!(format!("{byte:02x}").as_bytes(), digits);
        }
    }
}

/// What masking means, without any cleverness: every byte of every occurrence
/// is covered, and what is covered together is one mask.
pub(crate) fn masked(patterns: &[Vec<u8>], text: &[u8]) -> Vec<u8> {
    let mut spans: Vec<(usize, usize)> = Vec::new();
    for begin in 0..text.len() {
        let here = patterns.iter().filter(|p| text[begin..].starts_with(p));
        let Some(length) = here.map(Vec::len).max() else {
            continue;
        };
        match spans.last_mut() {
            Some((_, end)) if begin < *end => *end = (*end).max(begin + length),
            _ => spans.push((begin, begin + length)),
        }
    }
    let (mut output, mut position) = (Vec::new(), 0);
    for (begin, end) in spans {
        output.extend_from_slice(&text[position..begin]);
        output.extend_from_slice(MASK);
        position = end;
    }
    output.extend_from_slice(&text[position..]);
    output
}

/// What cutting means, seen from the end: all that is there, or as much as
/// fits without a half of a character; and whether anything was cut off.
pub(crate) fn cut(text: &[u8], limit: usize) -> (Vec<u8>, bool) {
    if text.len() <= limit {
        return (text.to_vec(), false);
    }
    for begin in limit.saturating_sub(3)..limit {
        for end in limit + 1..=text.len().min(begin + 4) {
            let one = std::str::from_utf8(&text[begin..end]);
            if one.is_ok_and(|text| text.chars().count() == 1) {
                return (text[..begin].to_vec(), true);
            }
        }
    }
    (text[..limit].to_vec(), true)
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_seed_holds() {
        testbed::replay_seeds(env!("CARGO_MANIFEST_DIR"), super::TARGETS).unwrap();
    }
}
