//! The conformance suite against the backend `fake`.

use std::process::ExitCode;

use backend_core::testkit::{self, Target};

fn main() -> ExitCode {
    testkit::main([
        Target::new(&backend_fake::BACKEND),
        // Everything takes some time, so that there is something to cancel.
        Target::new(&backend_fake::BACKEND)
            .named("fake-slow")
            .config([
                ("startup-duration", "20ms"),
                ("upload-duration", "10ms"),
                ("stop-duration", "10ms"),
                ("output-chunk", "10000"),
            ]),
    ])
}
