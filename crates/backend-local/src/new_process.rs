//! Begins a process inside of its cgroup, without a copy of this one.
//!
//! What the standard library offers can only move a process into a cgroup after
//! the fork. For a move the kernel waits until every processor has passed
//! through a grace period: 10 to 20 ms before the first line of a script. A
//! process that is born in its cgroup (`CLONE_INTO_CGROUP`, Linux 5.7,
//! `clone(2)`) waits for nothing.
//!
//! A fork copies the tables of this process's memory, which for one with much
//! of it takes longer than everything else. So the new process works in the
//! memory of this one until it runs its program, as after `vfork(2)`.
//!
//! Where the kernel, or a filter of system calls, does not allow either, it is
//! forked and moved all the same.

use std::collections::BTreeMap;
use std::ffi::{CStr, CString, OsStr, OsString};
use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::ffi::OsStrExt as _;
use std::ptr;

use rustix::fd::OwnedFd;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};

use crate::child_setup::ChildSetup;
use crate::error::Failure;

/// A process to be. All that it needs is made before the fork: after it there
/// are only system calls.
#[derive(Debug)]
pub(crate) struct NewProcess {
    /// The path of the program; never looked up anywhere.
    pub(crate) program: CString,
    /// All arguments, with the program's name for itself.
    pub(crate) arguments: Vec<CString>,
    /// Each as `NAME=value`.
    pub(crate) environment: Vec<CString>,
    pub(crate) input: OwnedFd,
    pub(crate) output: OwnedFd,
    pub(crate) errors: OwnedFd,
    pub(crate) setup: ChildSetup,
}

impl NewProcess {
    /// Begins it. Blocks until it runs its program; an error is that of `fork`
    /// or `exec`, or of the set-up, in the form of [`decode`], and nothing of
    /// the program ran.
    ///
    /// [`decode`]: crate::child_setup::decode
    pub(crate) fn begin(&self) -> io::Result<Pid> {
        // Apart from the numbers that they become in the new process.
        let apart = |descriptor: &OwnedFd| rustix::io::fcntl_dupfd_cloexec(descriptor, 3);
        let (input, output) = (apart(&self.input)?, apart(&self.output)?);
        let errors = apart(&self.errors)?;
        let (failure, writer) = pipe_with(PipeFlags::CLOEXEC)?;
        let report = apart(&writer)?;
        drop(writer);
        let child = Child {
            program: &self.program,
            arguments: &pointers(&self.arguments),
            environment: &pointers(&self.environment),
            streams: [&input, &output, &errors],
            setup: &self.setup,
            report: &report,
        };
        let pid = sys::fork(&child)?;
        // Ours must be closed, or it never ends.
        drop(report);
        let mut number = Vec::new();
        if let Err(error) = File::from(failure).read_to_end(&mut number) {
            // Nobody knows what it is by now, and nobody would own it.
            kill_process(pid, Signal::KILL).ok();
            waitid(WaitId::Pid(pid), WaitIdOptions::EXITED).ok();
            return Err(error);
        }
        if number.is_empty() {
            return Ok(pid);
        }
        waitid(WaitId::Pid(pid), WaitIdOptions::EXITED).ok();
        let number = number.try_into().map_or(libc::EIO, i32::from_ne_bytes);
        Err(io::Error::from_raw_os_error(number))
    }
}

/// A text as the kernel takes it.
pub(crate) fn text(text: impl AsRef<OsStr>) -> Result<CString, Failure> {
    let text = CString::new(text.as_ref().as_bytes());
    text.map_err(|error| Failure::Spawn(error.into()))
}

/// An environment as the kernel takes it.
pub(crate) fn variables(
    environment: &BTreeMap<OsString, OsString>,
) -> Result<Vec<CString>, Failure> {
    let variables = environment.iter().map(|(name, value)| {
        let variable = [name.as_bytes(), b"=", value.as_bytes()].concat();
        text(OsStr::from_bytes(&variable))
    });
    variables.collect()
}

/// As `execve(2)` takes them.
fn pointers(texts: &[CString]) -> Vec<*const libc::c_char> {
    let pointers = texts.iter().map(|text| text.as_ptr());
    pointers.chain([ptr::null()]).collect()
}

/// What the new process works with: in this memory, or in a copy of it.
#[derive(Clone, Copy)]
struct Child<'a> {
    program: &'a CStr,
    arguments: &'a [*const libc::c_char],
    environment: &'a [*const libc::c_char],
    streams: [&'a OwnedFd; 3],
    setup: &'a ChildSetup,
    report: &'a OwnedFd,
}

impl Child<'_> {
    /// Becomes the program, or says why not.
    fn run(&self, in_its_cgroup: bool) -> ! {
        let error = match self.prepare(in_its_cgroup) {
            Ok(()) => sys::execute(self.program, self.arguments, self.environment),
            Err(error) => error,
        };
        sys::give_up(self.report, error.raw_os_error().unwrap_or(libc::EIO))
    }

    fn prepare(&self, in_its_cgroup: bool) -> io::Result<()> {
        for (stream, number) in self.streams.into_iter().zip(0..) {
            sys::become_descriptor(stream, number)?;
        }
        self.setup.run(in_its_cgroup)
    }
}

/// The system calls.
#[expect(
    unsafe_code,
    reason = "these are calls of the C library and the kernel"
)]
mod sys {
    use std::ffi::CStr;
    use std::io;
    use std::mem::{MaybeUninit, size_of, size_of_val};
    use std::ptr;

    use rustix::fd::{AsRawFd as _, OwnedFd};
    use rustix::process::Pid;

    use super::Child;

    /// Forks, with all signals blocked: no handler of this program may run in
    /// the new process.
    pub(super) fn fork(child: &Child<'_>) -> io::Result<Pid> {
        let mut all = MaybeUninit::<libc::sigset_t>::uninit();
        let mut before = MaybeUninit::<libc::sigset_t>::uninit();
        // SAFETY: the first call sets `all`, the second `before`.
        unsafe {
            libc::sigfillset(all.as_mut_ptr());
            libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr());
        }
        let forked = give_birth(child).or_else(|error| {
            tracing::debug!(%error, "a process is copied and moved into its cgroup");
            copy(child)
        });
        // SAFETY: it was set above.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, before.as_ptr(), ptr::null_mut()) };
        forked
    }

    fn copy(child: &Child<'_>) -> io::Result<Pid> {
        // SAFETY: the child makes system calls only, on data prepared before,
        // and never returns from here.
        let number = unsafe { libc::fork() };
        if number == 0 {
            child.run(false);
        }
        Pid::from_raw(number)
            .filter(|_| number > 0)
            .ok_or_else(io::Error::last_os_error)
    }

    /// Makes the new process in its cgroup, if it has one that this can be done
    /// with, and in the memory of this one, where that is known how. This thread
    /// goes on when the new process runs its program, or is gone.
    fn give_birth(child: &Child<'_>) -> io::Result<Pid> {
        // SAFETY: zeros are what `clone3(2)` takes for all that is not asked for.
        let mut arguments: libc::clone_args = unsafe { std::mem::zeroed() };
        arguments.exit_signal = libc::SIGCHLD.cast_unsigned().into();
        if let Some(cradle) = &child.setup.cradle {
            /// `CLONE_INTO_CGROUP` of `linux/sched.h`, wider than the other flags.
            const INTO_CGROUP: u64 = 0x2_0000_0000;
            arguments.flags |= INTO_CGROUP;
            arguments.cgroup = cradle.directory.as_raw_fd().cast_unsigned().into();
        }
        let number = birth::clone(&mut arguments, child);
        let number = i32::try_from(number).unwrap_or(-libc::EIO);
        Pid::from_raw(number)
            .filter(|_| number > 0)
            .ok_or_else(|| io::Error::from_raw_os_error(-number))
    }

    /// The new process, from its first instruction on.
    extern "C" fn enter(child: &Child<'_>) -> ! {
        child.run(true)
    }

    #[cfg(target_arch = "x86_64")]
    mod birth {
        use std::arch::asm;

        use super::{Child, MaybeUninit, enter, size_of, size_of_val};

        /// Enough for what a new process does before `exec`, many times over;
        /// aligned as the calling convention wants it.
        type Stack = [MaybeUninit<u128>; 4096];

        /// The number of the process, or of an error below zero.
        pub(super) fn clone(arguments: &mut libc::clone_args, child: &Child<'_>) -> i64 {
            let mut stack = Box::<Stack>::new_uninit();
            arguments.flags |= u64::from((libc::CLONE_VM | libc::CLONE_VFORK).cast_unsigned());
            arguments.stack = stack.as_mut_ptr().expose_provenance() as u64;
            arguments.stack_size = size_of_val(&*stack) as u64;
            let result;
            // SAFETY: the new process has a stack of its own, which lives as long
            // as it is in this memory, and never leaves `enter`. It makes system
            // calls only, on data prepared before; of this memory it writes to
            // its stack, and to the `errno` of this thread, which waits for it.
            unsafe {
                asm!(
                    "syscall",
                    "test rax, rax",
                    "jnz 2f",
                    "xor ebp, ebp",
                    "mov rdi, r12",
                    "call r13",
                    "ud2",
                    "2:",
                    inlateout("rax") libc::SYS_clone3 => result,
                    in("rdi") &raw const *arguments,
                    in("rsi") size_of::<libc::clone_args>(),
                    in("r12") &raw const *child,
                    in("r13") enter as extern "C" fn(&Child<'_>) -> !,
                    lateout("rcx") _,
                    lateout("r11") _,
                );
            }
            result
        }
    }

    /// With a copy of this memory, as with `fork`.
    #[cfg(not(target_arch = "x86_64"))]
    mod birth {
        use std::io;

        use super::{Child, enter, size_of};

        pub(super) fn clone(arguments: &mut libc::clone_args, child: &Child<'_>) -> i64 {
            // SAFETY: as in `copy`: without more flags this is a fork.
            let number = unsafe {
                libc::syscall(
                    libc::SYS_clone3,
                    &raw const *arguments,
                    size_of::<libc::clone_args>(),
                )
            };
            match number {
                0 => enter(child),
                1.. => number,
                _ => -i64::from(
                    io::Error::last_os_error()
                        .raw_os_error()
                        .unwrap_or(libc::EIO),
                ),
            }
        }
    }

    /// Makes `number` mean what `descriptor` means, also after `exec`.
    pub(super) fn become_descriptor(descriptor: &OwnedFd, number: i32) -> io::Result<()> {
        // SAFETY: no memory is touched.
        if unsafe { libc::dup2(descriptor.as_raw_fd(), number) } == number {
            Ok(())
        } else {
            Err(io::Error::last_os_error())
        }
    }

    /// Runs a program in place of this one; returns only if that fails.
    pub(super) fn execute(
        program: &CStr,
        arguments: &[*const libc::c_char],
        environment: &[*const libc::c_char],
    ) -> io::Error {
        // SAFETY: both lists end with null, and point to texts that end with NUL.
        unsafe { libc::execve(program.as_ptr(), arguments.as_ptr(), environment.as_ptr()) };
        io::Error::last_os_error()
    }

    /// Reports an error number, and ends.
    pub(super) fn give_up(report: &OwnedFd, number: i32) -> ! {
        let bytes = number.to_ne_bytes();
        // SAFETY: the pointer and length are those of a live array. Without
        // atexit handlers, which are the worker's.
        unsafe {
            libc::write(report.as_raw_fd(), bytes.as_ptr().cast(), bytes.len());
            libc::_exit(127)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use rustix::process::WaitIdStatus;

    use super::*;
    use crate::child_setup::decode;

    fn begin(program: &str, arguments: &[&str]) -> (io::Result<Pid>, String) {
        let text = |text: &str| CString::new(text).unwrap();
        let (output, input) = pipe_with(PipeFlags::CLOEXEC).unwrap();
        let new = NewProcess {
            program: text(program),
            arguments: [program].iter().chain(arguments).map(|t| text(t)).collect(),
            environment: vec![text("GIVEN=yes")],
            input: File::open("/dev/null").unwrap().into(),
            output: input.try_clone().unwrap(),
            errors: input,
            setup: ChildSetup::new("/tmp".as_ref(), &[]).unwrap(),
        };
        let begun = new.begin();
        drop(new);
        let mut printed = String::new();
        File::from(output).read_to_string(&mut printed).unwrap();
        (begun, printed)
    }

    fn end(pid: Pid) -> WaitIdStatus {
        waitid(WaitId::Pid(pid), WaitIdOptions::EXITED)
            .unwrap()
            .unwrap()
    }

    #[test]
    fn a_process_has_its_arguments_environment_streams_and_directory() {
        let script = "echo \"$0 $1 $GIVEN $HOME\"; pwd >&2; cat; exit 7";
        let (begun, printed) = begin("/bin/sh", &["-c", script, "name", "first"]);
        assert_eq!(printed, "name first yes \n/tmp\n");
        assert_eq!(end(begun.unwrap()).exit_status(), Some(7));
    }

    #[test]
    fn a_program_that_cannot_be_run_is_an_error_and_no_process() {
        let (begun, printed) = begin("/no/such/program", &[]);
        let error = decode(begun.unwrap_err()).unwrap();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        assert_eq!(printed, "");
    }
}
