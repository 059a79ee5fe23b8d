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

use support::Plan;

fn main() -> ExitCode {
    // Before daemons are started that it would not use.
    testkit::second_worker();
    support::serve_if_asked();
    let serving = Plan::new("local").start();
    testkit::main([Target::new(&backend_http::BACKEND)
        .named("http-local")
        .config([
            ("endpoint", serving.endpoint.as_str()),
            ("capabilities", &claimed(&backend_local::BACKEND)),
        ])
        .processes_visible(true)])
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
        .iter()
        .chain([Capability::Resumes])
        .map(Capability::name)
        .collect();
    names.join(",")
}
