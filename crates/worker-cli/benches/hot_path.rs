//! The paths on which time is spent, for counting instructions.
//!
//! The arguments are a path and how often it is gone. `cargo xtask bench
//! instructions` runs it under callgrind, twice, and takes the difference.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a benchmark fails by panicking"
)]

use std::hint::black_box;
use std::io;

use async_trait::async_trait;
use backend_core::{OutputSink, ProviderConfig, backend, backends, new_provider};
use worker_core::{Cancel, EventLog, Job, Secrets, run_job};
// Links the backends.
use worker_cli as _;

/// Bytes of output in a round.
const OUTPUT: usize = 1 << 20;

/// Bytes that come at once.
const CHUNK: usize = 64 << 10;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let arguments: Vec<_> = std::env::args()
        .skip(1)
        .filter(|a| a != "--bench")
        .collect();
    let [path, rounds] = arguments.as_slice() else {
        return; // `cargo test --benches` asks for nothing.
    };
    let rounds: usize = rounds.parse().unwrap();
    match path.as_str() {
        "mask-10" => mask(&secrets(10), rounds),
        "mask-1000" => mask(&secrets(1000), rounds),
        "pipeline" => pipeline(rounds).await,
        "registry" => (0..rounds).for_each(|_| {
            black_box(backends().unwrap());
            black_box(backend(black_box("ssh")).unwrap());
            black_box(backend(black_box("shh")).unwrap_err());
        }),
        "options" => (0..rounds).for_each(|_| drop(black_box(provider()))),
        _ => panic!("no such path: {path}"),
    }
}

/// Secrets as they are: random tokens of 24 hexadecimal digits.
fn secrets(count: u64) -> Secrets {
    let values: Vec<_> = (0..count)
        .map(|index| {
            let random = index.wrapping_mul(0x9E37_79B9_7F4A_7C15);
            format!("{random:016x}{index:08x}")
        })
        .collect();
    let secrets = Secrets::new();
    secrets
        .add(values.iter().map(|value| ("bench", value.as_bytes())))
        .unwrap();
    secrets
}

/// Masks lines of a build.
fn mask(secrets: &Secrets, rounds: usize) {
    let line = b"2026-11-23T12:57:01.123456Z INFO build[1234]: compiling thing v1.2.3 (/build/thing) in 0.43s\n";
    let chunk: Vec<u8> = line.iter().copied().cycle().take(CHUNK).collect();
    let mut masker = secrets.masker();
    for _ in 0..rounds * OUTPUT / CHUNK {
        black_box(masker.push(&chunk));
    }
    black_box(masker.finish());
}

/// One job whose output goes all the way, with ten secrets.
async fn pipeline(rounds: usize) {
    let size = (rounds * OUTPUT).to_string();
    let config = ProviderConfig::from([("output-size", size.as_str())]);
    let provider = new_provider("fake", &config).unwrap();
    let mut job = Job::new("anything\n");
    job.secrets = secrets(10);
    let (events, cancel) = (EventLog::none(), Cancel::never());
    let result = run_job(&*provider, &job, &mut Nowhere, &events, &cancel).await;
    assert_eq!(result.output_bytes, (rounds * OUTPUT) as u64);
    provider.settle().await;
}

struct Nowhere;

#[async_trait]
impl OutputSink for Nowhere {
    async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        black_box(bytes);
        Ok(())
    }
}

/// A provider with options of several kinds.
fn provider() -> impl Sized {
    let config = ProviderConfig::from([
        ("endpoint", "unix:///run/docker.sock"),
        ("default-image", "busybox:test"),
        ("network", "none"),
        ("memory", "512MiB"),
        ("concurrent-starts", "8"),
        ("working-directory", "/build"),
    ]);
    new_provider("docker", &config)
}
