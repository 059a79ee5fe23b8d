//! Waits for the end of a container, across whatever happens to the engine.

use std::time::{Duration, Instant};

use backend_core::{Chain, Loss, LossCause};
use tokio::time::{sleep, timeout};

use crate::container::Container;
use crate::engine_error::EngineError;
use crate::verdict::EngineEnd;

/// How long one wait is left alone before it is looked whether it is alive.
const WAIT: Duration = Duration::from_secs(30);

/// Waits until the container has ended, or is gone, or the engine has not been
/// there for `window`.
pub(crate) async fn end_of(container: &Container, window: Duration) -> EngineEnd {
    let mut away: Option<Instant> = None;
    let mut was_away = false;
    let mut pause = Duration::from_millis(100);
    loop {
        // The wait is what tells at once; what counts is the inspection.
        let began = Instant::now();
        let waited = match away {
            None => wait(container).await,
            Some(_) => Ok(()),
        };
        let failure = match (waited, container.inspect().await) {
            (_, Err(error)) if error.is_gone() => return EngineEnd::Gone,
            (_, Ok(found)) if found.state.has_ended() => {
                return EngineEnd::Ended {
                    code: found.state.exit_code,
                    oom: found.state.oom_killed,
                    removing: found.state.is_being_removed(),
                    was_away,
                };
            }
            (Ok(()), Ok(_)) => {
                away = None;
                if began.elapsed() >= WAIT {
                    pause = Duration::from_millis(100);
                } else {
                    // It returned although the container runs.
                    sleep(pause).await;
                    pause = (pause * 2).min(Duration::from_secs(2));
                }
                continue;
            }
            // It answers, but not to a wait.
            (Err(error), Ok(_)) => {
                away = None;
                tracing::debug!(%error, container = container.name(), "a wait failed");
                sleep(pause).await;
                pause = (pause * 2).min(Duration::from_secs(2));
                continue;
            }
            (_, Err(error)) => error,
        };
        was_away = was_away || matches!(failure, EngineError::Connection { .. });
        let since = *away.get_or_insert_with(Instant::now);
        if since.elapsed() >= window {
            let why = Chain(&failure).to_string();
            return EngineEnd::Lost(Loss::new(LossCause::BackendGone, why));
        }
        sleep(pause.min(window.saturating_sub(since.elapsed()))).await;
        pause = (pause * 2).min(Duration::from_secs(2));
    }
}

/// One wait. That it returns says only that it is worth a look.
async fn wait(container: &Container) -> Result<(), EngineError> {
    let path = format!(
        "/containers/{}/wait?condition=not-running",
        container.name()
    );
    match timeout(WAIT, container.engine().post(&path)).await {
        Ok(answer) => answer.map(|_| ()),
        Err(_) => Ok(()),
    }
}
