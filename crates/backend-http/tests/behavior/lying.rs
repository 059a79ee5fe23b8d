//! Servers that answer garbage, redirect, hang, or lie.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use backend_core::{ErrorKind, ProviderExt as _, StartAttributes};
use worker_api::Digest;

use crate::client::{provider, ready, run};

/// What a request is answered with; nothing closes the connection, as does an
/// answer that is not whole.
type Script = dyn Fn(&str) -> Option<Vec<u8>> + Send + Sync;

/// A server that answers each request, by its first line, as it is told.
struct Liar {
    address: SocketAddr,
    ended: Arc<AtomicBool>,
}

impl Liar {
    fn new(script: impl Fn(&str) -> Option<Vec<u8>> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let ended = Arc::new(AtomicBool::new(false));
        let (script, end): (Arc<Script>, _) = (Arc::new(script), ended.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if end.load(Ordering::SeqCst) {
                    return;
                }
                let script = script.clone();
                std::thread::spawn(move || serve(stream, &*script));
            }
        });
        Self { address, ended }
    }

    fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Liar {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
        TcpStream::connect(self.address).ok();
    }
}

/// Answers one request after another, and closes after an answer that has no
/// length of its own.
fn serve(mut stream: TcpStream, script: &Script) {
    let mut bytes = Vec::new();
    let mut buffer = vec![0; 65536];
    loop {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n");
        let Some(end) = end else {
            match stream.read(&mut buffer) {
                Ok(read @ 1..) => bytes.extend_from_slice(&buffer[..read]),
                _ => return,
            }
            continue;
        };
        let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "))
            .map_or(0, |text| text.parse::<usize>().unwrap());
        while bytes.len() < end + 4 + length {
            match stream.read(&mut buffer) {
                Ok(read @ 1..) => bytes.extend_from_slice(&buffer[..read]),
                _ => return,
            }
        }
        let line = String::from_utf8_lossy(&bytes[..end])
            .lines()
            .next()
            .unwrap()
            .to_owned();
        bytes.drain(..end + 4 + length);
        let Some(answer) = script(&line) else { return };
        if stream.write_all(&answer).is_err() || !is_whole(&answer) {
            return;
        }
    }
}

/// Whether an answer has all the bytes of its length.
fn is_whole(answer: &[u8]) -> bool {
    let text = String::from_utf8_lossy(answer);
    let Some((head, _)) = text.split_once("\r\n\r\n") else {
        return false;
    };
    let said = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    said.and_then(|text| text.parse().ok()) == Some(answer.len() - head.len() - 4)
}

fn answer(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-length: {}\r\n{headers}\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

fn json(body: &str) -> Vec<u8> {
    answer(
        "200 OK",
        "content-type: application/json\r\n",
        body.as_bytes(),
    )
}

fn output(offset: usize, bytes: &[u8], complete: bool) -> Vec<u8> {
    let headers = format!(
        "worker-offset: {offset}\r\nworker-next-offset: {}\r\nworker-complete: {complete}\r\ncontent-digest: {}\r\n",
        offset + bytes.len(),
        Digest::of(bytes).to_header()
    );
    answer("200 OK", &headers, bytes)
}

/// An honest service with one instance, whose output and verdict are given.
fn honest(line: &str, output: &dyn Fn(usize) -> Option<Vec<u8>>, verdict: &str) -> Option<Vec<u8>> {
    let path = line.split(' ').nth(1).unwrap();
    let instance = path
        .split('/')
        .nth(3)
        .unwrap_or_default()
        .split('?')
        .next()
        .unwrap();
    Some(if path == "/v1" {
        json(r#"{"api":"worker/1","server":{}}"#)
    } else if let Some((_, rest)) = path.split_once("/output?offset=") {
        let offset = rest.split('&').next().unwrap().parse().unwrap();
        return output(offset);
    } else if path.contains("/runs/") {
        let run = path.rsplit('/').next().unwrap();
        if line.starts_with("PUT") {
            json(&format!(r#"{{"id":"{run}","state":"running"}}"#))
        } else {
            json(&format!(r#"{{"id":"{run}","state":"ended",{verdict}}}"#))
        }
    } else if path.ends_with("/script") {
        json(r#"{"bytes":1,"sha256":""}"#)
    } else if path.ends_with("/lease") {
        json(r#"{"remaining_s":60}"#)
    } else if line.starts_with("DELETE") {
        answer("204 No Content", "", b"")
    } else {
        json(&format!(r#"{{"id":"{instance}","state":"ready","rev":1}}"#))
    })
}

const EXIT_0: &str = r#""outcome":{"kind":"exit","code":0},"output":{"bytes":3}"#;

#[tokio::test]
async fn an_honest_service_of_few_words_is_believed() {
    let liar = Liar::new(|line| {
        honest(
            line,
            &|offset| Some(output(offset, &b"abc"[offset..], true)),
            EXIT_0,
        )
    });
    let provider = provider(&liar.endpoint(), &[]);
    provider.setup().await.unwrap();
    let instance = ready(&*provider, "x").await;
    let (result, output) = run(&*instance).await;
    assert!(result.success() && output == b"abc", "{result:?}");
    instance.stop().await.unwrap();
}

#[tokio::test]
async fn a_setup_says_what_is_wrong_with_what_answers() {
    let many = vec![b'x'; 8 << 20];
    let endless = || b"HTTP/1.1 200 OK\r\n\r\n".to_vec();
    let table: Vec<(Vec<u8>, ErrorKind, &str)> = vec![
        (json("{"), ErrorKind::Protocol, "no JSON"),
        (json("[1,2]"), ErrorKind::Protocol, "another form"),
        (
            json(r#"{"api":"worker/9","server":{}}"#),
            ErrorKind::Unsuitable,
            "worker/9",
        ),
        (
            json(r#"{"api":"worker/1","server":{},"capabilities":[]}"#),
            ErrorKind::Unsuitable,
            "executes-scripts",
        ),
        (
            answer("200 OK", "", &many),
            ErrorKind::Protocol,
            "more than",
        ),
        (
            answer("301 Moved", "location: http://192.0.2.1/hunter2\r\n", b""),
            ErrorKind::Protocol,
            "301",
        ),
        (
            answer("404 Not Found", "", b"<html>"),
            ErrorKind::Protocol,
            "404",
        ),
        (answer("500 Oh", "", b""), ErrorKind::Protocol, "500"),
        (
            answer("503 Busy", "retry-after: 7\r\n", b""),
            ErrorKind::Unreachable,
            "503",
        ),
        (
            answer(
                "403 No",
                "content-type: application/problem+json\r\n",
                b"{\"type\":\"about:blank\"}",
            ),
            ErrorKind::Denied,
            "403",
        ),
        (
            b"\x00\x01\x02 garbage\r\n\r\n".to_vec(),
            ErrorKind::Unreachable,
            "connection failed",
        ),
        (endless(), ErrorKind::Protocol, "no JSON"),
        (
            b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{".to_vec(),
            ErrorKind::Unreachable,
            "connection failed",
        ),
        (
            answer("200 OK", "x-request-id: another\r\n", b"{}"),
            ErrorKind::Protocol,
            "another request",
        ),
    ];
    for (bytes, kind, text) in table {
        let told = bytes.clone();
        let liar = Liar::new(move |_| Some(bytes.clone()));
        let provider = provider(&liar.endpoint(), &[]);
        let error = provider.setup().await.unwrap_err();
        let shown = format!("{error:?}");
        assert!(
            error.kind() == kind && shown.contains(text),
            "{shown} for {}",
            String::from_utf8_lossy(&told[..told.len().min(99)])
        );
        assert!(!shown.contains("hunter2"), "{shown}");
        assert!(
            provider
                .start_new(&StartAttributes::default())
                .await
                .is_err()
        );
    }
}

/// Answers to requests for output, by their offsets.
type Answers = Box<dyn Fn(usize) -> Option<Vec<u8>> + Send + Sync>;

#[tokio::test]
async fn no_lie_about_the_output_becomes_an_exit() {
    let exit = |bytes: usize, sha: &str| {
        format!(
            r#""outcome":{{"kind":"exit","code":0}},"output":{{"bytes":{bytes},"sha256":"{sha}"}}"#
        )
    };
    let right = Digest::of(b"abc").to_hex();
    let wrong = Digest::of(b"abd").to_hex();
    let honestly =
        || -> Answers { Box::new(|offset| Some(output(offset, &b"abc"[offset..], true))) };
    let table: Vec<(&str, Answers, String)> = vec![
        ("a shorter length", honestly(), exit(2, &right)),
        ("a longer length", honestly(), exit(4, &right)),
        ("another hash", honestly(), exit(3, &wrong)),
        ("no outcome", honestly(), r#""output":{"bytes":3}"#.into()),
        (
            "another offset",
            Box::new(|_| Some(output(1, b"bc", true))),
            exit(3, &right),
        ),
        (
            "no headers",
            Box::new(|_| Some(answer("200 OK", "", b"abc"))),
            exit(3, &right),
        ),
        (
            "another digest",
            Box::new(|_| {
                Some(answer(
                    "200 OK",
                    &format!(
                        "worker-offset: 0\r\nworker-next-offset: 3\r\nworker-complete: true\r\ncontent-digest: {}\r\n",
                        Digest::of(b"abd").to_header()
                    ),
                    b"abc",
                ))
            }),
            exit(3, &right),
        ),
        (
            "more than was asked for",
            Box::new(|_| Some(output(0, &vec![b'x'; 2 << 20], true))),
            exit(2 << 20, &right),
        ),
        (
            "a bare 404",
            Box::new(|_| Some(answer("404 Not Found", "", b""))),
            exit(3, &right),
        ),
        ("nothing", Box::new(|_| None), exit(3, &right)),
    ];
    let checks = table
        .into_iter()
        .map(|(name, answers, verdict)| async move {
            let liar = Liar::new(move |line| honest(line, &answers, &verdict));
            let provider = provider(&liar.endpoint(), &[("resume-window", "2s")]);
            let instance = ready(&*provider, "x").await;
            let (result, output) = run(&*instance).await;
            assert!(!result.completed(), "{name}: {result:?}");
            assert!(
                !result.output_complete && result.output_bytes == output.len() as u64,
                "{name}"
            );
            instance.stop().await.unwrap();
        });
    futures_util::future::join_all(checks).await;
}

#[tokio::test]
async fn an_answer_that_is_cut_at_any_byte_is_asked_for_again() {
    let whole = output(0, b"abc", true);
    for cut in 0..whole.len() {
        let once = AtomicBool::new(true);
        let part = whole[..cut].to_vec();
        let liar = Liar::new(move |line| {
            if line.contains("/output") && once.swap(false, Ordering::SeqCst) {
                // The rest never comes: the connection is closed.
                return Some(part.clone());
            }
            honest(
                line,
                &|offset| Some(output(offset, &b"abc"[offset..], true)),
                EXIT_0,
            )
        });
        let provider = provider(&liar.endpoint(), &[]);
        let instance = ready(&*provider, "x").await;
        let (result, output) = run(&*instance).await;
        assert!(
            result.success() && output == b"abc",
            "cut at {cut}: {result:?}"
        );
        instance.stop().await.unwrap();
    }
}

#[tokio::test]
async fn a_server_that_hangs_is_given_up() {
    let liar = Liar::new(|line| {
        if line.starts_with("GET /v1 ") {
            std::thread::sleep(Duration::from_mins(1));
        }
        None
    });
    let provider = provider(&liar.endpoint(), &[]);
    let began = std::time::Instant::now();
    let error = provider.setup().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unreachable, "{error:?}");
    assert!(began.elapsed() < Duration::from_secs(30));
}
