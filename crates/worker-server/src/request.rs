//! What is read from a request: ids, queries, waits, bodies within bounds.

use std::time::Duration;

use axum::body::Body;
use bytes::BytesMut;
use http::{HeaderMap, header};
use http_body_util::BodyExt as _;
use serde::de::DeserializeOwned;
use tokio::time::{Instant, timeout};
use worker_api::{Code, JSON, Problem, header as names, wait_of};

/// A slow body may take so many of its pauses in all.
const PAUSES: u32 = 30;

/// A part of the path as an id.
pub(crate) fn id<T: std::str::FromStr<Err = backend_core::InvalidId>>(
    text: &str,
) -> Result<T, Problem> {
    text.parse()
        .map_err(|error: T::Err| Problem::new(Code::Malformed, error.to_string()))
}

/// The pairs of a query, decoded; each key must be one of `known`.
pub(crate) fn query(query: Option<&str>, known: &[&str]) -> Result<Vec<(String, String)>, Problem> {
    let malformed = |what: &str, text: &str| {
        Problem::new(Code::Malformed, format!("{what} in the query: `{text}`"))
            .with_hint(format!("this path takes {}", known.join(", ")))
    };
    let mut pairs = Vec::new();
    for pair in query
        .unwrap_or_default()
        .split('&')
        .filter(|pair| !pair.is_empty())
    {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        let decoded = |text| decode(text).ok_or_else(|| malformed("what is no UTF-8", pair));
        let (key, value) = (decoded(key)?, decoded(value)?);
        if !known.contains(&key.as_str()) {
            return Err(malformed("an unknown key", &key));
        }
        pairs.push((key, value));
    }
    Ok(pairs)
}

/// The last value of a key that is a number.
pub(crate) fn number(pairs: &[(String, String)], key: &str) -> Result<Option<u64>, Problem> {
    let Some((_, text)) = pairs.iter().rev().find(|(name, _)| name == key) else {
        return Ok(None);
    };
    text.parse().map(Some).map_err(|_| {
        Problem::new(
            Code::Malformed,
            format!("`{key}` is not a whole number: `{text}`"),
        )
    })
}

/// `%41` and `+`, as forms have them.
fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digit = |byte| char::from(byte).to_digit(16);
                let (high, low) = (digit(rest.next()?)?, digit(rest.next()?)?);
                u8::try_from(high << 4 | low).ok()?
            }
            other => other,
        });
    }
    String::from_utf8(bytes).ok()
}

/// How long the request wants to wait for news.
pub(crate) fn wait(headers: &HeaderMap, most: Duration) -> Duration {
    headers
        .get(names::PREFER)
        .and_then(|value| wait_of(value.to_str().ok()?))
        .unwrap_or(Duration::ZERO)
        .min(most)
}

/// The text of a header.
pub(crate) fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// All of a body of at most `most` bytes, that never pauses for long.
pub(crate) async fn body(
    headers: &HeaderMap,
    mut body: Body,
    most: u64,
    pause: Duration,
) -> Result<BytesMut, Problem> {
    let too_large = || {
        Problem::new(
            Code::TooLarge,
            format!("the body has more than {most} bytes"),
        )
    };
    let said = text(headers, header::CONTENT_LENGTH.as_str()).and_then(|text| text.parse().ok());
    if said.is_some_and(|said: u64| said > most) {
        return Err(too_large());
    }
    let until = Instant::now() + pause * PAUSES;
    let mut bytes = BytesMut::new();
    loop {
        let pause = pause.min(until.saturating_duration_since(Instant::now()));
        let frame = match timeout(pause, body.frame()).await {
            Err(_) => {
                return Err(Problem::new(
                    Code::Timeout,
                    "the body took too long to come",
                ));
            }
            Ok(None) => return Ok(bytes),
            Ok(Some(Err(_))) => {
                return Err(Problem::new(Code::Malformed, "the body was cut"));
            }
            Ok(Some(Ok(frame))) => frame,
        };
        if let Some(data) = frame.data_ref() {
            if (bytes.len() + data.len()) as u64 > most {
                return Err(too_large());
            }
            bytes.extend_from_slice(data);
        }
    }
}

/// A JSON document; says what is wrong with it, and where.
pub(crate) fn json<T: DeserializeOwned>(headers: &HeaderMap, bytes: &[u8]) -> Result<T, Problem> {
    let media_type = text(headers, header::CONTENT_TYPE.as_str()).unwrap_or_default();
    let essence = media_type.split(';').next().unwrap_or_default().trim();
    if !essence.eq_ignore_ascii_case(JSON) {
        return Err(Problem::new(
            Code::MediaType,
            format!("the body must be `{JSON}`, and its content type is `{essence}`"),
        ));
    }
    let first = bytes.iter().find(|byte| !byte.is_ascii_whitespace());
    if first.is_some_and(|byte| *byte != b'{') {
        // serde would take an array for a struct.
        return Err(Problem::new(
            Code::Invalid,
            "the body must be a JSON object",
        ));
    }
    serde_json::from_slice(bytes).map_err(|error| {
        let code = if error.is_data() {
            Code::Invalid
        } else {
            Code::Malformed
        };
        // Never the value: there may be a secret in it.
        Problem::new(
            code,
            format!("the body cannot be used: {}", without_values(&error)),
        )
    })
}

/// What serde says, without the values that it quotes.
fn without_values(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let place = format!("line {} column {}", error.line(), error.column());
    if !error.is_data() {
        return text;
    }
    let what = if text.starts_with("unknown field") || text.starts_with("missing field") {
        text.split(" at line ")
            .next()
            .unwrap_or_default()
            .to_owned()
    } else if text.starts_with("invalid type") || text.starts_with("invalid value") {
        match text.rsplit_once(", expected ") {
            Some((_, expected)) => {
                let expected = expected.split(" at line ").next().unwrap_or_default();
                format!("expected {expected}")
            }
            None => "a value makes no sense".to_owned(),
        }
    } else {
        "a value makes no sense".to_owned()
    };
    format!("{what} at {place}")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn queries_are_decoded_and_unknown_keys_refused() {
        let pairs = query(Some("label=a%3Db&label=c+d&cursor="), &["label", "cursor"]).unwrap();
        let pairs: Vec<_> = pairs
            .iter()
            .map(|(k, v)| (k.as_str(), v.as_str()))
            .collect();
        assert_eq!(pairs, [("label", "a=b"), ("label", "c d"), ("cursor", "")]);
        assert!(
            query(Some("x=1"), &["label"])
                .unwrap_err()
                .detail
                .contains("`x`")
        );
        assert!(query(Some("label=%ff"), &["label"]).is_err());
        assert!(query(Some("label=%f"), &["label"]).is_err());
        // For Rust a number may have a sign.
        assert!(query(Some("label=%+f"), &["label"]).is_err());
    }

    #[test]
    fn what_is_wrong_with_json_is_told_without_its_values() {
        let mut headers = HeaderMap::new();
        headers.insert("content-type", "application/json".parse().unwrap());
        let read = |text: &str| json::<worker_api::CreateRun>(&headers, text.as_bytes());
        let problem = read(r#"{"environment":{"TOKEN":7}}"#).unwrap_err();
        assert_eq!(problem.code(), Some(Code::Invalid));
        assert!(
            problem.detail.contains("expected a string"),
            "{}",
            problem.detail
        );
        let problem = read(r#"{"environment":"hunter2"}"#).unwrap_err();
        assert!(!problem.detail.contains("hunter2"), "{}", problem.detail);
        let problem = read(r#"{"enviroment":{}}"#).unwrap_err();
        assert!(problem.detail.contains("enviroment"), "{}", problem.detail);
        assert_eq!(read("{").unwrap_err().code(), Some(Code::Malformed));
        let none = HeaderMap::new();
        let problem = json::<worker_api::CreateRun>(&none, b"{}").unwrap_err();
        assert_eq!(problem.code(), Some(Code::MediaType));
    }

    proptest! {
        #[test]
        fn any_query_is_read_or_refused(text in ".{0,60}") {
            let _ = query(Some(&text), &["label", "offset"]);
        }
    }
}
