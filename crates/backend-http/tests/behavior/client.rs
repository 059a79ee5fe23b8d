//! Clients: providers of the backend, and bare HTTP.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use backend_core::testkit::HashSink;
use backend_core::{
    Instance, Origin, Provider, ProviderConfig, ProviderExt as _, RunOptions, RunResult,
    StartAttributes,
};

/// A provider for the server at `endpoint`.
pub(crate) fn provider(endpoint: &str, options: &[(&str, &str)]) -> Arc<dyn Provider> {
    try_provider(endpoint, options).unwrap()
}

pub(crate) fn try_provider(
    endpoint: &str,
    options: &[(&str, &str)],
) -> backend_core::Result<Arc<dyn Provider>> {
    let mut config = ProviderConfig::from([("endpoint", endpoint)]);
    for (key, value) in options {
        config.add(key, *value, Origin::Environment("WORKER_HTTP_X".into()));
    }
    (backend_http::BACKEND.provider)(&config)
}

/// An instance with a script.
pub(crate) async fn ready(provider: &dyn Provider, script: &str) -> Box<dyn Instance> {
    let instance = provider
        .start_new(&StartAttributes::default())
        .await
        .unwrap();
    instance.upload_script(script.as_bytes()).await.unwrap();
    instance
}

/// Runs to the end, and gives all of the output.
pub(crate) async fn run(instance: &dyn Instance) -> (RunResult, Vec<u8>) {
    let mut output = Vec::new();
    let result = instance
        .run_script(&RunOptions::default(), &mut output)
        .await;
    (result.unwrap(), output)
}

/// A script that prints `MEGABYTES` of noise in two halves with something in
/// between, and then the SHA-256 of the noise.
pub(crate) fn noise(megabytes: u32, between: &str) -> String {
    let half = megabytes / 2;
    format!(
        "head -c {half}M /dev/urandom >one; head -c {half}M /dev/urandom >other\n\
         cat one\n{between}\ncat other\ncat one other | sha256sum | cut -c1-64\nexit 3\n"
    )
}

/// Runs a script of [`noise`], and makes sure that all of it came.
pub(crate) async fn run_noise(instance: &dyn Instance, megabytes: u64) -> RunResult {
    let mut sink = HashSink::with_trailer(65);
    let result = instance
        .run_script(&RunOptions::default(), &mut sink)
        .await
        .unwrap();
    assert_eq!(result.exit_code(), Some(3), "{result:?}");
    assert!(result.output_complete, "{result:?}");
    assert_eq!(sink.hashed(), megabytes << 20);
    let trailer = String::from_utf8_lossy(sink.trailer()).into_owned();
    assert_eq!(trailer.trim(), sink.hex());
    result
}

/// One request over a connection of its own: the status, and the whole answer.
pub(crate) fn bare(address: SocketAddr, request: &[u8]) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(30)))
        .unwrap();
    // The server may answer and close before it has all of it.
    stream.write_all(request).ok();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok();
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let status = answer.split(' ').nth(1).and_then(|text| text.parse().ok());
    (status.unwrap_or(0), answer)
}

/// The same for a request with a body, closing the connection after it.
pub(crate) fn request(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[&str],
    body: &[u8],
) -> (u16, String) {
    let mut text = format!(
        "{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {}\r\n",
        body.len()
    );
    for header in headers {
        text.push_str(header);
        text.push_str("\r\n");
    }
    text.push_str("\r\n");
    let mut bytes = text.into_bytes();
    bytes.extend_from_slice(body);
    bare(address, &bytes)
}

pub(crate) const JSON: &str = "content-type: application/json";

/// Waits until `fits`, for a while.
pub(crate) async fn eventually(what: &str, bound: Duration, mut fits: impl FnMut() -> bool) {
    let began = std::time::Instant::now();
    while !fits() {
        assert!(began.elapsed() < bound, "{what} not within {bound:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// How many processes run with this word among their arguments.
pub(crate) fn processes_with(word: &str) -> usize {
    let listing = std::fs::read_dir("/proc").unwrap();
    let lines = listing
        .flatten()
        .filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
    lines
        .filter(|line| {
            line.split(|byte| *byte == 0)
                .any(|argument| argument == word.as_bytes())
        })
        .count()
}
