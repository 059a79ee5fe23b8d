//! The conformance suite against the backend `docker`, on a real engine: once
//! with the defaults, once with all that makes a container tight.

use std::process::ExitCode;

use backend_core::testkit::{self, Target};
use testbed::dockerd::Dockerd;
use testbed::rootfs;

fn main() -> ExitCode {
    // Before a daemon is started that it would not use.
    testkit::second_worker();
    let engine = Dockerd::start().and_then(|engine| {
        let path = ["ENV PATH=/bin:/usr/bin"];
        engine.import("full:busybox", rootfs::full, &path)?;
        engine.import("full:dash", rootfs::full_dash, &path)?;
        Ok(engine)
    });
    let target = Target::new(&backend_docker::BACKEND).processes_visible(true);
    let (target, problem) = match &engine {
        Ok(engine) => (target.config([("endpoint", engine.endpoint())]), None),
        Err(error) => (target, Some(format!("{error:#}"))),
    };
    let default = target.clone().config([("default-image", "full:busybox")]);
    let tight = target.named("docker-tight").config([
        ("default-image", "full:dash"),
        ("user", "65534:65534"),
        ("read-only", "true"),
        ("network", "none"),
        ("init", "false"),
        ("cap-drop", "ALL"),
        ("tmpfs", "/tmp:mode=1777"),
    ]);
    let Some(problem) = problem else {
        return testkit::main([default, tight]);
    };
    testbed::missing("docker", &problem);
    testkit::main([default.unavailable(&problem), tight.unavailable(&problem)])
}
