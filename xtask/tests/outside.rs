//! Projects outside of this workspace that depend on `backend-core` and one
//! backend alone, built and run as their authors would.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

use std::path::{Path, PathBuf};
use std::process::Command;

use testbed::dockerd::Dockerd;
use testbed::{SshKind, SshServer, SshSetup};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_owned()
}

/// The Rust example of a crate's README, which is what its reader will try.
fn example(readme: &Path) -> String {
    let text = std::fs::read_to_string(readme).unwrap();
    let (_, rest) = text
        .split_once("```rust\n")
        .expect("the README has an example");
    rest.split_once("```").unwrap().0.to_owned()
}

/// Builds a project of one file, and gives what it prints.
fn build_and_run(backend: &str, main: &str, variables: &[(&str, String)]) -> String {
    let project = tempfile::tempdir().unwrap();
    let crates = root().join("crates");
    let manifest = format!(
        "[package]\nname = \"outside\"\nedition = \"2024\"\n\n[workspace]\n\n[dependencies]\n\
         backend-core = {{ path = \"{core}\" }}\n{backend} = {{ path = \"{backend_path}\" }}\n\
         tokio = {{ version = \"1\", features = [\"full\"] }}\n",
        core = crates.join("backend-core").display(),
        backend_path = crates.join(backend).display(),
    );
    std::fs::write(project.path().join("Cargo.toml"), manifest).unwrap();
    std::fs::create_dir(project.path().join("src")).unwrap();
    std::fs::write(project.path().join("src/main.rs"), main).unwrap();
    // The same versions as here, so that nothing new has to be fetched.
    std::fs::copy(root().join("Cargo.lock"), project.path().join("Cargo.lock")).unwrap();
    let output = Command::new(env!("CARGO"))
        .args(["run", "--quiet"])
        .current_dir(project.path())
        .env("CARGO_TARGET_DIR", root().join("target/outside"))
        .env("WORKER_STATE_DIR", project.path().join("state"))
        .envs(variables.iter().map(|(name, value)| (*name, value)))
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_project_with_the_backend_docker_alone_runs_a_script() {
    let engine = Dockerd::start().and_then(|engine| {
        engine.import_busybox()?;
        Ok(engine)
    });
    let engine = match engine {
        Ok(engine) => engine,
        Err(error) => return testbed::missing("docker", &format!("{error:#}")),
    };
    let main = example(&root().join("crates/backend-docker/README.md"));
    let environment = [
        ("DOCKER_HOST", engine.endpoint()),
        ("IMAGE", "busybox:test".into()),
    ];
    assert_eq!(
        build_and_run("backend-docker", &main, &environment),
        "hello\n"
    );
}

#[test]
fn a_project_with_the_backend_local_alone_runs_a_script() {
    let main = example(&root().join("README.md"));
    assert_eq!(build_and_run("backend-local", &main, &[]), "hello\n");
}

#[test]
fn a_project_with_the_backend_ssh_alone_runs_a_script() {
    let server = match SshServer::start(SshKind::OpenSsh, &SshSetup::default()) {
        Ok(server) => server,
        Err(error) => return testbed::missing("ssh", &format!("{error:#}")),
    };
    let known_hosts = server.known_hosts().unwrap();
    let variables = [
        ("WORKER_SSH_HOSTS", server.address()),
        (
            "WORKER_SSH_IDENTITY_FILE",
            server.identity().display().to_string(),
        ),
        ("WORKER_SSH_KNOWN_HOSTS", known_hosts.display().to_string()),
        ("WORKER_SSH_SSH_CONFIG", "none".into()),
    ];
    let main = example(&root().join("crates/backend-ssh/README.md"));
    assert_eq!(build_and_run("backend-ssh", &main, &variables), "hello\n");
}
