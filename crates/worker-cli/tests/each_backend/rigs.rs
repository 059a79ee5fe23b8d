//! The backends under test, and what each needs to be there.

use std::any::Any;
use std::net::TcpStream;
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use testbed::dockerd::Dockerd;
use testbed::{Daemon, SshKind, SshServer, SshSetup};

/// One backend: how it is made ready, once, and reached from then on.
pub(crate) struct Rig {
    pub(crate) alias: &'static str,
    prepare: fn() -> Result<Ready, Wanting>,
    ready: OnceLock<Result<Ready, Wanting>>,
}

/// A backend that can be used.
#[derive(Default)]
pub(crate) struct Ready {
    /// What every `worker` is given: options, images.
    pub(crate) arguments: Vec<String>,
    /// What is in its environment: secrets.
    pub(crate) environment: Vec<(String, String)>,
    /// Daemons, which end with the tests.
    pub(crate) _daemons: Vec<Box<dyn Any + Send + Sync>>,
}

/// Why a backend cannot be tested here.
pub(crate) enum Wanting {
    /// Something is missing that need not be there.
    Skipped(String),
    /// Something is missing that must be there, or does not work.
    Failed(String),
}

/// All of them. A backend is tested by being in this list.
pub(crate) fn all() -> Vec<Rig> {
    vec![
        Rig::new("fake", || compiled_in(cfg!(feature = "fake"))),
        Rig::new("local", || compiled_in(cfg!(feature = "local"))),
        Rig::new("docker", docker),
        Rig::new("http", http),
        Rig::new("ssh", ssh),
    ]
}

/// For a backend that needs nothing but its feature.
fn compiled_in(there: bool) -> Result<Ready, Wanting> {
    if there {
        Ok(Ready::default())
    } else {
        Err(Wanting::Skipped("its feature is off".into()))
    }
}

/// An engine of the tests' own.
fn docker() -> Result<Ready, Wanting> {
    compiled_in(cfg!(feature = "docker"))?;
    let engine = Dockerd::start().map_err(missing)?;
    engine.import_busybox().map_err(failed)?;
    let options = [
        format!("endpoint={}", engine.endpoint()),
        "default-image=busybox:test".into(),
        "network=none".into(),
    ];
    Ok(Ready {
        arguments: options
            .into_iter()
            .flat_map(|option| ["-o".into(), option])
            .collect(),
        _daemons: vec![Box::new(engine)],
        ..Ready::default()
    })
}

/// A server of this program, in front of `local`.
fn http() -> Result<Ready, Wanting> {
    compiled_in(cfg!(feature = "http") && cfg!(feature = "local"))?;
    let directory = tempfile::tempdir().map_err(failed)?;
    let address = format!("127.0.0.1:{}", testbed::free_port().map_err(failed)?);
    let mut serve = Command::new(env!("CARGO_BIN_EXE_worker"));
    serve
        .args(["serve", "-b", "local", "--listen", &address])
        .env("WORKER_STATE_DIR", directory.path().join("state"))
        .env("WORKER_LOCAL_DIRECTORY", directory.path().join("instances"));
    let grace = Duration::from_secs(40);
    let daemon = Daemon::start("worker serve", &serve, directory, grace);
    let mut daemon = daemon.map_err(failed)?;
    daemon
        .wait_until(Duration::from_secs(30), |_| {
            TcpStream::connect(&address).is_ok()
        })
        .map_err(failed)?;
    Ok(Ready {
        arguments: vec!["-o".into(), format!("endpoint=http://{address}")],
        _daemons: vec![Box::new(daemon)],
        ..Ready::default()
    })
}

/// OpenSSH on a free port, with keys of its own.
fn ssh() -> Result<Ready, Wanting> {
    compiled_in(cfg!(feature = "ssh"))?;
    let server = SshServer::start(SshKind::OpenSsh, &SshSetup::default()).map_err(missing)?;
    let known_hosts = server.known_hosts().map_err(failed)?;
    let options = [
        format!("hosts={}", server.address()),
        "slots=64".into(),
        format!("identity-file={}", server.identity().display()),
        format!("known-hosts={}", known_hosts.display()),
        "identity-agent=none".into(),
        "ssh-config=none".into(),
    ];
    Ok(Ready {
        arguments: options
            .into_iter()
            .flat_map(|it| ["-o".into(), it])
            .collect(),
        _daemons: vec![Box::new(server)],
        ..Ready::default()
    })
}

fn missing(error: impl std::fmt::Display) -> Wanting {
    // With all of its reasons.
    Wanting::Skipped(format!("{error:#}"))
}

fn failed(error: impl std::fmt::Display) -> Wanting {
    Wanting::Failed(error.to_string())
}

impl Rig {
    fn new(alias: &'static str, prepare: fn() -> Result<Ready, Wanting>) -> Self {
        Self {
            alias,
            prepare,
            ready: OnceLock::new(),
        }
    }

    /// Makes it ready, the first time; later callers wait for that.
    pub(crate) fn ready(&self) -> Result<(), &Wanting> {
        self.get().as_ref().map(drop)
    }

    /// How it is reached, once it is ready.
    pub(crate) fn reached(&self) -> Option<&Ready> {
        self.get().as_ref().ok()
    }

    fn get(&self) -> &Result<Ready, Wanting> {
        self.ready.get_or_init(|| match (self.prepare)() {
            Err(Wanting::Skipped(reason)) if testbed::is_required(self.alias) => {
                Err(Wanting::Failed(format!("it is required: {reason}")))
            }
            prepared => prepared,
        })
    }

    /// Whether scripts are really executed; else the options of `fake` that
    /// stand beside them say what they do.
    pub(crate) fn executes(&self) -> bool {
        self.alias != "fake"
    }
}
