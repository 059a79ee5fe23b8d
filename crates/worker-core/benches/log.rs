//! The cost of masking, against that of hashing the same bytes.
//!
//! Prints one line for each round: a name and seconds. `cargo xtask bench log`
//! makes figures of them.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark")]

use std::time::Instant;

use sha2::{Digest as _, Sha256};
use worker_core::{Masker, Secrets};

const CHUNK: usize = 256 << 10;
const TOTAL: usize = 1 << 30;

fn main() {
    let rounds: usize = std::env::var("WORKER_BENCH_RUNS").map_or(5, |runs| runs.parse().unwrap());
    let line = b"2026-11-23T12:57:01.123456Z INFO build[1234]: compiling thing v1.2.3 (/build/thing) in 0.43s\n";
    let chunk: Vec<u8> = line.iter().copied().cycle().take(CHUNK).collect();
    let (ten, thousand) = (secrets(10), secrets(1000));
    for _ in 0..rounds {
        time("sha256", || hash(&chunk));
        time("mask-10", || mask(ten.masker(), &chunk));
        time("mask-1000", || mask(thousand.masker(), &chunk));
    }
    println!("peak-memory {}", peak_memory());
}

/// Secrets as they are: random tokens of 24 hexadecimal digits.
fn secrets(count: u64) -> Secrets {
    let values: Vec<_> = (0..count)
        .map(|index| {
            format!(
                "{:016x}{index:08x}",
                index.wrapping_mul(0x9E37_79B9_7F4A_7C15)
            )
        })
        .collect();
    let secrets = Secrets::new();
    secrets
        .add(values.iter().map(|value| ("bench", value.as_bytes())))
        .unwrap();
    secrets
}

fn time(name: &str, work: impl FnOnce()) {
    let began = Instant::now();
    work();
    println!("{name} {}", began.elapsed().as_secs_f64());
}

fn mask(mut masker: Masker, chunk: &[u8]) {
    for _ in 0..TOTAL / CHUNK {
        std::hint::black_box(masker.push(chunk));
    }
    std::hint::black_box(masker.finish());
}

fn hash(chunk: &[u8]) {
    let mut hash = Sha256::new();
    for _ in 0..TOTAL / CHUNK {
        hash.update(chunk);
    }
    std::hint::black_box(hash.finalize());
}

/// The most memory that this process has had, in bytes.
fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}
