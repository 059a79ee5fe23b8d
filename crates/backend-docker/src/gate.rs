//! The conversation with a container's gate, until the script begins.

use std::collections::VecDeque;
use std::time::Duration;
use std::{fmt, io};

use backend_core::interpreter::Interpreter;
use backend_core::{Environment, InstanceId};
use tokio::time::timeout;

use crate::attached::{Attached, Progress};
use crate::frames::Channel;
use crate::program;
use crate::reports::{Hello, Report, Reports};

/// The program of the gate, for `/bin/sh -c`.
pub(crate) const PROGRAM: &str = include_str!("gate.sh");

/// Where the gate keeps script and environment: a small file system in memory,
/// made with the container.
pub(crate) const FILES: &str = "/.worker";

/// What the gate exits with where the script never began. A script may exit
/// with it too: then the gate had said before that it begins.
pub(crate) const NEVER_BEGAN: i32 = 113;

/// The marker behind the script's output.
pub(crate) fn marker(word: &str) -> String {
    format!("worker-end-{word}")
}

/// Why the conversation came to an end.
#[derive(Debug)]
pub(crate) enum Broken {
    /// The stream failed.
    Stream(io::Error),
    /// The stream ended; what the container had said that was no report.
    Ended(String),
    /// The gate cannot take what was sent; why, and what its tools said.
    Refused(String, String),
    /// The gate reports what makes no sense now.
    Unexpected(Report),
}

/// The gate of a container whose script has not begun.
pub(crate) struct Gate {
    attached: Attached,
    reports: Reports,
    /// Reports that have come and were not looked at.
    pending: VecDeque<Report>,
    word: String,
    hello: Option<Hello>,
    /// Whether its shell says so when a child dies of a signal.
    tells_deaths: bool,
    /// How long it may take to go on with what it is given.
    patience: Duration,
}

/// What a gate is told first.
#[derive(Debug)]
pub(crate) struct Greeting<'a> {
    pub(crate) id: &'a InstanceId,
    /// Whether it is to make a directory for the script.
    pub(crate) new_directory: bool,
    /// Whether its shell is known to say so when a child dies of a signal.
    pub(crate) tells_deaths: bool,
    /// Whether it is to write the file of hosts, as nobody else does.
    pub(crate) writes_hosts: bool,
    /// How long it may take to go on with what it is given.
    pub(crate) patience: Duration,
}

impl Greeting<'_> {
    fn line(&self, word: &str) -> String {
        let word_of = |is, yes, no| if is { yes } else { no };
        format!(
            "hello {word} {} {} {} {}\n",
            self.id,
            word_of(self.new_directory, "new", "given"),
            word_of(self.tells_deaths, "known", "unknown"),
            word_of(self.writes_hosts, "missing", "written"),
        )
    }
}

/// What the gate does once the script has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Then {
    /// It ends, and the container with it.
    Exit,
    /// The same, but not before it was told by [`HAVE_ALL`] that all output has
    /// come.
    Linger,
    /// It stays until the container is removed.
    Stay,
}

/// The line that ends a gate that lingers.
pub(crate) const HAVE_ALL: &[u8] = b"have all\n";

/// A gate that was told to go, taken apart for the run.
pub(crate) struct Opened {
    pub(crate) attached: Attached,
    pub(crate) reports: Reports,
    /// Reports that have come already.
    pub(crate) pending: VecDeque<Report>,
    pub(crate) word: String,
    /// Its process id in the container.
    pub(crate) pid: u32,
    pub(crate) tells_deaths: bool,
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate")
            .field("hello", &self.hello)
            .finish_non_exhaustive()
    }
}

impl Gate {
    /// Greets the gate behind `attached`, and waits until it takes commands.
    pub(crate) async fn greet(attached: Attached, greeting: &Greeting<'_>) -> Result<Self, Broken> {
        let word = format!("{:016x}{:016x}", fastrand::u64(..), fastrand::u64(..));
        let mut gate = Self {
            attached,
            reports: Reports::new(&word),
            pending: VecDeque::new(),
            word,
            hello: None,
            tells_deaths: greeting.tells_deaths,
            patience: greeting.patience,
        };
        let line = greeting.line(&gate.word);
        gate.write(line.as_bytes()).await?;
        match gate.answer(&mut String::new()).await? {
            Report::Hello(hello) => gate.hello = Some(hello),
            other => return Err(Broken::Unexpected(other)),
        }
        let mut told = String::new();
        match gate.answer(&mut told).await? {
            Report::Ready => gate.tells_deaths |= told.contains("Killed"),
            other => return Err(Broken::Unexpected(other)),
        }
        Ok(gate)
    }

    /// What the gate said of its container.
    pub(crate) fn hello(&self) -> Option<&Hello> {
        self.hello.as_ref()
    }

    /// Whether its shell says so when a child dies of a signal.
    pub(crate) fn tells_deaths(&self) -> bool {
        self.tells_deaths
    }

    /// Stores the script. What was stored before is replaced.
    pub(crate) async fn store_script(&mut self, script: &[u8]) -> Result<(), Broken> {
        self.store("script", script, "none").await
    }

    /// Stores what the script is to be given, and tries whether it can be.
    pub(crate) async fn store_environment(
        &mut self,
        id: &InstanceId,
        environment: &Environment,
        interpreter: &Interpreter,
    ) -> Result<(), Broken> {
        /// Beginning a program to try the environment costs a millisecond;
        /// below this size none can be too large.
        const TRIAL: usize = 64 << 10;
        let setsid = self
            .hello
            .as_ref()
            .and_then(|hello| hello.setsid.as_deref());
        let file = program::environment_file(id, environment, setsid, interpreter);
        let trial = match environment.is_empty() {
            true => "none",
            false if file.len() > TRIAL => "begin",
            false => "read",
        };
        self.store("environment", &file, trial).await
    }

    /// Tells the gate to run the script. From here on it may have begun.
    pub(crate) async fn go(mut self, then: Then) -> (Opened, io::Result<()>) {
        let line: &[u8] = match then {
            Then::Exit => b"go exit\n",
            Then::Linger => b"go linger\n",
            Then::Stay => b"go stay\n",
        };
        let written = self.attached.write(line).await;
        let opened = Opened {
            attached: self.attached,
            reports: self.reports,
            pending: self.pending,
            word: self.word,
            pid: self.hello.map_or(0, |hello| hello.pid),
            tells_deaths: self.tells_deaths,
        };
        (opened, written)
    }

    async fn store(&mut self, what: &str, bytes: &[u8], trial: &str) -> Result<(), Broken> {
        let line = format!("{what} {} {trial}\n", bytes.len());
        self.write(line.as_bytes()).await?;
        self.write(bytes).await?;
        let mut told = String::new();
        match self.prompt_answer(&mut told).await? {
            Report::Stored => Ok(()),
            Report::Refused(what) => Err(Broken::Refused(what, told)),
            other => Err(Broken::Unexpected(other)),
        }
    }

    /// Writes; where that fails, the gate may have said why.
    async fn write(&mut self, mut bytes: &[u8]) -> Result<(), Broken> {
        /// More reports than there are while something is sent.
        const MOST: usize = 1024;
        let error = loop {
            match self.attached.write_or_read(&mut bytes, self.patience).await {
                Ok(Progress::Written) => return Ok(()),
                Ok(Progress::Read { any: true }) => {
                    self.hear().map_err(Broken::Stream)?;
                    let refusal = |report: &Report| matches!(report, Report::Refused(_));
                    if self.pending.iter().any(refusal) {
                        break io::ErrorKind::BrokenPipe.into();
                    }
                    if self.pending.len() > MOST {
                        let error = "it talks, and takes nothing";
                        let error = io::Error::new(io::ErrorKind::InvalidData, error);
                        return Err(Broken::Stream(error));
                    }
                }
                Ok(Progress::Read { any: false }) => break io::ErrorKind::UnexpectedEof.into(),
                Err(error) => break error,
            }
        };
        if error.kind() == io::ErrorKind::TimedOut {
            return Err(Broken::Stream(error));
        }
        let mut told = String::new();
        match self.prompt_answer(&mut told).await {
            Ok(Report::Refused(what)) => Err(Broken::Refused(what, told)),
            Err(Broken::Ended(text)) => Err(Broken::Ended(text)),
            Ok(_) | Err(_) => Err(Broken::Stream(error)),
        }
    }

    /// The gate's answer to what it was given: an open connection says nothing
    /// of whether that arrived.
    async fn prompt_answer(&mut self, told: &mut String) -> Result<Report, Broken> {
        let patience = self.patience;
        let answered = timeout(patience, self.answer(told)).await;
        answered.unwrap_or_else(|_| {
            let what = format!("no answer came within {patience:?}");
            let error = io::Error::new(io::ErrorKind::TimedOut, what);
            Err(Broken::Stream(error))
        })
    }

    /// The gate's next report; what else is said goes into `told`.
    async fn answer(&mut self, told: &mut String) -> Result<Report, Broken> {
        loop {
            while let Some(report) = self.pending.pop_front() {
                match report {
                    Report::Text(text) => {
                        /// More than a shell has to say about one command.
                        const MOST: usize = 4096;
                        if told.len() < MOST {
                            told.push_str(text.trim_end());
                            told.push(' ');
                        }
                    }
                    other => return Ok(other),
                }
            }
            if !self.attached.read().await.map_err(Broken::Stream)? {
                return Err(Broken::Ended(told.trim_end().to_owned()));
            }
            self.hear().map_err(Broken::Stream)?;
        }
    }

    /// Takes the reports from what was read last.
    fn hear(&mut self) -> io::Result<()> {
        let mut pieces = self.attached.pieces();
        while let Some((channel, piece)) = pieces.next()? {
            // Nothing of the script's can be there yet: an image's own noise
            // on stdout is not its output.
            if channel == Channel::Stderr {
                self.pending.extend(self.reports.feed(piece));
            }
        }
        Ok(())
    }
}
