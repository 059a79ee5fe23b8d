//! Before every handler: the request's name, who makes it, whether they may,
//! and how often. After it: one line in the access log.

use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use http::uri::Authority;
use http::{HeaderValue, Method, header};
use tokio::time::Instant;
use worker_api::{Code, Problem, header as names};

use crate::answer::Refusal;
use crate::hosted::lock;
use crate::rate::RateLimit;
use crate::tokens::{Caller, Scope, Tokens};

/// Wrong tokens per second from one address.
const FAILURES_PER_SECOND: u32 = 10;

/// The longest name of a request that is taken from a client.
const REQUEST_ID_LENGTH: usize = 128;

/// Who is at the other end of a connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer {
    /// The address; `None` on a Unix socket.
    pub(crate) address: Option<IpAddr>,
}

impl Peer {
    /// Whether it is on this machine.
    fn is_local(self) -> bool {
        self.address
            .is_none_or(|address| address.to_canonical().is_loopback())
    }
}

/// Knows who may.
#[derive(Debug)]
pub(crate) struct Guard {
    tokens: Tokens,
    rates: Mutex<RateLimit<String>>,
    failures: Mutex<RateLimit<Option<IpAddr>>>,
}

impl Guard {
    pub(crate) fn new(tokens: Tokens, requests_per_second: u32) -> Self {
        Self {
            tokens,
            rates: Mutex::new(RateLimit::new(requests_per_second)),
            failures: Mutex::new(RateLimit::new(FAILURES_PER_SECOND)),
        }
    }

    fn admit(&self, request: &Request, peer: Peer) -> Result<Caller, Problem> {
        let open = matches!(
            request.uri().path(),
            "/healthz" | "/readyz" | "/openapi.json"
        );
        if open && peer.is_local() {
            return Ok(Caller::anyone());
        }
        let caller = self.caller(request, peer)?;
        let reads = matches!(*request.method(), Method::GET | Method::HEAD);
        if caller.scope == Scope::Read && !reads {
            let detail = format!("a token of the scope `read` may not {}", request.method());
            return Err(Problem::new(Code::Forbidden, detail));
        }
        let taken = lock(&self.rates).take(caller.name.clone(), Instant::now());
        match taken {
            Ok(()) => Ok(caller),
            Err(wait) => Err(too_often("there are too many requests", wait)),
        }
    }

    fn caller(&self, request: &Request, peer: Peer) -> Result<Caller, Problem> {
        if self.tokens.is_empty() {
            return anyone(request, peer);
        }
        let token = request
            .headers()
            .get(header::AUTHORIZATION)
            .and_then(|value| value.to_str().ok()?.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .map(|(_, token)| token.trim());
        if let Some(caller) = token.and_then(|token| self.tokens.caller(token)) {
            return Ok(caller);
        }
        let guessed = lock(&self.failures).take(peer.address, Instant::now());
        match (guessed, token) {
            (Err(wait), _) => Err(too_often("there were too many wrong tokens", wait)),
            (_, Some(_)) => Err(Problem::new(Code::Unauthorized, "the token is not known")),
            (_, None) => Err(Problem::new(Code::Unauthorized, "there is no token")
                .with_hint("send `Authorization: Bearer TOKEN`")),
        }
    }
}

/// Whoever reaches a server without tokens, unless a web page does: by a name
/// of its own that leads here, it would be let in by the browser.
fn anyone(request: &Request, peer: Peer) -> Result<Caller, Problem> {
    let host = request.headers().get(header::HOST);
    let host = host.and_then(|value| value.to_str().ok()?.parse::<Authority>().ok());
    if peer.address.is_none() || host.is_some_and(|host| is_literal(host.host())) {
        return Ok(Caller::anyone());
    }
    let detail = "a server without tokens is called by its address or `localhost` only";
    Err(Problem::new(Code::Forbidden, detail)
        .with_hint("use its address, or give the server tokens"))
}

fn is_literal(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare.parse::<IpAddr>().is_ok() || host.eq_ignore_ascii_case("localhost")
}

fn too_often(detail: &str, wait: Duration) -> Problem {
    let milliseconds = u32::try_from(wait.as_millis()).unwrap_or(u32::MAX);
    Problem::new(Code::TooMany, detail).retry_after_ms(milliseconds.saturating_add(1))
}

/// The middleware.
pub(crate) async fn guard(
    State(guard): State<Arc<Guard>>,
    mut request: Request,
    next: Next,
) -> Response {
    let began = Instant::now();
    let id = request_id(&request);
    let peer = request.extensions().get::<Peer>().copied();
    // Who is not known to be on this machine is not.
    let peer = peer.unwrap_or(Peer {
        address: Some(IpAddr::from([0, 0, 0, 0])),
    });
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let path = request.uri().path().to_owned();
    let (caller, mut response) = match guard.admit(&request, peer) {
        Ok(caller) => {
            let name = caller.name.clone();
            request.extensions_mut().insert(caller);
            (name, next.run(request).await)
        }
        Err(problem) => ("-".to_owned(), Refusal(problem).into_response()),
    };
    tracing::info!(
        target: "worker_server::access",
        request_id = id.to_str().unwrap_or_default(),
        caller,
        peer = peer.address.map(tracing::field::display),
        %method,
        path,
        route = route.as_ref().map(MatchedPath::as_str),
        status = response.status().as_u16(),
        milliseconds = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
    );
    response.headers_mut().insert(names::REQUEST_ID, id);
    response
}

/// The client's name for the request if it is fit for a log, or a new one.
fn request_id(request: &Request) -> HeaderValue {
    let given = request.headers().get(names::REQUEST_ID).filter(|value| {
        let bytes = value.as_bytes();
        (1..=REQUEST_ID_LENGTH).contains(&bytes.len()) && bytes.iter().all(u8::is_ascii_graphic)
    });
    given.cloned().unwrap_or_else(|| {
        let random = format!("{:016x}", fastrand::u64(..));
        // Hexadecimal digits make a header.
        HeaderValue::from_str(&random).unwrap_or(HeaderValue::from_static("-"))
    })
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    const FULL: &str = "0123456789abcdef";
    const READ: &str = "fedcba9876543210";

    fn guard() -> Guard {
        let text = format!("ci full {FULL}\nci read {READ}\n");
        Guard::new(Tokens::read(&text.into()).unwrap(), 1000)
    }

    fn code(guard: &Guard, method: &str, path: &str, token: &str, peer: &str) -> Option<Code> {
        let mut request = http::Request::builder().method(method).uri(path);
        if !token.is_empty() {
            request = request.header("authorization", token);
        }
        let request = request.body(Body::empty()).unwrap();
        let peer = Peer {
            address: Some(peer.parse().unwrap()),
        };
        guard
            .admit(&request, peer)
            .err()
            .and_then(|problem| problem.code())
    }

    #[test]
    fn only_known_tokens_pass_and_only_as_far_as_they_reach() {
        let guard = guard();
        let at = |method, token: &str| code(&guard, method, "/v1", token, "127.0.0.1");
        assert_eq!(at("PUT", &format!("Bearer {FULL}")), None);
        assert_eq!(at("PUT", &format!("bearer {FULL}")), None);
        assert_eq!(at("GET", &format!("Bearer {READ}")), None);
        assert_eq!(at("PUT", &format!("Bearer {READ}")), Some(Code::Forbidden));
        assert_eq!(
            at("DELETE", &format!("Bearer {READ}")),
            Some(Code::Forbidden)
        );
        for wrong in [
            "",
            "Bearer",
            "Bearer ",
            "Basic 0123456789abcdef",
            "Bearer 0123456789abcdeX",
        ] {
            assert_eq!(at("GET", wrong), Some(Code::Unauthorized), "{wrong}");
        }
    }

    #[test]
    fn without_tokens_a_foreign_name_is_no_way_in() {
        let guard = Guard::new(Tokens::none(), 1000);
        for (host, passes) in [
            ("127.0.0.1:7070", true),
            ("[::1]:7070", true),
            ("localhost", true),
            ("evil.example:7070", false),
            ("localhost.evil.example", false),
            ("", false),
        ] {
            let request = http::Request::builder().uri("/v1").header("host", host);
            let request = request.body(Body::empty()).unwrap();
            let peer = Peer {
                address: Some([127, 0, 0, 1].into()),
            };
            assert_eq!(guard.admit(&request, peer).is_ok(), passes, "{host}");
        }
    }

    #[test]
    fn health_is_open_on_this_machine_only() {
        let guard = guard();
        for (peer, expected) in [
            ("127.0.0.1", None),
            ("::1", None),
            ("::ffff:127.0.0.1", None),
            ("192.0.2.1", Some(Code::Unauthorized)),
        ] {
            assert_eq!(
                code(&guard, "GET", "/healthz", "", peer),
                expected,
                "{peer}"
            );
        }
    }

    #[test]
    fn guessing_is_slowed_down_for_one_address_and_no_other() {
        let guard = guard();
        let guess = |peer| code(&guard, "GET", "/v1", "Bearer wrong-wrong-wrong", peer);
        for _ in 0..FAILURES_PER_SECOND {
            assert_eq!(guess("192.0.2.1"), Some(Code::Unauthorized));
        }
        assert_eq!(guess("192.0.2.1"), Some(Code::TooMany));
        assert_eq!(guess("192.0.2.2"), Some(Code::Unauthorized));
        let right = code(&guard, "GET", "/v1", &format!("Bearer {FULL}"), "192.0.2.1");
        assert_eq!(right, None);
    }
}
