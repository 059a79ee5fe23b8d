//! What is shown to a registry: from the docker client's configuration.

use std::path::{Path, PathBuf};

use backend_core::{ExposeSecret as _, SecretString};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use hyper::header::HeaderValue;
use serde_json::json;

use super::helper;
use crate::docker_config::{DockerConfig, StoredAuth};

/// Docker Hub, under the name that credentials for it have.
const HUB: &str = "https://index.docker.io/v1/";
const HUB_NAMES: [&str; 3] = ["docker.io", "index.docker.io", "registry-1.docker.io"];

/// What there is for one registry.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// The header `X-Registry-Auth`.
    pub(super) header: Option<HeaderValue>,
    /// Why there is none although there should be.
    pub(super) trouble: Option<String>,
}

/// Who is pulling.
#[derive(Debug, Clone)]
pub(super) enum Credentials {
    Password {
        user: String,
        password: SecretString,
    },
    /// For the registry's token server.
    Identity(SecretString),
    /// For the registry itself.
    Registry(SecretString),
}

/// Where the credentials for a registry are.
#[derive(Debug)]
enum Source {
    Nowhere,
    Here(Credentials),
    /// With this helper program.
    Helper(String),
}

/// Finds the credentials for the registry `domain` in the docker client's
/// `files`.
///
/// What goes wrong on the way is told beside the result: most images need no
/// credentials.
///
/// # Cancel safety
///
/// Dropped, it ends the helper program.
pub(super) async fn find(domain: &str, files: PathBuf) -> Found {
    let registry = domain.to_owned();
    let read = tokio::task::spawn_blocking(move || source(&registry, &files));
    let credentials = match read.await {
        Ok(Ok(Source::Nowhere)) => Ok(None),
        Ok(Ok(Source::Here(credentials))) => Ok(Some(credentials)),
        Ok(Ok(Source::Helper(name))) => helper::ask(&name, &server(domain)).await,
        Ok(Err(why)) => Err(why),
        Err(_) => Err("the runtime ended".into()),
    };
    match credentials {
        Ok(None) => Found::default(),
        Ok(Some(credentials)) => Found {
            header: header(&credentials, &server(domain)),
            trouble: None,
        },
        Err(why) => Found {
            header: None,
            trouble: Some(why),
        },
    }
}

fn source(domain: &str, files: &Path) -> Result<Source, String> {
    let config = DockerConfig::read(files).map_err(|error| error.to_string())?;
    choose(&config, domain)
}

/// As the docker client does: the helper of the registry, else the helper of
/// all, else what is in the file.
fn choose(config: &DockerConfig, domain: &str) -> Result<Source, String> {
    let is_for_it = |name: &str| is_same_registry(name, domain);
    let helper = config.cred_helpers.iter().find(|(name, _)| is_for_it(name));
    let helper = helper.map_or(&config.creds_store, |(_, helper)| helper);
    if !helper.is_empty() {
        return Ok(Source::Helper(helper.clone()));
    }
    let stored = config.auths.iter().find(|(name, _)| is_for_it(name));
    match stored.map(|(name, stored)| (name, read(stored))) {
        None | Some((_, Ok(None))) => Ok(Source::Nowhere),
        Some((_, Ok(Some(credentials)))) => Ok(Source::Here(credentials)),
        Some((name, Err(()))) => Err(format!(
            "`auth` of `{name}` in docker's config.json is not base64 of `USER:PASSWORD`"
        )),
    }
}

/// What credentials the file holds, if it holds any: `docker login` with a
/// helper leaves an empty entry.
fn read(stored: &StoredAuth) -> Result<Option<Credentials>, ()> {
    let secret = |text: &str| SecretString::from(text);
    if !stored.registrytoken.is_empty() {
        return Ok(Some(Credentials::Registry(secret(&stored.registrytoken))));
    }
    if !stored.identitytoken.is_empty() {
        return Ok(Some(Credentials::Identity(secret(&stored.identitytoken))));
    }
    if stored.auth.is_empty() {
        let there = !stored.username.is_empty() && !stored.password.is_empty();
        return Ok(there.then(|| Credentials::Password {
            user: stored.username.clone(),
            password: secret(&stored.password),
        }));
    }
    let bytes = STANDARD.decode(&stored.auth).map_err(|_| ())?;
    let text = String::from_utf8(bytes).map_err(|_| ())?;
    let (user, password) = text.split_once(':').ok_or(())?;
    Ok(Some(Credentials::Password {
        user: user.into(),
        // Clients of old padded it.
        password: secret(password.trim_end_matches('\0')),
    }))
}

/// Whether `name`, as it stands in the file, is the registry `domain`.
fn is_same_registry(name: &str, domain: &str) -> bool {
    let host = name.split_once("://").map_or(name, |(_, rest)| rest);
    let host = host.split('/').next().unwrap_or(host);
    host == domain || (HUB_NAMES.contains(&host) && HUB_NAMES.contains(&domain))
}

/// The name of the registry to helpers and engines.
fn server(domain: &str) -> String {
    if HUB_NAMES.contains(&domain) {
        HUB.into()
    } else {
        domain.into()
    }
}

/// As engines read it: base64 in the alphabet that is safe in URLs.
fn header(credentials: &Credentials, server: &str) -> Option<HeaderValue> {
    let text = match credentials {
        Credentials::Password { user, password } => json!({
            "username": user,
            "password": password.expose_secret(),
            "serveraddress": server,
        }),
        Credentials::Identity(token) => json!({
            "identitytoken": token.expose_secret(),
            "serveraddress": server,
        }),
        Credentials::Registry(token) => json!({
            "registrytoken": token.expose_secret(),
            "serveraddress": server,
        }),
    };
    let encoded = URL_SAFE.encode(text.to_string());
    let mut value = HeaderValue::from_str(&encoded).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// What is shown to an engine of the credentials that stand in the file itself.
#[cfg(any(test, fuzzing))]
pub(super) fn shown(config: &DockerConfig, domain: &str) -> Result<Option<HeaderValue>, String> {
    Ok(match choose(config, domain)? {
        Source::Here(credentials) => header(&credentials, &server(domain)),
        Source::Nowhere | Source::Helper(_) => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(config: &str, domain: &str) -> Result<String, String> {
        let config: DockerConfig = serde_json::from_str(config).unwrap();
        choose(&config, domain).map(|source| match source {
            Source::Nowhere => "nowhere".into(),
            Source::Helper(name) => format!("helper {name}"),
            Source::Here(Credentials::Password { user, password }) => {
                format!("{user} {}", password.expose_secret())
            }
            Source::Here(Credentials::Identity(token)) => {
                format!("identity {}", token.expose_secret())
            }
            Source::Here(Credentials::Registry(token)) => {
                format!("registry {}", token.expose_secret())
            }
        })
    }

    #[test]
    fn the_registry_is_found_under_all_of_its_names() {
        // `dTpwOnc=` is `u:p:w`.
        for (name, domain, right) in [
            ("https://index.docker.io/v1/", "docker.io", "u p:w"),
            ("docker.io", "docker.io", "u p:w"),
            ("reg.example.com:5000", "reg.example.com:5000", "u p:w"),
            ("https://reg.example.com/v2/", "reg.example.com", "u p:w"),
            ("reg.example.com", "reg.example.com:5000", "nowhere"),
            (
                "evil.example.com/reg.example.com",
                "reg.example.com",
                "nowhere",
            ),
        ] {
            let config = format!(r#"{{"auths": {{"{name}": {{"auth": "dTpwOnc="}}}}}}"#);
            assert_eq!(chosen(&config, domain).as_deref(), Ok(right), "{name}");
        }
    }

    #[test]
    fn the_most_specific_source_wins() {
        let config = r#"{
            "credsStore": "all", "credHelpers": {"a.example": "one", "b.example": ""},
            "auths": {"b.example": {"identitytoken": "t", "auth": "dTpw"}, "c.example": {}}
        }"#;
        assert_eq!(chosen(config, "a.example").as_deref(), Ok("helper one"));
        assert_eq!(chosen(config, "b.example").as_deref(), Ok("identity t"));
        assert_eq!(chosen(config, "c.example").as_deref(), Ok("helper all"));
        let config =
            r#"{"auths": {"b.example": {"username": "u", "password": "p"}, "c.example": {}}}"#;
        assert_eq!(chosen(config, "b.example").as_deref(), Ok("u p"));
        assert_eq!(chosen(config, "c.example").as_deref(), Ok("nowhere"));
        assert_eq!(chosen("{}", "c.example").as_deref(), Ok("nowhere"));
    }

    #[test]
    fn what_is_not_base64_is_said_without_it() {
        let config = r#"{"auths": {"a.example": {"auth": "hunter2!"}}}"#;
        let error = chosen(config, "a.example").unwrap_err();
        assert!(
            error.contains("a.example") && !error.contains("hunter2"),
            "{error}"
        );
    }

    #[test]
    fn the_header_is_what_engines_read_and_is_not_shown() {
        let credentials = Credentials::Password {
            user: "u".into(),
            // In the usual alphabet these would give `+` and `/`.
            password: SecretString::from("~~~???>>>"),
        };
        let header = header(&credentials, HUB).unwrap();
        let text = URL_SAFE.decode(header.as_bytes()).unwrap();
        let text: serde_json::Value = serde_json::from_slice(&text).unwrap();
        assert_eq!(text["password"], "~~~???>>>");
        assert_eq!(text["serveraddress"], HUB);
        assert!(!header.to_str().unwrap().contains(['+', '/']));
        let shown = format!("{header:?} {credentials:?}");
        assert!(
            !shown.contains("~~~") && !shown.contains(header.to_str().unwrap()),
            "{shown}"
        );
    }
}
