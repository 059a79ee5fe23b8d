//! Jobs on a provider that holds a connection.
//!
//! For each line of its input it runs one job, and prints the seconds that it
//! took, and those from the run to the first byte. `cargo xtask bench ssh` asks
//! it in turn with a peer. The options are those of the environment.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark")]

use std::io;
use std::time::Instant;

use async_trait::async_trait;
use backend_core::{OutputSink, ProviderConfig, ProviderExt as _, RunOptions, StartAttributes};

#[tokio::main]
async fn main() {
    let config = ProviderConfig::from_environment("ssh", std::env::vars());
    if config.get("hosts").is_none() {
        return; // `cargo test --benches` has no machine for it.
    }
    let provider = (backend_ssh::BACKEND.provider)(&config).unwrap();
    for line in io::stdin().lines() {
        line.unwrap();
        let began = Instant::now();
        let attributes = StartAttributes::default();
        let instance = provider.start_new(&attributes).await.unwrap();
        instance
            .upload_script(b"#!/bin/sh\necho hi\n")
            .await
            .unwrap();
        let mut first = First(None);
        let running = Instant::now();
        let options = RunOptions::default();
        let result = instance.run_script(&options, &mut first).await.unwrap();
        assert!(result.success());
        instance.stop().await.unwrap();
        let whole = began.elapsed().as_secs_f64();
        let first = (first.0.unwrap() - running).as_secs_f64();
        println!("{whole} {first}");
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
