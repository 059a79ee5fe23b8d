//! What a case works with: a provider of its own, and an owner of its own, by
//! which everything that it leaves behind is seen.

use std::future::Future;
use std::ops::Deref;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_util::task::AbortOnDropHandle;

use super::case::{Checked, Unmet, ensure};
use super::script::{TRAILER, shown};
use super::sinks::{HashSink, Watch};
use super::target::Target;
use crate::{
    Capabilities, Capability, Found, Instance, OwnerId, Provider, ProviderConfig, Result,
    RunOptions, RunResult, StartAttributes, StartContext,
};

/// How long things may take that are over at once where all is well.
pub(super) const PROMPTLY: Duration = Duration::from_secs(20);

/// What a case works with. Clones share one.
#[derive(Clone)]
pub(super) struct Fixture(Arc<Inside>);

pub(super) struct Inside {
    pub(super) provider: Arc<dyn Provider>,
    pub(super) target: Target,
    pub(super) owner: OwnerId,
    /// The options of the case, over those of the target.
    options: Vec<(&'static str, &'static str)>,
    capabilities: Capabilities,
}

impl Deref for Fixture {
    type Target = Inside;

    fn deref(&self) -> &Inside {
        &self.0
    }
}

/// A script that ran, and what came of it.
pub(super) struct Ran {
    pub(super) result: RunResult,
    /// The output; of a run whose output was hashed, its last line.
    pub(super) output: Vec<u8>,
    /// The SHA-256 of the output before the last line, if it was hashed.
    pub(super) hash: String,
    pub(super) hashed_bytes: u64,
    /// How long the run took.
    pub(super) took: Duration,
}

impl Ran {
    /// The beginning of the output, for a message.
    pub(super) fn shown(&self) -> String {
        shown(&self.output)
    }

    /// The output as text, with what is not UTF-8 replaced.
    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.output).into_owned()
    }
}

impl Fixture {
    pub(super) fn new(
        target: &Target,
        provider: Arc<dyn Provider>,
        options: Vec<(&'static str, &'static str)>,
    ) -> Checked<Self> {
        let owner = format!("suite-{:016x}", fastrand::u64(..));
        let owner = owner
            .parse()
            .map_err(|_| Unmet::failed("the suite made an owner that is none"))?;
        Ok(Self(Arc::new(Inside {
            capabilities: provider.capabilities(),
            provider,
            target: target.clone(),
            owner,
            options,
        })))
    }

    pub(super) fn has(&self, capability: Capability) -> bool {
        self.capabilities.has(capability)
    }

    /// Whether scripts are really executed.
    pub(super) fn executes(&self) -> bool {
        self.has(Capability::ExecutesScripts)
    }

    /// Another provider with the same configuration, as another worker has it.
    pub(super) fn another_provider(&self) -> Result<Arc<dyn Provider>> {
        self.target.provider(&self.options)
    }

    /// The configuration of the case's provider.
    pub(super) fn config(&self) -> ProviderConfig {
        self.target.configuration(&self.options)
    }

    pub(super) fn context(&self) -> StartContext {
        StartContext::new()
            .owner(self.owner.clone())
            .job("conformance")
            .lifetime(Duration::from_mins(10))
    }

    pub(super) fn attributes(&self) -> &StartAttributes {
        &self.target.attributes
    }

    pub(super) async fn start(&self) -> Result<Arc<dyn Instance>> {
        self.start_in(&self.context()).await
    }

    pub(super) async fn start_in(&self, context: &StartContext) -> Result<Arc<dyn Instance>> {
        let instance = self.provider.start(self.attributes(), context).await?;
        Ok(Arc::from(instance))
    }

    /// Starts an instance and uploads `script`.
    pub(super) async fn ready(&self, script: &[u8]) -> Result<Arc<dyn Instance>> {
        let instance = self.start().await?;
        instance.upload_script(script).await?;
        Ok(instance)
    }

    /// One job from start to stop, with default options.
    pub(super) async fn run(&self, script: &[u8]) -> Checked<Ran> {
        self.run_with(script, &RunOptions::default()).await
    }

    /// One job from start to stop.
    pub(super) async fn run_with(&self, script: &[u8], options: &RunOptions) -> Checked<Ran> {
        let instance = self.ready(script).await?;
        let ran = self.run_on(&*instance, options).await?;
        instance.stop().await?;
        Ok(ran)
    }

    /// Runs what was uploaded, and keeps its output.
    pub(super) async fn run_on(
        &self,
        instance: &dyn Instance,
        options: &RunOptions,
    ) -> Checked<Ran> {
        let mut output = Vec::new();
        let began = Instant::now();
        let result = instance.run_script(options, &mut output).await?;
        let took = began.elapsed();
        counted(&result, output.len() as u64)?;
        Ok(Ran {
            result,
            output,
            hash: String::new(),
            hashed_bytes: 0,
            took,
        })
    }

    /// One job from start to stop, whose output is hashed up to its last line,
    /// which is a hash too.
    pub(super) async fn run_hashed(&self, script: &[u8], options: &RunOptions) -> Checked<Ran> {
        let instance = self.ready(script).await?;
        let mut sink = HashSink::with_trailer(TRAILER);
        let began = Instant::now();
        let result = instance.run_script(options, &mut sink).await?;
        let took = began.elapsed();
        counted(&result, sink.received())?;
        instance.stop().await?;
        Ok(Ran {
            result,
            hash: sink.hex(),
            hashed_bytes: sink.hashed(),
            output: sink.trailer().to_vec(),
            took,
        })
    }

    /// Starts, uploads and lets run, for cases that do something meanwhile.
    pub(super) async fn launch(&self, script: &[u8]) -> Checked<Running> {
        self.launch_with(script, RunOptions::default()).await
    }

    pub(super) async fn launch_with(&self, script: &[u8], options: RunOptions) -> Checked<Running> {
        let instance = self.ready(script).await?;
        Ok(Self::running(instance, options))
    }

    /// Lets run what was uploaded to `instance`.
    pub(super) fn run_in_background(instance: Arc<dyn Instance>) -> Running {
        Self::running(instance, RunOptions::default())
    }

    fn running(instance: Arc<dyn Instance>, options: RunOptions) -> Running {
        let watch = Watch::new();
        let (running, mut sink) = (instance.clone(), watch.clone());
        let run = tokio::spawn(async move { running.run_script(&options, &mut sink).await });
        Running {
            run: AbortOnDropHandle::new(run),
            instance,
            watch,
            began: Instant::now(),
        }
    }

    /// What the provider finds of this case's.
    pub(super) async fn found(&self) -> Result<Vec<Found>> {
        self.found_by(&*self.provider).await
    }

    pub(super) async fn found_by(&self, provider: &dyn Provider) -> Result<Vec<Found>> {
        let mut found = provider.list().await?;
        found.retain(|found| found.marks.owner == self.owner);
        Ok(found)
    }

    /// Skips the case unless the instance has this program.
    pub(super) async fn needs_tool(&self, tool: &str) -> Checked {
        if !self.executes() {
            return Err(Unmet::Skipped(Capability::ExecutesScripts.name().into()));
        }
        let script = format!("command -v {tool} >/dev/null 2>&1\n");
        match self.run(script.as_bytes()).await?.result.exit_code() {
            Some(0) => Ok(()),
            Some(_) => Err(Unmet::Skipped(format!("no {tool}"))),
            None => Err(Unmet::failed(format!("looking for {tool} did not end"))),
        }
    }

    /// Waits until nothing of the case's is left.
    pub(super) async fn nothing_left(&self, after: &str) -> Checked {
        let began = Instant::now();
        loop {
            within(PROMPTLY, "settle()", self.provider.settle()).await?;
            let left = self.found().await?;
            if left.is_empty() {
                return Ok(());
            }
            // A task of ours that was aborted lets go of its instance in its
            // own time: until then there is nothing to settle.
            if began.elapsed() > Duration::from_secs(5) {
                let names: Vec<_> = left.iter().map(|found| found.location.as_str()).collect();
                let names = names.join(", ");
                return Err(Unmet::failed(format!("left behind after {after}: {names}")));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Makes sure that nothing of the case's is left; what is left is removed,
    /// so that it is in nobody's way.
    pub(super) async fn finish(&self) -> Checked {
        let left = self.nothing_left("the case").await;
        if left.is_err() {
            for found in self.found().await? {
                if let Err(error) = self.provider.remove(&found).await {
                    tracing::warn!(%error, location = found.location, "a leftover stays");
                }
            }
        }
        left
    }
}

/// A script that runs while the case goes on. Dropping it drops the run.
pub(super) struct Running {
    // First, so that it is dropped first.
    run: AbortOnDropHandle<Result<RunResult>>,
    pub(super) instance: Arc<dyn Instance>,
    pub(super) watch: Watch,
    began: Instant,
}

impl Running {
    /// Waits until the script has printed `text`.
    pub(super) async fn printed(&mut self, text: &str) -> Checked {
        let watch = self.watch.clone();
        tokio::select! {
            biased;
            () = watch.wait_for(text) => Ok(()),
            ended = &mut self.run => Err(Unmet::failed(format!(
                "the run ended before it printed {text:?}: {ended:?}"
            ))),
            () = tokio::time::sleep(PROMPTLY) => Err(Unmet::failed(format!(
                "{text:?} was not printed within {PROMPTLY:?}"
            ))),
        }
    }

    /// Whether the run has ended.
    pub(super) fn has_ended(&self) -> bool {
        self.run.is_finished()
    }

    /// Waits for the end of the run, and says whether it came within `bound`.
    pub(super) async fn settles(&mut self, bound: Duration) -> bool {
        let began = Instant::now();
        while !self.run.is_finished() {
            if began.elapsed() > bound {
                return false;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        true
    }

    /// Waits until the run has ended, however it did.
    pub(super) async fn settled(&mut self, bound: Duration) -> Checked {
        let settled = self.settles(bound).await;
        ensure!(settled, "the run did not end within {bound:?}");
        Ok(())
    }

    /// Makes sure that the run goes on for so long.
    pub(super) async fn stays(&mut self, time: Duration) -> Checked {
        let settled = self.settles(time).await;
        ensure!(!settled, "the run ended within {time:?}");
        Ok(())
    }

    /// Waits for the end of the run, for `bound` at the most.
    pub(super) async fn ended(self, bound: Duration) -> Checked<Ran> {
        let result = within(bound, "the run", self.run)
            .await?
            .map_err(|error| Unmet::failed(format!("the run panicked: {error}")))??;
        let output = self.watch.output();
        counted(&result, output.len() as u64)?;
        Ok(Ran {
            result,
            output,
            hash: String::new(),
            hashed_bytes: 0,
            took: self.began.elapsed(),
        })
    }
}

/// `future`, unless it takes longer than `bound`.
pub(super) async fn within<F: Future>(
    bound: Duration,
    what: &str,
    future: F,
) -> Checked<F::Output> {
    tokio::time::timeout(bound, future)
        .await
        .map_err(|_| Unmet::failed(format!("{what} did not end within {bound:?}")))
}

fn counted(result: &RunResult, received: u64) -> Checked {
    ensure!(
        result.output_bytes == received,
        "the result counts {} bytes of output; the sink was given {received}",
        result.output_bytes
    );
    Ok(())
}
