//! The backend of CONTRIBUTING.md, which shows what stands between the two
//! marks: it compiles, registers, and passes the basic part of the suite.

#![expect(
    unreachable_pub,
    reason = "it is shown as it stands in a crate of its own"
)]

use std::process::ExitCode;

use backend_core::testkit::{Selection, Target, main_of};

#[rustfmt::skip] // as short as it can be
mod backend {
// ---8<---
use std::{ffi::OsStr, os::unix::ffi::OsStrExt, sync::Arc};

use async_trait::async_trait;
use backend_core::{
    Backend, Capabilities, Capability, Delivery, Error, ErrorKind, Found, Instance, InstanceId,
    OutputSink, Provider, Result, RunOptions, RunResult, ScriptSlot, StartAttributes, StartContext,
};
use tokio::process::Command;

pub static BACKEND: Backend = Backend {
    alias: "shell", human_readable_name: "A shell of this machine",
    options: || &[], provider: |_| Ok(Arc::new(Shell)),
};
backend_core::register!(BACKEND);

#[derive(Debug)]
struct Shell;

#[async_trait]
impl Provider for Shell {
    fn capabilities(&self) -> Capabilities { [Capability::ExecutesScripts, Capability::ExactSignals].into() }
    async fn start(&self, _: &StartAttributes, context: &StartContext) -> Result<Box<dyn Instance>> {
        Ok(Box::new(Session(context.id.clone(), ScriptSlot::new())))
    }
    async fn list(&self) -> Result<Vec<Found>> { Ok(Vec::new()) } // nothing outlives this process
    async fn remove(&self, _: &Found) -> Result<()> { Ok(()) }
}

#[derive(Debug)]
struct Session(InstanceId, ScriptSlot);

#[async_trait]
impl Instance for Session {
    fn id(&self) -> &InstanceId { &self.0 }
    async fn upload_script(&self, script: &[u8]) -> Result<()> { self.1.put(script) }
    async fn run_script(&self, options: &RunOptions, sink: &mut dyn OutputSink) -> Result<RunResult> {
        let script = self.1.take()?;
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", "exec 2>&1; eval \"$0\""]).arg(OsStr::from_bytes(&script)).kill_on_drop(true);
        shell.env("WORKER_INSTANCE_ID", self.0.as_str()).envs(options.environment.iter());
        let began = |error| Error::new(ErrorKind::Io, "cannot begin a shell").caused_by(error);
        let output = shell.output().await.map_err(began)?; // a real backend streams
        let mut delivery = Delivery::new(sink);
        delivery.write(&output.stdout).await;
        let mut result = RunResult::new(output.status.into(), delivery.delivered());
        result.output_complete = delivery.intact();
        Ok(result)
    }
    async fn stop(&self) -> Result<()> { self.1.close(); Ok(()) }
}
// ---8<---
}

fn main() -> ExitCode {
    let registered = backend_core::backend("shell");
    assert!(registered.is_ok(), "the backend is not registered");
    main_of([Target::new(&backend::BACKEND)], &Selection::basic())
}
