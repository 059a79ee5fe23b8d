//! A server process with a directory of its own, that does not outlive who
//! started it.

use std::fs::File;
use std::io::{self, Write as _};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use tempfile::TempDir;

/// Starts the server and waits until its own input ends, which happens also
/// when the process that holds the other end is killed. Then it ends the
/// server: by TERM (after CONT, should it be stopped), by KILL after `$1`
/// seconds. `$2` is where it says the server's process id.
const GUARD: &str = include_str!("guard.sh");

/// Where the guard says it.
const PID_FILE: &str = "guarded-pid";

/// A running server, with its files in a temporary directory.
///
/// Dropping it ends the server, waits for that, and removes the directory.
#[derive(Debug)]
pub struct Daemon {
    name: String,
    /// The guard with the server's command, to start it once more.
    command: Command,
    guard: Child,
    pid: i32,
    directory: TempDir,
}

impl Daemon {
    /// Starts `command` as the server `name`. Its output goes to a log file;
    /// `grace` is how long it may take to end after TERM.
    ///
    /// # Errors
    ///
    /// If it cannot be started.
    pub fn start(
        name: &str,
        command: &Command,
        directory: TempDir,
        grace: Duration,
    ) -> anyhow::Result<Self> {
        let log = File::options()
            .create(true)
            .append(true)
            .open(directory.path().join("log"))?;
        let mut guard = Command::new("/bin/sh");
        guard
            .args(["-c", GUARD, "guard"])
            .arg(grace.as_secs().to_string())
            .arg(directory.path().join(PID_FILE))
            .arg(command.get_program())
            .args(command.get_args())
            .stdin(Stdio::piped())
            .stdout(log.try_clone()?)
            .stderr(log);
        for (key, value) in command.get_envs() {
            match value {
                Some(value) => guard.env(key, value),
                None => guard.env_remove(key),
            };
        }
        if let Some(current) = command.get_current_dir() {
            guard.current_dir(current);
        }
        with_default_signals(&mut guard);
        let begun = guard
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        let mut daemon = Self {
            name: name.to_owned(),
            command: guard,
            guard: begun,
            pid: 0,
            directory,
        };
        daemon.find_process()?;
        Ok(daemon)
    }

    /// Ends the server if it is up, and starts the same command once more, in
    /// the same directory.
    ///
    /// # Errors
    ///
    /// If it cannot be started.
    pub fn start_again(&mut self) -> anyhow::Result<()> {
        self.stop();
        std::fs::remove_file(self.directory().join(PID_FILE))?;
        let begun = self.command.spawn();
        self.guard = begun.with_context(|| format!("cannot start {}", self.name))?;
        self.find_process()
    }

    /// Reads the server's process id, once its guard has written it.
    fn find_process(&mut self) -> anyhow::Result<()> {
        let pid_file = self.directory().join(PID_FILE);
        self.wait_until(Duration::from_secs(30), |_| pid_in(&pid_file).is_some())?;
        self.pid = pid_in(&pid_file).context("the guard said no process id")?;
        Ok(())
    }

    /// The process id of the server.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// The directory of its files.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// What it has printed so far.
    pub fn log(&self) -> String {
        std::fs::read(self.directory().join("log"))
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }

    /// Waits until `ready` says so.
    ///
    /// # Errors
    ///
    /// If the server ends before, or `bound` is over; with its log.
    pub fn wait_until(
        &mut self,
        bound: Duration,
        mut ready: impl FnMut(&Self) -> bool,
    ) -> anyhow::Result<()> {
        let began = Instant::now();
        while !ready(self) {
            if let Some(status) = self.guard.try_wait()? {
                bail!("{} ended: {status}\n{}", self.name, self.log());
            }
            if began.elapsed() > bound {
                bail!("{} is not ready after {bound:?}\n{}", self.name, self.log());
            }
            sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    /// Sends a signal, by its number, to the server process only.
    ///
    /// # Errors
    ///
    /// If the server is gone.
    pub fn signal(&self, signal: i32) -> io::Result<()> {
        #[expect(unsafe_code, reason = "kill(2) touches no memory of ours")]
        // SAFETY: two integers go to the kernel. The process is a child of our
        // guard, which is alive until we end it, so the id is still its own.
        let sent = unsafe { libc::kill(self.pid, signal) };
        if sent == 0 {
            Ok(())
        } else {
            Err(io::Error::last_os_error())
        }
    }

    /// Sends the server a signal that ends it, and waits until it has ended: in
    /// its own way, for a minute at the most.
    ///
    /// # Errors
    ///
    /// If the server is gone already.
    pub fn end_by(&mut self, signal: i32) -> io::Result<()> {
        self.signal(signal)?;
        let began = Instant::now();
        // The guard ends with its server.
        while self.guard.try_wait()?.is_none() && began.elapsed() < Duration::from_mins(1) {
            sleep(Duration::from_millis(10));
        }
        self.stop();
        Ok(())
    }

    /// Ends the server in good order, and waits for it.
    pub fn stop(&mut self) {
        // A line is the guard's sign; the end of its input without one says that
        // this process is gone, and that its files are the guard's to remove.
        if let Some(mut input) = self.guard.stdin.take() {
            input.write_all(b"end\n").ok();
        }
        self.guard.wait().ok();
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Sets all signals to their default in the new process: what it ignores is
/// ignored in all that it starts, test programs are started with 32 and 33
/// ignored (`posix_spawn` of glibc leaves them so), and what a shell begins in
/// the background with INT and QUIT ignored.
#[expect(unsafe_code, reason = "the C library refuses those two signals")]
pub fn with_default_signals(command: &mut Command) {
    // SAFETY: the closure makes system calls only, with a pointer to live
    // memory that is as large as the kernel's structure.
    unsafe {
        command.pre_exec(|| {
            let default = [0_u64; 4];
            for signal in 1..=64 {
                let (nothing, size) = (std::ptr::null_mut::<u64>(), 8_usize);
                // KILL and STOP are refused, as they should be.
                libc::syscall(
                    libc::SYS_rt_sigaction,
                    signal,
                    default.as_ptr(),
                    nothing,
                    size,
                );
            }
            Ok(())
        });
    }
}

fn pid_in(path: &PathBuf) -> Option<i32> {
    std::fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// A TCP port of the loopback address on which nobody listened just now.
///
/// # Errors
///
/// If there is none.
pub fn free_port() -> io::Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    Ok(listener.local_addr()?.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sleeper() -> Daemon {
        let directory = tempfile::tempdir().unwrap();
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "echo ready; exec sleep 300"]);
        let mut daemon =
            Daemon::start("sleeper", &command, directory, Duration::from_secs(5)).unwrap();
        let bound = Duration::from_secs(10);
        daemon
            .wait_until(bound, |daemon| daemon.log().contains("ready"))
            .unwrap();
        daemon
    }

    fn is_alive(pid: i32) -> bool {
        Path::new(&format!("/proc/{pid}")).exists()
    }

    #[test]
    fn a_dropped_daemon_is_gone_with_its_files() {
        let daemon = sleeper();
        let (pid, directory) = (daemon.pid(), daemon.directory().to_owned());
        assert!(is_alive(pid));
        drop(daemon);
        assert!(!is_alive(pid) && !directory.exists());
    }

    #[test]
    fn a_stopped_one_too() {
        let daemon = sleeper();
        let pid = daemon.pid();
        daemon.signal(libc::SIGSTOP).unwrap();
        drop(daemon);
        assert!(!is_alive(pid));
    }

    #[test]
    fn it_goes_with_its_files_when_its_owner_is_gone() {
        let mut daemon = sleeper();
        let (pid, directory) = (daemon.pid(), daemon.directory().to_owned());
        // What the end of this process does.
        drop(daemon.guard.stdin.take());
        daemon.guard.wait().unwrap();
        assert!(!is_alive(pid) && !directory.exists());
    }

    #[test]
    fn a_killed_one_can_be_started_again() {
        let mut daemon = sleeper();
        let before = daemon.pid();
        daemon.end_by(libc::SIGKILL).unwrap();
        daemon.start_again().unwrap();
        assert!(!is_alive(before) && is_alive(daemon.pid()));
        assert_ne!(before, daemon.pid());
    }

    #[test]
    fn no_signal_is_ignored_in_it() {
        let daemon = sleeper();
        let status = std::fs::read_to_string(format!("/proc/{}/status", daemon.pid())).unwrap();
        let ignored = status.lines().find(|line| line.starts_with("SigIgn:"));
        assert_eq!(ignored, Some("SigIgn:\t0000000000000000"));
    }

    #[test]
    fn one_that_ends_is_told_with_its_log() {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "echo no such option >&2; exit 7"]);
        let directory = tempfile::tempdir().unwrap();
        let mut daemon =
            Daemon::start("failing", &command, directory, Duration::from_secs(5)).unwrap();
        let error = daemon
            .wait_until(Duration::from_secs(10), |_| false)
            .unwrap_err();
        assert!(error.to_string().contains("no such option"), "{error}");
    }
}
