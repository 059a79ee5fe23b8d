//! What a new process does between `fork` and `exec`, so that it has nothing
//! of the worker's. Only system calls: no allocation, no locks.

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use rustix::fd::{AsRawFd as _, OwnedFd};

use crate::error::Failure;
use crate::group::Group;

/// What is prepared for the new process.
#[derive(Debug)]
pub(crate) struct ChildSetup {
    /// The working directory.
    pub(crate) directory: CString,
    /// The cgroup of version 2 that it is born in, if there is one.
    pub(crate) cradle: Option<Cradle>,
    /// Files through which it joins its other cgroups.
    pub(crate) doors: Vec<File>,
    /// Whether its standard input is a terminal, to control its session.
    pub(crate) terminal: bool,
}

/// A cgroup that a process can be born in.
#[derive(Debug)]
pub(crate) struct Cradle {
    pub(crate) directory: OwnedFd,
    /// For a process that was born elsewhere.
    pub(crate) door: File,
}

const STEPS: [&str; 4] = [
    "join a cgroup",
    "change to the working directory",
    "begin a session",
    "take its terminal",
];
const JOIN: i32 = 0;
const DIRECTORY: i32 = 1;
const SESSION: i32 = 2;
const TERMINAL: i32 = 3;

/// Errors of the set-up travel as error numbers through the pipe that also
/// carries those of `exec`: each step has a range of its own, beyond all that
/// the kernel uses (`MAX_ERRNO` is 4095).
const RANGE: i32 = 1 << 16;

impl ChildSetup {
    /// What a process in this directory and these cgroups needs.
    pub(crate) fn new(directory: &Path, groups: &[Group]) -> Result<Self, Failure> {
        let (mut cradle, mut doors) = (None, Vec::new());
        for group in groups {
            match group.cradle()? {
                Some(found) => cradle = Some(found),
                None => doors.push(group.door()?),
            }
        }
        let path = CString::new(directory.as_os_str().as_bytes());
        Ok(Self {
            directory: path.map_err(|error| Failure::Spawn(error.into()))?,
            cradle,
            doors,
            terminal: false,
        })
    }

    /// Does all of this, in the new process.
    pub(crate) fn run(&self, in_its_cgroup: bool) -> io::Result<()> {
        let cradle = self.cradle.as_ref().filter(|_| !in_its_cgroup);
        for door in self.doors.iter().chain(cradle.map(|cradle| &cradle.door)) {
            sys::write_all(door.as_raw_fd(), b"0").map_err(|error| staged(JOIN, &error))?;
        }
        sys::change_directory(&self.directory).map_err(|error| staged(DIRECTORY, &error))?;
        sys::begin_session().map_err(|error| staged(SESSION, &error))?;
        if self.terminal {
            sys::take_terminal().map_err(|error| staged(TERMINAL, &error))?;
        }
        sys::default_limits();
        sys::default_umask();
        sys::close_on_exec();
        sys::default_signals();
        Ok(())
    }
}

/// What an error of a new process means: of the set-up, or of `fork` or `exec`
/// itself.
pub(crate) fn decode(error: io::Error) -> Result<io::Error, Failure> {
    let Some(number) = error.raw_os_error().filter(|number| *number >= RANGE) else {
        return Ok(error);
    };
    let step = usize::try_from(number / RANGE - 1).ok();
    Err(Failure::ChildSetup {
        step: step
            .and_then(|step| STEPS.get(step))
            .copied()
            .unwrap_or("get ready"),
        source: io::Error::from_raw_os_error(number % RANGE),
    })
}

fn staged(step: i32, error: &io::Error) -> io::Error {
    let number = error.raw_os_error().unwrap_or(libc::EIO);
    io::Error::from_raw_os_error((step + 1) * RANGE + number)
}

/// The system calls. Each is async-signal-safe (`signal-safety(7)`).
#[expect(unsafe_code, reason = "these are calls of the C library")]
mod sys {
    use std::ffi::CStr;
    use std::io;
    use std::os::fd::RawFd;

    pub(super) fn write_all(file: RawFd, bytes: &[u8]) -> io::Result<()> {
        // SAFETY: the pointer and length are those of a live slice.
        let written = unsafe { libc::write(file, bytes.as_ptr().cast(), bytes.len()) };
        succeeded(written == bytes.len().cast_signed())
    }

    pub(super) fn change_directory(path: &CStr) -> io::Result<()> {
        // SAFETY: the path ends with NUL.
        succeeded(unsafe { libc::chdir(path.as_ptr()) } == 0)
    }

    pub(super) fn begin_session() -> io::Result<()> {
        // SAFETY: no memory is touched.
        succeeded(unsafe { libc::setsid() } != -1)
    }

    pub(super) fn take_terminal() -> io::Result<()> {
        // Only one that nobody else has: the argument 1 would steal it.
        // SAFETY: the request takes a number, and touches no memory.
        succeeded(unsafe { libc::ioctl(libc::STDIN_FILENO, libc::TIOCSCTTY, 0) } == 0)
    }

    pub(super) fn default_umask() {
        // SAFETY: no memory is touched.
        unsafe { libc::umask(0o022) };
    }

    /// Sets soft limits to documented values. Hard limits stay: they cannot be
    /// raised again. An error leaves a limit as it was.
    pub(super) fn default_limits() {
        macro_rules! set {
            ($($resource:ident = $most:expr),+ $(,)?) => {
                $({
                    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
                    // SAFETY: the pointer is to a live variable.
                    if unsafe { libc::getrlimit(libc::$resource, &raw mut limit) } == 0 {
                        limit.rlim_cur = limit.rlim_max.min($most);
                        // SAFETY: the same.
                        unsafe { libc::setrlimit(libc::$resource, &raw const limit) };
                    }
                })+
            };
        }
        const ALL: libc::rlim_t = libc::RLIM_INFINITY;
        set!(
            RLIMIT_CORE = 0,
            RLIMIT_NOFILE = 1024,
            RLIMIT_STACK = 8 << 20,
            RLIMIT_AS = ALL,
            RLIMIT_CPU = ALL,
            RLIMIT_DATA = ALL,
            RLIMIT_FSIZE = ALL,
            RLIMIT_LOCKS = ALL,
            RLIMIT_MEMLOCK = ALL,
            RLIMIT_MSGQUEUE = ALL,
            RLIMIT_NICE = ALL,
            RLIMIT_NPROC = ALL,
            RLIMIT_RSS = ALL,
            RLIMIT_RTPRIO = ALL,
            RLIMIT_RTTIME = ALL,
            RLIMIT_SIGPENDING = ALL,
        );
    }

    /// Lets no descriptor but 0, 1 and 2 live on after `exec`. (Until then the
    /// pipe for its error must stay.)
    pub(super) fn close_on_exec() {
        const FIRST: libc::c_uint = 3;
        // By number, since older C libraries lack the function. Linux 5.11.
        // SAFETY: no memory is touched.
        let result = unsafe {
            libc::syscall(
                libc::SYS_close_range,
                FIRST,
                libc::c_uint::MAX,
                libc::CLOSE_RANGE_CLOEXEC,
            )
        };
        if result == 0 {
            return;
        }
        // One by one, as far as is reasonable.
        for descriptor in 3..65_536 {
            // SAFETY: no memory is touched; a closed one is an error.
            unsafe {
                let flags = libc::fcntl(descriptor, libc::F_GETFD);
                if flags >= 0 {
                    libc::fcntl(descriptor, libc::F_SETFD, flags | libc::FD_CLOEXEC);
                }
            }
        }
    }

    /// All signals to their default, and none blocked. Last, so that no
    /// handler of the worker's runs before.
    pub(super) fn default_signals() {
        /// `SIGRTMAX`, and the bytes of a set of so many signals.
        const LAST: libc::c_int = 64;
        const SET_SIZE: usize = 8;
        // Zeros are the default action without flags, and the empty set; the
        // kernel's structure has at most four words. The C library's own call
        // would refuse the two signals that it keeps for itself, which can be
        // inherited as ignored all the same.
        let zeros = [0_u64; 8];
        // SAFETY: the pointers are to live memory that is large enough. KILL
        // and STOP are refused, as they should be.
        unsafe {
            for signal in 1..=LAST {
                let nothing = std::ptr::null_mut::<u64>();
                libc::syscall(
                    libc::SYS_rt_sigaction,
                    signal,
                    zeros.as_ptr(),
                    nothing,
                    SET_SIZE,
                );
            }
            libc::syscall(
                libc::SYS_rt_sigprocmask,
                libc::SIG_SETMASK,
                zeros.as_ptr(),
                std::ptr::null_mut::<u64>(),
                SET_SIZE,
            );
        }
    }

    /// Whether this process ignores the end of its children, so that none of
    /// them can be waited for; if so, it no longer does.
    pub(in super::super) fn wait_for_children() -> bool {
        // SAFETY: as above.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            if libc::sigaction(libc::SIGCHLD, std::ptr::null(), &raw mut action) != 0 {
                return false;
            }
            let ignored =
                action.sa_sigaction == libc::SIG_IGN || action.sa_flags & libc::SA_NOCLDWAIT != 0;
            if ignored {
                action.sa_flags &= !libc::SA_NOCLDWAIT;
                if action.sa_sigaction == libc::SIG_IGN {
                    action.sa_sigaction = libc::SIG_DFL;
                }
                libc::sigaction(libc::SIGCHLD, &raw const action, std::ptr::null_mut());
            }
            ignored
        }
    }

    fn succeeded(yes: bool) -> io::Result<()> {
        if yes {
            Ok(())
        } else {
            Err(io::Error::last_os_error())
        }
    }
}

pub(crate) use sys::wait_for_children;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_the_set_up_are_told_from_those_of_exec() {
        let missing = io::Error::from_raw_os_error(libc::ENOENT);
        assert_eq!(decode(missing).unwrap().raw_os_error(), Some(libc::ENOENT));
        let missing = io::Error::from_raw_os_error(libc::ENOENT);
        let failure = decode(staged(DIRECTORY, &missing)).unwrap_err();
        assert_eq!(
            failure.to_string(),
            "cannot change to the working directory in the new process"
        );
    }
}
