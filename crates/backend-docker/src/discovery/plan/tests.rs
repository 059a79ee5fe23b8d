//! Which endpoint is meant, with the files of a docker client.

use backend_core::{Chain, ErrorKind, Options as _, ProviderConfig};
use proptest::prelude::*;
use sha2::{Digest as _, Sha256};
use testbed::certificates::Authority;

use super::*;
use crate::hexadecimal::hexadecimal;

/// A docker client's files, and what else names engines.
struct Scene {
    directory: tempfile::TempDir,
    surroundings: Surroundings,
}

impl Scene {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let surroundings = Surroundings {
            docker_files: Some(directory.path().join(".docker")),
            home: Some(directory.path().to_owned()),
            runtime_directory: Some(directory.path().join("run")),
            ..Surroundings::default()
        };
        let scene = Self {
            directory,
            surroundings,
        };
        std::fs::create_dir(scene.files()).unwrap();
        scene
    }

    fn files(&self) -> PathBuf {
        self.directory.path().join(".docker")
    }

    fn config(&self, text: &str) {
        std::fs::write(self.files().join("config.json"), text).unwrap();
    }

    /// Makes a context, and gives the directory of its TLS material.
    fn context(&self, name: &str, endpoint: &str) -> PathBuf {
        let id = hexadecimal(Sha256::digest(name));
        let meta = self.files().join("contexts/meta").join(&id);
        std::fs::create_dir_all(&meta).unwrap();
        let text = format!(r#"{{"Name":"{name}","Endpoints":{{"docker":{endpoint}}}}}"#);
        std::fs::write(meta.join("meta.json"), text).unwrap();
        self.files().join("contexts/tls").join(id).join("docker")
    }

    fn plan(&self, options: &[(&str, &str)]) -> Result<Plan, DiscoveryFailure> {
        let config: ProviderConfig = options.iter().copied().collect();
        let options = DockerOptions::parse("docker", &config).unwrap();
        plan(&options, &self.surroundings)
    }

    /// The endpoint that is named, by whom, and its TLS.
    #[track_caller]
    fn named(&self, options: &[(&str, &str)]) -> String {
        match self.plan(options).unwrap() {
            Plan::Named(origin, endpoint) => {
                let tls = match &endpoint {
                    Endpoint::Tcp { tls: Some(tls), .. } => format!(" {tls:?}"),
                    _ => String::new(),
                };
                format!("{endpoint} by {origin}{tls}")
            }
            Plan::Any(endpoints) => panic!("{endpoints:?}"),
        }
    }

    #[track_caller]
    fn refused(&self, options: &[(&str, &str)]) -> (ErrorKind, String) {
        let failure = self.plan(options).unwrap_err();
        (failure.kind(), Chain(&failure).to_string())
    }
}

/// A certificate, its key, and who signed it.
fn certificates(directory: &Path) {
    let authority = Authority::make().unwrap();
    authority.issue(directory, "DNS:h").unwrap();
}

#[test]
fn the_order_is_option_variable_context_sockets() {
    let mut scene = Scene::new();
    let Ok(Plan::Any(sockets)) = scene.plan(&[]) else {
        panic!("an engine is named");
    };
    let shown: Vec<_> = sockets.iter().map(ToString::to_string).collect();
    let home = scene.directory.path().display();
    for socket in [
        "unix:///run/docker.sock".to_owned(),
        "unix:///run/podman/podman.sock".into(),
        format!("unix://{home}/run/docker.sock"),
        format!("unix://{home}/run/podman/podman.sock"),
        format!("unix://{home}/.docker/run/docker.sock"),
        format!("unix://{home}/.docker/desktop/docker.sock"),
    ] {
        assert!(shown.contains(&socket), "{socket}: {shown:?}");
    }

    scene.context("other", r#"{"Host":"unix:///other.sock"}"#);
    scene.context("one", r#"{"Host":"tcp://one:1"}"#);
    scene.config(r#"{"currentContext":"one"}"#);
    assert_eq!(scene.named(&[]), "tcp://one:1 by docker's context `one`");
    scene.surroundings.docker_context = Some("other".into());
    assert_eq!(
        scene.named(&[]),
        "unix:///other.sock by docker's context `other`"
    );
    scene.surroundings.docker_host = Some("tcp://[::1]".into());
    assert_eq!(
        scene.named(&[]),
        "tcp://[::1]:2375 by the variable DOCKER_HOST"
    );
    for key in ["endpoint", "HOST"] {
        let option = [(key, "ssh://me@far:22")];
        assert_eq!(
            scene.named(&option),
            "ssh://me@far:22 by the option `endpoint`"
        );
    }
}

#[test]
fn the_default_context_is_the_sockets() {
    let mut scene = Scene::new();
    scene.context("one", r#"{"Host":"tcp://one:1"}"#);
    for config in [
        "{}",
        r#"{"currentContext":"default"}"#,
        r#"{"currentContext":""}"#,
    ] {
        scene.config(config);
        assert!(matches!(scene.plan(&[]), Ok(Plan::Any(_))), "{config}");
    }
    scene.config(r#"{"currentContext":"one"}"#);
    scene.surroundings.docker_context = Some("default".into());
    assert!(matches!(scene.plan(&[]), Ok(Plan::Any(_))));
}

#[test]
fn tls_is_verified_unless_told_otherwise_in_words() {
    let mut scene = Scene::new();
    let directory = scene.directory.path().join("tls");
    certificates(&directory);
    let path = directory.to_str().unwrap();
    let verified = "tcp://h:2376 by the option `endpoint` Tls { is_verified: true, .. }";
    let not = "tcp://h:2376 by the option `endpoint` Tls { is_verified: false, .. }";
    let endpoint = ("endpoint", "tcp://h");
    assert_eq!(scene.named(&[endpoint, ("cert-path", path)]), verified);
    let https = ("endpoint", "https://h");
    assert_eq!(scene.named(&[https, ("cert-path", path)]), verified);
    let no = ("tls-verify", "false");
    assert_eq!(scene.named(&[endpoint, ("cert-path", path), no]), not);
    assert_eq!(scene.named(&[https, no]), not);

    scene.surroundings.docker_host = Some("tcp://h".into());
    scene.surroundings.docker_cert_path = Some(directory.clone());
    let verified = "tcp://h:2376 by the variable DOCKER_HOST Tls { is_verified: true, .. }";
    assert_eq!(scene.named(&[]), verified);
    scene.surroundings.docker_cert_path = None;
    scene.surroundings.docker_tls = true;
    certificates(&scene.files());
    assert_eq!(scene.named(&[]), verified);
    scene.surroundings.docker_host = None;

    let tls = scene.context("one", r#"{"Host":"tcp://h:1"}"#);
    certificates(&tls);
    scene.surroundings.docker_context = Some("one".into());
    assert!(scene.named(&[]).ends_with("Tls { is_verified: true, .. }"));
    scene.context("one", r#"{"Host":"tcp://h:1","SkipTLSVerify":true}"#);
    assert!(scene.named(&[]).ends_with("Tls { is_verified: false, .. }"));
}

#[test]
fn what_contradicts_itself_is_refused() {
    let mut scene = Scene::new();
    let directory = scene.directory.path().to_str().unwrap().to_owned();
    let certificates = ("cert-path", directory.as_str());
    for endpoint in ["unix:///x", "ssh://h", "http://h"] {
        let (kind, text) = scene.refused(&[("endpoint", endpoint), certificates]);
        assert_eq!(kind, ErrorKind::InvalidOption, "{text}");
        assert!(text.contains("cert-path"), "{text}");
    }
    assert!(scene.refused(&[certificates]).1.contains("cert-path"));
    scene.surroundings.docker_host = Some("http://h".into());
    scene.surroundings.docker_tls = true;
    assert!(scene.refused(&[]).1.contains("plain text"));
}

#[test]
fn a_wrong_endpoint_is_said_by_who_named_it() {
    let mut scene = Scene::new();
    let (kind, text) = scene.refused(&[("endpoint", "tcp://me:hunter2@h")]);
    assert_eq!(kind, ErrorKind::InvalidOption);
    assert!(
        text.contains("option `endpoint`") && !text.contains("hunter2"),
        "{text}"
    );

    scene.config("{");
    let (_, text) = scene.refused(&[]);
    assert!(
        text.contains("config.json") && text.contains("endpoint"),
        "{text}"
    );
    scene.surroundings.docker_context = Some("gone".into());
    let (_, text) = scene.refused(&[]);
    assert!(
        text.contains("`gone`") && text.contains("meta.json"),
        "{text}"
    );
}

#[test]
fn a_file_of_tls_that_is_wrong_is_named() {
    let scene = Scene::new();
    let directory = scene.directory.path().join("tls");
    let path = directory.to_str().unwrap().to_owned();
    let refused = || {
        scene
            .refused(&[("endpoint", "tcp://h"), ("cert-path", &path)])
            .1
    };
    assert!(refused().contains("not a directory"));
    let other = scene.directory.path().join("other");
    certificates(&other);
    let other_key = std::fs::read(other.join("key.pem")).unwrap();
    let encrypted =
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMAA=\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let broken = "-----BEGIN CERTIFICATE-----\nhunter2";
    let empty = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n";
    let cases: [(&str, Option<&[u8]>, &str); 9] = [
        (
            "ca.pem",
            Some(b"hunter2"),
            "ca.pem: there is no certificate in it",
        ),
        (
            "ca.pem",
            Some(broken.as_bytes()),
            "ca.pem: it is not a PEM file",
        ),
        ("ca.pem", Some(empty.as_bytes()), "ca.pem: "),
        ("cert.pem", None, "cert.pem: it does not exist"),
        ("key.pem", None, "key.pem: it does not exist"),
        (
            "key.pem",
            Some(b"hunter2"),
            "key.pem: there is no private key in it",
        ),
        (
            "key.pem",
            Some(encrypted.as_bytes()),
            "key.pem: it is encrypted",
        ),
        (
            "key.pem",
            Some(&other_key),
            "cert.pem: it does not go with key.pem",
        ),
        (
            "cert.pem",
            Some(b""),
            "cert.pem: there is no certificate in it",
        ),
    ];
    for (name, content, part) in cases {
        certificates(&directory);
        match content {
            Some(content) => std::fs::write(directory.join(name), content).unwrap(),
            None => std::fs::remove_file(directory.join(name)).unwrap(),
        }
        let text = refused();
        assert!(
            text.contains(part) && !text.contains("hunter2"),
            "{part}: {text}"
        );
    }
}

proptest! {
    #[test]
    fn any_text_is_an_endpoint_or_refused(text in "((tcp|unix|http|ssh)://)?[a-z:/@.0-9-]{0,20}") {
        let scene = Scene::new();
        if let Err(failure) = scene.plan(&[("endpoint", &text)]) {
            prop_assert!(failure.hint().is_some());
        }
    }
}
