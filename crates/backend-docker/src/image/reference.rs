//! The names of images, read as docker reads them.
//!
//! Source: the grammar of `distribution/reference`, and the rules by which
//! docker fills in what a short name leaves out.

use std::fmt;
use std::str::FromStr;

/// The registry of names that have none.
const DEFAULT_DOMAIN: &str = "docker.io";
/// The part of that registry that short names are in.
const LIBRARY: &str = "library/";
/// What the engine takes as a name, registry included.
const LONGEST_NAME: usize = 255;
const LONGEST_TAG: usize = 128;

/// Names an image. `Display` is the short form that people use
/// (`debian:12`, not `docker.io/library/debian:12`).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Reference {
    /// In a repository, which may be on a registry.
    Named {
        /// The registry, with its port if it has one.
        domain: String,
        /// The repository on it.
        path: String,
        /// `latest` if neither a tag nor a digest was given.
        tag: Option<String>,
        digest: Option<String>,
    },
    /// An image of the engine, by its whole id (`sha256:…`).
    Id(String),
}

impl Reference {
    /// The registry and the repository on it.
    pub(crate) fn repository(&self) -> Option<(&str, &str)> {
        match self {
            Self::Named { domain, path, .. } => Some((domain, path)),
            Self::Id(_) => None,
        }
    }

    pub(crate) fn digest(&self) -> Option<&str> {
        match self {
            Self::Named { digest, .. } => digest.as_deref(),
            Self::Id(_) => None,
        }
    }
}

impl FromStr for Reference {
    type Err = String;

    /// # Errors
    ///
    /// What is wrong with the text.
    fn from_str(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("it is empty".into());
        }
        if let Some(digits) = text.strip_prefix("sha256:").or(Some(text))
            && is_sha256(digits)
        {
            return Ok(Self::Id(format!("sha256:{digits}")));
        }
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(checked_digest(digest)?)),
            None => (text, None),
        };
        // A colon before a slash is that of a port.
        let (name, tag) = match rest.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') => (name, Some(checked_tag(tag)?)),
            _ => (rest, None),
        };
        let (domain, path) = split_domain(name);
        checked_domain(&domain)?;
        checked_path(&path)?;
        if domain.len() + 1 + path.len() > LONGEST_NAME {
            return Err(format!("its name is longer than {LONGEST_NAME} characters"));
        }
        let tag = tag.or_else(|| digest.is_none().then(|| "latest".into()));
        Ok(Self::Named {
            domain,
            path,
            tag,
            digest,
        })
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (domain, path, tag, digest) = match self {
            Self::Named {
                domain,
                path,
                tag,
                digest,
            } => (domain, path, tag, digest),
            Self::Id(id) => return f.write_str(id),
        };
        match short(domain, path, tag.as_deref()) {
            Some(short) => f.write_str(short)?,
            None => write!(f, "{domain}/{path}")?,
        }
        if let Some(tag) = tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

/// The name without what it stands for anyway; `None` if that would be another.
fn short<'a>(domain: &str, path: &'a str, tag: Option<&str>) -> Option<&'a str> {
    if domain != DEFAULT_DOMAIN {
        return None;
    }
    match path.split_once('/') {
        // `library/a/b` is not what `a/b` stands for.
        Some(("library", rest)) if !rest.contains('/') => {
            // `sha256:…` is an id.
            let is_id = rest == "sha256" && tag.is_some_and(is_sha256);
            (!is_id).then_some(rest)
        }
        // `a.b/c` is on the registry `a.b`.
        Some((first, _)) => (!is_domain(first)).then_some(path),
        None => Some(path),
    }
}

/// The registry, and the repository on it.
fn split_domain(name: &str) -> (String, String) {
    let (domain, path) = match name.split_once('/') {
        Some((first, rest)) if is_domain(first) => (first, rest),
        _ => (DEFAULT_DOMAIN, name),
    };
    // A name of old for the same registry.
    let domain = match domain {
        "index.docker.io" => DEFAULT_DOMAIN,
        domain => domain,
    };
    if domain == DEFAULT_DOMAIN && !path.contains('/') {
        return (domain.into(), format!("{LIBRARY}{path}"));
    }
    (domain.into(), path.into())
}

fn is_domain(first: &str) -> bool {
    first == "localhost"
        || first.contains(['.', ':'])
        || first.chars().any(|letter| letter.is_ascii_uppercase())
}

fn checked_domain(domain: &str) -> Result<(), String> {
    let (host, port) = match domain.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (domain, None),
    };
    let is_name = |host: &str| {
        host.split('.').all(|part| {
            let inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
            !part.is_empty()
                && part.bytes().all(inner)
                && !part.starts_with('-')
                && !part.ends_with('-')
        })
    };
    let host_is_right = match host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
    {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => is_name(host),
    };
    if !host_is_right || port.is_some_and(|port| port.parse::<u16>().is_err()) {
        return Err(format!(
            "`{domain}` is not a registry, such as `registry.example.com:5000`"
        ));
    }
    Ok(())
}

fn checked_path(path: &str) -> Result<(), String> {
    if path.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Err(format!("the repository `{path}` has capital letters"));
    }
    if path.split('/').all(is_component) {
        return Ok(());
    }
    Err(format!(
        "`{path}` is not a repository: parts of a-z and 0-9, joined by `/`, with `.`, `_`, `__` or `-` inside of them"
    ))
}

/// Runs of letters and digits, with one separator between two of them.
fn is_component(component: &str) -> bool {
    let is_alphanumeric = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = component.as_bytes();
    let ends = [bytes.first(), bytes.last()];
    let separators = bytes.split(is_alphanumeric).filter(|run| !run.is_empty());
    ends.iter().all(|end| end.is_some_and(&is_alphanumeric))
        && separators
            .into_iter()
            .all(|run| matches!(run, b"." | b"_" | b"__") || run.iter().all(|byte| *byte == b'-'))
}

fn checked_tag(tag: &str) -> Result<String, String> {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let starts = tag.bytes().next().is_some_and(is_word);
    let goes_on = tag
        .bytes()
        .all(|byte| is_word(byte) || matches!(byte, b'.' | b'-'));
    if starts && goes_on && tag.len() <= LONGEST_TAG {
        return Ok(tag.into());
    }
    Err(format!(
        "`{tag}` is not a tag: up to {LONGEST_TAG} letters, digits, `_`, `.` and `-`, and the first a letter, a digit or `_`"
    ))
}

fn checked_digest(digest: &str) -> Result<String, String> {
    let right = match digest.split_once(':') {
        Some(("sha256", digits)) => is_sha256(digits),
        Some(("sha512", digits)) => is_hex(digits, 128),
        _ => false,
    };
    if right {
        return Ok(digest.into());
    }
    Err(format!(
        "`{digest}` is not a digest, such as `sha256:` and 64 of 0-9 and a-f"
    ))
}

fn is_sha256(digits: &str) -> bool {
    is_hex(digits, 64)
}

fn is_hex(digits: &str, length: usize) -> bool {
    digits.len() == length
        && digits
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DIGEST: &str = "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

    #[track_caller]
    fn named(text: &str) -> (String, String, Option<String>, Option<String>) {
        match text.parse().unwrap() {
            Reference::Named {
                domain,
                path,
                tag,
                digest,
            } => (domain, path, tag, digest),
            id @ Reference::Id(_) => panic!("{text} was read as {id:?}"),
        }
    }

    #[test]
    fn short_names_are_filled_in_and_shown_short_again() {
        for (text, domain, path, tag, shown) in [
            (
                "debian",
                "docker.io",
                "library/debian",
                "latest",
                "debian:latest",
            ),
            (
                "debian:12",
                "docker.io",
                "library/debian",
                "12",
                "debian:12",
            ),
            (
                "docker.io/debian",
                "docker.io",
                "library/debian",
                "latest",
                "debian:latest",
            ),
            (
                "index.docker.io/library/debian",
                "docker.io",
                "library/debian",
                "latest",
                "debian:latest",
            ),
            (
                "library/debian",
                "docker.io",
                "library/debian",
                "latest",
                "debian:latest",
            ),
            ("me/tool:V1", "docker.io", "me/tool", "V1", "me/tool:V1"),
            (
                "localhost/tool",
                "localhost",
                "tool",
                "latest",
                "localhost/tool:latest",
            ),
            (
                "localhost:5000/a/b",
                "localhost:5000",
                "a/b",
                "latest",
                "localhost:5000/a/b:latest",
            ),
            (
                "reg.example.com/x:1",
                "reg.example.com",
                "x",
                "1",
                "reg.example.com/x:1",
            ),
            (
                "[::1]:5000/x",
                "[::1]:5000",
                "x",
                "latest",
                "[::1]:5000/x:latest",
            ),
            ("Registry/x", "Registry", "x", "latest", "Registry/x:latest"),
            (
                "a__b/c.d-e--f_g",
                "docker.io",
                "a__b/c.d-e--f_g",
                "latest",
                "a__b/c.d-e--f_g:latest",
            ),
            (
                "library/a/b",
                "docker.io",
                "library/a/b",
                "latest",
                "library/a/b:latest",
            ),
        ] {
            let read = named(text);
            assert_eq!((read.0.as_str(), read.1.as_str()), (domain, path), "{text}");
            assert_eq!((read.2.as_deref(), read.3), (Some(tag), None), "{text}");
            assert_eq!(text.parse::<Reference>().unwrap().to_string(), shown);
        }
    }

    #[test]
    fn a_name_is_not_shown_so_short_that_it_is_another() {
        let digits = DIGEST.strip_prefix("sha256:").unwrap();
        for text in [
            "docker.io/a.b/c:1".to_owned(),
            "docker.io/localhost/c:1".to_owned(),
            format!("docker.io/library/sha256:{digits}"),
        ] {
            let reference: Reference = text.parse().unwrap();
            assert_eq!(reference.to_string(), text);
            assert_eq!(reference.repository().unwrap().0, "docker.io");
        }
    }

    #[test]
    fn a_digest_needs_no_tag() {
        let read = named(&format!("localhost:5000/x@{DIGEST}"));
        assert_eq!((read.2, read.3.as_deref()), (None, Some(DIGEST)));
        let both = format!("x:1@{DIGEST}");
        assert_eq!(both.parse::<Reference>().unwrap().to_string(), both);
    }

    #[test]
    fn whole_ids_are_ids() {
        let digits = DIGEST.strip_prefix("sha256:").unwrap();
        for text in [DIGEST, digits] {
            assert_eq!(text.parse(), Ok(Reference::Id(DIGEST.into())));
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (text, part) in [
            ("", "empty"),
            ("Debian", "capital"),
            ("debian:", "not a tag"),
            ("debian:-x", "not a tag"),
            ("debian 12", "not a repository"),
            ("/debian", "not a repository"),
            ("debian/", "not a repository"),
            ("a//b", "not a repository"),
            ("a___b", "not a repository"),
            ("a.-b", "not a repository"),
            ("-debian", "not a repository"),
            ("debian@sha256:12", "not a digest"),
            ("debian@", "not a digest"),
            ("reg.example.com:port/x", "not a registry"),
            ("reg..com/x", "not a registry"),
            ("https://example.com/x", "not a regis"),
            ("../../etc/passwd", "not a registry"),
            ("a?b", "not a repository"),
        ] {
            let error = text.parse::<Reference>().unwrap_err();
            assert!(error.contains(part), "{text:?}: {error:?}");
        }
        assert!("a".repeat(256).parse::<Reference>().is_err());
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in ".{0,60}") {
            let _ = text.parse::<Reference>();
        }

        #[test]
        fn what_is_shown_is_read_back(text in "([a-c.:]{1,6}/)?[a-c_.-]{1,5}(/[a-c]{1,3})?(:[a-z0-9.]{1,4})?") {
            if let Ok(reference) = text.parse::<Reference>() {
                prop_assert_eq!(reference.to_string().parse(), Ok(reference.clone()));
                prop_assert!(!reference.to_string().contains(['?', '#', '%', ' ']));
            }
        }
    }
}
