//! The order of an instance's calls: one script in, one run of it, the end.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::{Error, OutOfOrder, Result};

/// Where an instance that keeps its script in memory keeps it. It enforces the
/// order of the contract: a second script is stale, a run takes the script
/// once, and nothing goes after the end.
#[derive(Default)]
pub struct ScriptSlot(Mutex<Stage>);

#[derive(Default)]
enum Stage {
    #[default]
    Empty,
    Filled(Vec<u8>),
    Taken,
    Closed,
}

impl ScriptSlot {
    /// No script yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Puts the script in.
    ///
    /// # Errors
    ///
    /// `Stale` if there is or was one, `InvalidState` after [`close`](Self::close).
    pub fn put(&self, script: &[u8]) -> Result<()> {
        let mut stage = self.lock();
        match *stage {
            Stage::Empty => *stage = Stage::Filled(script.to_vec()),
            Stage::Filled(_) | Stage::Taken => return Err(refusal(OutOfOrder::Stale)),
            Stage::Closed => return Err(refusal(OutOfOrder::Stopped)),
        }
        Ok(())
    }

    /// Takes the script out, to run it.
    ///
    /// # Errors
    ///
    /// `InvalidState` if there is none, if it was run before, or after
    /// [`close`](Self::close).
    pub fn take(&self) -> Result<Vec<u8>> {
        let mut stage = self.lock();
        let refused = match &mut *stage {
            Stage::Filled(script) => {
                let script = std::mem::take(script);
                *stage = Stage::Taken;
                return Ok(script);
            }
            Stage::Empty => OutOfOrder::NoScript,
            Stage::Taken => OutOfOrder::RunBefore,
            Stage::Closed => OutOfOrder::Stopped,
        };
        Err(refusal(refused))
    }

    /// The end: from now on there is nothing to put or take.
    pub fn close(&self) {
        *self.lock() = Stage::Closed;
    }

    fn lock(&self) -> MutexGuard<'_, Stage> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn refusal(call: OutOfOrder) -> Error {
    Error::new(call.kind(), call.to_string())
}

impl fmt::Debug for ScriptSlot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &*self.lock() {
            Stage::Empty => "ScriptSlot(empty)",
            Stage::Filled(_) => "ScriptSlot(filled)",
            Stage::Taken => "ScriptSlot(taken)",
            Stage::Closed => "ScriptSlot(closed)",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    #[test]
    fn one_script_goes_in_and_out_once() {
        let slot = ScriptSlot::new();
        assert_eq!(slot.take().unwrap_err().kind(), ErrorKind::InvalidState);
        slot.put(b"first").unwrap();
        assert_eq!(slot.put(b"second").unwrap_err().kind(), ErrorKind::Stale);
        assert_eq!(slot.take().unwrap(), b"first");
        assert_eq!(slot.take().unwrap_err().kind(), ErrorKind::InvalidState);
        assert_eq!(slot.put(b"third").unwrap_err().kind(), ErrorKind::Stale);
        slot.close();
        assert_eq!(
            slot.put(b"fourth").unwrap_err().kind(),
            ErrorKind::InvalidState
        );
    }
}
