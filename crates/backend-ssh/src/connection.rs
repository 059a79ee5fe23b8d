//! A connection that is ready for commands.

use std::sync::Arc;

use backend_core::TerminalSize;
use russh::client::{Handle, Msg};
use russh::{Channel, ChannelMsg, ChannelStream};

use crate::connect::Client;
use crate::error::Failure;
use crate::machine::Machine;
use crate::program::{BOOTSTRAP, SHELL_BOOTSTRAP};

/// A connection, authenticated. Dropping it closes it.
pub(crate) struct Connection {
    handle: Handle<Client>,
    address: String,
    /// The connection to the jump host, which this one goes through.
    _through: Option<Arc<Connection>>,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Connection({})", self.address)
    }
}

impl Connection {
    pub(crate) fn new(handle: Handle<Client>, machine: &Machine, through: Option<Self>) -> Self {
        Self {
            handle,
            address: machine.address.clone(),
            _through: through.map(Arc::new),
        }
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.handle.is_closed()
    }

    /// A stream to another machine, through this one.
    pub(crate) async fn forward(
        &self,
        host: &str,
        port: u16,
    ) -> Result<ChannelStream<Msg>, Failure> {
        let channel = self
            .handle
            .channel_open_direct_tcpip(host, u32::from(port), "127.0.0.1", 0)
            .await;
        let channel = channel.map_err(|source| Failure::Jump {
            target: format!("{host}:{port}"),
            jump: self.address.clone(),
            source: Box::new(source),
        })?;
        Ok(channel.into_stream())
    }

    /// Starts the bootstrap on a new channel, which then takes a program.
    pub(crate) async fn exec(&self) -> Result<Channel<Msg>, Failure> {
        let mut channel = self.open().await?;
        let sent = channel.exec(true, BOOTSTRAP).await;
        sent.map_err(|source| self.failed(source))?;
        self.granted(&mut channel, "exec").await?;
        Ok(channel)
    }

    /// Starts the bootstrap of a shell on a new channel, on a terminal of this
    /// kind and size if there is to be one.
    pub(crate) async fn shell(
        &self,
        terminal: Option<(&str, TerminalSize)>,
    ) -> Result<Channel<Msg>, Failure> {
        let mut channel = self.open().await?;
        if let Some((name, size)) = terminal {
            let (columns, rows) = (u32::from(size.columns), u32::from(size.rows));
            let asked = channel.request_pty(true, name, columns, rows, 0, 0, &[]);
            asked.await.map_err(|source| self.failed(source))?;
            self.granted(&mut channel, "a terminal").await?;
        }
        let sent = channel.exec(true, SHELL_BOOTSTRAP).await;
        sent.map_err(|source| self.failed(source))?;
        self.granted(&mut channel, "exec").await?;
        Ok(channel)
    }

    async fn open(&self) -> Result<Channel<Msg>, Failure> {
        let opened = self.handle.channel_open_session().await;
        opened.map_err(|source| self.failed(source))
    }

    /// Waits until what was asked for is granted.
    async fn granted(&self, channel: &mut Channel<Msg>, what: &str) -> Result<(), Failure> {
        loop {
            match channel.wait().await {
                Some(ChannelMsg::Success) => return Ok(()),
                Some(ChannelMsg::Failure) => {
                    let address = self.address.clone();
                    return Err(Failure::ExecRefused { address });
                }
                // A window may be adjusted before.
                Some(ChannelMsg::WindowAdjusted { .. }) => {}
                other => {
                    return Err(Failure::Lost {
                        address: self.address.clone(),
                        reason: format!("in place of an answer to {what} came {other:?}"),
                    });
                }
            }
        }
    }

    fn failed(&self, source: russh::Error) -> Failure {
        Failure::Session {
            address: self.address.clone(),
            source: Box::new(source),
        }
    }
}
