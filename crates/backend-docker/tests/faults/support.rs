//! One engine for all tests of this program, and jobs on it.

use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use backend_core::{
    Found, Instance, OutputSink, OwnerId, Provider, ProviderConfig, RunOptions, RunResult,
    StartAttributes, StartContext,
};
use testbed::dockerd::Dockerd;

/// How long something may take that should be over soon, on a busy machine.
pub(crate) const PROMPTLY: Duration = Duration::from_mins(1);

static SHARED: LazyLock<Option<Mutex<Dockerd>>> = LazyLock::new(|| own_engine().map(Mutex::new));

/// An engine that nobody else uses, with the image `busybox:test`; `None` where
/// there can be none, which has been told.
pub(crate) fn own_engine() -> Option<Dockerd> {
    let engine = Dockerd::start().and_then(|engine| {
        engine.import_busybox()?;
        Ok(engine)
    });
    match engine {
        Ok(engine) => Some(engine),
        Err(error) => {
            testbed::missing("docker", &format!("{error:#}"));
            None
        }
    }
}

/// The endpoint of the engine that tests share which do it no harm.
pub(crate) fn shared_engine() -> Option<String> {
    let engine = SHARED
        .as_ref()?
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    Some(engine.endpoint())
}

/// Jobs of one owner on one endpoint.
pub(crate) struct Jobs {
    pub(crate) provider: Arc<dyn Provider>,
    owner: OwnerId,
}

impl Jobs {
    pub(crate) fn at(endpoint: &str, options: &[(&str, &str)]) -> Self {
        let mut config = ProviderConfig::from([
            ("endpoint", endpoint),
            ("default-image", "busybox:test"),
            ("network", "none"),
        ]);
        config.overlay(options.iter().copied().collect());
        let owner = format!("faults-{:016x}", fastrand::u64(..));
        Self {
            provider: (backend_docker::BACKEND.provider)(&config).unwrap(),
            owner: owner.parse().unwrap(),
        }
    }

    pub(crate) async fn start(&self) -> backend_core::Result<Box<dyn Instance>> {
        let context = StartContext::new().owner(self.owner.clone());
        self.provider
            .start(&StartAttributes::default(), &context)
            .await
    }

    pub(crate) async fn ready(&self, script: &str) -> Box<dyn Instance> {
        let instance = self.start().await.unwrap();
        instance.upload_script(script.as_bytes()).await.unwrap();
        instance
    }

    /// What is there of these jobs, asked at another endpoint: the one in use
    /// may be broken.
    pub(crate) async fn left_at(&self, endpoint: &str) -> Vec<Found> {
        let other = Jobs::at(endpoint, &[]);
        let mut found = other.provider.list().await.unwrap();
        found.retain(|found| found.marks.owner == self.owner);
        found
    }

    /// Waits until nothing is left of these jobs.
    pub(crate) async fn nothing_left_at(&self, endpoint: &str) {
        let began = std::time::Instant::now();
        loop {
            self.provider.settle().await;
            let left = self.left_at(endpoint).await;
            if left.is_empty() {
                return;
            }
            assert!(began.elapsed() < PROMPTLY, "left behind: {left:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// Runs what was uploaded, in the background.
pub(crate) fn run(instance: Box<dyn Instance>) -> Run {
    let instance: Arc<dyn Instance> = Arc::from(instance);
    let output = Output::default();
    let (running, mut sink) = (instance.clone(), output.clone());
    let task = tokio::spawn(async move {
        running
            .run_script(&RunOptions::default(), &mut sink)
            .await
            .unwrap()
    });
    Run {
        instance,
        output,
        task,
    }
}

pub(crate) struct Run {
    pub(crate) instance: Arc<dyn Instance>,
    pub(crate) output: Output,
    task: tokio::task::JoinHandle<RunResult>,
}

impl Run {
    /// The result, within a bound.
    pub(crate) async fn ends_within(&mut self, bound: Duration) -> RunResult {
        let ended = tokio::time::timeout(bound, &mut self.task).await;
        assert!(
            ended.is_ok(),
            "no result within {bound:?}; {} bytes so far",
            self.output.bytes().len()
        );
        ended.unwrap().unwrap()
    }

    pub(crate) async fn printed(&self, text: &str) {
        let began = std::time::Instant::now();
        while !self.output.text().contains(text) {
            assert!(began.elapsed() < PROMPTLY, "{text:?} was not printed");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// A sink that can be looked at meanwhile.
#[derive(Clone, Default)]
pub(crate) struct Output(Arc<Mutex<Vec<u8>>>);

impl Output {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.0.lock().unwrap().clone()
    }
}

#[async_trait]
impl OutputSink for Output {
    async fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(())
    }
}
