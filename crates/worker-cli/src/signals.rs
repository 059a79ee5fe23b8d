//! INT, TERM and HUP cancel: once with grace, twice at once.

use std::io;

use tokio::signal::unix::{SignalKind, signal};
use worker_core::{CancelCause, Canceller};

/// Cancels by `canceller` whenever this process is asked to end, until the
/// runtime ends. A signal that was ignored when the program began (as HUP
/// under `nohup`) stays ignored.
pub(crate) fn cancel_on_signals(canceller: &Canceller) -> io::Result<()> {
    let causes = [
        (SignalKind::interrupt(), CancelCause::Interrupt),
        (SignalKind::terminate(), CancelCause::Terminate),
        (SignalKind::hangup(), CancelCause::HangUp),
    ];
    for (kind, cause) in causes {
        if is_ignored(kind) {
            continue;
        }
        let mut signals = signal(kind)?;
        let canceller = canceller.clone();
        tokio::spawn(async move {
            while signals.recv().await.is_some() {
                canceller.cancel(cause);
            }
        });
    }
    Ok(())
}

/// Whether the signal is ignored now, by `SigIgn` of `/proc/self/status`: a
/// mask in hexadecimal, bit n-1 for signal n.
fn is_ignored(kind: SignalKind) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .unwrap_or(0);
    let bit = u32::try_from(kind.as_raw_value() - 1).unwrap_or(u32::MAX);
    mask.checked_shr(bit)
        .is_some_and(|shifted| shifted & 1 == 1)
}
