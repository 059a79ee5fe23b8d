//! What the jobs of a soak run on: daemons of its own, which can be disturbed.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use backend_core::testkit::Endpoint;
use testbed::dockerd::Dockerd;
use testbed::{SshKind, SshServer, SshSetup, WorkerServer};

use super::faults::Trouble;
use super::plan::Backend;

/// One backend, ready for jobs.
pub(crate) struct Rig {
    pub(crate) backend: Backend,
    /// Options of every job, as `KEY=VALUE`.
    pub(crate) options: Vec<String>,
    /// The way there, if there is a connection.
    pub(crate) way: Option<Way>,
    /// One disturbance at a time.
    daemon: Mutex<Machine>,
    troubles: Mutex<Vec<Befell>>,
}

/// How the backend is reached.
pub(crate) struct Way {
    /// What listens there.
    pub(crate) target: Endpoint,
    /// The option that leads there.
    pub(crate) direct: String,
    /// The user and host, or the scheme, before a port of 127.0.0.1 in such an
    /// option.
    lead: String,
}

enum Machine {
    None,
    Docker(Dockerd),
    Ssh(SshServer),
    Http(WorkerServer),
}

/// A trouble of the daemon, and when it was.
struct Befell {
    trouble: Trouble,
    from: Instant,
    /// `None` while it lasts.
    until: Option<Instant>,
}

/// How long a daemon's trouble is felt after its end.
const AFTERMATH: Duration = Duration::from_secs(10);

/// Where everything waits no longer than a soak can afford.
const DOCKER: &[&str] = &[
    "default-image=busybox:test",
    "network=none",
    "request-timeout=15s",
    "reconnect-window=40s",
];
const SSH: &[&str] = &["keepalive=2s", "resume-window=40s", "lease=60s"];
const HTTP: &[&str] = &["resume-window=40s", "lease=20s"];

impl Rig {
    /// Makes one ready; `worker` is the program.
    pub(crate) fn start(backend: Backend, worker: &Path) -> anyhow::Result<Self> {
        let (machine, options, way) = match backend {
            Backend::Fake | Backend::Local => (Machine::None, Vec::new(), None),
            Backend::Docker => docker()?,
            Backend::Ssh => ssh()?,
            Backend::Http => http(worker)?,
        };
        Ok(Self {
            backend,
            options,
            way,
            daemon: Mutex::new(machine),
            troubles: Mutex::default(),
        })
    }

    /// Disturbs the daemon, and has it up again.
    pub(crate) fn disturb(&self, trouble: Trouble) -> anyhow::Result<()> {
        let mut machine = lock(&self.daemon);
        let index = {
            let mut troubles = lock(&self.troubles);
            troubles.push(Befell {
                trouble,
                from: Instant::now(),
                until: None,
            });
            troubles.len() - 1
        };
        let disturbed = machine.disturb(trouble);
        if let Some(befell) = lock(&self.troubles).get_mut(index) {
            befell.until = Some(Instant::now());
        }
        disturbed.with_context(|| {
            format!(
                "the daemon of {} after: {}",
                self.backend.alias(),
                trouble.name()
            )
        })
    }

    /// The troubles of the daemon that a job may have felt which began then.
    pub(crate) fn befell(&self, since: Instant) -> Vec<Trouble> {
        let felt = |it: &&Befell| {
            let now = Instant::now();
            it.from <= now && it.until.is_none_or(|until| until + AFTERMATH >= since)
        };
        let troubles = lock(&self.troubles);
        troubles.iter().filter(felt).map(|it| it.trouble).collect()
    }

    /// What is still there, past all the clean-up, in the words of whoever has
    /// it.
    pub(crate) fn remains(&self) -> anyhow::Result<Vec<String>> {
        lock(&self.daemon).remains()
    }
}

impl Way {
    /// The option that leads to a port of 127.0.0.1 instead.
    pub(crate) fn by(&self, port: u16) -> String {
        format!("{}127.0.0.1:{port}", self.lead)
    }
}

impl Machine {
    fn disturb(&mut self, trouble: Trouble) -> anyhow::Result<()> {
        match (self, trouble) {
            (Self::None, _) => Ok(()),
            (machine, Trouble::Pause { lasts, .. }) => machine.pause(lasts),
            (Self::Docker(engine), Trouble::Kill(_)) => {
                engine.kill()?;
                engine.up()
            }
            (Self::Docker(engine), _) => {
                engine.down();
                engine.up()
            }
            (Self::Ssh(server), _) => server.kill_and_start(),
            (Self::Http(server), Trouble::Kill(_)) => server.end_and_start(libc::SIGKILL),
            (Self::Http(server), _) => server.end_and_start(libc::SIGTERM),
        }
    }

    fn pause(&self, lasts: Duration) -> anyhow::Result<()> {
        let daemon = match self {
            Self::None => None,
            Self::Docker(engine) => engine.daemon(),
            Self::Ssh(server) => Some(server.daemon()),
            Self::Http(server) => Some(server.daemon()),
        };
        let daemon = daemon.context("it is down")?;
        daemon.signal(libc::SIGSTOP)?;
        sleep(lasts);
        daemon.signal(libc::SIGCONT)?;
        Ok(())
    }

    fn remains(&self) -> anyhow::Result<Vec<String>> {
        match self {
            Self::None => Ok(Vec::new()),
            Self::Docker(engine) => {
                let mut left = Vec::new();
                for (what, arguments) in [
                    ("container", &["ps", "--all", "--quiet"][..]),
                    ("volume", &["volume", "ls", "--quiet"]),
                    // Not those that every engine has.
                    (
                        "network",
                        &["network", "ls", "--quiet", "--filter", "type=custom"],
                    ),
                ] {
                    let listed = engine.client(arguments)?;
                    left.extend(listed.lines().map(|id| format!("{what} {id}")));
                }
                Ok(left)
            }
            Self::Ssh(server) => Ok(entries(&server.home().join(".worker-ssh"))),
            Self::Http(server) => Ok(entries(&server.instances())),
        }
    }
}

type Started = (Machine, Vec<String>, Option<Way>);

fn docker() -> anyhow::Result<Started> {
    let engine = Dockerd::start()?;
    engine.import_busybox()?;
    let way = Way {
        target: engine.socket().into(),
        direct: format!("endpoint={}", engine.endpoint()),
        lead: "endpoint=tcp://".into(),
    };
    Ok((Machine::Docker(engine), texts(DOCKER), Some(way)))
}

fn ssh() -> anyhow::Result<Started> {
    // Many connections at once are no reason to refuse one.
    let setup = SshSetup {
        lines: vec!["MaxStartups 100:30:200".into()],
        ..SshSetup::default()
    };
    let server = SshServer::start(SshKind::OpenSsh, &setup)?;
    let way = Way {
        target: Endpoint::Tcp((Ipv4Addr::LOCALHOST, server.port()).into()),
        direct: format!("hosts={}", server.address()),
        lead: format!("hosts={}@", server.user()),
    };
    let mut options = server.options()?;
    options.extend(texts(SSH));
    Ok((Machine::Ssh(server), options, Some(way)))
}

fn http(worker: &Path) -> anyhow::Result<Started> {
    let server = WorkerServer::start(worker, "local", &["--drain-timeout", "2s", "--grace", "1s"])?;
    let way = Way {
        target: Endpoint::Tcp(server.address()),
        direct: format!("endpoint=http://{}", server.address()),
        lead: "endpoint=http://".into(),
    };
    Ok((Machine::Http(server), texts(HTTP), Some(way)))
}

/// What is in a directory, if there is one, below its own hidden files.
pub(crate) fn entries(directory: &Path) -> Vec<String> {
    let Ok(listing) = std::fs::read_dir(directory) else {
        return Vec::new();
    };
    let paths = listing.flatten().map(|entry| entry.path());
    paths
        .map(|path: PathBuf| path.display().to_string())
        .collect()
}

fn texts(all: &[&str]) -> Vec<String> {
    all.iter().map(|text| (*text).to_owned()).collect()
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
