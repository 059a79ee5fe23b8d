//! The conformance suite against the backend `http`, with a server in a
//! process of its own in front of each backend that is there.

#[expect(
    dead_code,
    clippy::unwrap_used,
    clippy::panic,
    reason = "shared with the other tests, and fails by panicking"
)]
mod support;

use std::process::ExitCode;

use backend_core::testkit::{self, Target};
use backend_core::{Backend, Capability, ProviderConfig};
use testbed::dockerd::Dockerd;
use testbed::rootfs;

use support::{Plan, Serving};

fn main() -> ExitCode {
    // Before daemons are started that it would not use.
    testkit::second_worker();
    support::serve_if_asked();
    let local = Plan::new("local").start();
    let docker = docker();
    let targets = [
        served("http-local", &local, &backend_local::BACKEND),
        match &docker {
            Ok((_, serving)) => served("http-docker", serving, &backend_docker::BACKEND),
            Err(error) => unavailable("http-docker", error),
        },
    ];
    testkit::main(targets)
}

/// `worker/1` in front of a backend.
fn served(name: &str, serving: &Serving, backend: &Backend) -> Target {
    Target::new(&backend_http::BACKEND)
        .named(name)
        .config([
            ("endpoint", serving.endpoint.as_str()),
            ("capabilities", &claimed(backend)),
        ])
        .processes_visible(true)
}

fn unavailable(name: &str, error: &anyhow::Error) -> Target {
    Target::new(&backend_http::BACKEND)
        .named(name)
        .config([("endpoint", "http://127.0.0.1:1")])
        .unavailable(format!("{error:#}"))
}

/// A server in front of an engine, where the suite of `docker` is required: it
/// takes long.
fn docker() -> anyhow::Result<(Dockerd, Serving)> {
    anyhow::ensure!(
        testbed::is_required("docker"),
        "only where `docker` is required"
    );
    let engine = Dockerd::start()?;
    engine.import("full:busybox", rootfs::full, &["ENV PATH=/bin:/usr/bin"])?;
    let plan = Plan::new("docker").option("endpoint", &engine.endpoint());
    let serving = plan.option("default-image", "full:busybox").start();
    Ok((engine, serving))
}

/// What instances of this backend can do behind a server. Limits on memory and
/// processes are options of the backend, which are the server's to set.
fn claimed(backend: &Backend) -> String {
    let provider = (backend.provider)(&ProviderConfig::new());
    let capabilities = provider.map(|provider| provider.capabilities());
    let names: Vec<_> = capabilities
        .unwrap_or_default()
        .without(Capability::MemoryLimit)
        .without(Capability::ProcessLimit)
        // The protocol has no call for these.
        .without(Capability::Keeps)
        .without(Capability::Shell)
        .iter()
        .chain([Capability::Resumes])
        .map(Capability::name)
        .collect();
    names.join(",")
}
