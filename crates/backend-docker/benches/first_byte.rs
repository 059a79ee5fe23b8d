//! From the run to the first byte, on a container that is started.
//!
//! Prints one line for each round: a name and seconds. `cargo xtask bench
//! docker` makes a figure of them. The engine is named by
//! `WORKER_BENCH_ENDPOINT`, and has the image `busybox:test`.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark")]

use std::io;
use std::time::Instant;

use async_trait::async_trait;
use backend_core::{OutputSink, ProviderConfig, ProviderExt as _, RunOptions, StartAttributes};

#[tokio::main]
async fn main() {
    let rounds: usize = std::env::var("WORKER_BENCH_RUNS").map_or(5, |runs| runs.parse().unwrap());
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
    for _ in 0..=rounds {
        let attributes = StartAttributes::default();
        let instance = provider.start_new(&attributes).await.unwrap();
        instance
            .upload_script(b"#!/bin/sh\necho x\n")
            .await
            .unwrap();
        let mut first = First(None);
        let began = Instant::now();
        let result = instance
            .run_script(&RunOptions::default(), &mut first)
            .await
            .unwrap();
        assert!(result.success());
        println!("first-byte {}", (first.0.unwrap() - began).as_secs_f64());
        println!("verdict {}", began.elapsed().as_secs_f64());
        instance.stop().await.unwrap();
    }
}

/// When the first byte came.
struct First(Option<Instant>);

#[async_trait]
impl OutputSink for First {
    async fn write(&mut self, _: &[u8]) -> io::Result<()> {
        self.0.get_or_insert_with(Instant::now);
        Ok(())
    }
}
