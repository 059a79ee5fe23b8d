//! Begins the process of a script.

use std::collections::BTreeMap;
use std::ffi::{CString, OsStr, OsString};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use backend_core::interpreter::Interpreter;
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, fcntl_setpipe_size, pipe_with};
use tokio::net::unix::pipe::Receiver;

use crate::child_setup::{ChildSetup, decode, wait_for_children};
use crate::error::Failure;
use crate::group::Group;
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
        let child = self.spawn(&input)?;
        // Ours must be closed, or the output never ends.
        drop(input);
        Process::new(&child, output)
    }

    fn spawn(&self, output: &OwnedFd) -> Result<Child, Failure> {
        let program = self.program();
        let arguments = self.arguments();
        let mut command = self.command(&program, output)?;
        command
            .arg0(OsStr::from_bytes(&self.interpreter.path))
            .args(&arguments);
        let error = match command.spawn() {
            Ok(child) => return Ok(child),
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
                let mut shell = self.command(OsStr::new("/bin/sh"), output)?;
                shell
                    .arg("-c")
                    .arg(r#"exec "$0" "$@""#)
                    .arg(&program)
                    .args(&arguments);
                shell.spawn().map_err(|error| match decode(error) {
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

    fn command(&self, program: &OsStr, output: &OwnedFd) -> Result<Command, Failure> {
        let directory = CString::new(self.directory.as_os_str().as_bytes())
            .map_err(|error| Failure::file("use", &self.directory, io::Error::from(error)))?;
        let doors = self
            .groups
            .iter()
            .map(Group::door)
            .collect::<Result<_, _>>()?;
        let end = || output.try_clone().map(Stdio::from).map_err(Failure::Pipe);
        let mut command = Command::new(program);
        command
            .env_clear()
            .envs(&self.environment)
            .stdin(Stdio::null())
            .stdout(end()?)
            .stderr(end()?);
        ChildSetup { directory, doors }.attach(&mut command);
        Ok(command)
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
