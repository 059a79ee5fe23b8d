//! Which endpoints there are to try.

use std::path::{Path, PathBuf};

use super::failure::DiscoveryFailure;
use super::origin::Origin;
use crate::docker_config::{self, DockerConfig};
use crate::docker_context;
use crate::endpoint::{Address, Endpoint, Tls};
use crate::options::DockerOptions;

/// What to try.
#[derive(Debug)]
pub(super) enum Plan {
    /// This one and no other.
    Named(Origin, Endpoint),
    /// The first of these that answers.
    Any(Vec<Endpoint>),
}

/// What of the process's surroundings names an engine. An empty variable is
/// one that is not set.
#[derive(Debug, Default)]
pub(super) struct Surroundings {
    pub(super) docker_host: Option<String>,
    pub(super) docker_context: Option<String>,
    pub(super) docker_cert_path: Option<PathBuf>,
    /// Whether `DOCKER_TLS` or `DOCKER_TLS_VERIFY` is set.
    pub(super) docker_tls: bool,
    /// Where the docker client keeps its files.
    pub(super) docker_files: Option<PathBuf>,
    pub(super) home: Option<PathBuf>,
    pub(super) runtime_directory: Option<PathBuf>,
}

/// The TLS that an endpoint is to have.
#[derive(Debug, Default)]
struct Wish {
    wanted: bool,
    directory: Option<PathBuf>,
    skip_verification: bool,
}

impl Surroundings {
    pub(super) fn of_process() -> Self {
        let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        let text = |name: &str| variable(name).map(|value| value.to_string_lossy().into_owned());
        Self {
            docker_host: text("DOCKER_HOST"),
            docker_context: text("DOCKER_CONTEXT"),
            docker_cert_path: variable("DOCKER_CERT_PATH").map(PathBuf::from),
            docker_tls: ["DOCKER_TLS", "DOCKER_TLS_VERIFY"]
                .into_iter()
                .any(|name| variable(name).is_some()),
            docker_files: docker_config::directory(),
            home: std::env::home_dir(),
            runtime_directory: variable("XDG_RUNTIME_DIR").map(PathBuf::from),
        }
    }
}

/// Decides what to try. Reads the files of the docker client, and those of TLS.
pub(super) fn plan(
    options: &DockerOptions,
    surroundings: &Surroundings,
) -> Result<Plan, DiscoveryFailure> {
    if let Some(text) = &options.endpoint {
        let wish = Wish {
            wanted: options.cert_path.is_some(),
            ..Wish::default()
        };
        return named(Origin::Option, text, &wish, options);
    }
    if let Some(text) = &surroundings.docker_host {
        let directory = surroundings.docker_cert_path.clone();
        let wanted = surroundings.docker_tls || directory.is_some();
        let default = || surroundings.docker_files.clone();
        let wish = Wish {
            wanted,
            // Where the docker client looks: its own directory, if it has any.
            directory: directory.or_else(|| default().filter(|files| files.is_dir())),
            skip_verification: false,
        };
        return named(Origin::DockerHost, text, &wish, options);
    }
    if let Some((name, files)) = context(surroundings)? {
        let context = docker_context::read(files, &name);
        let origin = Origin::Context(name);
        let context = match context {
            Ok(context) => context,
            Err(source) => return Err(DiscoveryFailure::Configuration(origin, source)),
        };
        let wish = Wish {
            wanted: context.tls.is_some() || context.skip_tls_verify,
            directory: context.tls,
            skip_verification: context.skip_tls_verify,
        };
        return named(origin, &context.host, &wish, options);
    }
    if options.cert_path.is_some() {
        let why = "no endpoint is named that it could be for";
        return Err(DiscoveryFailure::NoUseForCertificates(why.into()));
    }
    Ok(Plan::Any(well_known(surroundings)))
}

/// The docker client's current context, if it is not the default one, and
/// where its files are.
fn context(surroundings: &Surroundings) -> Result<Option<(String, &Path)>, DiscoveryFailure> {
    let Some(files) = surroundings.docker_files.as_deref() else {
        return Ok(None);
    };
    let name = if let Some(name) = &surroundings.docker_context {
        name.clone()
    } else {
        let config = DockerConfig::read(files);
        config
            .map_err(DiscoveryFailure::CurrentContext)?
            .current_context
    };
    let is_one = !name.is_empty() && name != docker_context::DEFAULT;
    Ok(is_one.then_some((name, files)))
}

fn named(
    origin: Origin,
    text: &str,
    wish: &Wish,
    options: &DockerOptions,
) -> Result<Plan, DiscoveryFailure> {
    let address = match text.parse::<Address>() {
        Ok(address) => address,
        Err(why) => return Err(DiscoveryFailure::Malformed { origin, why }),
    };
    let asked = match &address {
        Address::Tcp { tls, .. } => *tls,
        Address::Unix(_) | Address::Ssh(_) => Some(false),
    };
    let has_certificates = options.cert_path.is_some();
    if has_certificates && asked == Some(false) {
        let why = format!("the endpoint of {origin} is not one for TLS");
        return Err(DiscoveryFailure::NoUseForCertificates(why));
    }
    if let Address::Tcp {
        tls: Some(false), ..
    } = &address
        && wish.wanted
    {
        let why = format!("{origin} asks for plain text (`http`), and its certificates for TLS");
        return Err(DiscoveryFailure::Malformed { origin, why });
    }
    let endpoint = match address {
        Address::Unix(path) => Endpoint::Unix(path),
        Address::Ssh(target) => Endpoint::Ssh(target),
        Address::Tcp { host, port, tls } => {
            let has_tls = tls == Some(true) || wish.wanted || has_certificates;
            let tls = if has_tls {
                let directory = options.cert_path.as_deref().or(wish.directory.as_deref());
                let is_verified = options.tls_verify && !wish.skip_verification;
                match Tls::new(directory, is_verified) {
                    Ok(tls) => Some(tls),
                    Err(source) => return Err(DiscoveryFailure::Tls { origin, source }),
                }
            } else {
                None
            };
            let port = crate::endpoint::port(port, has_tls);
            Endpoint::Tcp { host, port, tls }
        }
    };
    Ok(Plan::Named(origin, endpoint))
}

/// Where engines listen that nobody has configured otherwise: Docker, rootless
/// Docker, Podman, rootless Podman, Docker Desktop.
fn well_known(surroundings: &Surroundings) -> Vec<Endpoint> {
    let below = |directory: &Option<PathBuf>, path: &str| {
        directory.as_ref().map(|directory| directory.join(path))
    };
    let runtime = &surroundings.runtime_directory;
    let home = &surroundings.home;
    let of_old = PathBuf::from("/var/run/docker.sock");
    // On most machines /var/run is a link to /run.
    let is_same = std::fs::canonicalize("/var/run").is_ok_and(|path| path == Path::new("/run"));
    let places = [
        Some(PathBuf::from("/run/docker.sock")),
        (!is_same).then_some(of_old),
        below(runtime, "docker.sock"),
        Some(PathBuf::from("/run/podman/podman.sock")),
        below(runtime, "podman/podman.sock"),
        below(home, ".docker/run/docker.sock"),
        below(home, ".docker/desktop/docker.sock"),
    ];
    places.into_iter().flatten().map(Endpoint::Unix).collect()
}

#[cfg(test)]
mod tests;
