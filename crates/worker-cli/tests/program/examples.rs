//! What the README and the guides show is run: on this machine, on an engine,
//! a machine and a server of the tests' own.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::common::Place;

/// The documents whose examples are run.
const DOCUMENTS: [&str; 7] = [
    "README.md",
    "docs/backends/docker.md",
    "docs/backends/fake.md",
    "docs/backends/http.md",
    "docs/backends/local.md",
    "docs/backends/ssh.md",
    "docs/when-something-does-not-work.md",
];

/// The line that shows what is said of a machine that is not known yet.
const UNKNOWN: &str = "worker doctor -b ssh";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The command lines with `worker` in the console blocks of a document. Those
/// that build it, and run what they built, are left out here; one with an id that somebody
/// else's instance had cannot be run, nor one that shows pages.
fn shown(document: &str) -> Vec<String> {
    let text = std::fs::read_to_string(root().join(document)).unwrap();
    let lines = text.lines().filter_map(|line| line.strip_prefix("$ "));
    let lines = lines.filter(|line| line.contains("worker "));
    lines
        .filter(|line| {
            !["cargo ", "target/", "shell w-", "man -l"]
                .iter()
                .any(|not| line.contains(not))
        })
        .map(str::to_owned)
        .collect()
}

/// Which backend a line needs beside those that are always there.
fn needs(line: &str) -> &'static str {
    if line.contains("worker serve") || line.contains("-b http") {
        "http"
    } else if line.contains("-b docker") || every_backend(line) {
        "docker"
    } else if line.contains("-b ssh") {
        "ssh"
    } else {
        "nothing"
    }
}

/// Whether a line asks all backends, of which `docker` needs no options.
fn every_backend(line: &str) -> bool {
    ["worker ps", "worker reap"]
        .iter()
        .any(|all| line.contains(all))
        && !line.contains("-b ")
}

/// The lines of all documents that need this backend, and each of them alone.
fn that_need(backend: &str) -> Vec<(&'static str, String)> {
    let all = DOCUMENTS.into_iter().flat_map(|document| {
        let lines = shown(document);
        assert!(!lines.is_empty(), "{document} shows nothing");
        lines.into_iter().map(move |line| (document, line))
    });
    let lines: Vec<_> = all.filter(|(_, line)| needs(line) == backend).collect();
    assert!(!lines.is_empty(), "no document shows `{backend}`");
    lines
}

/// A place in which the files are that the documents speak of.
fn place() -> Place {
    let place = Place::new();
    place.file("build.sh", "#!/bin/sh\necho built\n");
    std::fs::create_dir(place.path("examples")).unwrap();
    let hello = root().join("examples/hello.sh");
    std::fs::copy(hello, place.path("examples/hello.sh")).unwrap();
    place
}

/// A shell that has `worker`, and a program `generate` that prints a script.
fn shell(place: &Place, line: &str) -> Command {
    let programs = Path::new(env!("CARGO_BIN_EXE_worker")).parent().unwrap();
    let path = std::env::var("PATH").unwrap_or_default();
    let mut shell = Command::new("/bin/bash");
    shell
        .args(["-c", &format!("generate() {{ echo 'echo made'; }}\n{line}")])
        .env("PATH", format!("{}:{path}", programs.display()))
        .env("WORKER_STATE_DIR", place.path("state"))
        .env("WORKER_LOCAL_DIRECTORY", place.instances())
        .current_dir(place.directory.path());
    shell
}

/// The status with which a line has to end: that of its script.
fn expected(line: &str) -> i32 {
    if line.contains("examples/hello.sh") {
        return 3;
    }
    if line.contains(UNKNOWN) {
        return 1;
    }
    let digits = line.split("exit-code=").nth(1).unwrap_or("0");
    let digits = digits.split(|c: char| !c.is_ascii_digit()).next();
    digits.unwrap().parse().unwrap()
}

fn assert_ends_as_it_says(document: &str, line: &str, output: &Output) {
    let said = String::from_utf8_lossy(&output.stderr);
    let printed = String::from_utf8_lossy(&output.stdout);
    let (status, told) = (
        output.status.code(),
        format!("{document}: {line}: {said}{printed}"),
    );
    assert_eq!(status, Some(expected(line)), "{told}");
    assert!(!told.contains("panicked"), "{told}");
    if line.contains("worker run") {
        assert!(!output.stdout.is_empty(), "no output: {told}");
    }
}

#[test]
fn those_that_need_nothing_end_as_they_say() {
    for (document, line) in that_need("nothing") {
        let place = place();
        let output = shell(&place, &line).output().unwrap();
        assert_ends_as_it_says(document, &line, &output);
        place.assert_clean();
    }
}

/// The images that the documents name are here those of the tests.
#[cfg(feature = "docker")]
#[test]
fn those_of_docker_end_as_they_say() {
    use testbed::{dockerd::Dockerd, rootfs};

    let engine = match Dockerd::start() {
        Ok(engine) => engine,
        Err(error) => return testbed::missing("docker", &format!("{error:#}")),
    };
    for name in ["debian:12", "alpine:latest"] {
        engine
            .import(name, rootfs::busybox, &["ENV PATH=/bin:/usr/bin"])
            .unwrap();
    }
    for (document, line) in that_need("docker") {
        let place = place();
        let mut shell = shell(&place, &line);
        shell.env("DOCKER_HOST", engine.endpoint());
        assert_ends_as_it_says(document, &line, &shell.output().unwrap());
        place.assert_clean();
    }
    let left = engine.client(&["ps", "--all", "--quiet"]).unwrap();
    assert_eq!(left, "", "containers are left");
}

/// The machines and the account that the documents name are here one of the
/// tests, by the client configuration of the account that runs them.
#[cfg(feature = "ssh")]
#[test]
fn those_of_ssh_end_as_they_say() {
    use testbed::{SshKind, SshServer, SshSetup};

    let setup = SshSetup {
        account_names: vec!["ci"],
        ..SshSetup::default()
    };
    let servers = (0..2).map(|_| SshServer::start(SshKind::OpenSsh, &setup));
    let servers: Vec<_> = match servers.collect() {
        Ok(servers) => servers,
        Err(error) => return testbed::missing("ssh", &format!("{error:#}")),
    };
    for (document, line) in that_need("ssh") {
        let place = place();
        std::fs::create_dir(place.path(".ssh")).unwrap();
        let known_hosts = place.path(".ssh/known_hosts");
        let (mut config, mut keys) = (String::new(), String::new());
        for (server, name) in servers.iter().zip(["build1", "build2"]) {
            let (port, key) = (server.port(), server.identity());
            let (key, hosts) = (key.display(), known_hosts.display());
            write!(
                config,
                "Host {name}\n HostName 127.0.0.1\n Port {port}\n IdentityFile {key}\n \
                 UserKnownHostsFile {hosts}\n IdentityAgent none\n"
            )
            .unwrap();
            keys += &std::fs::read_to_string(server.known_hosts().unwrap()).unwrap();
        }
        // The port and the key that a line names are those of the first.
        let key = servers[0].identity();
        std::fs::copy(key, place.path(".ssh/ci")).unwrap();
        let line = line.replace(":2222", &format!(":{}", servers[0].port()));
        let keys = if line.contains(UNKNOWN) { "" } else { &keys };
        std::fs::write(&known_hosts, keys).unwrap();
        let mut shell = shell(&place, &line);
        shell
            .env("HOME", place.directory.path())
            .env("WORKER_SSH_SSH_CONFIG", place.file("ssh_config", config));
        assert_ends_as_it_says(document, &line, &shell.output().unwrap());
        place.assert_clean();
    }
}

/// The server listens on a free port in place of its own.
#[cfg(all(feature = "docker", feature = "http"))]
#[test]
fn those_of_http_end_as_they_say() {
    use testbed::{WorkerServer, dockerd::Dockerd, rootfs};

    let engine = match Dockerd::start() {
        Ok(engine) => engine,
        Err(error) => return testbed::missing("docker", &format!("{error:#}")),
    };
    engine
        .import("debian:12", rootfs::busybox, &["ENV PATH=/bin:/usr/bin"])
        .unwrap();
    let worker = Path::new(env!("CARGO_BIN_EXE_worker"));
    let mut server = None;
    for (document, line) in that_need("http") {
        if let Some(options) = line.split("worker serve").nth(1) {
            let options = options.split('#').next().unwrap().trim();
            let options = options.trim_end_matches('&').trim();
            let (backend, options) = match options {
                "" => ("local", vec![]),
                "-b docker" => {
                    let endpoint = format!("endpoint={}", engine.endpoint());
                    let image = "default-image=debian:12".to_owned();
                    ("docker", vec!["-o".into(), endpoint, "-o".into(), image])
                }
                _ => panic!("{document} shows a server that this test cannot start: {line}"),
            };
            let options: Vec<_> = options.iter().map(String::as_str).collect();
            server = Some(WorkerServer::start(worker, backend, &options).unwrap());
            continue;
        }
        let server = server.as_ref().expect("a server is shown before");
        let place = place();
        let here = line.replace("127.0.0.1:7070", &server.address().to_string());
        assert_ne!(here, line, "{document} has the default port");
        assert_ends_as_it_says(document, &here, &shell(&place, &here).output().unwrap());
        place.assert_clean();
    }
}
