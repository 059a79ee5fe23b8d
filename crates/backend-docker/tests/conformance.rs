//! The conformance suite against the backend `docker`, on real engines: on
//! Docker with the defaults and with all that makes a container tight, and on
//! Podman.

use std::process::ExitCode;

use backend_core::testkit::{self, Target};
use testbed::dockerd::Dockerd;
use testbed::podman::Podman;
use testbed::rootfs;

const PATH: [&str; 1] = ["ENV PATH=/bin:/usr/bin"];

fn main() -> ExitCode {
    // Before daemons are started that it would not use.
    testkit::second_worker();
    let docker = Dockerd::start().and_then(|engine| {
        engine.import("full:busybox", rootfs::full, &PATH)?;
        engine.import("full:dash", rootfs::full_dash, &PATH)?;
        Ok(engine)
    });
    let podman = Podman::start().and_then(|engine| {
        engine.import("full:bash", rootfs::full_bash, &PATH)?;
        Ok(engine)
    });
    let default = on("docker", docker.as_ref().map(Dockerd::endpoint))
        .config([("default-image", "full:busybox")]);
    let tight = on("docker", docker.as_ref().map(Dockerd::endpoint))
        .named("docker-tight")
        .config([
            ("default-image", "full:dash"),
            ("user", "65534:65534"),
            ("read-only", "true"),
            ("network", "none"),
            ("init", "false"),
            ("cap-drop", "ALL"),
            ("tmpfs", "/tmp:mode=1777"),
        ]);
    let podman = on("podman", podman.as_ref().map(Podman::endpoint)).config([
        ("default-image", "full:bash"),
        ("network", "none"),
        // Its init (catatonit 0.1.7) leaves TSTP, TTIN and TTOU blocked in
        // what it starts, and no shell can undo that.
        ("init", "false"),
    ]);
    testkit::main([default, tight, podman])
}

/// The target of this name on an engine, or the reason why there is none.
fn on(name: &str, endpoint: Result<String, &anyhow::Error>) -> Target {
    let target = Target::new(&backend_docker::BACKEND)
        .named(name)
        .processes_visible(true);
    match endpoint {
        Ok(endpoint) => target.config([("endpoint", endpoint)]),
        Err(error) => {
            let problem = format!("{error:#}");
            testbed::missing(name, &problem);
            target.unavailable(problem)
        }
    }
}
