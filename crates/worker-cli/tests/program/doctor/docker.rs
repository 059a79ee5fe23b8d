//! Broken set-ups of the backend `docker`, on a real engine.

use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;
use std::process::{Command, Output};
use std::sync::OnceLock;

use testbed::dockerd::Dockerd;
use testbed::rootfs;

use super::files::{NOBODY, as_nobody, open_place};
use super::{doctor, readable};
use crate::common::Place;

/// The group of the engine's socket.
const GROUP: u32 = 54_321;

/// One engine for all tests here, with an image, and one without a shell.
fn engine() -> Option<&'static Dockerd> {
    static ENGINE: OnceLock<Result<Dockerd, String>> = OnceLock::new();
    let engine = ENGINE.get_or_init(|| {
        let started = Dockerd::start_with(["--group".to_owned(), GROUP.to_string()]);
        let furnished = started.and_then(|engine| {
            engine.import_busybox()?;
            engine.import("shellless:test", rootfs::without_shell, &[])?;
            Ok(engine)
        });
        furnished.map_err(|error| format!("{error:#}"))
    });
    match engine {
        Ok(engine) => Some(engine),
        Err(reason) => {
            testbed::missing("docker", reason);
            None
        }
    }
}

fn examined(place: &Place, endpoint: &str, arguments: &[&str]) -> (String, Output) {
    let endpoint_option = format!("endpoint={endpoint}");
    let mut command = doctor(place, &["-b", "docker", "-o", &endpoint_option]);
    command
        .args(arguments)
        .env("DOCKER_CONFIG", place.path("docker"));
    let output = command.output().unwrap();
    let text = shown(place, endpoint, &output);
    (text, output)
}

fn shown(place: &Place, endpoint: &str, output: &Output) -> String {
    let own = place.directory.path().display().to_string();
    let names = [(endpoint, "[ENDPOINT]"), (own.as_str(), "[PLACE]")];
    let mut text = readable(output, &names);
    // What depends on the engine and on the files of its image.
    for (mark, end) in [("version API ", "\n"), ("sha256:", ")"), (": [FATAL", "\n")] {
        let parts: Vec<_> = text.split(mark).collect();
        let (first, rest) = parts.split_first().unwrap();
        let rest = rest.iter().map(|part| part.split_once(end).unwrap().1);
        let kept = rest.map(|part| format!("{mark}…{end}{part}"));
        text = std::iter::once((*first).to_owned()).chain(kept).collect();
    }
    text
}

fn assert_mended((text, _): &(String, Output)) {
    assert!(text.starts_with("status 0\n"), "{text}");
}

const IMAGE: [&str; 4] = ["--image", "busybox:test", "-o", "network=none"];

/// Asserts what is said with these arguments, and that others mend it.
macro_rules! assert_engine_explained {
    ($broken:expr, @$expected:literal) => {{
        let Some(engine) = engine() else { return };
        let place = Place::new();
        let endpoint = engine.endpoint();
        insta::assert_snapshot!(examined(&place, &endpoint, &$broken).0, @$expected);
        assert_mended(&examined(&place, &endpoint, &IMAGE));
    }};
}

#[test]
fn no_image() {
    let broken = ["--image", "busybox:none", "-o", "pull-policy=never"];
    assert_engine_explained!(broken, @"
    status 1
    docker (Container on a Docker or Podman engine)
      Configuration:
        endpoint = [ENDPOINT] (command line)
        pull-policy = never (command line)
        defaults for 36 more (`worker backends docker --explain`)
      It would use:
        endpoint [ENDPOINT] (the option `endpoint`): used
        registry credentials [PLACE]/docker/config.json (the docker client): not used: there is none
      Steps:
        ok      configuration
        ok      endpoint
        ok      connect [ENDPOINT]
        ok      version API …
        ok      clock within 1 s of this machine's
        ok      credentials
        FAILED  image
            error: failed to start an instance `[ID]` on backend `docker`
            caused by: there is no image `busybox:none` on the engine, and it is not pulled: the option `pull-policy` is `never`
            hint: `docker pull` it, or set the option `pull-policy` to `missing`
        skipped start, upload, run, stop, cancel
        ok      leftovers none

    Would not work: docker
    ");
}

#[test]
fn no_shell_in_the_image() {
    let broken = ["--image", "shellless:test", "-o", "network=none"];
    assert_engine_explained!(broken, @"
    status 1
    docker (Container on a Docker or Podman engine)
      Configuration:
        endpoint = [ENDPOINT] (command line)
        network = none (command line)
        defaults for 36 more (`worker backends docker --explain`)
      It would use:
        endpoint [ENDPOINT] (the option `endpoint`): used
        registry credentials [PLACE]/docker/config.json (the docker client): not used: there is none
      Steps:
        ok      configuration
        ok      endpoint
        ok      connect [ENDPOINT]
        ok      version API …
        ok      clock within 1 s of this machine's
        ok      credentials
        ok      image
        FAILED  start
            error: failed to start an instance `[ID]` on backend `docker`
            caused by: the image `shellless:test (sha256:…)` cannot run /bin/sh: its first process exited with 127: [FATAL…
            hint: choose an image with /bin/sh, such as `debian` or `busybox`: Worker begins its container with it
        skipped upload, run, stop, cancel
        ok      leftovers none

    Would not work: docker
    ");
}

#[test]
fn no_such_network() {
    let broken = ["--image", "busybox:test", "-o", "network=nowhere"];
    assert_engine_explained!(broken, @"
    status 1
    docker (Container on a Docker or Podman engine)
      Configuration:
        endpoint = [ENDPOINT] (command line)
        network = nowhere (command line)
        defaults for 36 more (`worker backends docker --explain`)
      It would use:
        endpoint [ENDPOINT] (the option `endpoint`): used
        registry credentials [PLACE]/docker/config.json (the docker client): not used: there is none
      Steps:
        ok      configuration
        ok      endpoint
        ok      connect [ENDPOINT]
        ok      version API …
        ok      clock within 1 s of this machine's
        ok      credentials
        ok      image
        FAILED  start
            error: failed to start an instance `[ID]` on backend `docker`
            caused by: cannot start a container of `busybox:test (sha256:…)`
            caused by: the engine says: network nowhere not found
            hint: `docker network ls` lists the networks of the engine; Worker makes none
        skipped upload, run, stop, cancel
        ok      leftovers none

    Would not work: docker
    ");
}

#[test]
fn no_such_runtime() {
    let broken = ["--image", "busybox:test", "-o", "runtime=nosuch"];
    assert_engine_explained!(broken, @"
    status 1
    docker (Container on a Docker or Podman engine)
      Configuration:
        endpoint = [ENDPOINT] (command line)
        runtime = nosuch (command line)
        defaults for 36 more (`worker backends docker --explain`)
      It would use:
        endpoint [ENDPOINT] (the option `endpoint`): used
        registry credentials [PLACE]/docker/config.json (the docker client): not used: there is none
      Steps:
        ok      configuration
        ok      endpoint
        ok      connect [ENDPOINT]
        ok      version API …
        ok      clock within 1 s of this machine's
        ok      credentials
        ok      image
        FAILED  start
            error: failed to start an instance `[ID]` on backend `docker`
            caused by: cannot create a container of `busybox:test (sha256:…)`
            caused by: the engine says: Unknown runtime specified nosuch
            hint: `docker info` lists the runtimes of the engine
        skipped upload, run, stop, cancel
        ok      leftovers none

    Would not work: docker
    ");
}

/// The remedy is to be in the group of the socket.
#[test]
fn wrong_permission_on_the_socket() {
    let Some(engine) = engine() else { return };
    let place = open_place();
    let socket = engine.socket();
    let way = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(socket.parent().unwrap(), way).unwrap();
    let endpoint = engine.endpoint();
    let option = format!("endpoint={endpoint}");
    let arguments = [&["doctor", "-b", "docker", "-o", &option][..], &IMAGE].concat();
    let stranger = as_nobody("docker", &place, &arguments, NOBODY);
    let Some(mut stranger) = stranger else { return };
    let text = shown(&place, &endpoint, &stranger.output().unwrap());
    insta::assert_snapshot!(text, @"
    status 1
    docker (Container on a Docker or Podman engine)
      Configuration:
        endpoint = [ENDPOINT] (command line)
        network = none (command line)
        defaults for 36 more (`worker backends docker --explain`)
      It would use:
        endpoint [ENDPOINT] (the option `endpoint`): cannot be used: permission denied: it has mode 0660, user root, group 54321
      Steps:
        ok      configuration
        ok      endpoint
        FAILED  connect
            error: failed to set up the backend on backend `docker`
            caused by: the engine at the endpoint [ENDPOINT], which the option `endpoint` names, cannot be used
            caused by: permission denied: it has mode 0660, user root, group 54321
            hint: add your user to the group of the socket, mostly `docker` (`sudo usermod -aG docker $USER`, then log in again), or use a rootless engine
        skipped start, upload, run, stop, cancel, leftovers

    Would not work: docker
    ");
    let mut member = as_nobody("docker", &place, &arguments, GROUP).unwrap();
    let text = shown(&place, &endpoint, &member.output().unwrap());
    assert!(text.starts_with("status 0\n"), "{text}");
}

/// What says that it is an engine of before; the remedy is a newer one in its
/// place.
#[test]
fn an_engine_that_is_too_old() {
    let Some(engine) = engine() else { return };
    let place = Place::new();
    let socket = place.path("docker.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    let endpoint = format!("unix://{}", socket.display());
    let old = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = [0; 4096];
        let length = stream.read(&mut request).unwrap();
        assert!(request[..length].starts_with(b"GET /_ping "));
        let answer = "HTTP/1.1 200 OK\r\nApi-Version: 1.18\r\nContent-Length: 2\r\n\r\nOK";
        stream.write_all(answer.as_bytes()).unwrap();
    });
    let (text, _) = examined(&place, &endpoint, &IMAGE);
    insta::assert_snapshot!(text, @"
    status 1
    docker (Container on a Docker or Podman engine)
      Configuration:
        endpoint = [ENDPOINT] (command line)
        network = none (command line)
        defaults for 36 more (`worker backends docker --explain`)
      It would use:
        endpoint [ENDPOINT] (the option `endpoint`): cannot be used: its API has the version 1.18, and the oldest that is supported is 1.24
      Steps:
        ok      configuration
        ok      endpoint
        ok      connect [ENDPOINT]
        FAILED  version
            error: failed to set up the backend on backend `docker`
            caused by: the engine at the endpoint [ENDPOINT], which the option `endpoint` names, cannot be used
            caused by: its API has the version 1.18, and the oldest that is supported is 1.24
            hint: update the engine
        skipped start, upload, run, stop, cancel, leftovers

    Would not work: docker
    ");
    old.join().unwrap();
    std::fs::remove_file(&socket).unwrap();
    std::os::unix::fs::symlink(engine.socket(), &socket).unwrap();
    assert_mended(&examined(&place, &endpoint, &IMAGE));
}

/// Nobody is at any of the well-known places; the remedy is to start an engine.
#[test]
fn no_engine_anywhere() {
    let Some(engine) = engine() else { return };
    let place = Place::new();
    let mut command = doctor(&place, &["-b", "docker"]);
    command
        .args(IMAGE)
        .env("HOME", place.path("home"))
        .env("XDG_RUNTIME_DIR", place.path("run"));
    // With a /run of its own, in which there is nothing.
    let examined = |beforehand: &str| {
        let script = format!("mount -t tmpfs tmpfs /run && {beforehand} exec \"$0\" \"$@\"");
        let mut alone = Command::new("unshare");
        alone
            .args([
                "--mount",
                "--propagation",
                "private",
                "/bin/sh",
                "-c",
                &script,
            ])
            .arg(command.get_program())
            .args(command.get_args())
            .env_clear()
            .current_dir(place.directory.path());
        for (name, value) in command.get_envs() {
            alone.env(name, value.unwrap_or_default());
        }
        shown(&place, "unix:///run/docker.sock", &alone.output().unwrap())
    };
    insta::assert_snapshot!(examined(""), @"
    status 1
    docker (Container on a Docker or Podman engine)
      Configuration:
        network = none (command line)
        defaults for 37 more (`worker backends docker --explain`)
      It would use:
        endpoint [ENDPOINT] (a well-known place): not used: there is no such socket
        endpoint unix://[PLACE]/run/docker.sock (a well-known place): not used: there is no such socket
        endpoint unix:///run/podman/podman.sock (a well-known place): not used: there is no such socket
        endpoint unix://[PLACE]/run/podman/podman.sock (a well-known place): not used: there is no such socket
        endpoint unix://[PLACE]/home/.docker/run/docker.sock (a well-known place): not used: there is no such socket
        endpoint unix://[PLACE]/home/.docker/desktop/docker.sock (a well-known place): not used: there is no such socket
      Steps:
        ok      configuration
        ok      endpoint
        FAILED  connect
            error: failed to set up the backend on backend `docker`
            caused by: no engine answers at any endpoint that was tried: [ENDPOINT] (there is no such socket); unix://[PLACE]/run/docker.sock (there is no such socket); unix:///run/podman/podman.sock (there is no such socket); unix://[PLACE]/run/podman/podman.sock (there is no such socket); unix://[PLACE]/home/.docker/run/docker.sock (there is no such socket); unix://[PLACE]/home/.docker/desktop/docker.sock (there is no such socket)
            hint: start Docker or Podman, or name an engine with the option `endpoint` or with DOCKER_HOST
        skipped start, upload, run, stop, cancel, leftovers

    Would not work: docker
    ");
    let socket = engine.socket();
    let started = format!("ln -s '{}' /run/docker.sock &&", socket.display());
    let text = examined(&started);
    assert!(text.starts_with("status 0\n"), "{text}");
    assert!(text.contains("not used: one before it answers"), "{text}");
}

/// That nobody is at the place that is named; the remedy is to start an engine.
#[test]
fn no_engine_at_the_place_that_is_named() {
    let Some(engine) = engine() else { return };
    let place = Place::new();
    let socket = place.path("docker.sock");
    let endpoint = format!("unix://{}", socket.display());
    let mut command = doctor(&place, &["-b", "docker"]);
    command.args(IMAGE).env("DOCKER_HOST", &endpoint);
    command.env("DOCKER_CONFIG", place.path("docker"));
    let text = shown(&place, &endpoint, &command.output().unwrap());
    insta::assert_snapshot!(text, @"
    status 1
    docker (Container on a Docker or Podman engine)
      Configuration:
        network = none (command line)
        defaults for 37 more (`worker backends docker --explain`)
      It would use:
        endpoint [ENDPOINT] (the variable DOCKER_HOST): cannot be used: there is no such socket
      Steps:
        ok      configuration
        ok      endpoint
        FAILED  connect
            error: failed to set up the backend on backend `docker`
            caused by: the engine at the endpoint [ENDPOINT], which the variable DOCKER_HOST names, cannot be used
            caused by: there is no such socket
            hint: check that the engine runs, and the endpoint's address
        skipped start, upload, run, stop, cancel, leftovers

    Would not work: docker
    ");
    std::os::unix::fs::symlink(engine.socket(), &socket).unwrap();
    let text = shown(&place, &endpoint, &command.output().unwrap());
    assert!(text.starts_with("status 0\n"), "{text}");
}
