//! What the fuzz targets of this crate check. Each takes any bytes, and panics
//! where a property does not hold; its seeds are in `tests/seeds`.

#![expect(
    clippy::unwrap_used,
    reason = "a property that does not hold is a panic"
)]

use std::fmt::Debug;
use std::time::Duration;

use backend_core::Outcome;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{
    Attributes, Chunk, ChunkHead, Code, CreateInstance, CreateRun, Digest, Discovery,
    InstanceDocument, InstanceList, LeaseDocument, LeaseRequest, Problem, ProcessesDocument,
    RunDocument, RunId, RunLimits, ScriptDocument, SignalRequest, WireOutcome, header, prefer_wait,
    wait_of,
};

/// All targets of this crate.
#[cfg(test)]
const TARGETS: &[testbed::FuzzTarget] = &[("api_documents", documents), ("api_headers", headers)];

/// JSON as each document that either side reads: one that is read and written
/// is read again as the same, and an outcome is no exit that was not said.
pub fn documents(bytes: &[u8]) {
    read::<CreateInstance>(bytes);
    read::<CreateRun>(bytes);
    read::<LeaseRequest>(bytes);
    read::<RunLimits>(bytes);
    read::<SignalRequest>(bytes);
    read::<Discovery>(bytes);
    read::<InstanceDocument>(bytes);
    read::<InstanceList>(bytes);
    read::<LeaseDocument>(bytes);
    read::<ScriptDocument>(bytes);
    read::<ProcessesDocument>(bytes);
    if let Some(attributes) = read::<Attributes>(bytes) {
        let start = backend_core::StartAttributes::from(&attributes);
        assert_eq!(Attributes::from(&start), attributes);
    }
    if let Some(problem) = read::<Problem>(bytes) {
        assert!(problem.code().is_none() || problem.is_ours());
        if let Some(code) = problem.code() {
            assert_eq!(Code::from_word(code.word()), Some(code));
        }
        assert!(!problem.to_string().is_empty() || problem.kind.is_empty());
    }
    if let Some(outcome) = read::<WireOutcome>(bytes) {
        check(outcome);
    }
    if let Some(outcome) = read::<RunDocument>(bytes).and_then(|run| run.outcome) {
        check(outcome);
    }
}

/// The document, if these bytes are one.
fn read<T: DeserializeOwned + Serialize + PartialEq + Debug>(bytes: &[u8]) -> Option<T> {
    let document: T = serde_json::from_slice(bytes).ok()?;
    let written = serde_json::to_vec(&document).unwrap();
    let again: T = serde_json::from_slice(&written).unwrap();
    assert_eq!(again, document);
    assert_eq!(serde_json::to_vec(&again).unwrap(), written);
    Some(document)
}

fn check(wire: WireOutcome) {
    for asked in [false, true] {
        match (wire.clone(), wire.clone().into_outcome(asked)) {
            (WireOutcome::NotStarted { problem }, told) => assert_eq!(told, Err(problem)),
            (WireOutcome::Exit { code, .. }, Ok(Outcome::Exited { code: told, .. })) => {
                assert_eq!(told, code);
            }
            (WireOutcome::Signal { signal, .. }, Ok(Outcome::Signaled { signal: told, .. })) => {
                assert_eq!(told.number(), signal);
            }
            (wire, told) => {
                let is_exit = matches!(wire, WireOutcome::Exit { .. });
                assert!(!is_exit && matches!(told, Ok(Outcome::Lost(_))), "{told:?}");
            }
        }
    }
    if let Ok(outcome) = wire.into_outcome(false) {
        let again = WireOutcome::new(&outcome, None, false).into_outcome(false);
        assert_eq!(again, Ok(outcome));
    }
}

/// The values of headers, one each line: digests, waits, the head of a piece of
/// output; and the rest of the bytes as the piece.
pub fn headers(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Ok(digest) = Digest::from_header(&text) {
        assert_eq!(Digest::from_header(&digest.to_header()), Ok(digest));
        assert_eq!(digest.to_hex().len(), 64);
    }
    if let Some(wait) = wait_of(&text) {
        assert_eq!(wait_of(&prefer_wait(wait)), Some(wait));
        assert!(wait <= Duration::from_secs(u32::MAX.into()));
    }
    if let Ok(id) = text.parse::<RunId>() {
        assert_eq!(id.as_str(), text);
        let json = serde_json::to_string(&id).unwrap();
        assert_eq!(serde_json::from_str::<RunId>(&json).unwrap(), id);
    }
    let mut lines = text.splitn(5, '\n');
    let mut values = [
        header::OFFSET,
        header::NEXT_OFFSET,
        header::COMPLETE,
        header::CONTENT_DIGEST,
    ]
    .map(|name| (name, lines.next()));
    let body = lines.next().unwrap_or_default();
    // The right digest is hard to guess.
    let digest = Digest::of(body.as_bytes()).to_header();
    if let Some((_, value @ Some("right"))) = values.last_mut() {
        *value = Some(&digest);
    }
    let head = ChunkHead::read(|name| {
        let found = values.iter().find(|(known, _)| *known == name);
        found
            .and_then(|(_, value)| *value)
            .filter(|value| !value.is_empty())
    });
    let Ok(head) = head else { return };
    for asked in [head.offset, 0, head.offset.wrapping_add(1)] {
        if let Ok(Chunk {
            bytes,
            next_offset,
            complete,
        }) = head.clone().admit(asked, body)
        {
            assert_eq!((bytes, complete), (body, head.complete));
            assert_eq!(asked.checked_add(body.len() as u64), Some(next_offset));
            assert!(
                head.digest
                    .is_none_or(|said| said == Digest::of(bytes.as_bytes()))
            );
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_seed_holds() {
        testbed::replay_seeds(env!("CARGO_MANIFEST_DIR"), super::TARGETS).unwrap();
    }
}
