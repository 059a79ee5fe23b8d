//! Begins the process of a script.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use backend_core::interpreter::Interpreter;
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, fcntl_setpipe_size, pipe_with};
use rustix::process::Pid;
use tokio::net::unix::pipe::Receiver;

use crate::child_setup::{ChildSetup, decode, wait_for_children};
use crate::error::Failure;
use crate::group::Group;
use crate::new_process::{NewProcess, text, variables};
use crate::process::Process;

/// As large as an ordinary user may make it (`/proc/sys/fs/pipe-max-size`).
pub(crate) const PIPE_SIZE: usize = 1 << 20;

/// What is to be run, and how.
#[derive(Debug)]
pub(crate) struct Launch {
    pub(crate) interpreter: Interpreter,
    pub(crate) script: PathBuf,
    pub(crate) directory: PathBuf,
    pub(crate) environment: BTreeMap<OsString, OsString>,
    pub(crate) groups: Vec<Group>,
}

impl Launch {
    /// Begins it. Blocks until the new process runs the interpreter; needs the
    /// context of a runtime. An error means that nothing of the script ran.
    pub(crate) fn begin(&self) -> Result<Process, Failure> {
        if wait_for_children() {
            tracing::warn!(
                "SIGCHLD was ignored, and no exit code could have been read: it is no longer"
            );
        }
        let (output, input) =
            pipe_with(PipeFlags::CLOEXEC).map_err(|error| Failure::Pipe(error.into()))?;
        if let Err(error) = fcntl_setpipe_size(&input, PIPE_SIZE) {
            tracing::debug!(%error, "the pipe for the output keeps its default size");
        }
        // Before there is a process that would have to be ended again.
        let output = Receiver::from_owned_fd(output).map_err(Failure::Pipe)?;
        let leader = self.spawn(&input)?;
        // Ours must be closed, or the output never ends.
        drop(input);
        Process::new(leader, output)
    }

    fn spawn(&self, output: &OwnedFd) -> Result<Pid, Failure> {
        let program = self.program();
        let arguments = self.arguments();
        let own_name = OsStr::from_bytes(&self.interpreter.path);
        let as_itself = [own_name].into_iter().chain(arguments.iter().copied());
        let error = match self.new_process(&program, as_itself, output)?.begin() {
            Ok(leader) => return Ok(leader),
            Err(error) => decode(error)?,
        };
        match error.raw_os_error().map(Errno::from_raw_os_error) {
            Some(Errno::TOOBIG) => Err(Failure::EnvironmentTooLarge(self.size())),
            // The interpreter cannot be run: the shell says so in its own
            // words on the script's output, and gives 127 or 126.
            Some(
                Errno::NOENT
                | Errno::ACCESS
                | Errno::NOEXEC
                | Errno::NOTDIR
                | Errno::LOOP
                | Errno::NAMETOOLONG
                | Errno::ISDIR
                | Errno::PERM
                | Errno::LIBBAD
                | Errno::INVAL,
            ) => {
                let shell = OsStr::new("/bin/sh");
                let through = [
                    shell,
                    OsStr::new("-c"),
                    OsStr::new(r#"exec "$0" "$@""#),
                    &program,
                ];
                let through = through.into_iter().chain(arguments.iter().copied());
                let begun = self.new_process(shell, through, output)?.begin();
                begun.map_err(|error| match decode(error) {
                    Ok(error) => Failure::Spawn(error),
                    Err(failure) => failure,
                })
            }
            _ => Err(Failure::Spawn(error)),
        }
    }

    /// The interpreter, never looked up in PATH: the kernel does not either.
    fn program(&self) -> OsString {
        let path = &self.interpreter.path;
        let mut program = Vec::with_capacity(path.len() + 2);
        if !path.contains(&b'/') {
            program.extend_from_slice(b"./");
        }
        program.extend_from_slice(path);
        OsString::from_vec(program)
    }

    fn arguments(&self) -> Vec<&OsStr> {
        let argument = self.interpreter.argument.as_deref().map(OsStr::from_bytes);
        argument
            .into_iter()
            .chain([self.script.as_os_str()])
            .collect()
    }

    fn new_process<'a>(
        &self,
        program: &OsStr,
        arguments: impl Iterator<Item = &'a OsStr>,
        output: &OwnedFd,
    ) -> Result<NewProcess, Failure> {
        let copy = || output.try_clone().map_err(Failure::Pipe);
        Ok(NewProcess {
            program: text(program)?,
            arguments: arguments.map(text).collect::<Result<_, _>>()?,
            environment: variables(&self.environment)?,
            input: File::open("/dev/null").map_err(Failure::Spawn)?.into(),
            output: copy()?,
            errors: copy()?,
            setup: ChildSetup::new(&self.directory, &self.groups)?,
        })
    }

    /// What the kernel counts: texts, their ends, and pointers to them.
    fn size(&self) -> usize {
        let environment = self
            .environment
            .iter()
            .map(|(name, value)| name.len() + value.len() + 2);
        let arguments = self
            .arguments()
            .into_iter()
            .map(|argument| argument.len() + 1);
        environment
            .chain(arguments)
            .map(|length| length + size_of::<usize>())
            .sum()
    }
}
