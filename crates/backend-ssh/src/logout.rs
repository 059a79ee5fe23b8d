//! Whether what is detached outlives its connection, as a run has to. It is
//! tried: what ends the processes of a session (such as systemd-logind with
//! `KillUserProcesses=yes`) is set in many places, and `setsid` is no way out.

use std::time::Duration;

use tokio::time::timeout;

use crate::connect::connect;
use crate::conversation::{ANSWERS_WITHIN, Conversation};
use crate::error::Failure;
use crate::machine::Machine;
use crate::pool::Pool;
use crate::reply::Line;

/// How long the far side may take: it waits until the connection is gone, and
/// then a second.
const TELLS_WITHIN: Duration = Duration::from_secs(15);

/// Begins something on a connection of its own, closes that, and asks over
/// another whether it is still there.
///
/// # Errors
///
/// [`FarKind::Logout`](crate::error::FarKind::Logout) if it is not, and what
/// else can go wrong on the way.
///
/// # Cancel safety
///
/// What was begun ends by itself within half a minute.
pub(crate) async fn outlived(machine: &Machine, pool: &Pool, base: &str) -> Result<(), Failure> {
    let word = format!("{:016x}", fastrand::u64(..));
    let connection = connect(machine).await?;
    let mut conversation = Conversation::open(connection, "detach", base, &[&word]).await?;
    let line = timeout(ANSWERS_WITHIN, conversation.line()).await;
    let line = line.map_err(|_| Failure::Silent {
        address: machine.address.clone(),
        limit: ANSWERS_WITHIN,
    })??;
    if line != Line::Checked {
        return Err(conversation.unexpected(&line));
    }
    drop(conversation.end().await);
    let question = ("endures", base, &[&*word][..]);
    pool.ask(machine, question, TELLS_WITHIN, &Line::Checked)
        .await?;
    Ok(())
}
