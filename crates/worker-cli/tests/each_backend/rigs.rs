//! The backends under test, and what each needs to be there.

use std::any::Any;
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::OnceLock;

use backend_core::testkit::Endpoint;
use testbed::dockerd::Dockerd;
use testbed::{SshKind, SshServer, SshSetup, WorkerServer};

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
    /// What a start goes through.
    pub(crate) way: Way,
    /// Daemons, which end with the tests.
    pub(crate) _daemons: Vec<Box<dyn Any + Send + Sync>>,
}

/// What a start goes through, and can fail at.
#[derive(Default)]
pub(crate) enum Way {
    /// Nothing but options of its own, which a script for it says.
    #[default]
    Options,
    /// A directory of this machine.
    Directory,
    /// A connection to what listens at `target`, where the option `direct`
    /// leads; `lead` says which one leads to a port of 127.0.0.1.
    Connection {
        target: Endpoint,
        direct: String,
        lead: Box<dyn Fn(u16) -> String + Send + Sync>,
    },
}

impl Way {
    /// The option that leads there.
    pub(crate) fn direct(&self) -> Option<String> {
        match self {
            Self::Options | Self::Directory => None,
            Self::Connection { direct, .. } => Some(direct.clone()),
        }
    }
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
        Rig::new("local", local),
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

/// Processes of this machine.
fn local() -> Result<Ready, Wanting> {
    compiled_in(cfg!(feature = "local"))?;
    Ok(Ready {
        way: Way::Directory,
        ..Ready::default()
    })
}

/// An engine of the tests' own.
fn docker() -> Result<Ready, Wanting> {
    compiled_in(cfg!(feature = "docker"))?;
    let engine = Dockerd::start().map_err(missing)?;
    engine.import_busybox().map_err(failed)?;
    let options = ["default-image=busybox:test", "network=none"];
    Ok(Ready {
        arguments: options
            .into_iter()
            .flat_map(|option| ["-o".into(), option.into()])
            .collect(),
        way: Way::Connection {
            target: engine.socket().into(),
            direct: format!("endpoint={}", engine.endpoint()),
            lead: Box::new(|port| format!("endpoint=tcp://127.0.0.1:{port}")),
        },
        _daemons: vec![Box::new(engine)],
        ..Ready::default()
    })
}

/// A server of this program, in front of `local`.
fn http() -> Result<Ready, Wanting> {
    compiled_in(cfg!(feature = "http") && cfg!(feature = "local"))?;
    let worker = Path::new(env!("CARGO_BIN_EXE_worker"));
    let server = WorkerServer::start(worker, "local", &[]).map_err(failed)?;
    let address = server.address();
    Ok(Ready {
        way: Way::Connection {
            target: Endpoint::Tcp(address),
            direct: format!("endpoint=http://{address}"),
            lead: Box::new(|port| format!("endpoint=http://127.0.0.1:{port}")),
        },
        _daemons: vec![Box::new(server)],
        ..Ready::default()
    })
}

/// OpenSSH on a free port, with keys of its own.
fn ssh() -> Result<Ready, Wanting> {
    compiled_in(cfg!(feature = "ssh"))?;
    let server = SshServer::start(SshKind::OpenSsh, &SshSetup::default()).map_err(missing)?;
    let user = server.user().to_owned();
    let options = server.options().map_err(failed)?;
    Ok(Ready {
        arguments: options
            .into_iter()
            .flat_map(|it| ["-o".into(), it])
            .collect(),
        way: Way::Connection {
            target: Endpoint::Tcp((Ipv4Addr::LOCALHOST, server.port()).into()),
            direct: format!("hosts={}", server.address()),
            lead: Box::new(move |port| format!("hosts={user}@127.0.0.1:{port}")),
        },
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
