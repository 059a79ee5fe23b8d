//! Real engines, found in every way.

use std::path::Path;

use backend_core::{Chain, ErrorKind, Options as _, ProviderConfig};
use testbed::certificates::Authority;
use testbed::dockerd::Dockerd;

use super::*;
use crate::hexadecimal::hexadecimal;
use sha2::{Digest as _, Sha256};

async fn found(
    options: &[(&str, &str)],
    surroundings: Surroundings,
) -> Result<String, (ErrorKind, String)> {
    let config: ProviderConfig = options.iter().copied().collect();
    let options = DockerOptions::parse("docker", &config).unwrap();
    match find(&options, surroundings, &mut Examination::default()).await {
        Ok(engine) => Ok(engine.endpoint().to_string()),
        Err(failure) => Err((failure.kind(), Chain(&failure).to_string())),
    }
}

/// The docker client's files with one context in them, the current one.
fn context(files: &Path, host: &str, certificates: Option<&Path>) {
    let id = hexadecimal(Sha256::digest("mine"));
    let meta = files.join("contexts/meta").join(&id);
    std::fs::create_dir_all(&meta).unwrap();
    let text = format!(r#"{{"Name":"mine","Endpoints":{{"docker":{{"Host":"{host}"}}}}}}"#);
    std::fs::write(meta.join("meta.json"), text).unwrap();
    std::fs::write(files.join("config.json"), r#"{"currentContext":"mine"}"#).unwrap();
    let Some(certificates) = certificates else {
        return;
    };
    let tls = files.join("contexts/tls").join(id).join("docker");
    std::fs::create_dir_all(&tls).unwrap();
    for name in ["ca.pem", "cert.pem", "key.pem"] {
        std::fs::copy(certificates.join(name), tls.join(name)).unwrap();
    }
}

fn engine_with(arguments: &[&str]) -> Option<Dockerd> {
    match Dockerd::start_with(arguments.iter().copied()) {
        Ok(engine) => Some(engine),
        Err(error) => {
            testbed::missing("docker", &format!("{error:#}"));
            None
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_is_found_by_option_variable_context_and_socket() {
    let Some(engine) = engine_with(&[]) else {
        return;
    };
    let home = tempfile::tempdir().unwrap();
    let files = home.path().join(".docker");
    let endpoint = engine.endpoint();
    let right = Ok(endpoint.clone());
    assert_eq!(
        found(&[("endpoint", &endpoint)], Surroundings::default()).await,
        right
    );
    let by_variable = || Surroundings {
        docker_host: Some(endpoint.clone()),
        ..Surroundings::default()
    };
    assert_eq!(found(&[], by_variable()).await, right);
    context(&files, &endpoint, None);
    let by_context = || Surroundings {
        docker_files: Some(files.clone()),
        ..Surroundings::default()
    };
    assert_eq!(found(&[], by_context()).await, right);

    // What is named is the only one that is tried.
    let gone = "unix:///does/not/exist.sock";
    let (kind, text) = found(&[("endpoint", gone)], by_variable())
        .await
        .unwrap_err();
    assert_eq!(kind, ErrorKind::Unreachable, "{text}");
    assert!(
        text.contains(gone) && text.contains("no such socket"),
        "{text}"
    );

    // Nothing is named: the sockets, of which one answers at the most.
    let socket = home.path().join(".docker/run/docker.sock");
    std::fs::create_dir_all(socket.parent().unwrap()).unwrap();
    std::os::unix::fs::symlink(engine.socket(), &socket).unwrap();
    let by_socket = Surroundings {
        home: Some(home.path().to_owned()),
        ..Surroundings::default()
    };
    let well_known = ["/run/docker.sock", "/run/podman/podman.sock"];
    if well_known.iter().all(|socket| !Path::new(socket).exists()) {
        let right = Ok(format!("unix://{}", socket.display()));
        assert_eq!(found(&[], by_socket).await, right);
        let (kind, text) = found(&[], Surroundings::default()).await.unwrap_err();
        assert_eq!(kind, ErrorKind::MissingEndpoint, "{text}");
        for part in well_known.into_iter().chain(["endpoint"]) {
            assert!(text.contains(part), "{part}: {text}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_over_tls_is_verified_both_ways() {
    let directory = tempfile::tempdir().unwrap();
    let own = |name: &str| directory.path().join(name);
    let text = |name: &str| own(name).to_str().unwrap().to_owned();
    let (authority, other) = (Authority::make().unwrap(), Authority::make().unwrap());
    authority.issue(&own("server"), "IP:127.0.0.1").unwrap();
    authority.issue(&own("client"), "DNS:client").unwrap();
    other.issue(&own("other"), "DNS:client").unwrap();
    // It knows the engine and has nothing to show.
    std::fs::create_dir(own("nobody")).unwrap();
    std::fs::copy(own("client/ca.pem"), own("nobody/ca.pem")).unwrap();
    // It has what the engine knows, and does not know the engine.
    std::fs::create_dir(own("stranger")).unwrap();
    for (from, to) in [
        ("other/ca.pem", "ca.pem"),
        ("client/cert.pem", "cert.pem"),
        ("client/key.pem", "key.pem"),
    ] {
        std::fs::copy(own(from), own("stranger").join(to)).unwrap();
    }
    let port = testbed::free_port().unwrap();
    let host = format!("tcp://127.0.0.1:{port}");
    let files = ["ca", "cert", "key"].map(|name| {
        format!(
            "--tls{}={}",
            if name == "ca" { "cacert" } else { name },
            text(&format!("server/{name}.pem"))
        )
    });
    let mut arguments = vec!["--tlsverify", "--host", &host];
    arguments.extend(files.iter().map(String::as_str));
    let Some(_engine) = engine_with(&arguments) else {
        return;
    };

    let with = |name: &str, more: &[(&'static str, &'static str)], host: &str| {
        let certificates = text(name);
        let host = host.to_owned();
        let more = more.to_vec();
        async move {
            let mut options = vec![
                ("endpoint", host.as_str()),
                ("cert-path", certificates.as_str()),
            ];
            options.extend(more);
            found(&options, Surroundings::default()).await
        }
    };
    let config = ProviderConfig::from([("endpoint", &*host), ("cert-path", &*text("client"))]);
    let options = DockerOptions::parse("docker", &config).unwrap();
    let mut examination = Examination::default();
    let engine = find(&options, Surroundings::default(), &mut examination).await;
    assert!(engine.is_ok() && examination.went_well());
    let used: Vec<_> = examination.candidates.iter().map(|it| &it.name).collect();
    assert_eq!(used, [&host, &text("client")]);

    let no = [("tls-verify", "false")];
    assert_eq!(with("client", &[], &host).await, Ok(host.clone()));
    let https = host.replace("tcp", "https");
    assert_eq!(with("client", &[], &https).await, Ok(host.clone()));
    assert_eq!(with("stranger", &no, &host).await, Ok(host.clone()));
    let localhost = host.replace("127.0.0.1", "localhost");
    for (name, host, kind, part) in [
        (
            "stranger",
            &host,
            ErrorKind::Untrusted,
            "certificate is refused",
        ),
        (
            "client",
            &localhost,
            ErrorKind::Untrusted,
            "certificate is refused",
        ),
        ("nobody", &host, ErrorKind::Denied, "our certificate"),
    ] {
        let (got, said) = with(name, &[], host).await.unwrap_err();
        assert_eq!(got, kind, "{name}: {said}");
        assert!(
            said.contains(part) && said.contains(host.as_str()),
            "{name}: {said}"
        );
    }
    let (kind, said) = found(&[("endpoint", &host)], Surroundings::default())
        .await
        .unwrap_err();
    assert_eq!(kind, ErrorKind::Unreachable, "{said}");
    assert!(said.contains("TLS only"), "{said}");

    // By the variables, and by a context with its own material.
    let by_variable = Surroundings {
        docker_host: Some(host.clone()),
        docker_cert_path: Some(own("client")),
        ..Surroundings::default()
    };
    assert_eq!(found(&[], by_variable).await, Ok(host.clone()));
    context(&own("files"), &host, Some(&own("client")));
    let by_context = Surroundings {
        docker_files: Some(own("files")),
        ..Surroundings::default()
    };
    assert_eq!(found(&[], by_context).await, Ok(host));
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_to_what_does_not_speak_it_is_said() {
    let port = testbed::free_port().unwrap();
    let plain = format!("tcp://127.0.0.1:{port}");
    let Some(_engine) = engine_with(&["--host", &plain, "--tls=false"]) else {
        return;
    };
    assert_eq!(
        found(&[("endpoint", &plain)], Surroundings::default()).await,
        Ok(plain.clone())
    );
    let directory = tempfile::tempdir().unwrap();
    let authority = Authority::make().unwrap();
    authority.issue(directory.path(), "DNS:client").unwrap();
    let path = directory.path().to_str().unwrap();
    let options = [("endpoint", plain.as_str()), ("cert-path", path)];
    let (kind, text) = found(&options, Surroundings::default()).await.unwrap_err();
    assert_eq!(kind, ErrorKind::Unreachable, "{text}");
    assert!(text.contains("does not speak TLS"), "{text}");
}
