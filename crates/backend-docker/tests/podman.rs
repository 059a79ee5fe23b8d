//! The conformance suite against the backend `docker` on a second engine, a
//! real Podman service.

use std::process::ExitCode;

use backend_core::testkit::{self, Target};
use testbed::podman::Podman;
use testbed::rootfs;

fn main() -> ExitCode {
    // Before a daemon is started that it would not use.
    testkit::second_worker();
    let engine = Podman::start().and_then(|engine| {
        engine.import("full:bash", rootfs::full_bash, &["ENV PATH=/bin:/usr/bin"])?;
        Ok(engine)
    });
    let target = Target::new(&backend_docker::BACKEND)
        .named("podman")
        .processes_visible(true);
    let target = match &engine {
        Ok(engine) => target.config([
            ("endpoint", engine.endpoint().as_str()),
            ("default-image", "full:bash"),
            ("network", "none"),
            // Its init (catatonit 0.1.7) leaves TSTP, TTIN and TTOU blocked in
            // what it starts, and no shell can undo that.
            ("init", "false"),
        ]),
        Err(error) => {
            let problem = format!("{error:#}");
            testbed::missing("podman", &problem);
            target.unavailable(problem)
        }
    };
    testkit::main([target])
}
