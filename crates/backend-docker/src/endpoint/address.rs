//! An endpoint as it is written: `unix:///path`, `tcp://host:port`,
//! `http://host:port`, `https://host:port`, `ssh://user@host:port`.

use std::path::PathBuf;
use std::str::FromStr;

use super::SshTarget;

/// The ports that docker takes where none is given (registered with IANA).
const PLAIN_PORT: u16 = 2375;
const TLS_PORT: u16 = 2376;

/// An endpoint as it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Address {
    Unix(PathBuf),
    Tcp {
        /// Without the brackets of an IPv6 address.
        host: String,
        port: Option<u16>,
        /// Whether the scheme asks for TLS (`https`) or for plain text
        /// (`http`), or leaves it open (`tcp`).
        tls: Option<bool>,
    },
    Ssh(SshTarget),
}

/// The port, where none is given.
pub(crate) fn port(given: Option<u16>, has_tls: bool) -> u16 {
    given.unwrap_or(if has_tls { TLS_PORT } else { PLAIN_PORT })
}

impl FromStr for Address {
    type Err = String;

    /// # Errors
    ///
    /// What is wrong with the text, without quoting it: it may hold a password.
    fn from_str(text: &str) -> Result<Self, String> {
        let form = "it is not of the form `unix:///path`, `tcp://host:port` or `ssh://user@host`";
        if text.contains(|character: char| character.is_control()) {
            return Err("it has a control character in it".into());
        }
        let (scheme, rest) = text.split_once("://").ok_or(form)?;
        let tls = match scheme {
            "unix" if rest.starts_with('/') => return Ok(Self::Unix(rest.into())),
            "unix" => return Err("the path of its socket is not absolute".into()),
            "ssh" => return SshTarget::parse(rest).map(Self::Ssh),
            "tcp" => None,
            "http" => Some(false),
            "https" => Some(true),
            "npipe" => return Err("named pipes are of Windows".into()),
            "fd" => return Err("`fd://` is for an engine, not for who calls it".into()),
            scheme => return Err(format!("there is no scheme `{scheme}`; {form}")),
        };
        if rest.contains('@') {
            return Err("it has a user in it, and engines know none".into());
        }
        let authority = match rest.split_once('/') {
            Some((authority, "")) => authority,
            Some(_) => return Err("it has a path after its host".into()),
            None => rest,
        };
        let (host, port) = host_and_port(authority)?;
        Ok(Self::Tcp { host, port, tls })
    }
}

/// Splits `host`, `host:port`, `[address]` or `[address]:port`.
pub(super) fn host_and_port(authority: &str) -> Result<(String, Option<u16>), String> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']').ok_or("its `[` is not closed")?;
            if host.parse::<std::net::Ipv6Addr>().is_err() {
                return Err("what is in its brackets is not an IPv6 address".into());
            }
            match port.strip_prefix(':') {
                Some(port) => (host, Some(port)),
                None if port.is_empty() => (host, None),
                None => return Err("there is something behind its brackets".into()),
            }
        }
        None => match authority.split_once(':') {
            Some((host, port)) if !port.contains(':') => (host, Some(port)),
            Some(_) => return Err("an IPv6 address goes in brackets".into()),
            None => (authority, None),
        },
    };
    let is_plain =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b':');
    if host.is_empty() || host.starts_with('-') || !host.bytes().all(is_plain) {
        return Err("it has no host, or one that cannot be a host's name".into());
    }
    let port = match port {
        None | Some("") => None,
        Some(text) => match text.parse() {
            Ok(port) if port > 0 => Some(port),
            _ => return Err("its port is not a number from 1 to 65535".into()),
        },
    };
    Ok((host.into(), port))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tcp(host: &str, port: Option<u16>, tls: Option<bool>) -> Address {
        let host = host.into();
        Address::Tcp { host, port, tls }
    }

    #[test]
    fn every_form_is_read() {
        for (text, address) in [
            (
                "unix:///run/docker.sock",
                Address::Unix("/run/docker.sock".into()),
            ),
            ("tcp://10.0.0.1:2375", tcp("10.0.0.1", Some(2375), None)),
            ("tcp://engine.example/", tcp("engine.example", None, None)),
            ("http://engine:80", tcp("engine", Some(80), Some(false))),
            ("https://engine", tcp("engine", None, Some(true))),
            ("tcp://[::1]:2376", tcp("::1", Some(2376), None)),
            ("tcp://[fe80::1]", tcp("fe80::1", None, None)),
        ] {
            assert_eq!(text.parse(), Ok(address), "{text}");
        }
        assert_eq!(
            (port(None, true), port(None, false), port(Some(1), true)),
            (2376, 2375, 1)
        );
    }

    #[test]
    fn what_is_wrong_is_said_and_not_quoted() {
        for text in [
            "",
            "hunter2",
            "/run/docker.sock",
            "unix://run/docker.sock",
            "tcp://",
            "tcp://:2375",
            "tcp://user:hunter2@host",
            "tcp://host:hunter2",
            "tcp://host:0",
            "tcp://host:65536",
            "tcp://::1:2375",
            "tcp://[::1",
            "tcp://[hunter2]",
            "tcp://[::1]x",
            "tcp://host/hunter2",
            "tcp://-host",
            "tcp://ho st",
            "unix:///a\nb",
            "npipe:////./pipe/docker_engine",
            "fd://",
            "ftp://host",
        ] {
            let error = text.parse::<Address>().unwrap_err();
            assert!(!error.contains("hunter2"), "{text:?}: {error}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(scheme in "(tcp|unix|ssh|https|x)://", rest in ".{0,30}") {
            let _ = rest.parse::<Address>();
            let _ = format!("{scheme}{rest}").parse::<Address>();
        }
    }
}
