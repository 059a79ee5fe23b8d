//! Running a command, and what it cost.

use std::io::{self, Read as _};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, ensure};

/// What one run of a command cost.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cost {
    /// Seconds by the clock.
    pub(crate) wall: f64,
    /// Seconds of processor time, of the process and all that it waited for.
    pub(crate) cpu: f64,
    /// Bytes of memory at the most, of the largest process among them.
    pub(crate) memory: f64,
}

/// How much output is read at once, as a CI system reads it.
const PIECE: usize = 256 << 10;

/// Runs a command whose output nobody reads.
pub(crate) fn whole(command: &mut Command) -> anyhow::Result<Cost> {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let began = Instant::now();
    ended(&command.spawn()?, began).with_context(|| format!("{command:?}"))
}

/// Runs a command, and reads its output: as many bytes as there have to be.
pub(crate) fn read(command: &mut Command, bytes: u64) -> anyhow::Result<Cost> {
    let began = Instant::now();
    let mut child = reader(command)?;
    let mut output = child.stdout.take().context("there is no output")?;
    let mut buffer = vec![0; PIECE];
    let mut taken = 0;
    loop {
        match output.read(&mut buffer)? {
            0 => break,
            more => taken += more as u64,
        }
    }
    let cost = ended(&child, began).with_context(|| format!("{command:?}"))?;
    ensure!(taken == bytes, "{taken} bytes of {bytes} came: {command:?}");
    Ok(cost)
}

/// Seconds until the first byte of a command's output.
pub(crate) fn first_byte(command: &mut Command) -> anyhow::Result<f64> {
    let began = Instant::now();
    let mut child = reader(command)?;
    let mut output = child.stdout.take().context("there is no output")?;
    output.read_exact(&mut [0])?;
    let took = began.elapsed().as_secs_f64();
    io::copy(&mut output, &mut io::sink())?;
    ended(&child, began).with_context(|| format!("{command:?}"))?;
    Ok(took)
}

fn reader(command: &mut Command) -> anyhow::Result<Child> {
    let piped = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    Ok(piped.spawn()?)
}

/// Waits for a child, which has to succeed.
fn ended(child: &Child, began: Instant) -> anyhow::Result<Cost> {
    let process = i32::try_from(child.id())?;
    let mut status = 0;
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
    #[expect(unsafe_code, reason = "only wait4(2) tells the cost of one child")]
    // SAFETY: both places are valid for the call, and all zeros are a value of
    // them. The child is waited for here and nowhere else: no caller does
    // anything with it afterwards.
    let (waited, usage) = unsafe {
        let waited = libc::wait4(process, &raw mut status, 0, usage.as_mut_ptr());
        (waited, usage.assume_init())
    };
    let wall = began.elapsed().as_secs_f64();
    ensure!(waited == process, io::Error::last_os_error());
    ensure!(status == 0, "it failed with the wait status {status}");
    Ok(Cost {
        wall,
        cpu: seconds(usage.ru_utime) + seconds(usage.ru_stime),
        // In KiB, says getrusage(2).
        memory: number(usage.ru_maxrss) * 1024.0,
    })
}

fn seconds(time: libc::timeval) -> f64 {
    number(time.tv_sec) + number(time.tv_usec) / 1e6
}

#[expect(clippy::cast_precision_loss, reason = "figures of a process are small")]
fn number(value: i64) -> f64 {
    value as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn the_cost_of_a_child_is_known() {
        let busy = "i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done";
        let cost = whole(&mut shell(busy)).unwrap();
        assert!(cost.cpu > 0.001 && cost.wall > 0.001, "{cost:?}");
        assert!(cost.memory > 100_000.0, "{cost:?}");
    }

    #[test]
    fn what_fails_is_no_figure() {
        assert!(whole(&mut shell("exit 3")).is_err());
        assert!(read(&mut shell("echo hi"), 2).is_err());
        assert!(first_byte(&mut shell("exit 0")).is_err());
    }

    #[test]
    fn output_is_counted_and_timed() {
        read(&mut shell("head -c 1000000 /dev/zero"), 1_000_000).unwrap();
        let took = first_byte(&mut shell("echo hi; sleep 1")).unwrap();
        assert!(took < 1.0, "{took}");
    }
}
