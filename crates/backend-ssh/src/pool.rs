//! Connections that nobody uses right now, kept for the next start.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::time::timeout;

use crate::connect::connect;
use crate::connection::Connection;
use crate::conversation::Conversation;
use crate::error::Failure;
use crate::machine::Machine;
use crate::reply::Line;

/// How many are kept for one machine.
const KEPT: usize = 4;

/// How long one is kept.
const KEPT_FOR: Duration = Duration::from_mins(1);

/// Idle connections, to be shared.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pool(Arc<Mutex<HashMap<String, Vec<Idle>>>>);

#[derive(Debug)]
struct Idle {
    connection: Connection,
    since: Instant,
}

impl Pool {
    /// A connection to the machine that was open a moment ago.
    fn take(&self, machine: &Machine) -> Option<Connection> {
        let mut all = self.lock();
        let idle = all.get_mut(&machine.address)?;
        idle.retain(Idle::is_good);
        idle.pop().map(|idle| idle.connection)
    }

    /// Starts a program on a connection that is there, or on a new one.
    ///
    /// One that was kept may be of no use any more; then nothing was run on it,
    /// since the program never came to be sent whole. `sending` is set when it
    /// is about to be sent.
    pub(crate) async fn open(
        &self,
        machine: &Machine,
        (mode, base, parameters): (&str, &str, &[&str]),
        sending: &AtomicBool,
    ) -> Result<Conversation, Failure> {
        if let Some(connection) = self.take(machine) {
            sending.store(true, Ordering::Relaxed);
            match Conversation::open(connection, mode, base, parameters).await {
                Ok(conversation) => return Ok(conversation),
                Err(failure) => {
                    tracing::debug!(%failure, "a connection that was kept is of no use");
                }
            }
        }
        sending.store(false, Ordering::Relaxed);
        let connection = connect(machine).await?;
        sending.store(true, Ordering::Relaxed);
        Conversation::open(connection, mode, base, parameters).await
    }

    /// Asks one question: starts the program, and collects its lines up to
    /// `last`.
    pub(crate) async fn ask(
        &self,
        machine: &Machine,
        question: (&str, &str, &[&str]),
        limit: Duration,
        last: &Line,
    ) -> Result<Vec<Line>, Failure> {
        let asking = async {
            let mut conversation = self
                .open(machine, question, &AtomicBool::new(false))
                .await?;
            let mut lines = Vec::new();
            loop {
                let line = conversation.line().await?;
                if line == *last {
                    self.put(machine, conversation.end().await);
                    return Ok(lines);
                }
                lines.push(line);
            }
        };
        timeout(limit, asking).await.unwrap_or_else(|_| {
            let address = machine.address.clone();
            Err(Failure::Silent { address, limit })
        })
    }

    /// Keeps a connection, unless there are enough.
    pub(crate) fn put(&self, machine: &Machine, connection: Option<Connection>) {
        let Some(connection) = connection else {
            return;
        };
        let mut all = self.lock();
        let idle = all.entry(machine.address.clone()).or_default();
        idle.retain(Idle::is_good);
        if idle.len() < KEPT {
            idle.push(Idle {
                connection,
                since: Instant::now(),
            });
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Vec<Idle>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Idle {
    fn is_good(&self) -> bool {
        self.since.elapsed() < KEPT_FOR && !self.connection.is_closed()
    }
}
