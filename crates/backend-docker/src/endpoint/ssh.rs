//! An engine on another machine, through the `ssh` program: what the docker
//! client does for `ssh://`, with the user's own keys, agent and settings.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::process::Stdio;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::task::JoinHandle;

use super::address::host_and_port;

/// The most of what `ssh` complains that is kept.
const LONGEST_COMPLAINT: u64 = 4096;

/// Where `ssh` goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SshTarget {
    user: Option<String>,
    host: String,
    port: Option<u16>,
}

impl SshTarget {
    /// Reads what follows `ssh://`.
    ///
    /// # Errors
    ///
    /// What is wrong with it, without quoting it.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let authority = match text.split_once('/') {
            Some((authority, "")) => authority,
            Some(_) => return Err("it has a path after its host".into()),
            None => text,
        };
        let (user, authority) = match authority.rsplit_once('@') {
            Some((user, authority)) => (Some(user), authority),
            None => (None, authority),
        };
        if user.is_some_and(|user| user.contains(':')) {
            return Err("it has a password in it, and `ssh` takes none: use a key".into());
        }
        // Nothing that `ssh` could take for an option, or a shell for its own.
        let is_plain =
            |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b'+');
        let is_user =
            |user: &str| !user.is_empty() && !user.starts_with('-') && user.bytes().all(is_plain);
        if user.is_some_and(|user| !is_user(user)) {
            return Err("its user is not the name of one".into());
        }
        let (host, port) = host_and_port(authority)?;
        Ok(Self {
            user: user.map(str::to_owned),
            host,
            port,
        })
    }

    /// Runs `ssh` for one stream.
    pub(super) fn connect(&self) -> io::Result<SshStream> {
        let mut command = Command::new("ssh");
        command.args(self.arguments());
        SshStream::run(command)
    }

    fn arguments(&self) -> Vec<String> {
        // No questions: there is no one to answer them.
        let mut arguments = vec!["-o".into(), "BatchMode=yes".into(), "-T".into()];
        if let Some(user) = &self.user {
            arguments.extend(["-l".into(), user.clone()]);
        }
        if let Some(port) = self.port {
            arguments.extend(["-p".into(), port.to_string()]);
        }
        let host_and_program = ["--", &self.host, "docker", "system", "dial-stdio"];
        arguments.extend(host_and_program.map(str::to_owned));
        arguments
    }
}

impl fmt::Display for SshTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ssh://")?;
        if let Some(user) = &self.user {
            write!(f, "{user}@")?;
        }
        if self.host.contains(':') {
            write!(f, "[{}]", self.host)?;
        } else {
            f.write_str(&self.host)?;
        }
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

/// The input and output of a program as one stream. Dropped, it ends the
/// program.
#[derive(Debug)]
pub(super) struct SshStream {
    input: Option<ChildStdin>,
    output: ChildStdout,
    has_read: bool,
    complaint: JoinHandle<String>,
    _child: Child,
}

impl SshStream {
    fn run(mut command: Command) -> io::Result<Self> {
        let program = command
            .as_std()
            .get_program()
            .to_string_lossy()
            .into_owned();
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| {
                io::Error::new(error.kind(), format!("cannot run `{program}`: {error}"))
            })?;
        match (child.stdin.take(), child.stdout.take(), child.stderr.take()) {
            (Some(input), Some(output), Some(errors)) => Ok(Self {
                input: Some(input),
                output,
                has_read: false,
                complaint: tokio::spawn(complaint(errors)),
                _child: child,
            }),
            _ => Err(io::Error::other("the program has no input or output")),
        }
    }
}

impl AsyncRead for SshStream {
    /// An end before the first byte is an error, with what the program
    /// complained of.
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.output).poll_read(context, buffer))?;
        if buffer.filled().len() > before || buffer.remaining() == 0 || self.has_read {
            self.has_read = true;
            return Poll::Ready(Ok(()));
        }
        let complaint = ready!(Pin::new(&mut self.complaint).poll(context)).unwrap_or_default();
        self.has_read = true;
        let text = if complaint.is_empty() {
            "ssh ended without a word".into()
        } else {
            format!("ssh says: {complaint}")
        };
        Poll::Ready(Err(io::Error::new(io::ErrorKind::ConnectionAborted, text)))
    }
}

impl AsyncWrite for SshStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.input {
            Some(input) => Pin::new(input).poll_write(context, bytes),
            None => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.input {
            Some(input) => Pin::new(input).poll_flush(context),
            None => Poll::Ready(Ok(())),
        }
    }

    /// Only closing a pipe tells its end.
    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.as_mut().poll_flush(context))?;
        self.input = None;
        Poll::Ready(Ok(()))
    }
}

/// What a program says on its error output, on one line.
async fn complaint(errors: ChildStderr) -> String {
    let mut errors = errors;
    let mut text = vec![];
    let mut beginning = (&mut errors).take(LONGEST_COMPLAINT);
    beginning.read_to_end(&mut text).await.ok();
    // It must not block on what nobody reads.
    tokio::spawn(async move { tokio::io::copy(&mut errors, &mut tokio::io::sink()).await });
    let text = String::from_utf8_lossy(&text);
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokio::io::AsyncWriteExt as _;

    use super::*;

    #[test]
    fn the_arguments_are_of_a_host_and_nothing_else() {
        let target = SshTarget::parse("me@host.example:2222").unwrap();
        assert_eq!(
            target.arguments().join(" "),
            "-o BatchMode=yes -T -l me -p 2222 -- host.example docker system dial-stdio"
        );
        assert_eq!(target.to_string(), "ssh://me@host.example:2222");
        for wrong in [
            "",
            "-oProxyCommand=x",
            "-l@host",
            "a:hunter2@host",
            "me@-host",
            "me@ho$(x)st",
            "host/path",
            "me;x@host",
            "@host",
            "host:x",
        ] {
            let error = SshTarget::parse(wrong).unwrap_err();
            assert!(!error.contains("hunter2"), "{wrong}: {error}");
        }
    }

    proptest! {
        #[test]
        fn no_text_becomes_an_option(text in "[-a-z@:./$ ]{0,20}") {
            if let Ok(target) = SshTarget::parse(&text) {
                let arguments = target.arguments();
                let host = arguments.iter().position(|argument| argument == "--").unwrap() + 1;
                prop_assert!(!arguments[host].starts_with('-'));
                prop_assert!(target.user.is_none_or(|user| !user.starts_with('-')));
            }
        }
    }

    fn shell(script: &str) -> SshStream {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]);
        SshStream::run(command).unwrap()
    }

    #[tokio::test]
    async fn bytes_go_both_ways_and_so_does_the_end() {
        let mut stream = shell("cat; printf end");
        stream.write_all(b"hello ").await.unwrap();
        stream.shutdown().await.unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "hello end");
        stream.write_all(b"x").await.unwrap_err();
    }

    #[tokio::test]
    async fn what_the_program_complains_of_is_the_error() {
        let mut stream = shell("echo 'Permission denied (publickey).' >&2; exit 255");
        let error = stream.read_u8().await.unwrap_err();
        assert!(error.to_string().contains("Permission denied"), "{error}");
    }

    /// What `ssh` runs on the other machine, without `ssh`.
    #[tokio::test(flavor = "multi_thread")]
    async fn an_engine_answers_through_dial_stdio() {
        let engine = match testbed::dockerd::Dockerd::start() {
            Ok(engine) => engine,
            Err(error) => return testbed::missing("docker", &format!("{error:#}")),
        };
        let mut command = Command::new("docker");
        command.args(["--host", &engine.endpoint(), "system", "dial-stdio"]);
        let stream = SshStream::run(command).unwrap();
        let request = hyper::Request::get("/_ping");
        let request = request.body(http_body_util::Empty::<bytes::Bytes>::new());
        let answer = crate::transport::request_on(stream, request.unwrap()).await;
        assert!(answer.unwrap().headers().contains_key("api-version"));
    }
}
