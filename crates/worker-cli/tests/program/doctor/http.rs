//! Broken set-ups of the backend `http`, with real servers.

use std::path::Path;
use std::process::{Command, Output};

use testbed::WorkerServer;
use testbed::certificates::Authority;

use super::files::{NOBODY, as_nobody, open_place};
use super::{apply, doctor, readable, remedy};
use crate::common::Place;

const TOKEN: &str = "a-token-of-the-tests";

/// `worker serve`, which knows one token.
struct Server {
    server: WorkerServer,
    scheme: &'static str,
}

impl Server {
    fn start(place: &Place, scheme: &'static str, arguments: &[&str]) -> Self {
        let tokens = place.file("tokens", TOKEN).display().to_string();
        apply(&format!("chmod 600 '{tokens}'"));
        let program = Path::new(env!("CARGO_BIN_EXE_worker"));
        let own = ["--token-file", &tokens, "--drain-timeout", "1s"];
        let server = WorkerServer::start(program, "local", &[&own, arguments].concat()).unwrap();
        Self { server, scheme }
    }

    fn shown(&self, place: &Place, command: &mut Command) -> (String, Output) {
        let endpoint = format!("{}://{}", self.scheme, self.server.address());
        shown(place, &endpoint, command)
    }
}

fn shown(place: &Place, endpoint: &str, command: &mut Command) -> (String, Output) {
    command.env("WORKER_HTTP_ENDPOINT", endpoint);
    let output = command.output().unwrap();
    let own = place.directory.path().display().to_string();
    let names = [(endpoint, "[SERVER]"), (own.as_str(), "[PLACE]")];
    let text = readable(&output, &names);
    assert!(!text.contains("-token-of-the-"), "{text}");
    (text, output)
}

fn http(place: &Place) -> Command {
    doctor(place, &["-b", "http"])
}

/// Nobody listens; the remedy is the right endpoint.
#[test]
fn no_server() {
    let place = Place::new();
    let mut command = http(&place);
    command.env("WORKER_HTTP_TOKEN", TOKEN);
    insta::assert_snapshot!(shown(&place, "http://127.0.0.1:1", &mut command).0, @"
    status 1
    http (HTTP (worker/1))
      Configuration:
        endpoint = [SERVER] (environment variable WORKER_HTTP_ENDPOINT)
        token = (hidden) (environment variable WORKER_HTTP_TOKEN)
        defaults for 7 more (`worker backends http --explain`)
      It would use:
        token (hidden) (the option `token`): used
        server [SERVER] (the option `endpoint`): cannot be used: see the steps
      Steps:
        ok      configuration
        FAILED  connect
            error: failed to set up the backend on backend `http`
            caused by: the server at [SERVER] cannot be used
            caused by: cannot connect: client error (Connect): tcp connect error: Connection refused (os error 111)
            hint: is the server running, and `endpoint` right?
        skipped start, upload, run, stop, cancel, leftovers

    Would not work: http
    ");
    let server = Server::start(&place, "http", &[]);
    let (text, _) = server.shown(&place, &mut command);
    assert!(text.starts_with("status 0\n"), "{text}");
}

#[test]
fn wrong_token() {
    let place = Place::new();
    let server = Server::start(&place, "http", &[]);
    let mut command = http(&place);
    command.env("WORKER_HTTP_TOKEN", "another-token-of-the-tests");
    insta::assert_snapshot!(server.shown(&place, &mut command).0, @"
    status 1
    http (HTTP (worker/1))
      Configuration:
        endpoint = [SERVER] (environment variable WORKER_HTTP_ENDPOINT)
        token = (hidden) (environment variable WORKER_HTTP_TOKEN)
        defaults for 7 more (`worker backends http --explain`)
      It would use:
        token (hidden) (the option `token`): used
        server [SERVER] (the option `endpoint`): cannot be used: see the steps
      Steps:
        ok      configuration
        ok      connect
        FAILED  credentials
            error: failed to set up the backend on backend `http`
            caused by: the server at [SERVER] cannot be used
            caused by: the token is not known
            hint: set WORKER_HTTP_TOKEN or `token-file` to a token that the server knows
        skipped start, upload, run, stop, cancel, leftovers

    Would not work: http
    ");
    command.env("WORKER_HTTP_TOKEN", TOKEN);
    let (text, _) = server.shown(&place, &mut command);
    insta::assert_snapshot!(text, @"
    status 0
    http (HTTP (worker/1))
      Configuration:
        endpoint = [SERVER] (environment variable WORKER_HTTP_ENDPOINT)
        token = (hidden) (environment variable WORKER_HTTP_TOKEN)
        defaults for 7 more (`worker backends http --explain`)
      It would use:
        token (hidden) (the option `token`): used
        server [SERVER] (the option `endpoint`): used
      Steps:
        ok      configuration
        ok      connect
        ok      version
        ok      clock within 1 s of this machine's
        ok      credentials
        ok      start
        ok      upload
        ok      run
        ok      stop
        ok      cancel
        ok      leftovers none

    All would work
    ");
}

/// A URL with a password in it is refused, and its secret is shown nowhere.
#[test]
fn a_secret_in_the_endpoint() {
    let place = Place::new();
    let mut command = http(&place);
    command.env(
        "WORKER_HTTP_ENDPOINT",
        "https://ann:hunter2@127.0.0.1:1/?key=hunter2",
    );
    let output = command.output().unwrap();
    let text = readable(&output, &[]);
    assert!(!text.contains("hunter2"), "{text}");
    insta::assert_snapshot!(text, @"
    status 1
    http (HTTP (worker/1))
      Configuration:
        endpoint = https://…@127.0.0.1:1/?… (environment variable WORKER_HTTP_ENDPOINT)
        defaults for 8 more (`worker backends http --explain`)
      Steps:
        FAILED  configuration
            error: 1 problem with the options of backend `http`
            caused by: option `endpoint` (WORKER_HTTP_ENDPOINT): `https://…@127.0.0.1:1/` is not text, such as `https://builds.example.com` (a secret has no place in a URL: give the token by WORKER_HTTP_TOKEN)
            hint: `worker backends http` lists its options
        skipped connect, start, upload, run, stop, cancel, leftovers

    Would not work: http
    ");
    let server = Server::start(&place, "http", &[]);
    command.env("WORKER_HTTP_TOKEN", TOKEN);
    let (text, _) = server.shown(&place, &mut command);
    assert!(text.starts_with("status 0\n"), "{text}");
}

/// A server whose authority is another; the remedy is to name that.
#[test]
fn bad_authority() {
    let place = Place::new();
    let (right, wrong) = match (Authority::make(), Authority::make()) {
        (Ok(right), Ok(wrong)) => (right, wrong),
        (Err(error), _) | (_, Err(error)) => {
            return testbed::missing("http", &format!("{error:#}"));
        }
    };
    right.issue(&place.path("right"), "IP:127.0.0.1").unwrap();
    wrong.issue(&place.path("wrong"), "IP:127.0.0.1").unwrap();
    let text = |path: &Path| path.display().to_string();
    let certificate = text(&place.path("right/cert.pem"));
    let key = text(&place.path("right/key.pem"));
    let server = Server::start(
        &place,
        "https",
        &["--tls-certificate", &certificate, "--tls-key", &key],
    );
    let mut command = http(&place);
    command
        .env("WORKER_HTTP_TOKEN", TOKEN)
        .env("WORKER_HTTP_CA_FILE", place.path("wrong/ca.pem"));
    insta::assert_snapshot!(server.shown(&place, &mut command).0, @"
    status 1
    http (HTTP (worker/1))
      Configuration:
        endpoint = [SERVER] (environment variable WORKER_HTTP_ENDPOINT)
        token = (hidden) (environment variable WORKER_HTTP_TOKEN)
        ca-file = [PLACE]/wrong/ca.pem (environment variable WORKER_HTTP_CA_FILE)
        defaults for 6 more (`worker backends http --explain`)
      It would use:
        token (hidden) (the option `token`): used
        authorities [PLACE]/wrong/ca.pem (the option `ca-file`): used
        server [SERVER] (the option `endpoint`): cannot be used: see the steps
      Steps:
        ok      configuration
        FAILED  connect
            error: failed to set up the backend on backend `http`
            caused by: the server at [SERVER] cannot be used
            caused by: cannot connect: client error (Connect): invalid peer certificate: BadSignature
            hint: name a PEM file with the authority of the server's certificate with the option `ca-file`, and the server by a name that is in the certificate
        skipped start, upload, run, stop, cancel, leftovers

    Would not work: http
    ");
    command.env("WORKER_HTTP_CA_FILE", place.path("right/ca.pem"));
    let (text, _) = server.shown(&place, &mut command);
    assert!(text.starts_with("status 0\n"), "{text}");
}

/// The token of another user; the remedy is the right to read it.
#[test]
fn a_token_that_cannot_be_read() {
    let place = open_place();
    let server = Server::start(&place, "http", &[]);
    let token = place.file("token", TOKEN);
    apply(&format!("chmod 600 '{}'", token.display()));
    let command = || {
        let mut command = as_nobody("http", &place, &["doctor", "-b", "http"], NOBODY)?;
        command.env("WORKER_HTTP_TOKEN_FILE", &token);
        Some(command)
    };
    let Some(mut broken) = command() else { return };
    let (text, output) = server.shown(&place, &mut broken);
    insta::assert_snapshot!(text, @"
    status 1
    http (HTTP (worker/1))
      Configuration:
        endpoint = [SERVER] (environment variable WORKER_HTTP_ENDPOINT)
        token-file = [PLACE]/token (environment variable WORKER_HTTP_TOKEN_FILE)
        defaults for 7 more (`worker backends http --explain`)
      Steps:
        FAILED  configuration
            error: failed to configure the backend on backend `http`
            caused by: the file `[PLACE]/token`, which the option `token-file` names, cannot be read: permission denied: it has mode 0600, user root, group root
            hint: give it to this user (`chown $USER [PLACE]/token`, as root), or name another file with the option `token-file`
        skipped connect, start, upload, run, stop, cancel, leftovers

    Would not work: http
    ");
    let said = remedy(&output);
    assert!(said.starts_with("chown "), "{said}");
    apply(&said.replace("$USER", &NOBODY.to_string()));
    let (text, _) = server.shown(&place, &mut command().unwrap());
    assert!(text.starts_with("status 0\n"), "{text}");
}
