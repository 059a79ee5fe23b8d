//! Jobs a second, ten at a time, through one provider, against the docker
//! client doing the same.
//!
//! Prints one line for each round of each side: a name and seconds. `cargo
//! xtask bench docker` makes a figure of them. The engine is named by
//! `WORKER_BENCH_ENDPOINT`, and has the image `busybox:test`.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use backend_core::{Provider, ProviderConfig, ProviderExt as _, RunOptions, StartAttributes};
use tokio::process::Command;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

const JOBS: usize = 40;
const AT_A_TIME: usize = 10;

#[tokio::main]
async fn main() {
    let rounds: usize = std::env::var("WORKER_BENCH_RUNS").map_or(3, |runs| runs.parse().unwrap());
    let endpoint = std::env::var("WORKER_BENCH_ENDPOINT").unwrap_or_default();
    if endpoint.is_empty() {
        return; // `cargo test --benches` has no engine for it.
    }
    let config = ProviderConfig::from([
        ("endpoint", endpoint.as_str()),
        ("default-image", "busybox:test"),
        ("network", "none"),
    ]);
    let provider = (backend_docker::BACKEND.provider)(&config).unwrap();
    for round in 0..=rounds {
        let ours = batch(|| ours(provider.clone())).await;
        let peer = batch(|| peer(endpoint.clone())).await;
        // The first of each warms up.
        if round > 0 {
            println!("ours {}", ours.as_secs_f64());
            println!("peer {}", peer.as_secs_f64());
        }
    }
}

async fn batch<J>(job: impl Fn() -> J) -> Duration
where
    J: Future<Output = ()> + Send + 'static,
{
    let began = Instant::now();
    let places = Arc::new(Semaphore::new(AT_A_TIME));
    let mut jobs = JoinSet::new();
    for _ in 0..JOBS {
        let place = places.clone().acquire_owned().await.unwrap();
        let job = job();
        jobs.spawn(async move {
            let _place = place;
            job.await;
        });
    }
    while let Some(ended) = jobs.join_next().await {
        ended.unwrap();
    }
    began.elapsed()
}

async fn ours(provider: Arc<dyn Provider>) {
    let attributes = StartAttributes::default();
    let instance = provider.start_new(&attributes).await.unwrap();
    instance
        .upload_script(b"#!/bin/sh\necho hi\n")
        .await
        .unwrap();
    let mut output = Vec::new();
    let options = RunOptions::default();
    let result = instance.run_script(&options, &mut output).await.unwrap();
    assert!(result.success() && output == b"hi\n");
    instance.stop().await.unwrap();
}

async fn peer(endpoint: String) {
    let output = Command::new("docker")
        .args(["--host", &endpoint, "run", "--rm", "--network", "none"])
        .args(["busybox:test", "/bin/sh", "-c", "echo hi"])
        .output()
        .await
        .unwrap();
    assert!(output.status.success() && output.stdout == b"hi\n");
}
