//! What there is to use on a machine and for it, and the way to it step by step.

use std::path::Path;
use std::time::Duration;

use backend_core::{Candidate, Examination, Operation, Verdict, why_unusable};
use tokio::time::timeout;

use crate::connect::connect_telling;
use crate::error::{Failure, Stage};
use crate::keys;
use crate::logout;
use crate::machine::{Credentials, KeySource, Machine, Trust};
use crate::options::{HostKeyPolicy, SshOptions};
use crate::places::Place;
use crate::pool::Pool;
use crate::reply::Line;

/// How long all of it may take on one machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// Examines one machine.
pub(crate) async fn examine(place: &Place, pool: &Pool, options: &SshOptions) -> Examination {
    let machine = &place.machine;
    let mut examination = Examination::default();
    let (of, chosen) = (place.machine.clone(), options.clone());
    let looking = tokio::task::spawn_blocking(move || to_use(&of, &chosen));
    examination
        .candidates
        .append(&mut looking.await.unwrap_or_default());
    // Whatever the options allow: who examines has not that long.
    let trying = timeout(PATIENCE, tried(machine, pool, options, &mut examination));
    let result = trying.await.unwrap_or_else(|_| {
        let address = machine.address.clone();
        let limit = PATIENCE;
        Err(Failure::Silent { address, limit })
    });
    examination.end(result.map_err(|failure| failure.during(Operation::Setup)));
    let (slots, weight) = (place.slots, place.weight);
    let through = machine.jump.as_ref().map(|jump| &jump.address);
    let through = through.map_or(String::new(), |jump| format!(", through {jump}"));
    let host = Candidate {
        what: "host",
        name: machine.address.clone(),
        origin: format!("the option `hosts`; {slots} slots, weight {weight}{through}"),
        verdict: examination.verdict(),
    };
    examination.candidates.insert(0, host);
    examination
}

async fn tried(
    machine: &Machine,
    pool: &Pool,
    options: &SshOptions,
    examination: &mut Examination,
) -> Result<(), Failure> {
    let mut begins = |stage| {
        examination.begin(match stage {
            Stage::Connect => "connect",
            Stage::Handshake => "host key",
            Stage::Auth => "credentials",
        });
    };
    let connection = connect_telling(machine, &mut begins).await?;
    pool.put(machine, Some(connection));
    examination.begin("version");
    examination.detail("Linux with what Worker needs");
    let question = ("check", options.directory.0.as_str(), &[][..]);
    let lines = pool
        .ask(machine, question, PATIENCE, &Line::Checked)
        .await?;
    let clock = lines.into_iter().find_map(|line| match line {
        Line::Clock(seconds) => seconds,
        _ => None,
    });
    if let Some(seconds) = clock {
        examination.unix_clock(seconds);
    }
    examination.begin("logout");
    examination.detail("a run outlives its connection");
    logout::outlived(machine, pool, &options.directory.0).await
}

/// The files and the agent that this machine is connected to with. Blocks.
fn to_use(machine: &Machine, options: &SshOptions) -> Vec<Candidate> {
    let mut all = Vec::new();
    if let Some(jump) = &machine.jump {
        all.append(&mut to_use(jump, options));
    }
    all.append(&mut of_trust(&machine.trust, options));
    all.append(&mut of_credentials(&machine.credentials, options));
    all
}

fn of_trust(trust: &Trust, options: &SshOptions) -> Vec<Candidate> {
    match trust {
        Trust::Pinned(fingerprint) => vec![Candidate {
            what: "host key",
            name: fingerprint.clone(),
            origin: "the option `host-key-fingerprint`".into(),
            verdict: Verdict::Used,
        }],
        Trust::Anyone => vec![Candidate {
            what: "host key",
            name: "any: nobody checks who answers".into(),
            origin: "the option `host-key-policy`".into(),
            verdict: Verdict::Used,
        }],
        Trust::Known { files, .. } => files
            .iter()
            .map(|path| Candidate {
                what: "known hosts",
                name: path.display().to_string(),
                origin: origin(options.known_hosts.is_some(), "known-hosts"),
                verdict: readable(path, options.host_key_policy == HostKeyPolicy::AcceptNew),
            })
            .collect(),
    }
}

fn of_credentials(credentials: &Credentials, options: &SshOptions) -> Vec<Candidate> {
    let mut all: Vec<Candidate> = credentials
        .keys
        .iter()
        .map(|source| {
            let loaded = keys::load(source, credentials.passphrase.as_ref());
            let (name, is_option) = match source {
                KeySource::Named(path) => (path.display().to_string(), true),
                KeySource::Usual(path) => (path.display().to_string(), false),
                KeySource::Text(_) => ("a key of the program".into(), true),
            };
            let verdict = match (loaded, source) {
                (Ok(Some(_)), _) => Verdict::Used,
                (Ok(None), KeySource::Usual(path)) if path.exists() => {
                    Verdict::Unusable("it is no key that can be read".into())
                }
                (Ok(None), _) => Verdict::PassedOver("there is none".into()),
                (Err(Failure::Key { problem, .. }), _) => {
                    Verdict::Unusable(format!("it {problem}"))
                }
                (Err(failure), _) => Verdict::Unusable(failure.to_string()),
            };
            Candidate {
                what: "identity",
                name,
                origin: origin(is_option, "identity-file"),
                verdict,
            }
        })
        .collect();
    let agent = credentials.agent.as_ref().map(|path| Candidate {
        what: "agent",
        name: path.display().to_string(),
        origin: origin(options.identity_agent.is_some(), "identity-agent"),
        verdict: match std::os::unix::net::UnixStream::connect(path) {
            Ok(_) => Verdict::Used,
            Err(error) => Verdict::Unusable(why_unusable(path, &error)),
        },
    });
    let password = credentials.password.as_ref().map(|_| Candidate {
        what: "password",
        name: "(hidden)".into(),
        origin: "the option `password`".into(),
        verdict: Verdict::Used,
    });
    all.extend(agent);
    all.extend(password);
    all
}

fn readable(path: &Path, is_made: bool) -> Verdict {
    match std::fs::File::open(path) {
        Ok(_) => Verdict::Used,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let made = if is_made { "; it is made" } else { "" };
            Verdict::PassedOver(format!("there is none{made}"))
        }
        Err(error) => Verdict::Unusable(why_unusable(path, &error)),
    }
}

fn origin(is_option: bool, key: &str) -> String {
    if is_option {
        format!("the option `{key}`")
    } else {
        "the ssh-config, or a usual place".into()
    }
}
