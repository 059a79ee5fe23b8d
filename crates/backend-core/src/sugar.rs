//! The simple things, kept simple.

use async_trait::async_trait;
use tokio::io::AsyncWrite;

use crate::{
    Instance, Provider, Result, RunOptions, RunResult, StartAttributes, StartContext, WriterSink,
};

/// What most callers want from a [`Provider`].
#[async_trait]
pub trait ProviderExt: Provider {
    /// Starts an instance without anything to say about the job.
    async fn start_new(&self, attributes: &StartAttributes) -> Result<Box<dyn Instance>> {
        self.start(attributes, &StartContext::new()).await
    }
}

impl<P: Provider + ?Sized> ProviderExt for P {}

/// What most callers want from an [`Instance`].
#[async_trait]
pub trait InstanceExt: Instance {
    /// Runs the script with default options, and writes its output to `writer`.
    async fn run_to<W>(&self, writer: W) -> Result<RunResult>
    where
        W: AsyncWrite + Unpin + Send,
    {
        self.run_script(&RunOptions::default(), &mut WriterSink(writer))
            .await
    }
}

impl<I: Instance + ?Sized> InstanceExt for I {}
