//! A process that an engine begins in a container, with its streams.

use backend_core::TerminalSize;
use bollard::models::ExecConfig;
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;

use crate::attached;
use crate::container::Container;
use crate::engine::Engine;
use crate::engine_error::EngineError;
use crate::inspection::ExecInspection;

/// What to run.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) words: Vec<String>,
    /// The kind of its terminal, if it has one.
    pub(crate) terminal: Option<String>,
}

/// A process by the engine's id of it.
#[derive(Debug)]
pub(crate) struct Exec {
    engine: Engine,
    id: String,
    terminal: bool,
}

/// What an engine takes for "leave the process alone, and close the stream".
/// By default it is ctrl-p and ctrl-q, and ctrl-p is a key that shells use: so
/// it is one that nobody presses, and of which no beginning is held back.
const DETACH_KEYS: &str = "ctrl-^,ctrl-_,ctrl-^,ctrl-_,ctrl-^,ctrl-_,ctrl-^,ctrl-_";

impl Exec {
    pub(crate) async fn create(
        container: &Container,
        process: Process,
    ) -> Result<Self, EngineError> {
        let engine = container.engine().clone();
        let terminal = process.terminal.is_some();
        let config = ExecConfig {
            attach_stdin: Some(true),
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            tty: Some(terminal),
            env: process.terminal.map(|name| vec![format!("TERM={name}")]),
            cmd: Some(process.words),
            detach_keys: Some(DETACH_KEYS.to_owned()),
            ..ExecConfig::default()
        };
        let create =
            async |docker: bollard::Docker| docker.create_exec(container.name(), config).await;
        let id = engine.call(create).await?.id;
        Ok(Self {
            engine,
            id,
            terminal,
        })
    }

    /// Begins it, and gives its stream: with a terminal its bytes, else frames.
    pub(crate) async fn start(&self) -> Result<TokioIo<Upgraded>, EngineError> {
        let body = format!(r#"{{"Detach":false,"Tty":{}}}"#, self.terminal);
        let path = format!("/exec/{}/start", self.id);
        let started = attached::hijack(&self.engine, &path, Full::new(Bytes::from(body)));
        let limit = self.engine.limit();
        tokio::time::timeout(limit, started)
            .await
            .unwrap_or_else(|_| Err(self.engine.timed_out(limit)))
    }

    /// Changes the size of its terminal.
    pub(crate) async fn resize(&self, size: TerminalSize) -> Result<(), EngineError> {
        let TerminalSize { rows, columns } = size;
        let path = format!("/exec/{}/resize?h={rows}&w={columns}", self.id);
        self.engine.post_within_limit(&path).await.map(|_| ())
    }

    /// Its exit code, once it has one.
    pub(crate) async fn exit_code(&self) -> Result<Option<i64>, EngineError> {
        let path = format!("/exec/{}/json", self.id);
        let inspected: ExecInspection = self.engine.get(&path).await?;
        Ok(inspected.ended_with())
    }
}
