//! `worker serve`, and `worker run -b http` against it.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, ChildStderr, ChildStdout, Command, Output, Stdio};

use crate::common::Place;

const TOKEN: &str = "a-token-of-the-tests";

/// A server that is killed when it is dropped, and where it listens.
struct Server {
    child: Child,
    endpoint: String,
    log: BufReader<ChildStderr>,
}

impl Server {
    fn start(place: &Place) -> Self {
        Self::start_at(place, "127.0.0.1:0")
    }

    fn start_at(place: &Place, address: &str) -> Self {
        let mut command = place.worker();
        command
            .args(["serve", "--listen", address, "-v", "--drain-timeout", "1s"])
            .env("WORKER_SERVE_TOKEN", TOKEN)
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        log.read_line(&mut line).unwrap();
        let (_, endpoint) = line.trim().rsplit_once(' ').unwrap();
        assert!(endpoint.starts_with("http://127.0.0.1:"), "{line}");
        Self {
            child,
            endpoint: endpoint.to_owned(),
            log,
        }
    }

    fn run(&self, place: &Place, arguments: &[&str]) -> Command {
        let mut command = place.worker();
        command
            .args([
                "run",
                "-b",
                "http",
                "-o",
                &format!("endpoint={}", self.endpoint),
            ])
            .args(arguments);
        command
    }

    /// A run that has begun and goes on, and the rest of its output.
    fn begun(&self, place: &Place) -> (Child, BufReader<ChildStdout>) {
        let mut run = self
            .run(place, &["-c", "echo begun; exec sleep 600"])
            .env("WORKER_HTTP_TOKEN", TOKEN)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut output = BufReader::new(run.stdout.take().unwrap());
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        assert_eq!(line, "begun\n");
        (run, output)
    }

    /// Asks it to end, and gives its exit status and the rest of its log.
    fn end(mut self) -> (Option<i32>, String) {
        signal(&self.child, "TERM");
        let mut log = String::new();
        self.log.read_to_string(&mut log).unwrap();
        (self.child.wait().unwrap().code(), log)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn signal(process: &Child, name: &str) {
    let pid = process.id().to_string();
    let sent = Command::new("kill").args(["-s", name, &pid]).status();
    assert!(sent.unwrap().success());
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_job_goes_through_a_server_and_the_server_ends_well() {
    let place = Place::new();
    let server = Server::start(&place);
    let mut run = server.run(
        &place,
        &["-e", "NAME=there", "-c", "echo hello $NAME; exit 43"],
    );
    let output = run.env("WORKER_HTTP_TOKEN", TOKEN).output().unwrap();
    assert_eq!(output.status.code(), Some(43), "{}", stderr(&output));
    assert_eq!(output.stdout, b"hello there\n");

    let stranger = server.run(&place, &["-c", "true"]).output().unwrap();
    assert_eq!(stranger.status.code(), Some(125));
    assert!(
        stderr(&stranger).contains("hint: set WORKER_HTTP_TOKEN"),
        "{}",
        stderr(&stranger)
    );

    let exposed = server.run(&place, &["-o", &format!("token={TOKEN}"), "-c", "true"]);
    let exposed = { exposed }.output().unwrap();
    assert_eq!(exposed.status.code(), Some(125));
    let text = stderr(&exposed);
    assert!(
        text.contains("WORKER_HTTP_TOKEN") && !text.contains(TOKEN),
        "{text}"
    );

    let (code, log) = server.end();
    assert_eq!(code, Some(0), "{log}");
    assert!(
        log.contains("status=201") && log.contains("status=401"),
        "{log}"
    );
    assert!(!log.contains(TOKEN), "a token is in the log");
    place.assert_clean();
}

#[test]
fn a_server_that_is_down_is_told_and_does_not_hide_what_the_others_have() {
    let place = Place::new();
    let server = Server::start(&place);
    let (mut run, _output) = server.begun(&place);
    let down = format!("http://127.0.0.1:{}", testbed::free_port().unwrap());
    let asked = |arguments: &[&str]| {
        let endpoints = format!("{down},{}", server.endpoint);
        let mut command = place.worker();
        command.args(arguments).args(["-b", "http"]);
        command.env("WORKER_HTTP_TOKEN", TOKEN);
        command.env("WORKER_HTTP_ENDPOINT", endpoints);
        command.env("WORKER_HTTP_RESUME_WINDOW", "1s");
        let output = command.output().unwrap();
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(
            said.contains("a part of backend `http` did not answer") && said.contains(&down),
            "{said}"
        );
        String::from_utf8(output.stdout).unwrap()
    };
    let listed = asked(&["ps"]);
    assert_eq!(listed.matches("w-").count(), 1, "{listed}");
    let left = asked(&["reap"]);
    assert!(left.contains("on http: left"), "{left}");

    signal(&run, "TERM");
    assert_eq!(run.wait().unwrap().code(), Some(143));
    assert_eq!(
        asked(&["reap"]),
        "nothing was left behind where there was an answer\n"
    );
    let unknown = asked(&["reap", "w-0123456789abcdef"]);
    assert_eq!(
        unknown,
        "nothing was left behind where there was an answer\n"
    );
    server.end();
    place.assert_clean();
}

#[test]
fn a_run_whose_server_is_killed_and_begins_anew_is_status_75() {
    let place = Place::new();
    let server = Server::start(&place);
    let address = server.endpoint.replace("http://", "");
    let (run, mut output) = server.begun(&place);
    // Killed, as `drop` does it.
    drop(server);
    let again = Server::start_at(&place, &address);
    let ended = run.wait_with_output().unwrap();
    let said = stderr(&ended);
    assert_eq!(ended.status.code(), Some(75), "{said}");
    assert!(said.contains("started anew"), "{said}");
    // What came before stays, and nothing follows it.
    let mut rest = String::new();
    output.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "");
    assert_eq!(again.end().0, Some(0));
    place.assert_clean();
}

#[test]
fn a_server_refuses_what_would_be_unsafe() {
    let place = Place::new();
    let tokens = place.file("tokens", format!("{TOKEN}\n"));
    let short = place.file("short", "short\n");
    let tokens = tokens.to_str().unwrap();
    for (arguments, error, hint) in [
        (
            &["--listen", "0.0.0.0:0"][..],
            "without a token",
            "give it tokens",
        ),
        (
            &["--listen", "0.0.0.0:0", "--token-file", tokens],
            "without TLS",
            "a proxy in front",
        ),
        (
            &["--token-file", short.to_str().unwrap()],
            "line 1: the token is shorter",
            "16 characters",
        ),
        (
            &["--token-file", "/no/such/file"],
            "token file `/no/such/file`",
            "can this user read it",
        ),
        (
            &[
                "--listen",
                "127.0.0.1:0",
                "--tls-certificate",
                tokens,
                "--tls-key",
                tokens,
            ],
            "as PEM",
            "",
        ),
    ] {
        let output = place
            .worker()
            .arg("serve")
            .args(arguments)
            .output()
            .unwrap();
        let text = stderr(&output);
        assert_eq!(output.status.code(), Some(125), "{arguments:?}: {text}");
        assert!(
            text.contains(error) && text.contains(hint),
            "{arguments:?}: {text}"
        );
    }
    let listen = ["serve", "--listen", "localhost:80"];
    let output = place.worker().args(listen).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(
        stderr(&output).contains("127.0.0.1:7070"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn two_servers_do_not_share_a_state_directory() {
    let place = Place::new();
    let server = Server::start(&place);
    let output = place
        .worker()
        .args(["serve", "--listen", "127.0.0.1:0"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(125));
    let text = stderr(&output);
    assert!(
        text.contains("another server uses") && text.contains("a state directory of its own"),
        "{text}"
    );
    drop(server);
}
