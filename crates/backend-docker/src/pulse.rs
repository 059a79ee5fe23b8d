//! Whether the far side still answers, for whoever waits for it in silence.

use std::time::Duration;

use tokio::time::sleep;

use crate::container::Container;
use crate::engine::Engine;
use crate::engine_error::EngineError;

/// How long nothing may come before it is asked whether anything can.
const SILENCE: Duration = Duration::from_secs(15);

/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(10);

/// Completes once the engine has not answered twice in a row: 35 s after the
/// last sign of life at the latest.
pub(crate) async fn engine_lost(engine: &Engine) -> EngineError {
    loop {
        sleep(SILENCE).await;
        if engine.ping(ANSWER).await.is_err()
            && let Err(error) = engine.ping(ANSWER).await
        {
            return error;
        }
    }
}

/// Completes once nothing can come over the attached stream any more: when the
/// engine does not answer, or when a word that is put into the stream on the
/// far side does not arrive. Begin it anew whenever something has arrived.
///
/// A stream can be dead without a word (a machine in between that is gone), and
/// then it blocks the script. That cannot be seen from its silence.
pub(crate) async fn stream_lost(container: &Container, gate: u32) {
    loop {
        sleep(SILENCE).await;
        match container.make_noise(gate, ANSWER).await {
            // The noise went in: what arrives ends this future.
            Ok(true) => {
                sleep(ANSWER).await;
                return;
            }
            // It cannot be made here: then only the engine can be asked.
            Ok(false) => {
                engine_lost(container.engine()).await;
                return;
            }
            Err(_) => {
                if container.engine().ping(ANSWER).await.is_err() {
                    return;
                }
            }
        }
    }
}
