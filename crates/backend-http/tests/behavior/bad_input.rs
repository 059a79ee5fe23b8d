//! Requests that are wrong: each gets a problem document, or is cut off.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use worker_api::{Code, Problem};

use crate::client::{JSON, bare, eventually, request};
use crate::support::{Plan, Serving};

fn code(answer: &str) -> Option<Code> {
    let (head, body) = answer.split_once("\r\n\r\n")?;
    assert!(head.contains("application/problem+json"), "{answer}");
    serde_json::from_str::<Problem>(body).ok()?.code()
}

/// A server with an instance `it` that is ready.
async fn with_instance() -> Serving {
    let serving = Plan::new("fake").start();
    let address = serving.address();
    let path = "/v1/instances/it";
    // At first it may still look for what an earlier server has left.
    let created = || matches!(request(address, "PUT", path, &[JSON], b"{}").0, 200 | 201);
    eventually("a server that is ready", Duration::from_secs(20), created).await;
    let ready = || {
        request(address, "GET", path, &[], b"")
            .1
            .contains("\"ready\"")
    };
    eventually("an instance", Duration::from_secs(20), ready).await;
    serving
}

/// Method, path, headers, body; and the status and code of what comes.
type Row<'a> = (&'a str, &'a str, &'a [&'a str], &'a [u8], u16, Code);

/// Longer by one than an id can be.
const LONG: &str = "/v1/instances/xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx";

const WRONG: &[Row<'_>] = &[
    ("GET", "/v2", &[], b"", 404, Code::NoRoute),
    ("PATCH", "/v1", &[], b"", 405, Code::MethodNotAllowed),
    ("GET", "/v1/instances/absent", &[], b"", 404, Code::NotFound),
    ("GET", "/v1/instances/UPPER", &[], b"", 400, Code::Malformed),
    ("GET", LONG, &[], b"", 400, Code::Malformed),
    (
        "GET",
        "/v1/instances/..%2f..%2fetc%2fpasswd",
        &[],
        b"",
        400,
        Code::Malformed,
    ),
    ("GET", "/v1/instances/%00", &[], b"", 400, Code::Malformed),
    (
        "GET",
        "/v1/instances?colour=red",
        &[],
        b"",
        400,
        Code::Malformed,
    ),
    (
        "GET",
        "/v1/instances?state=odd",
        &[],
        b"",
        400,
        Code::Malformed,
    ),
    (
        "GET",
        "/v1/instances?cursor=..",
        &[],
        b"",
        400,
        Code::Malformed,
    ),
    (
        "PUT",
        "/v1/instances/a",
        &[JSON],
        b"{",
        400,
        Code::Malformed,
    ),
    ("PUT", "/v1/instances/a", &[JSON], b"[]", 422, Code::Invalid),
    (
        "PUT",
        "/v1/instances/a",
        &[JSON],
        br#"{"attributes":[]}"#,
        422,
        Code::Invalid,
    ),
    (
        "PUT",
        "/v1/instances/a",
        &[JSON],
        br#"{"lease":1}"#,
        422,
        Code::Invalid,
    ),
    (
        "PUT",
        "/v1/instances/a",
        &[JSON],
        br#"{"lease_s":0}"#,
        422,
        Code::Invalid,
    ),
    ("PUT", "/v1/instances/a", &[], b"{}", 415, Code::MediaType),
    (
        "PUT",
        "/v1/instances/a",
        &[JSON],
        br#"{"require":["teleport"]}"#,
        422,
        Code::Requirement,
    ),
    (
        "PUT",
        "/v1/instances/it",
        &[JSON],
        br#"{"job":"other"}"#,
        409,
        Code::Conflict,
    ),
    (
        "PUT",
        "/v1/instances/it/runs/r",
        &[JSON],
        b"{}",
        409,
        Code::InvalidState,
    ),
    (
        "PUT",
        "/v1/instances/it/runs/r",
        &[JSON],
        br#"{"environment":{"A-B":"x"}}"#,
        422,
        Code::Invalid,
    ),
    (
        "PUT",
        "/v1/instances/it/lease",
        &[JSON],
        br#"{"ttl_s":0}"#,
        422,
        Code::Invalid,
    ),
    (
        "PUT",
        "/v1/instances/it/script",
        &["content-digest: sha-256=:YQ==:"],
        b"x",
        400,
        Code::Malformed,
    ),
    (
        "PUT",
        "/v1/instances/it/script",
        &["content-digest: sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:"],
        b"not empty",
        422,
        Code::DigestMismatch,
    ),
    (
        "GET",
        "/v1/instances/it/runs/absent",
        &[],
        b"",
        404,
        Code::NotFound,
    ),
];

#[tokio::test]
async fn each_wrong_request_gets_its_problem() {
    let serving = with_instance().await;
    let address = serving.address();
    for (method, path, headers, body, status, expected) in WRONG {
        let (got, answer) = request(address, method, path, headers, body);
        assert_eq!(
            (got, code(&answer)),
            (*status, Some(*expected)),
            "{method} {path}: {answer}"
        );
    }
}

#[tokio::test]
async fn the_calls_of_one_run_have_their_order() {
    let serving = with_instance().await;
    let address = serving.address();
    let put = |path: &str, headers: &[&str], body: &[u8]| {
        let (status, answer) = request(
            address,
            "PUT",
            &format!("/v1/instances/it{path}"),
            headers,
            body,
        );
        (status, (status >= 400).then(|| code(&answer)).flatten())
    };
    assert_eq!(put("/script", &["idempotency-key: k"], b"one"), (201, None));
    assert_eq!(put("/script", &["idempotency-key: k"], b"one"), (200, None));
    assert_eq!(
        put("/script", &["idempotency-key: k"], b"two"),
        (409, Some(Code::StaleInstance))
    );
    assert_eq!(
        put("/script", &[], b"one"),
        (409, Some(Code::StaleInstance))
    );
    assert_eq!(
        put("/runs/r", &[JSON], br#"{"environment":{"A":"1"}}"#),
        (201, None)
    );
    assert_eq!(
        put("/runs/r", &[JSON], br#"{"environment":{"A":"1"}}"#),
        (200, None)
    );
    assert_eq!(
        put("/runs/r", &[JSON], br#"{"environment":{"A":"2"}}"#),
        (409, Some(Code::Conflict))
    );
    assert_eq!(
        put("/runs/other", &[JSON], b"{}"),
        (409, Some(Code::InvalidState))
    );
    let output = "/v1/instances/it/runs/r/output";
    let (status, answer) = request(
        address,
        "GET",
        &format!("{output}?offset=1000000"),
        &[],
        b"",
    );
    assert_eq!(
        (status, code(&answer)),
        (422, Some(Code::Invalid)),
        "{answer}"
    );
    for wrong in [
        "offset=-1",
        "offset=1e3",
        "limit=0",
        "limit=",
        "offset=99999999999999999999",
    ] {
        let (status, answer) = request(address, "GET", &format!("{output}?{wrong}"), &[], b"");
        assert_eq!(
            (status, code(&answer)),
            (400, Some(Code::Malformed)),
            "{wrong}: {answer}"
        );
    }
    assert_eq!(
        request(address, "DELETE", "/v1/instances/it", &[], b"").0,
        204
    );
    assert_eq!(
        request(address, "DELETE", "/v1/instances/it", &[], b"").0,
        204
    );
    assert_eq!(
        put("/lease", &[JSON], br#"{"ttl_s":60}"#),
        (410, Some(Code::LeaseExpired))
    );
    assert_eq!(put("", &[JSON], b"{}"), (410, Some(Code::Gone)));
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_before_it_comes() {
    let serving = with_instance().await;
    let head = "PUT /v1/instances/a HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
                content-length: 99999999999\r\nconnection: close\r\n\r\n{";
    let (status, answer) = bare(serving.address(), head.as_bytes());
    assert_eq!(
        (status, code(&answer)),
        (413, Some(Code::TooLarge)),
        "{answer}"
    );
    // One that does not say how long it is.
    let mut chunked =
        b"PUT /v1/instances/a HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
                        transfer-encoding: chunked\r\nconnection: close\r\n\r\n"
            .to_vec();
    for _ in 0..80 {
        chunked.extend_from_slice(b"10000\r\n");
        chunked.extend(std::iter::repeat_n(b' ', 0x10000));
        chunked.extend_from_slice(b"\r\n");
    }
    let (status, answer) = bare(serving.address(), &chunked);
    assert_eq!(
        (status, code(&answer)),
        (413, Some(Code::TooLarge)),
        "{answer}"
    );
    let (status, _) = bare(
        serving.address(),
        format!(
            "GET /v1 HTTP/1.1\r\nhost: localhost\r\nx: {}\r\n\r\n",
            "x".repeat(1 << 20)
        )
        .as_bytes(),
    );
    assert!(matches!(status, 0 | 431), "{status}");
    let (status, _) = bare(serving.address(), b"\x16\x03\x01 no http at all\r\n\r\n");
    assert!(matches!(status, 0 | 400), "{status}");
}

#[tokio::test]
async fn who_is_too_slow_is_cut_off() {
    let mut plan = Plan::new("fake");
    plan.head_seconds = Some(1);
    let serving = plan.start();
    let slowly = |first: &'static [u8], drip: &'static [u8]| {
        let address = serving.address();
        tokio::task::spawn_blocking(move || {
            let mut stream = TcpStream::connect(address).unwrap();
            stream.write_all(first).unwrap();
            stream
                .set_read_timeout(Some(Duration::from_millis(200)))
                .unwrap();
            let began = Instant::now();
            let mut answer = Vec::new();
            let mut buffer = [0; 4096];
            loop {
                match stream.read(&mut buffer) {
                    Ok(0) => break,
                    Ok(read) => answer.extend_from_slice(&buffer[..read]),
                    Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                        if stream.write_all(drip).is_err() {
                            break;
                        }
                    }
                    Err(_) => break,
                }
                assert!(
                    began.elapsed() < Duration::from_secs(40),
                    "it is not cut off"
                );
            }
            String::from_utf8_lossy(&answer).into_owned()
        })
    };
    let head = slowly(b"GET /v1 HTTP/1.1\r\n", b"x: y\r\n").await.unwrap();
    assert!(!head.contains("200 OK"), "{head}");
    let body = b"PUT /v1/instances/a HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\r\n{";
    let silent = slowly(body, b"").await.unwrap();
    assert!(
        silent.contains("408") && silent.contains("urn:worker:problem:timeout"),
        "{silent}"
    );
    let dripping = slowly(body, b" ").await.unwrap();
    assert!(dripping.contains("408"), "{dripping}");
}

#[tokio::test]
async fn limits_of_a_run_that_the_server_watches_end_it() {
    let serving = Plan::new("local").start();
    let address = serving.address();
    for (name, script, limits, by, output) in [
        (
            "time",
            "echo a; sleep 300",
            r#"{"time_s":1}"#,
            "timeout",
            "a\n",
        ),
        (
            "silence",
            "echo b; sleep 300",
            r#"{"silence_s":1}"#,
            "silence",
            "b\n",
        ),
        (
            "output",
            "while :; do echo c; done",
            r#"{"output_bytes":5}"#,
            "output-limit",
            "c\nc\nc",
        ),
    ] {
        let path = format!("/v1/instances/{name}");
        let put = |rest: &str, body: &str| {
            request(
                address,
                "PUT",
                &format!("{path}{rest}"),
                &[JSON],
                body.as_bytes(),
            )
        };
        assert_eq!(put("", "{}").0, 201);
        let ready = || {
            request(address, "GET", &path, &[], b"")
                .1
                .contains("\"ready\"")
        };
        eventually("an instance", Duration::from_secs(20), ready).await;
        assert_eq!(put("/script", script).0, 201);
        assert_eq!(put("/runs/r", &format!(r#"{{"limits":{limits}}}"#)).0, 201);
        let mut told = String::new();
        eventually("the end of the run", Duration::from_secs(30), || {
            told = request(address, "GET", &format!("{path}/runs/r"), &[], b"").1;
            told.contains("\"ended\"")
        })
        .await;
        assert!(
            told.contains(&format!(r#""kind":"stopped","by":"{by}""#)),
            "{told}"
        );
        let read = request(address, "GET", &format!("{path}/runs/r/output"), &[], b"").1;
        assert!(read.ends_with(&format!("\r\n\r\n{output}")), "{read}");
        assert_eq!(request(address, "DELETE", &path, &[], b"").0, 204);
    }
}
