//! The client at a server. By `WORKER_BENCH_WHAT`:
//!
//! - `first-byte`: from the run to the first byte, through a server and without
//!   one. Prints `http SECONDS` and `local SECONDS` for each run, in turn.
//! - `fetch`: how long the client takes for the output of a run that lies whole
//!   on the server: it takes the first piece, waits until the run is over, and
//!   then the rest. Prints `fetch SECONDS` for one run.

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

/// Holds the first piece back until the run is over on the server.
struct Late(Option<Instant>);

#[async_trait::async_trait]
impl OutputSink for Late {
    async fn write(&mut self, _: &[u8]) -> std::io::Result<()> {
        if self.0.is_none() {
            tokio::time::sleep(Duration::from_secs(4)).await;
            self.0 = Some(Instant::now());
        }
        Ok(())
    }
}

/// Fetches 256 MiB.
async fn fetch(provider: &dyn Provider) -> Duration {
    let instance = provider
        .start_new(&StartAttributes::default())
        .await
        .unwrap();
    let script = b"head -c 268435456 /dev/zero\n";
    instance.upload_script(script).await.unwrap();
    let mut sink = Late(None);
    let result = instance
        .run_script(&RunOptions::default(), &mut sink)
        .await
        .unwrap();
    let took = sink.0.unwrap().elapsed();
    assert!(
        result.success() && result.output_bytes == 256 << 20,
        "{result:?}"
    );
    instance.stop().await.unwrap();
    took
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
    if variable("WORKER_BENCH_WHAT").as_deref() == Some("fetch") {
        println!("fetch {}", fetch(&*http).await.as_secs_f64());
        return;
    }
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
