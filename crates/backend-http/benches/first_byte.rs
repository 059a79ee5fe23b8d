//! From the run to the first byte, through a server and without one. Prints
//! `http SECONDS` and `local SECONDS` for each run, in turn.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark prints its samples, and fails by panicking"
)]

use std::time::{Duration, Instant};

use backend_core::{
    Backend, OutputSink, Provider, ProviderConfig, ProviderExt as _, RunOptions, StartAttributes,
};

/// Notes when the first byte came.
struct First(Option<Instant>);

#[async_trait::async_trait]
impl OutputSink for First {
    async fn write(&mut self, _: &[u8]) -> std::io::Result<()> {
        self.0.get_or_insert_with(Instant::now);
        Ok(())
    }
}

async fn first_byte(provider: &dyn Provider) -> Duration {
    let instance = provider
        .start_new(&StartAttributes::default())
        .await
        .unwrap();
    instance
        .upload_script(b"echo hello; exec sleep 0.1\n")
        .await
        .unwrap();
    let mut sink = First(None);
    let began = Instant::now();
    let result = instance
        .run_script(&RunOptions::default(), &mut sink)
        .await
        .unwrap();
    assert!(result.success(), "{result:?}");
    instance.stop().await.unwrap();
    sink.0.unwrap() - began
}

#[tokio::main]
async fn main() {
    let variable = |name: &str| std::env::var(name).ok();
    // Without a server there is nothing to measure (`cargo test --benches`).
    let Some(endpoint) = variable("WORKER_BENCH_ENDPOINT") else {
        return;
    };
    let runs = variable("WORKER_BENCH_RUNS").and_then(|text| text.parse().ok());
    let provider = |backend: &Backend, config| (backend.provider)(&config).unwrap();
    let http = provider(
        &backend_http::BACKEND,
        ProviderConfig::from([("endpoint", endpoint)]),
    );
    let local = provider(&backend_local::BACKEND, ProviderConfig::new());
    for run in 0..=runs.unwrap_or(21) {
        let samples = (first_byte(&*http).await, first_byte(&*local).await);
        // The first of each warms up.
        if run > 0 {
            println!("http {}", samples.0.as_secs_f64());
            println!("local {}", samples.1.as_secs_f64());
        }
    }
}
