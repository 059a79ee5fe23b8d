//! The decision as a table, each row held against what `ssh` of OpenSSH decides
//! with `StrictHostKeyChecking=yes` on the same files.

use std::path::Path;
use std::process::{Command, Stdio};

use testbed::{SshKind, SshServer, SshSetup, make_key};

use super::*;

/// What a row comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Trusted,
    Unknown,
    Changed,
    Revoked,
}
use Verdict::{Changed, Revoked, Trusted, Unknown};

/// Which name is looked up.
#[derive(Debug, Clone, Copy)]
enum Name {
    /// `127.0.0.1`, at the server's port.
    Address,
    /// `localhost`, at the server's port.
    Localhost,
    /// `build.example`, as a `HostKeyAlias`.
    Alias,
}
use Name::{Address, Alias, Localhost};

/// The rows. In the texts, PORT is the server's port, KEY its ed25519 key, and
/// OTHER, ECDSA and RSA are keys that it does not show. HASH(name) is a hashed
/// name. A second file is behind `---`.
const TABLE: &[(&str, Name, Verdict)] = &[
    ("", Address, Unknown),
    ("[127.0.0.1]:PORT KEY", Address, Trusted),
    ("[127.0.0.1]:PORT KEY a comment", Address, Trusted),
    ("  \t[127.0.0.1]:PORT KEY", Address, Trusted),
    ("[127.0.0.1]:PORT\tKEY", Address, Trusted),
    ("[127.0.0.1]:PORT   KEY", Address, Trusted),
    ("# [127.0.0.1]:PORT KEY", Address, Unknown),
    ("[127.0.0.1]:PORT OTHER", Address, Changed),
    ("[127.0.0.1]:PORT ECDSA", Address, Changed),
    ("[127.0.0.1]:PORT RSA", Address, Changed),
    (
        "[127.0.0.1]:PORT ECDSA\n[127.0.0.1]:PORT KEY",
        Address,
        Trusted,
    ),
    (
        "[127.0.0.1]:PORT KEY\n[127.0.0.1]:PORT OTHER",
        Address,
        Trusted,
    ),
    (
        "[127.0.0.1]:PORT OTHER\n[127.0.0.1]:PORT KEY",
        Address,
        Trusted,
    ),
    ("[127.0.0.1]:22 KEY", Address, Unknown),
    ("[127.0.0.1]:1 OTHER", Address, Unknown),
    // The name without its port counts where nothing is known of the one with it.
    ("127.0.0.1 KEY", Address, Trusted),
    ("127.0.0.1 OTHER", Address, Unknown),
    ("127.0.0.1 KEY\n[127.0.0.1]:PORT OTHER", Address, Changed),
    ("127.0.0.1 OTHER\n[127.0.0.1]:PORT KEY", Address, Trusted),
    ("localhost KEY", Address, Unknown),
    ("localhost,127.0.0.1 KEY", Address, Trusted),
    ("localhost, 127.0.0.1 KEY", Address, Unknown),
    ("[localhost]:PORT KEY", Localhost, Trusted),
    ("[LOCALHOST]:PORT KEY", Localhost, Trusted),
    ("localhost KEY", Localhost, Trusted),
    // Patterns.
    ("* KEY", Address, Trusted),
    ("127.0.0.* KEY", Address, Trusted),
    ("[127.0.0.?]:PORT KEY", Address, Trusted),
    ("[127.0.0.1]:* KEY", Address, Trusted),
    ("*,![127.0.0.1]:PORT KEY", Address, Trusted),
    ("*,![127.0.0.1]:PORT,!127.0.0.1 KEY", Address, Unknown),
    ("!localhost KEY", Address, Unknown),
    ("*.example KEY", Alias, Trusted),
    ("*.EXAMPLE KEY", Alias, Trusted),
    ("*.example,!build.* KEY", Alias, Unknown),
    ("b?ild.example OTHER", Alias, Changed),
    ("[build.example]:PORT KEY", Alias, Unknown),
    ("build.example KEY", Alias, Trusted),
    // Hashed names.
    ("HASH([127.0.0.1]:PORT) KEY", Address, Trusted),
    ("HASH([127.0.0.1]:PORT) OTHER", Address, Changed),
    ("HASH(127.0.0.1) KEY", Address, Trusted),
    ("HASH(localhost) KEY", Address, Unknown),
    ("HASH(build.example) KEY", Alias, Trusted),
    ("|1|AAAA|BBBB KEY", Address, Unknown),
    ("|1|no base64|x KEY", Address, Unknown),
    ("|2|AAAA|BBBB KEY", Address, Unknown),
    // Markers.
    ("@revoked [127.0.0.1]:PORT KEY", Address, Revoked),
    ("@revoked * KEY", Address, Revoked),
    ("@revoked * KEY\n[127.0.0.1]:PORT KEY", Address, Revoked),
    ("[127.0.0.1]:PORT KEY\n@revoked * KEY", Address, Revoked),
    ("@revoked * OTHER\n[127.0.0.1]:PORT KEY", Address, Trusted),
    ("@revoked * OTHER", Address, Unknown),
    (
        "@revoked localhost KEY\n[127.0.0.1]:PORT KEY",
        Address,
        Trusted,
    ),
    (
        "@revoked HASH([127.0.0.1]:PORT) KEY\n[127.0.0.1]:PORT KEY",
        Address,
        Revoked,
    ),
    ("@revoked 127.0.0.1 KEY", Address, Revoked),
    (
        "@revoked 127.0.0.1 KEY\n[127.0.0.1]:PORT KEY",
        Address,
        Trusted,
    ),
    ("@cert-authority * KEY", Address, Unknown),
    (
        "@cert-authority * OTHER\n[127.0.0.1]:PORT KEY",
        Address,
        Trusted,
    ),
    ("@unknown * KEY", Address, Unknown),
    ("@revoked KEY", Address, Unknown),
    // What cannot be read is no entry.
    ("[127.0.0.1]:PORT", Address, Unknown),
    ("[127.0.0.1]:PORT ssh-ed25519", Address, Unknown),
    ("[127.0.0.1]:PORT ssh-ed25519 AAAA", Address, Unknown),
    ("[127.0.0.1]:PORT ssh-foo KEY", Address, Unknown),
    ("garbage\n\n\0\n[127.0.0.1]:PORT KEY", Address, Trusted),
    ("[127.0.0.1]:PORT KEY\r", Address, Trusted),
    // Several files.
    ("---[127.0.0.1]:PORT KEY", Address, Trusted),
    (
        "[127.0.0.1]:PORT OTHER\n---[127.0.0.1]:PORT KEY",
        Address,
        Trusted,
    ),
    ("[127.0.0.1]:PORT KEY\n---@revoked * KEY", Address, Revoked),
    (
        "localhost OTHER\n---[127.0.0.1]:PORT OTHER",
        Address,
        Changed,
    ),
];

#[test]
fn it_decides_as_openssh_does() {
    assert!(TABLE.len() >= 40);
    let server = match SshServer::start(SshKind::OpenSsh, &SshSetup::default()) {
        Ok(server) => server,
        Err(error) => return testbed::missing("ssh", &format!("{error:#}")),
    };
    let place = tempfile::tempdir().unwrap();
    let key_of = |kind: &str| {
        let path = place.path().join(kind);
        make_key(&path, kind, "").unwrap();
        let text = std::fs::read_to_string(path.with_extension("pub")).unwrap();
        text.rsplit_once(' ').unwrap().0.to_owned()
    };
    let own = server.host_key("ed25519").unwrap();
    let others = [
        ("OTHER", key_of("ed25519")),
        ("ECDSA", key_of("ecdsa")),
        ("RSA", key_of("rsa")),
        ("KEY", own.clone()),
        ("PORT", server.port().to_string()),
    ];
    let key = HostKey::parse(&own).unwrap();
    let mut wrong = Vec::new();
    for (row, name, expected) in TABLE {
        let mut text = (*row).to_owned();
        for (word, value) in &others {
            text = text.replace(word, value);
        }
        let text = with_hashes(&text);
        let mut files = Vec::new();
        for (index, text) in text.split("---").enumerate() {
            let path = place.path().join(format!("known-{index}"));
            std::fs::write(&path, text).unwrap();
            files.push(KnownFile {
                path,
                text: text.to_owned(),
            });
        }
        let ours = match decide(&files, &lookup(*name, server.port()), &key) {
            Decision::Trusted(_) => Trusted,
            Decision::Unknown { .. } => Unknown,
            Decision::Changed { .. } => Changed,
            Decision::Revoked(_) => Revoked,
        };
        let paths: Vec<_> = files.iter().map(|file| file.path.as_path()).collect();
        let theirs = ask_openssh(&server, *name, &paths);
        if ours != *expected || theirs != *expected {
            wrong.push(format!(
                "{row:?} {name:?}: expected {expected:?}, ours {ours:?}, ssh {theirs:?}"
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn lookup(name: Name, port: u16) -> LookupName {
    let host = match name {
        Address => "127.0.0.1",
        Localhost => "localhost",
        Alias => "build.example",
    };
    LookupName {
        host: host.into(),
        port,
        is_alias: matches!(name, Alias),
    }
}

/// Replaces each `HASH(name)`.
fn with_hashes(text: &str) -> String {
    let Some((before, rest)) = text.split_once("HASH(") else {
        return text.to_owned();
    };
    let (name, behind) = rest.split_once(')').unwrap();
    let salt = b"twenty bytes of salt";
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, salt);
    let hash = hmac::sign(&key, name.as_bytes());
    let hashed = format!(
        "|1|{}|{}",
        BASE64.encode(salt),
        BASE64.encode(hash.as_ref())
    );
    format!("{before}{hashed}{}", with_hashes(behind))
}

fn ask_openssh(server: &SshServer, name: Name, files: &[&Path]) -> Verdict {
    let files: Vec<_> = files
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    let mut ssh = Command::new("ssh");
    ssh.args([
        "-F",
        "none",
        "-p",
        &server.port().to_string(),
        "-l",
        server.user(),
    ]);
    ssh.args(["-o", "StrictHostKeyChecking=yes", "-o", "BatchMode=yes"]);
    ssh.args([
        "-o",
        "PreferredAuthentications=none",
        "-o",
        "HostKeyAlgorithms=ssh-ed25519",
    ]);
    ssh.args(["-o", "UpdateHostKeys=no", "-o", "GlobalKnownHostsFile=none"]);
    ssh.arg("-o")
        .arg(format!("UserKnownHostsFile={}", files.join(" ")));
    let host = match name {
        Address => "127.0.0.1",
        Localhost => "localhost",
        Alias => {
            ssh.args(["-o", "HostKeyAlias=build.example"]);
            "127.0.0.1"
        }
    };
    let output = ssh
        .args([host, "true"])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    if said.contains("REVOKED HOST KEY") {
        Revoked
    } else if said.contains("IDENTIFICATION HAS CHANGED") {
        Changed
    } else if said.contains("host key is known") {
        Unknown
    } else {
        assert!(said.contains("Permission denied"), "{said}");
        Trusted
    }
}
