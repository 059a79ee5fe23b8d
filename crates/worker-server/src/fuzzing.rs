//! What the fuzz targets of this crate check. Each takes any bytes, and panics
//! where a property does not hold; its seeds are in `tests/seeds`.

#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a property that does not hold is a panic"
)]

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use backend_core::{Outcome, OutputSink as _, RunResult, SecretString};
use http::{HeaderMap, HeaderValue};
use tokio::runtime::Runtime;
use worker_api::{Code, CreateInstance, CreateRun, Digest, LeaseRequest, RunId};

use crate::hosted_run::{HostedRun, recalled};
use crate::journal::{Full, Journal, Journals};
use crate::request;
use crate::store::{Record, RunRecord};
use crate::tokens::Tokens;

/// All targets of this crate.
#[cfg(test)]
const TARGETS: &[testbed::FuzzTarget] =
    &[("server_requests", requests), ("server_journal", journal)];

/// The bytes as the query, the body and the headers of a request, and as a file
/// of tokens: what is refused is told without the values in it.
pub fn requests(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    query(&text);
    let mut headers = HeaderMap::new();
    headers.insert("content-type", HeaderValue::from_static("application/json"));
    body::<CreateInstance>(&headers, bytes);
    body::<CreateRun>(&headers, bytes);
    body::<LeaseRequest>(&headers, bytes);
    if let Ok(value) = HeaderValue::from_bytes(bytes) {
        headers.insert("prefer", value.clone());
        headers.insert("content-type", value);
        let most = Duration::from_mins(1);
        assert!(request::wait(&headers, most) <= most);
        assert!(request::json::<CreateRun>(&headers, b"{").is_err());
    }
    match Tokens::read(&SecretString::from(&*text)) {
        Ok(tokens) => {
            assert!(!tokens.is_empty() && tokens.caller("").is_none());
            let line = text.lines().last().unwrap_or_default().trim();
            let last = line.split_ascii_whitespace().last().unwrap_or_default();
            if last.len() >= 16 && !last.starts_with("sha256:") && !line.starts_with('#') {
                assert!(tokens.caller(last).is_some());
            }
        }
        Err(error) => assert!(!error.to_string().contains("hunter2")),
    }
}

fn query(text: &str) {
    const KNOWN: [&str; 2] = ["label", "offset"];
    if let Ok(pairs) = request::query(Some(text), &KNOWN) {
        let encoded: Vec<_> = pairs
            .iter()
            .map(|(key, value)| format!("{key}={}", encode(value)))
            .collect();
        let again = request::query(Some(&encoded.join("&")), &KNOWN).unwrap();
        assert_eq!(again, pairs);
        // Nothing but two digits stands behind a percent sign.
        let behind = text.split('%').skip(1);
        let digits = |part: &str| part.bytes().take_while(u8::is_ascii_hexdigit).count();
        assert!(behind.map(digits).all(|count| count >= 2), "{text:?}");
        assert!(request::number(&pairs, "limit").unwrap().is_none());
        if let Ok(Some(number)) = request::number(&pairs, "offset") {
            let there = pairs.iter().any(|(_, value)| value.parse() == Ok(number));
            assert!(there, "{text:?}");
        }
    }
}

fn encode(text: &str) -> String {
    let escapes = text.bytes().map(|byte| format!("%{byte:02X}"));
    escapes.collect::<Vec<_>>().concat()
}

fn body<T: serde::de::DeserializeOwned>(headers: &HeaderMap, bytes: &[u8]) {
    let Err(problem) = request::json::<T>(headers, bytes) else {
        return;
    };
    assert!(matches!(
        problem.code(),
        Some(Code::Invalid | Code::Malformed)
    ));
    // A member that is unknown is told by its name.
    let unknown = problem.detail.split("unknown field `").nth(1);
    let name = unknown.map_or("", |rest| rest.split('`').next().unwrap_or_default());
    let told = problem.detail.replace(name, "");
    assert!(!told.contains("hunter2"), "{}", problem.detail);
}

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_time().build().unwrap()
});

/// A file that nobody else has, and that is gone in the end.
struct OwnFile(std::path::PathBuf);

impl OwnFile {
    fn new() -> Self {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("worker-fuzz-{}-{number}", std::process::id());
        Self(std::env::temp_dir().join(name))
    }
}

impl Drop for OwnFile {
    fn drop(&mut self) {
        std::fs::remove_file(&self.0).ok();
    }
}

/// A journal that is written, read by offset, then cut or changed on disk and
/// opened by the next server: what is told is what is there, and output is
/// never said to be complete that is not the one that was written.
pub fn journal(bytes: &[u8]) {
    let [limit, most, size, harm, text @ ..] = bytes else {
        return;
    };
    RUNTIME.block_on(drive(
        *limit,
        *most,
        usize::from(*size % 16) + 1,
        *harm,
        text,
    ));
    if let Ok(record) = serde_json::from_slice::<RunRecord>(text) {
        let written = serde_json::to_vec(&record).unwrap();
        let again: RunRecord = serde_json::from_slice(&written).unwrap();
        assert_eq!((again.id, again.ended), (record.id, record.ended.clone()));
        let digest = Digest::of(b"what is there");
        if let Some(told) = record.ended.and_then(|ended| recalled(ended, 13, digest)) {
            assert!(told.outcome.is_some() && told.output.bytes == 13);
            let right = told.output.sha256 == Some(digest.to_hex());
            assert!(right || told.output.complete != Some(true));
        }
    }
    if let Ok(record) = serde_json::from_slice::<Record>(text) {
        let written = serde_json::to_vec(&record).unwrap();
        let again: Record = serde_json::from_slice(&written).unwrap();
        assert_eq!((again.request, again.end), (record.request, record.end));
    }
}

async fn drive(limit: u8, most: u8, size: usize, harm: u8, text: &[u8]) {
    let file = OwnFile::new();
    let shared = Arc::new(Journals::new(most.into()));
    let (journal, mut writer) = Journal::create(&file.0, shared.clone(), limit.into()).unwrap();
    let mut kept: Vec<u8> = Vec::new();
    for piece in text.chunks(size).take(24) {
        let room = usize::from(limit)
            .saturating_sub(kept.len())
            .min(piece.len());
        let full = kept.len() >= usize::from(most);
        match (writer.write(piece).await, full) {
            (Err(_), true) => {
                assert_eq!(journal.full(), Some(Full::Server));
                break;
            }
            (Err(_), false) => {
                assert_eq!(journal.full(), Some(Full::Limit(limit.into())));
                assert!(room < piece.len());
                kept.extend(&piece[..room]);
                break;
            }
            (Ok(()), full) => {
                assert!(!full && room == piece.len());
                kept.extend(piece);
            }
        }
    }
    let digest = writer.digest();
    drop(writer);
    assert_eq!(digest, Some(Digest::of(&kept)));
    read_all(&journal, &kept, size as u64).await;

    let run = HostedRun::new(RunId::random(), String::new(), journal.clone());
    let exited = Outcome::Exited {
        code: 0,
        maybe_signal: None,
    };
    let mut result = RunResult::new(exited, kept.len() as u64);
    result.output_complete = true;
    let told = run.conclude(Ok(result), digest);
    drop((run, journal));
    assert!(most == 0 || shared.has_room());

    // A disk that was full, or a machine that lost its power.
    match harm % 4 {
        0 => {}
        1 => kept.truncate(kept.len() * usize::from(harm) / 256),
        2 => kept.push(harm),
        _ => kept.iter_mut().take(1).for_each(|byte| *byte ^= harm),
    }
    std::fs::write(&file.0, &kept).unwrap();
    let same = Digest::of(&kept);
    let (again, found) = Journal::reopen(Path::new(&file.0), shared).unwrap();
    assert_eq!((again.extent().length, found), (kept.len() as u64, same));
    read_all(&again, &kept, size as u64).await;
    let recalled = recalled(told.clone(), again.extent().length, found).unwrap();
    if digest == Some(found) {
        assert_eq!(recalled, told);
    } else {
        assert_eq!(recalled.output.bytes, kept.len() as u64);
        assert_eq!(recalled.output.sha256, Some(found.to_hex()));
        assert_eq!(
            (recalled.output.complete, recalled.outcome),
            (Some(false), told.outcome)
        );
    }
}

/// Reads a closed journal in pieces.
async fn read_all(journal: &Journal, kept: &[u8], size: u64) {
    let read = async |offset, limit| journal.read(offset, limit, Duration::ZERO).await.unwrap();
    let (mut offset, mut all) = (0, Vec::new());
    loop {
        let piece = read(offset, size * 8).await.unwrap();
        assert_eq!(piece.digest, Digest::of(&piece.bytes));
        assert_eq!(piece.next_offset, offset + piece.bytes.len() as u64);
        all.extend_from_slice(&piece.bytes);
        offset = piece.next_offset;
        if piece.complete {
            break;
        }
        assert!(!piece.bytes.is_empty());
    }
    assert_eq!(all, kept);
    assert!(read(offset + 1, 9).await.is_err() && read(u64::MAX, 9).await.is_err());
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_seed_holds() {
        testbed::replay_seeds(env!("CARGO_MANIFEST_DIR"), super::TARGETS).unwrap();
    }
}
