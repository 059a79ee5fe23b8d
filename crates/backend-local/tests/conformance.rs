//! The conformance suite against the backend `local`, on the machine's best
//! containment and on the one that needs nothing.

use std::process::ExitCode;

use backend_core::testkit::{self, Target};

fn main() -> ExitCode {
    testkit::main([
        Target::new(&backend_local::BACKEND).processes_visible(true),
        Target::new(&backend_local::BACKEND)
            .named("local-marker")
            .processes_visible(true)
            .config([("containment", "marker")]),
    ])
}
