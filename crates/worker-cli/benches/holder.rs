//! A process that holds one provider, and does with it what it is told to.
//!
//! `cargo xtask bench` starts one for each backend and asks it in turn with a
//! peer. The arguments are the alias and options of the backend, as
//! `KEY=VALUE`; each line of the input is one question, each line of the output
//! its answer, as JSON:
//!
//! - `jobs COUNT AT_A_TIME SCRIPT`: runs so many jobs of the script;
//! - `stop SCRIPT`: starts the script, waits for its first byte, and stops the
//!   instance;
//! - `late SECONDS SCRIPT`: takes the first piece of the output, holds it for so
//!   long, and then takes the rest.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::panic,
    reason = "a benchmark prints its samples, and fails by panicking"
)]

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use backend_core::{
    Instance, OutputSink, Provider, ProviderConfig, ProviderExt as _, RunOptions, StartAttributes,
    new_provider,
};
use serde_json::{Value, json};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
// Links the backends.
use worker_cli as _;

#[tokio::main]
async fn main() {
    let arguments: Vec<_> = std::env::args()
        .skip(1)
        .filter(|a| a != "--bench")
        .collect();
    let Some((alias, options)) = arguments.split_first() else {
        return; // `cargo test --benches` has nothing to ask.
    };
    let options = options.iter().map(|option| option.split_once('=').unwrap());
    let config: ProviderConfig = options.collect();
    let provider = new_provider(alias, &config).unwrap();
    for line in io::stdin().lines() {
        let line = line.unwrap();
        let words: Vec<_> = line.split(' ').collect();
        let answer = match *words {
            ["jobs", count, at_a_time, path] => {
                let number = |word: &str| word.parse().unwrap();
                jobs(&provider, number(count), number(at_a_time), read(path)).await
            }
            ["stop", path] => stop(&*provider, &read(path)).await,
            ["late", seconds, path] => {
                let pause = Duration::from_secs(seconds.parse().unwrap());
                late(&*provider, pause, &read(path)).await
            }
            _ => panic!("no such question: {line}"),
        };
        println!("{answer}");
    }
    provider.settle().await;
}

fn read(path: &str) -> Arc<[u8]> {
    std::fs::read(path).unwrap().into()
}

/// Many jobs: seconds for all, those from each run to its first byte, seconds
/// of processor time, and bytes of memory at the most meanwhile.
async fn jobs(
    provider: &Arc<dyn Provider>,
    count: usize,
    at_a_time: usize,
    script: Arc<[u8]>,
) -> Value {
    forget_peak();
    let (began, used) = (Instant::now(), processor_time());
    let places = Arc::new(Semaphore::new(at_a_time));
    let mut jobs = JoinSet::new();
    for _ in 0..count {
        let place = places.clone().acquire_owned().await.unwrap();
        let (provider, script) = (provider.clone(), script.clone());
        jobs.spawn(async move {
            let _place = place;
            job(&*provider, &script).await
        });
    }
    let first_bytes = jobs.join_all().await;
    json!({
        "seconds": began.elapsed().as_secs_f64(),
        "first_bytes": first_bytes,
        "cpu": processor_time() - used,
        "memory": peak(),
    })
}

/// One job: seconds from the run to its first byte.
async fn job(provider: &dyn Provider, script: &[u8]) -> f64 {
    let instance = ready(provider, script).await;
    let mut first = First(None);
    let began = Instant::now();
    let options = RunOptions::default();
    let result = instance.run_script(&options, &mut first).await.unwrap();
    assert!(result.success(), "{result:?}");
    instance.stop().await.unwrap();
    (first.0.unwrap() - began).as_secs_f64()
}

async fn ready(provider: &dyn Provider, script: &[u8]) -> Box<dyn Instance> {
    let attributes = StartAttributes::default();
    let instance = provider.start_new(&attributes).await.unwrap();
    instance.upload_script(script).await.unwrap();
    instance
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

/// How long a stop takes in the middle of a run.
async fn stop(provider: &dyn Provider, script: &[u8]) -> Value {
    let instance = ready(provider, script).await;
    let (told, mut first) = mpsc::channel(1);
    let mut sink = Begun(Some(told));
    let options = RunOptions::default();
    let stopped = async {
        first.recv().await;
        let began = Instant::now();
        instance.stop().await.unwrap();
        began.elapsed().as_secs_f64()
    };
    let (_, seconds) = tokio::join!(instance.run_script(&options, &mut sink), stopped);
    json!({ "seconds": seconds })
}

/// Tells, once, that a byte came.
struct Begun(Option<mpsc::Sender<()>>);

#[async_trait]
impl OutputSink for Begun {
    async fn write(&mut self, _: &[u8]) -> io::Result<()> {
        self.0.take();
        Ok(())
    }
}

/// How long all output but the first piece takes, when it waits already.
async fn late(provider: &dyn Provider, pause: Duration, script: &[u8]) -> Value {
    let instance = ready(provider, script).await;
    let mut sink = Late { pause, since: None };
    let options = RunOptions::default();
    let result = instance.run_script(&options, &mut sink).await.unwrap();
    let seconds = sink.since.unwrap().elapsed().as_secs_f64();
    assert!(result.success(), "{result:?}");
    instance.stop().await.unwrap();
    json!({ "seconds": seconds, "bytes": result.output_bytes })
}

/// Holds the first piece.
struct Late {
    pause: Duration,
    since: Option<Instant>,
}

#[async_trait]
impl OutputSink for Late {
    async fn write(&mut self, _: &[u8]) -> io::Result<()> {
        if self.since.is_none() {
            tokio::time::sleep(self.pause).await;
            self.since = Some(Instant::now());
        }
        Ok(())
    }
}

/// Seconds of processor time of this process, without what it has started.
fn processor_time() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::try_from(time).unwrap().as_secs_f64()
}

/// Has the kernel count the most memory of this process from now on (proc(5),
/// `clear_refs`).
fn forget_peak() {
    std::fs::write("/proc/self/clear_refs", "5").unwrap();
}

/// The most bytes of memory since then.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kibibytes = line.unwrap().trim().trim_end_matches(" kB");
    kibibytes.parse::<u64>().unwrap() << 10
}
