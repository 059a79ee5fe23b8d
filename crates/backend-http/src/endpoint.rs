//! Where a server is.

use std::fmt;
use std::path::PathBuf;

use backend_core::{Kind, OptionField};
use url::Url;

/// Where a server is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    /// At an `http` or `https` URL, without a final slash in its path.
    Url(Url),
    /// At a Unix socket.
    Unix(PathBuf),
}

impl Endpoint {
    /// Reads `http://…`, `https://…` or `unix:///path`.
    ///
    /// # Errors
    ///
    /// What is wrong, without what may be a secret in it.
    pub fn parse(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("unix://") {
            return if path.starts_with('/') && !path.contains('\0') {
                Ok(Self::Unix(path.into()))
            } else {
                Err("behind `unix://` stands an absolute path".into())
            };
        }
        let url = Url::parse(text).map_err(|error| error.to_string())?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err("it begins with `http://`, `https://` or `unix://`".into());
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(
                "a secret has no place in a URL: give the token by WORKER_HTTP_TOKEN".into(),
            );
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err("it has no `?` and no `#`".into());
        }
        if url.host_str().is_none_or(str::is_empty) {
            return Err("it has no host".into());
        }
        let mut url = url;
        let path = url.path().trim_end_matches('/').to_owned();
        url.set_path(&path);
        Ok(Self::Url(url))
    }

    /// Whether it is reached over TLS.
    pub fn is_tls(&self) -> bool {
        matches!(self, Self::Url(url) if url.scheme() == "https")
    }

    /// Whether others on the way can read what is sent.
    pub(crate) fn is_exposed(&self) -> bool {
        match self {
            Self::Unix(_) => false,
            Self::Url(url) if url.scheme() == "https" => false,
            Self::Url(url) => match url.host() {
                Some(url::Host::Ipv4(address)) => !address.is_loopback(),
                Some(url::Host::Ipv6(address)) => !address.is_loopback(),
                Some(url::Host::Domain(name)) => name != "localhost",
                None => true,
            },
        }
    }

    /// The URL of a path of the protocol, which begins with `/`.
    pub(crate) fn url(&self, path: &str) -> String {
        match self {
            Self::Url(url) => format!("{}{path}", url.as_str().trim_end_matches('/')),
            Self::Unix(_) => format!("http://localhost{path}"),
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url(url) => f.write_str(url.as_str().trim_end_matches('/')),
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
        }
    }
}

/// One server, or a pool of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoints(pub Vec<Endpoint>);

impl OptionField for Endpoints {
    const KIND: Kind = Kind::Text;
    const LIST: bool = true;

    fn read(values: &[(&str, &str)]) -> Result<Option<Self>, (String, String)> {
        let texts = values
            .iter()
            .flat_map(|(_, text)| text.split(','))
            .map(str::trim)
            .filter(|text| !text.is_empty());
        let endpoints: Vec<_> = texts
            .map(|text| Endpoint::parse(text).map_err(|why| (without_secrets(text), why)))
            .collect::<Result<_, _>>()?;
        Ok((!endpoints.is_empty()).then_some(Self(endpoints)))
    }
}

/// The text without what stands before an `@` or behind a `?`. A password may
/// have any of these in it.
fn without_secrets(text: &str) -> String {
    let (before, rest) = match text.rsplit_once('@') {
        Some((before, host)) => (Some(before), host),
        None => (None, text),
    };
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    match before.map(|before| before.split_once("://")) {
        Some(Some((scheme @ ("http" | "https"), _))) => format!("{scheme}://…@{rest}"),
        Some(_) => format!("…@{rest}"),
        None => rest.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn urls_and_sockets_are_read() {
        let url = |text: &str, path| Endpoint::parse(text).unwrap().url(path);
        assert_eq!(url("http://a:1", "/v1"), "http://a:1/v1");
        assert_eq!(url("https://a/base/", "/v1"), "https://a/base/v1");
        assert_eq!(url("unix:///run/w.sock", "/v1"), "http://localhost/v1");
        for wrong in [
            "a:1",
            "ftp://a",
            "unix://x",
            "http://",
            "http://a?x=1",
            "http://a#x",
            "",
        ] {
            assert!(Endpoint::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_secret_in_a_url_is_refused_and_not_repeated() {
        let values = [("endpoint", "https://ann:hunter2@host/x?key=hunter2")];
        let (shown, why) = Endpoints::read(&values).unwrap_err();
        assert_eq!(shown, "https://…@host/x");
        assert!(!why.contains("hunter2") && why.contains("WORKER_HTTP_TOKEN"));
        for text in [
            "https://ann:hunter2?x@host/y",
            "https://ann:hunter2#x@host/y",
        ] {
            let (shown, why) = Endpoints::read(&[("endpoint", text)]).unwrap_err();
            assert_eq!(shown, "https://…@host/y");
            assert!(!why.contains("hunter2"), "{why}");
        }
        let no_scheme = Endpoints::read(&[("endpoint", "ann:hunter2://x@host")]);
        assert_eq!(no_scheme.unwrap_err().0, "…@host");
    }

    #[test]
    fn what_others_can_read_is_known() {
        for (text, exposed) in [
            ("http://127.0.0.1:1", false),
            ("http://[::1]:1", false),
            ("http://localhost", false),
            ("https://example.com", false),
            ("unix:///x", false),
            ("http://example.com", true),
            ("http://10.0.0.1", true),
        ] {
            assert_eq!(
                Endpoint::parse(text).unwrap().is_exposed(),
                exposed,
                "{text}"
            );
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in ".{0,60}") {
            let _ = Endpoint::parse(&text);
            let _ = Endpoints::read(&[("endpoint", &text)]);
        }
    }
}
