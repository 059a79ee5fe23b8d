//! Why the conversation with a gate came to an end: what broke, seen together
//! with the state of its container.

use std::io;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::container::Container;
use crate::engine_error::EngineError;
use crate::error::Failure;
use crate::gate::{Broken, NEVER_BEGAN};
use crate::inspection::Inspection;

/// What is wrong with a gate that broke so, or did before (`None`).
pub(crate) async fn diagnose(
    container: &Container,
    during: &'static str,
    broken: Option<Broken>,
) -> Failure {
    let is_new = broken.is_some();
    let (said, broke) = match broken {
        Some(Broken::Refused(why, told)) => {
            let reason = told.trim_end().to_owned();
            return match why.as_str() {
                // The one that was killed need not be the gate.
                "killed" => Failure::NoMemory { during },
                _ if reason.contains("Killed") || reason.contains("allocate memory") => {
                    Failure::NoMemory { during }
                }
                "size" => Failure::EnvironmentTooLarge,
                "environment" => Failure::VariableRefused(reason),
                "full" => Failure::NoRoom { during },
                _ => Failure::Refused { during, reason },
            };
        }
        Some(Broken::Unexpected(report)) => {
            let said = format!("{report:?}");
            return Failure::Nonsense { during, said };
        }
        Some(Broken::Stream(source)) if source.kind() == io::ErrorKind::InvalidData => {
            return Failure::Stream { during, source };
        }
        Some(Broken::Stream(source)) => (String::new(), Some(source)),
        Some(Broken::Ended(said)) => (said, None),
        None => (String::new(), None),
    };
    let found = if is_new {
        ended(container).await
    } else {
        container.inspect().await
    };
    match found {
        Err(error) if error.is_gone() => Failure::Gone(during),
        Err(error) => match broke {
            Some(source) => Failure::Stream { during, source },
            None => Failure::Engine {
                step: format!("talk to the container {during}"),
                source: error,
            },
        },
        Ok(found) if found.state.oom_killed => Failure::NoMemory { during },
        Ok(found) if found.state.exit_code == Some(137) && found.host.memory > 0 => {
            Failure::Killed { during }
        }
        // That is how a gate ends whose input does.
        Ok(found)
            if found.state.has_ended() && found.state.exit_code != Some(NEVER_BEGAN.into()) =>
        {
            let code = found.state.exit_code.unwrap_or(-1);
            let mut reason = format!("its first process exited with {code}");
            for more in [found.state.error, said] {
                if !more.is_empty() {
                    reason = format!("{reason}: {more}");
                }
            }
            Failure::EndedEarly { during, reason }
        }
        Ok(_) => Failure::Stream {
            during,
            source: broke.unwrap_or_else(|| io::ErrorKind::UnexpectedEof.into()),
        },
    }
}

/// What the engine says of a container whose stream has broken or ended: if that
/// is for the container's own end, the engine may know it later.
async fn ended(container: &Container) -> Result<Inspection, EngineError> {
    const LAG: Duration = Duration::from_secs(5);
    let began = Instant::now();
    loop {
        let found = container.inspect().await?;
        if found.state.has_ended() || began.elapsed() > LAG {
            return Ok(found);
        }
        sleep(LAG / 50).await;
    }
}
