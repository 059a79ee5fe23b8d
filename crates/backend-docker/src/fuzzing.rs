//! What the fuzz targets of this crate check. Each takes any bytes, and panics
//! where a property does not hold; its seeds are in `tests/seeds`.

#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a property that does not hold is a panic"
)]

use std::path::Path;

use backend_core::{Loss, LossCause, Marks, Options as _, Outcome, ProviderConfig};

use crate::docker_config::{DockerConfig, parse_json};
use crate::docker_context::Metadata;
use crate::endpoint::{Address, Endpoint, port};
use crate::frames::{Channel, Frames, NotAFrame};
use crate::inspection::{ExecInspection, Inspection, Listed};
use crate::marker::Marker;
use crate::options::DockerOptions;
use crate::reports::{Report, Reports};
use crate::verdict::{EngineEnd, Observed};
use crate::{gate, image, shell};

/// All targets of this crate.
#[cfg(test)]
const TARGETS: &[testbed::FuzzTarget] = &[
    ("docker_frames", frames),
    ("docker_gate", gate),
    ("docker_answers", answers),
    ("docker_files", files),
    ("docker_options", options),
];

/// The input without its first two bytes, which say where to cut it; and
/// several ways of cutting it: whole, in bytes, in pieces of a size, in two.
fn cut(bytes: &[u8]) -> (&[u8], [Vec<&[u8]>; 4]) {
    let (size, at, text) = match bytes {
        [size, at, text @ ..] => (usize::from(size % 31) + 1, usize::from(*at), text),
        _ => (1, 0, bytes),
    };
    let (one, other) = text.split_at(text.len() * at / 256);
    let ways = [
        vec![text],
        text.chunks(1).collect(),
        text.chunks(size).collect(),
        vec![one, other],
    ];
    (text, ways)
}

/// The attached streams: each comes out whole and in order, whatever the
/// pieces, and a cut inside of a frame is seen.
pub fn frames(bytes: &[u8]) {
    let (text, ways) = cut(bytes);
    let expected = simply(text);
    for pieces in ways {
        assert_eq!(take_apart(&pieces), expected);
    }
}

/// The bytes of each run of one stream; what is wrong, if anything; whether the
/// end is inside of a frame.
type TakenApart = (Vec<(Channel, Vec<u8>)>, Option<NotAFrame>, bool);

fn take_apart(pieces: &[&[u8]]) -> TakenApart {
    let (mut frames, mut runs) = (Frames::default(), Vec::new());
    for mut piece in pieces.iter().copied() {
        loop {
            let before = piece.len();
            match frames.next(&mut piece) {
                Ok(Some((channel, bytes))) => {
                    assert!(!bytes.is_empty() && piece.len() < before);
                    append(&mut runs, channel, bytes);
                }
                Ok(None) => break,
                Err(error) => return (runs, Some(error), false),
            }
        }
    }
    (runs, None, frames.is_inside())
}

fn append(runs: &mut Vec<(Channel, Vec<u8>)>, channel: Channel, bytes: &[u8]) {
    match runs.last_mut() {
        Some((last, run)) if *last == channel => run.extend(bytes),
        _ => runs.push((channel, bytes.to_vec())),
    }
}

/// What frames are, by the engine's documentation, with all of the bytes there.
fn simply(mut text: &[u8]) -> TakenApart {
    let mut runs = Vec::new();
    while text.len() >= 8 {
        let channel = match text[..4] {
            [1, 0, 0, 0] => Channel::Stdout,
            [2, 0, 0, 0] => Channel::Stderr,
            _ => {
                let error = Frames::default().next(&mut &text[..8]).unwrap_err();
                return (runs, Some(error), false);
            }
        };
        let length = u32::from_be_bytes(text[4..8].try_into().unwrap()) as usize;
        let payload = &text[8..text.len().min(8 + length)];
        if !payload.is_empty() {
            append(&mut runs, channel, payload);
        }
        if payload.len() < length {
            return (runs, None, true);
        }
        text = &text[8 + length..];
    }
    (runs, None, !text.is_empty())
}

/// What every line of the gate's begins with: hexadecimal, as in a run.
const WORD: &str = "0123456789abcdef";

/// The gate's stream, the marker in the output, and the verdict on them: pieces
/// do not matter, and an exit is one that was said.
pub fn gate(bytes: &[u8]) {
    let (text, ways) = cut(bytes);
    let mut heard = Vec::new();
    for pieces in &ways {
        let mut reports = Reports::new(WORD);
        let all: Vec<_> = pieces
            .iter()
            .flat_map(|piece| reports.feed(piece))
            .collect();
        heard.push(all);
    }
    assert!(heard.iter().all(|reports| *reports == heard[0]));
    let reports = heard.swap_remove(0);
    let lines: Vec<_> = text.split(|byte| *byte == b'\n').collect();
    assert_eq!(reports.len(), lines.len() - 1);
    for (report, line) in reports.iter().zip(lines) {
        let is_own = !matches!(report, Report::Text(_));
        assert!(!is_own || line.starts_with(WORD.as_bytes()));
    }
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        let group = shell::number(line, WORD);
        assert!(group.is_none_or(|group| group > 1 && line.starts_with(WORD.as_bytes())));
    }
    marker(text, &ways);
    verdict(text, &reports);
}

fn marker(text: &[u8], ways: &[Vec<&[u8]>]) {
    let marker_text = gate::marker(WORD);
    let wanted = marker_text.as_bytes();
    let found = text.windows(wanted.len()).position(|part| part == wanted);
    let expected = match found {
        Some(at) => [&text[..at], &text[at + wanted.len()..]].concat(),
        None => text.to_vec(),
    };
    for pieces in ways {
        let (mut marker, mut passed) = (Marker::new(&marker_text), Vec::new());
        for piece in pieces {
            passed.extend(marker.feed(piece).concat());
        }
        passed.extend(marker.rest());
        assert_eq!(
            (passed == expected, marker.is_seen()),
            (true, found.is_some())
        );
    }
}

fn verdict(text: &[u8], reports: &[Report]) {
    // What the engine says, from the bytes too.
    let [kind, flags, code] = [0, 1, 2].map(|at| text.get(at).copied().unwrap_or(0));
    let flag = |bit: u8| flags >> bit & 1 == 1;
    let code = match kind {
        b'-' => -1,
        b'0' => 256 + i64::from(code),
        _ => i64::from(code),
    };
    let engine = match kind % 4 {
        0 => None,
        1 => Some(EngineEnd::Gone),
        2 => Some(EngineEnd::Lost(Loss::new(LossCause::Connection, "cut"))),
        _ => Some(EngineEnd::Ended {
            code: flag(0).then_some(code),
            oom: flag(1),
            removing: flag(2),
            was_away: flag(3),
        }),
    };
    let mut observed = Observed::new(flag(4));
    observed.engine.clone_from(&engine);
    observed.marker_seen = flag(5);
    observed.cut = flag(6);
    observed.stopped = flag(7);
    let mut told = None;
    for report in reports {
        if let Report::End(status) = report {
            assert!((0..=255).contains(status));
            told = Some(*status);
        }
        observed.hear(report.clone());
    }
    let result = observed.result(7, true);
    let by_engine = match engine {
        Some(EngineEnd::Ended { code, .. }) => code,
        _ => None,
    };
    let code = match &result.outcome {
        Outcome::Exited { code, .. } => Some(i64::from(*code)),
        Outcome::Signaled { signal, .. } => Some(signal.exit_code().into()),
        Outcome::Lost(_) => None,
    };
    assert!(code.is_none() || code == told.map(i64::from).or(by_engine));
    assert!(code.is_none_or(|code| (0..=255).contains(&code)));
    assert!(!result.output_complete || (code.is_some() && !flag(6)));
}

/// What an engine answers: inspections, lists, the stream of a pull.
pub fn answers(bytes: &[u8]) {
    let (text, ways) = cut(bytes);
    if let Ok(inspection) = serde_json::from_slice::<Inspection>(text) {
        let state = &inspection.state;
        assert!(!(state.running && state.has_ended()));
        labels(inspection.config.labels.as_ref());
    }
    if let Ok(listed) = serde_json::from_slice::<Vec<Listed>>(text) {
        for one in listed {
            labels(one.labels.as_ref());
        }
    }
    let exec = serde_json::from_slice::<ExecInspection>(text);
    let said = serde_json::from_slice::<serde_json::Value>(text);
    if let (Ok(exec), Ok(said)) = (exec, said) {
        let code = said["ExitCode"]
            .as_i64()
            .filter(|_| said["Running"] != true);
        assert!(said.is_array() || exec.ended_with() == code);
    }
    let told: Vec<_> = ways.into_iter().map(image::fuzzing::pull).collect();
    assert!(told.iter().all(|one| *one == told[0]), "{told:?}");
}

/// The labels of a container: marks that are read from them are those that
/// would be written.
fn labels(labels: Option<&std::collections::HashMap<String, String>>) {
    let Some(labels) = labels else { return };
    if let Some(marks) = Marks::from_labels(|key| labels.get(key).map(String::as_str)) {
        for (key, value) in marks.to_labels() {
            let there = labels.get(&key);
            assert!(there.is_some_and(|there| same(there, &value)), "{key}");
        }
    }
}

/// The same text, or the same number.
fn same(one: &str, other: &str) -> bool {
    let number = |text: &str| text.parse::<u64>().ok();
    one == other || (number(one).is_some() && number(one) == number(other)) || other == "false"
}

/// The docker client's files: no error quotes what is in one.
pub fn files(bytes: &[u8]) {
    let path = Path::new("config.json");
    let text = String::from_utf8_lossy(bytes);
    match parse_json::<DockerConfig>(path, bytes) {
        Ok(config) => image::fuzzing::credentials(&config),
        Err(error) => {
            let said = error.to_string();
            assert!(!said.contains("hunter2"), "{text:?}: {said}");
        }
    }
    match parse_json::<Metadata>(path, bytes) {
        Ok(metadata) => {
            if let Ok(context) = metadata.context() {
                assert!(!context.host.is_empty() && context.tls.is_none());
                address(&context.host);
            }
        }
        Err(error) => assert!(!error.to_string().contains("hunter2")),
    }
    image::fuzzing::helper(bytes);
}

/// Options as lines of `key=value`; and all of the text as an endpoint, and as
/// the name of an image.
pub fn options(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    address(&text);
    image::fuzzing::name(&text);
    let mut config = ProviderConfig::new();
    for line in text.lines() {
        let (key, value) = line.split_once('=').unwrap_or((line, ""));
        config.set(key, value);
        address(value);
        image::fuzzing::name(value);
    }
    if let Ok(options) = DockerOptions::read("docker", &config) {
        image::fuzzing::choose(&options, text.lines().next().unwrap_or_default());
    }
}

/// Where an engine is: what is shown is read as the same, without a password.
fn address(text: &str) {
    let Ok(address) = text.parse::<Address>() else {
        return;
    };
    let endpoint = match address.clone() {
        Address::Unix(path) => Endpoint::Unix(path),
        Address::Tcp {
            host, port: given, ..
        } => {
            let port = port(given, false);
            assert!(port > 0 && !host.is_empty());
            Endpoint::Tcp {
                host,
                port,
                tls: None,
            }
        }
        Address::Ssh(target) => Endpoint::Ssh(target),
    };
    let again: Address = endpoint.to_string().parse().unwrap();
    match (address, again) {
        (
            Address::Tcp {
                host, port: given, ..
            },
            Address::Tcp {
                host: again,
                port: shown,
                ..
            },
        ) => assert_eq!((host, Some(port(given, false))), (again, shown)),
        (address, again) => assert_eq!(address, again),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_seed_holds() {
        testbed::replay_seeds(env!("CARGO_MANIFEST_DIR"), super::TARGETS).unwrap();
    }
}
