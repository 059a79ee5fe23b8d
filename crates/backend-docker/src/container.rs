//! One container: the calls to its engine that are about it.

use std::time::{Duration, Instant};

use backend_core::Signal;
use bollard::exec::StartExecResults;
use bollard::models::{ContainerCreateBody, ExecConfig};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, KillContainerOptionsBuilder, RemoveContainerOptionsBuilder,
    TopOptionsBuilder,
};
use futures_util::StreamExt as _;
use tokio::time::sleep;

use crate::attached::{Attach, Attached};
use crate::engine::Engine;
use crate::engine_error::EngineError;
use crate::inspection::Inspection;

/// How long a removal may take in all, also while the engine is away.
const REMOVAL: Duration = Duration::from_secs(20);

/// The line that [`Container::make_noise`] puts into the gate's stream.
pub(crate) const NOISE: &str = "worker-noise";

/// A container on an engine, by its name: names are known before they exist.
#[derive(Debug, Clone)]
pub(crate) struct Container {
    engine: Engine,
    name: String,
}

impl Container {
    pub(crate) fn new(engine: Engine, name: impl Into<String>) -> Self {
        let name = name.into();
        Self { engine, name }
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Creates it.
    pub(crate) async fn create(
        &self,
        body: ContainerCreateBody,
        platform: Option<&str>,
    ) -> Result<(), EngineError> {
        let mut options = CreateContainerOptionsBuilder::default().name(&self.name);
        if let Some(platform) = platform {
            options = options.platform(platform);
        }
        let options = Some(options.build());
        let create = async |docker: bollard::Docker| docker.create_container(options, body).await;
        self.engine.call(create).await.map(|_| ())
    }

    /// Starts it.
    pub(crate) async fn start(&self) -> Result<(), EngineError> {
        let start = async |docker: bollard::Docker| docker.start_container(&self.name, None).await;
        self.engine.call(start).await
    }

    /// Attaches to its streams, within `limit`.
    pub(crate) async fn attach(
        &self,
        what: Attach,
        limit: Duration,
    ) -> Result<Attached, EngineError> {
        let attaching = Attached::open(&self.engine, &self.name, what);
        tokio::time::timeout(limit, attaching)
            .await
            .unwrap_or_else(|_| Err(self.engine.timed_out(limit)))
    }

    /// What the engine says of it.
    pub(crate) async fn inspect(&self) -> Result<Inspection, EngineError> {
        let path = format!("/containers/{}/json", self.name);
        self.engine.get(&path).await
    }

    /// Whether the engine says that it has ended, or is gone.
    pub(crate) async fn has_ended(&self) -> bool {
        match self.inspect().await {
            Ok(found) => found.state.has_ended(),
            Err(error) => error.is_gone(),
        }
    }

    /// Ends its first process by KILL, and with it all others.
    pub(crate) async fn kill(&self) -> Result<(), EngineError> {
        let options = KillContainerOptionsBuilder::default()
            .signal("KILL")
            .build();
        let kill =
            async |docker: bollard::Docker| docker.kill_container(&self.name, Some(options)).await;
        match self.engine.call(kill).await {
            Err(error) if error.is_gone() || error.is_conflict() => Ok(()),
            other => other,
        }
    }

    /// Sends a signal to every process in it but the first.
    pub(crate) async fn signal_all(&self, signal: Signal) -> Result<(), EngineError> {
        let name = signal
            .name()
            .map_or_else(|| signal.number().to_string(), str::to_owned);
        // In the one form that busybox, dash and bash all take. Where there is
        // nobody left to be told, that is no failure.
        let program = format!("kill -{name} -1 2>/dev/null || :");
        // A shell that the end of the container took with it has sent it.
        let ran = self.shell(&program, Duration::from_secs(10)).await;
        ran.map(|_| ())
    }

    /// Writes a line into the stream of its gate: `false` where that cannot be
    /// done in this container.
    pub(crate) async fn make_noise(&self, gate: u32, limit: Duration) -> Result<bool, EngineError> {
        let program = format!("echo {NOISE} >/proc/{gate}/fd/2");
        match self.shell(&program, limit).await {
            Ok(code) => Ok(code == Some(0)),
            Err(EngineError::Status { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Ends a group of processes in it as the end of their terminal does: HUP,
    /// and after a grace KILL.
    pub(crate) async fn hang_up(&self, group: u32) -> Result<(), EngineError> {
        // In the one form that busybox, dash and bash all take.
        let program = format!(
            "kill -HUP -{group} 2>/dev/null; kill -CONT -{group} 2>/dev/null; tries=0; \
             while kill -0 -{group} 2>/dev/null; do tries=$((tries + 1)); \
             [ $tries -lt 50 ] || kill -KILL -{group}; [ $tries -lt 60 ] || exit 1; \
             sleep 0.1 2>/dev/null || sleep 1; done"
        );
        let ran = self.shell(&program, Duration::from_secs(30)).await;
        ran.map(|_| ())
    }

    /// A list of its processes, as the engine sees them.
    pub(crate) async fn processes(&self) -> Result<Option<String>, EngineError> {
        /// What a person can read, and more.
        const MOST: usize = 300;
        /// The gate is a program in its arguments, pages of it.
        const LONGEST: usize = 200;
        let options = TopOptionsBuilder::default().ps_args("-eo pid,user,stat,args");
        let options = Some(options.build());
        let top = async |docker: bollard::Docker| docker.top_processes(&self.name, options).await;
        let listing = match self.engine.call(top).await {
            Ok(listing) => listing,
            Err(error) if error.is_gone() || error.is_conflict() => return Ok(None),
            Err(error) => return Err(error),
        };
        let titles = listing.titles.unwrap_or_default();
        let processes = listing.processes.unwrap_or_default();
        if processes.is_empty() {
            return Ok(None);
        }
        let lines = std::iter::once(titles).chain(processes).take(MOST);
        let lines = lines.map(|fields| {
            let line = fields.join(" ");
            match line.char_indices().nth(LONGEST) {
                Some((end, _)) => format!("{}…", line.get(..end).unwrap_or_default()),
                None => line,
            }
        });
        let lines: Vec<_> = lines.collect();
        Ok(Some(lines.join("\n")))
    }

    /// Removes it with its volumes, whatever runs in it, and makes sure that
    /// it is gone. Tries again for [`REMOVAL`].
    pub(crate) async fn remove(&self) -> Result<(), EngineError> {
        let began = Instant::now();
        let mut pause = Duration::from_millis(50);
        loop {
            let error = match self.try_remove().await {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            if began.elapsed() + pause > REMOVAL {
                return Err(error);
            }
            sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(1));
        }
    }

    async fn try_remove(&self) -> Result<(), EngineError> {
        /// One try of the removal; killing takes an engine up to 10 s.
        const TRY: Duration = Duration::from_secs(15);
        let options = RemoveContainerOptionsBuilder::default()
            .force(true)
            .v(true)
            .build();
        let remove = async |docker: bollard::Docker| {
            docker.remove_container(&self.name, Some(options)).await
        };
        match self.engine.call_within(TRY, remove).await {
            Ok(()) => {}
            Err(error) if error.is_gone() => return Ok(()),
            // Somebody else is removing it.
            Err(error) if error.is_conflict() => {}
            Err(error) => return Err(error),
        }
        match self.inspect().await {
            Err(error) if error.is_gone() => Ok(()),
            Ok(_) => Err(EngineError::Missing("that the container is gone")),
            Err(error) => Err(error),
        }
    }

    /// Runs a line of shell in it, and gives the shell's exit code.
    async fn shell(&self, program: &str, limit: Duration) -> Result<Option<i64>, EngineError> {
        let config = ExecConfig {
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            cmd: Some(vec!["/bin/sh".into(), "-c".into(), program.into()]),
            working_dir: Some("/".into()),
            ..ExecConfig::default()
        };
        let run = async |docker: bollard::Docker| {
            let id = docker.create_exec(&self.name, config).await?.id;
            if let StartExecResults::Attached { mut output, .. } =
                docker.start_exec(&id, None).await?
            {
                while let Some(piece) = output.next().await {
                    piece?;
                }
            }
            docker.inspect_exec(&id).await
        };
        let ran = self.engine.call_within(limit, run).await?;
        Ok(ran.exit_code)
    }
}
