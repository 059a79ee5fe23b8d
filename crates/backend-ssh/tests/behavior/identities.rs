//! Who we are, who they are, and what is said when either is refused.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use std::time::{Duration, Instant};

use backend_core::{
    Chain, ErrorKind, Options as _, Origin, ProviderConfig, ProviderExt as _, SecretString,
    StartAttributes,
};
use backend_ssh::{PinnedMachine, SshOptions, SshProvider};
use testbed::{Daemon, SshKind, SshSetup, make_key};

use super::support::{KINDS, config, config_at, job, provider, server};

/// The SHA-512 crypt of `correct horse`.
const SHADOW: &str = "$6$throwaway$DBEFUyAhT5oZiuKMMiXyMJORJzCNWhD9C9AJPZT93EKrSvPkmsC5snHfHjQ4z5BROK08L6FDjreuxY/16.86m/";

/// What a setup is refused with: its kind, its texts and its hint.
async fn refusal(config: &ProviderConfig) -> (ErrorKind, String, String) {
    let error = provider(config).setup().await.unwrap_err();
    let hint = error.hint().unwrap_or_default().to_owned();
    (error.kind(), Chain(&error).to_string(), hint)
}

#[tokio::test]
async fn keys_that_cannot_be_used_are_told_by_name() {
    let Some(server) = server(SshKind::OpenSsh, &SshSetup::default()) else {
        return;
    };
    let place = tempfile::tempdir().unwrap();
    let path = |name: &str| place.path().join(name);
    make_key(&path("open"), "ed25519", "").unwrap();
    std::fs::set_permissions(path("open"), std::fs::Permissions::from_mode(0o644)).unwrap();
    make_key(&path("encrypted"), "ed25519", "passphrase").unwrap();
    make_key(&path("rsa"), "rsa", "").unwrap();
    make_key(&path("other"), "ecdsa", "").unwrap();
    std::fs::write(path("text"), "no key\n").unwrap();
    std::fs::set_permissions(path("text"), std::fs::Permissions::from_mode(0o600)).unwrap();
    let mut config = config(&server);
    for (name, part, hint) in [
        ("missing", "cannot be read", "identity-file"),
        ("open", "mode 0644", "chmod 600"),
        ("encrypted", "is encrypted", "WORKER_SSH_PASSPHRASE"),
        ("rsa", "RSA key", "ssh-add"),
        ("text", "is not a private key", "identity-file"),
        ("other", "refused", "identity-file"),
    ] {
        config.set("identity-file", path(name).display().to_string());
        let (kind, text, said) = refusal(&config).await;
        assert_eq!(kind, ErrorKind::Denied, "{name}: {text}");
        assert!(text.contains(part) && text.contains(name), "{name}: {text}");
        assert!(said.contains(hint), "{name}: {said}");
    }
    // What was tried is listed, and what the server would take.
    let (_, text, _) = refusal(&config).await;
    assert!(
        text.contains("tried the key") && text.contains("it takes publickey"),
        "{text}"
    );
}

#[tokio::test]
async fn an_encrypted_key_is_opened_with_its_passphrase() {
    let Some(server) = server(SshKind::OpenSsh, &SshSetup::default()) else {
        return;
    };
    let mut config = config(&server);
    let key = server.directory().join("client");
    let encrypted = Command::new("ssh-keygen")
        .args(["-q", "-p", "-P", "", "-N", "secret words", "-f"])
        .arg(key)
        .status();
    assert!(encrypted.unwrap().success());
    let variable = || Origin::Environment("WORKER_SSH_PASSPHRASE".into());
    config.add("passphrase", "hunter2", variable());
    let (_, text, _) = refusal(&config).await;
    assert!(
        text.contains("cannot be decrypted") && !text.contains("hunter2"),
        "{text}"
    );
    let mut config = super::support::config(&server);
    config.add("passphrase", "secret words", variable());
    assert!(job(&*provider(&config), "exit 0\n").await.0.success());
}

#[tokio::test]
async fn an_agent_signs_with_its_keys() {
    let Some(server) = server(SshKind::OpenSsh, &SshSetup::default()) else {
        return;
    };
    // An RSA key, which only an agent can use here.
    let key = server.directory().join("rsa");
    make_key(&key, "rsa", "").unwrap();
    std::fs::copy(
        key.with_extension("pub"),
        server.directory().join("client.pub"),
    )
    .unwrap();
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("agent");
    let mut command = Command::new("ssh-agent");
    command.arg("-D").arg("-a").arg(&socket);
    let mut agent =
        Daemon::start("ssh-agent", &command, directory, Duration::from_secs(5)).unwrap();
    agent
        .wait_until(Duration::from_secs(10), |_| {
            // The socket is there a moment before anybody listens.
            std::os::unix::net::UnixStream::connect(&socket).is_ok()
        })
        .unwrap();
    let added = Command::new("ssh-add")
        .arg("-q")
        .arg(&key)
        .env("SSH_AUTH_SOCK", &socket)
        .status();
    assert!(added.unwrap().success());
    let mut config = config(&server);
    config.set("identity-agent", socket.display().to_string());
    config.set("identity-file", key.display().to_string());
    assert!(job(&*provider(&config), "exit 0\n").await.0.success());
}

#[tokio::test]
async fn a_password_is_taken_from_the_environment_only() {
    for kind in KINDS {
        let setup = SshSetup {
            lines: vec!["PasswordAuthentication yes".into()],
            files: vec![(
                "/etc/shadow".into(),
                format!("root:{SHADOW}:19000:0:99999:7:::\n"),
            )],
            passwords: true,
            ..SshSetup::default()
        };
        let Some(server) = server(kind, &setup) else {
            return;
        };
        let place = tempfile::tempdir().unwrap();
        make_key(&place.path().join("other"), "ed25519", "").unwrap();
        let with = |password: &str| {
            let mut config = config(&server);
            config.set(
                "identity-file",
                place.path().join("other").display().to_string(),
            );
            config.add(
                "password",
                password,
                Origin::Environment("WORKER_SSH_PASSWORD".into()),
            );
            config
        };
        let (result, _) = job(&*provider(&with("correct horse")), "exit 0\n").await;
        assert!(result.success(), "{kind:?}");
        let (_, text, _) = refusal(&with("battery staple")).await;
        assert!(
            text.contains("the password") && !text.contains("staple"),
            "{text}"
        );
    }
}

#[tokio::test]
async fn host_keys_are_refused_with_both_sides_of_the_story() {
    let Some(server) = server(SshKind::OpenSsh, &SshSetup::default()) else {
        return;
    };
    let place = tempfile::tempdir().unwrap();
    let known = place.path().join("sub/known_hosts");
    let own = server.host_key("ed25519").unwrap();
    let mut config = config(&server);
    config.set("known-hosts", known.display().to_string());
    let (kind, text, hint) = refusal(&config).await;
    assert_eq!(kind, ErrorKind::Untrusted);
    assert!(
        text.contains("is not known") && text.contains("SHA256:"),
        "{text}"
    );
    assert!(
        hint.contains("ssh-keyscan") && hint.contains("accept-new"),
        "{hint}"
    );
    // Written down once, and known from then on.
    config.set("host-key-policy", "accept-new");
    provider(&config).setup().await.unwrap();
    config.set("host-key-policy", "strict");
    provider(&config).setup().await.unwrap();
    let text = std::fs::read_to_string(&known).unwrap();
    assert_eq!(text, format!("[127.0.0.1]:{} {own}\n", server.port()));
    // Another key of this machine.
    make_key(&place.path().join("other"), "ed25519", "").unwrap();
    let other = std::fs::read_to_string(place.path().join("other.pub")).unwrap();
    std::fs::write(
        &known,
        format!("# a line\n[127.0.0.1]:{} {other}", server.port()),
    )
    .unwrap();
    for policy in ["strict", "accept-new"] {
        config.set("host-key-policy", policy);
        let (kind, text, hint) = refusal(&config).await;
        assert_eq!(kind, ErrorKind::Untrusted);
        assert_eq!(text.matches("SHA256:").count(), 2, "{text}");
        assert!(
            text.contains("has changed") && text.contains("known_hosts:2"),
            "{text}"
        );
        assert!(hint.contains("ssh-keygen -R"), "{hint}");
    }
    std::fs::write(&known, format!("@revoked * {own}\n")).unwrap();
    let (_, text, _) = refusal(&config).await;
    assert!(text.contains("is revoked by"), "{text}");
    std::fs::write(&known, format!("@cert-authority * {own}\n")).unwrap();
    config.set("host-key-policy", "strict");
    let (_, text, _) = refusal(&config).await;
    assert!(
        text.contains("authority") && text.contains("not supported"),
        "{text}"
    );
    config.set("host-key-policy", "insecure");
    provider(&config).setup().await.unwrap();
    // One that is pinned wins over all of it.
    config.set("host-key-fingerprint", format!("SHA256:{}", "a".repeat(43)));
    let (kind, text, _) = refusal(&config).await;
    assert_eq!(kind, ErrorKind::Untrusted);
    assert!(text.contains("pinned"), "{text}");
}

#[tokio::test]
async fn a_known_key_of_another_kind_is_asked_for() {
    let setup = SshSetup {
        host_keys: vec!["ed25519", "ecdsa"],
        ..SshSetup::default()
    };
    let Some(server) = server(SshKind::OpenSsh, &setup) else {
        return;
    };
    let known = server.directory().join("only_ecdsa");
    std::fs::write(
        &known,
        format!("127.0.0.1 {}\n", server.host_key("ecdsa").unwrap()),
    )
    .unwrap();
    let mut config = config(&server);
    config.set("known-hosts", known.display().to_string());
    provider(&config).setup().await.unwrap();
}

#[tokio::test]
async fn machines_that_do_not_answer_are_told_by_stage() {
    let Some(server) = server(SshKind::OpenSsh, &SshSetup::default()) else {
        return;
    };
    let mut config = config(&server);
    config
        .set("connect-timeout", "2s")
        .set("handshake-timeout", "1s");
    config.set("hosts", "me@no-such-host.invalid");
    let (kind, text, _) = refusal(&config).await;
    assert_eq!(kind, ErrorKind::Unreachable);
    assert!(
        text.contains("cannot find the address of no-such-host.invalid"),
        "{text}"
    );
    let port = testbed::free_port().unwrap();
    config.set("hosts", format!("me@127.0.0.1:{port}"));
    let (kind, text, hint) = refusal(&config).await;
    assert_eq!(kind, ErrorKind::Unreachable);
    assert!(
        text.contains(&format!("cannot connect to me@127.0.0.1:{port}")),
        "{text}"
    );
    assert!(hint.contains("port"), "{hint}");
    // One that takes connections and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    config.set("hosts", format!("me@{}", silent.local_addr().unwrap()));
    let began = Instant::now();
    let (kind, text, hint) = refusal(&config).await;
    assert_eq!(kind, ErrorKind::TimedOut);
    assert!(
        text.contains("key exchange") && hint.contains("handshake-timeout"),
        "{text} {hint}"
    );
    assert!(began.elapsed() < Duration::from_secs(20));
    // Of several machines, one that works is enough.
    config.set("hosts", format!("me@127.0.0.1:{port},{}", server.address()));
    let provider = provider(&config);
    assert!(job(&*provider, "exit 0\n").await.0.success());
    // But what is on the other is not known, and none of it may be taken for gone.
    let kept = provider
        .start_new(&StartAttributes::default())
        .await
        .unwrap();
    assert_eq!(
        provider.list().await.unwrap_err().kind(),
        ErrorKind::Unreachable
    );
    let listing = provider.list_reachable().await;
    assert_eq!((listing.answered, listing.found.len()), (1, 1));
    let [why] = &listing.unanswered[..] else {
        panic!("{listing:?}");
    };
    assert!(
        Chain(why).to_string().contains(&port.to_string()),
        "{why:?}"
    );
    kept.stop().await.unwrap();
}

#[tokio::test]
async fn a_server_that_turns_connections_away_is_asked_again() {
    let setup = SshSetup {
        lines: vec!["MaxStartups 2:100:2".into()],
        ..SshSetup::default()
    };
    let Some(server) = server(SshKind::OpenSsh, &setup) else {
        return;
    };
    let mut config = config(&server);
    config.set("slots", "20");
    let provider = provider(&config);
    let attributes = StartAttributes::default();
    let starts = (0..20).map(|_| provider.start_new(&attributes));
    for started in futures_util::future::join_all(starts).await {
        started.unwrap().stop().await.unwrap();
    }
}

#[tokio::test]
async fn an_entry_of_the_ssh_config_will_do_also_behind_a_jump_host() {
    let (Some(target), Some(jump)) = (
        server(SshKind::OpenSsh, &SshSetup::default()),
        server(SshKind::OpenSsh, &SshSetup::default()),
    ) else {
        return;
    };
    let place = tempfile::tempdir().unwrap();
    let known = place.path().join("known");
    let key = place.path().join("key");
    std::fs::copy(target.identity(), &key).unwrap();
    // Each has let in a key of its own.
    std::fs::copy(
        target.directory().join("client.pub"),
        jump.directory().join("client.pub"),
    )
    .unwrap();
    let lines = |jump_key: &str| {
        format!(
            "[127.0.0.1]:{} {}\n[127.0.0.1]:{} {jump_key}\n",
            target.port(),
            target.host_key("ed25519").unwrap(),
            jump.port(),
        )
    };
    std::fs::write(&known, lines(&jump.host_key("ed25519").unwrap())).unwrap();
    let text = format!(
        "Host build*\n  HostName 127.0.0.1\n  Port {}\n  ProxyJump bastion\n\
         Host bastion\n  HostName 127.0.0.1\n  Port {}\n\
         Host *\n  User {}\n  IdentityFile {}\n  IdentityAgent none\n  UserKnownHostsFile {}\n  GlobalKnownHostsFile none\n",
        target.port(),
        jump.port(),
        target.user(),
        key.display(),
        known.display(),
    );
    let file = place.path().join("config");
    std::fs::write(&file, &text).unwrap();
    let config =
        ProviderConfig::from([("hosts", "build7"), ("ssh-config", file.to_str().unwrap())]);
    let (result, output) = job(&*provider(&config), "echo \"$SSH_CONNECTION\" | wc -w\n").await;
    assert!(result.success() && output == b"4\n", "{}", result.outcome);
    // The key of the jump host is checked as well.
    std::fs::write(&known, lines(&target.host_key("ed25519").unwrap())).unwrap();
    let (kind, text, _) = refusal(&config).await;
    assert_eq!(kind, ErrorKind::Untrusted);
    assert!(text.contains(&jump.port().to_string()), "{text}");
}

#[tokio::test]
async fn a_machine_with_a_pinned_key_needs_no_file() {
    let Some(server) = server(SshKind::OpenSsh, &SshSetup::default()) else {
        return;
    };
    let key = std::fs::read_to_string(server.identity()).unwrap();
    let machine = PinnedMachine {
        host: "127.0.0.1".into(),
        port: server.port(),
        user: server.user().into(),
        host_key: server.host_key("ed25519").unwrap(),
        private_key: Some(SecretString::from(key)),
    };
    let options = SshOptions::parse("ssh", &ProviderConfig::new()).unwrap();
    let pinned = SshProvider::pinned(&machine, options.clone()).unwrap();
    assert!(job(&pinned, "exit 0\n").await.0.success());
    let other = PinnedMachine {
        host_key: format!("SHA256:{}", "b".repeat(43)),
        ..machine.clone()
    };
    let started = SshProvider::pinned(&other, options.clone()).unwrap();
    let error = started
        .start_new(&StartAttributes::default())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Untrusted, "{error:?}");
    let none = PinnedMachine {
        host_key: "no key".into(),
        ..machine
    };
    let error = SshProvider::pinned(&none, options).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidOption);
}

#[tokio::test]
async fn options_that_contradict_each_other_are_refused() {
    let Some(server) = server(SshKind::OpenSsh, &SshSetup::default()) else {
        return;
    };
    let refused = |config: &ProviderConfig| {
        let error = (backend_ssh::BACKEND.provider)(config).unwrap_err();
        (error.kind(), Chain(&error).to_string())
    };
    let (kind, text) = refused(&ProviderConfig::new());
    assert_eq!(kind, ErrorKind::MissingEndpoint, "{text}");
    let mut config = config_at(&server, server.port());
    config.set("lease", "1m").set("resume-window", "2m");
    let (kind, text) = refused(&config);
    assert_eq!(kind, ErrorKind::InvalidOption);
    assert!(
        text.contains("lease") && text.contains("resume-window"),
        "{text}"
    );
    config
        .set("lease", "3m")
        .set("hosts", format!("{0},{0}", server.address()));
    assert!(refused(&config).1.contains("twice"));
}
