//! The credential helpers of the docker client: programs named
//! `docker-credential-…`, which take the name of a registry on their input.
//!
//! Source: the protocol of docker-credential-helpers.

use std::process::Stdio;
use std::time::Duration;

use backend_core::SecretString;
use serde::Deserialize;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::Command;

use super::credentials::Credentials;

/// A helper may ask a person to unlock a keychain.
const LIMIT: Duration = Duration::from_secs(30);
const LONGEST_ANSWER: u64 = 1 << 20;
/// The user of an answer whose secret is an identity token.
const TOKEN_USER: &str = "<token>";

#[derive(Deserialize)]
struct Answer {
    #[serde(rename = "Username")]
    user: String,
    #[serde(rename = "Secret")]
    secret: String,
}

/// Asks the helper `name` for the credentials for `server`; `None` if it has
/// none.
///
/// # Errors
///
/// What went wrong, in words, without anything that the helper has said.
///
/// # Cancel safety
///
/// Dropped, it ends the program.
pub(super) async fn ask(name: &str, server: &str) -> Result<Option<Credentials>, String> {
    // A path would make any program a helper.
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if name.is_empty() || !name.bytes().all(is_plain) {
        return Err(format!(
            "docker's config.json names the helper `{name}`, which is none"
        ));
    }
    let program = format!("docker-credential-{name}");
    match tokio::time::timeout(LIMIT, run(&program, server)).await {
        Ok(result) => result.map_err(|why| format!("`{program}` {why}")),
        Err(_) => Err(format!("`{program}` did not answer within {LIMIT:?}")),
    }
}

async fn run(program: &str, server: &str) -> Result<Option<Credentials>, String> {
    let mut child = Command::new(program)
        .arg("get")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| format!("cannot be run: {error}"))?;
    if let Some(mut input) = child.stdin.take() {
        // One that does not read it says so by its status.
        input.write_all(server.as_bytes()).await.ok();
    }
    let mut answer = vec![];
    if let Some(output) = child.stdout.take() {
        let read = output.take(LONGEST_ANSWER).read_to_end(&mut answer).await;
        read.map_err(|error| format!("cannot be read: {error}"))?;
    }
    let status = child.wait().await;
    let status = status.map_err(|error| format!("cannot be waited for: {error}"))?;
    understand(status.success(), &answer).map_err(|why| match why {
        Wrong::Failed => format!("ended with {status}"),
        Wrong::Answer => "gave an answer that is not credentials".into(),
    })
}

#[derive(Debug, PartialEq)]
pub(super) enum Wrong {
    Failed,
    Answer,
}

pub(super) fn understand(succeeded: bool, answer: &[u8]) -> Result<Option<Credentials>, Wrong> {
    if !succeeded {
        // The words are part of the protocol.
        return if String::from_utf8_lossy(answer).contains("credentials not found") {
            Ok(None)
        } else {
            Err(Wrong::Failed)
        };
    }
    let answer: Answer = serde_json::from_slice(answer).map_err(|_| Wrong::Answer)?;
    let secret = SecretString::from(answer.secret);
    Ok(Some(if answer.user == TOKEN_USER {
        Credentials::Identity(secret)
    } else {
        Credentials::Password {
            user: answer.user,
            password: secret,
        }
    }))
}

#[cfg(test)]
mod tests {
    use backend_core::ExposeSecret as _;

    use super::*;

    fn program(script: &str) -> (tempfile::TempDir, String) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("docker-credential-test");
        std::fs::write(&path, format!("#!/bin/sh\n{script}")).unwrap();
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755))
            .unwrap();
        let path = path.to_str().unwrap().to_owned();
        (directory, path)
    }

    #[tokio::test]
    async fn a_helper_is_given_the_server_and_gives_the_secret() {
        let (_directory, path) = program(
            r#"read -r server; [ "$1" = get ] && printf '{"Username":"u","Secret":"for %s"}' "$server""#,
        );
        let found = run(&path, "reg.example.com").await.unwrap();
        let Some(Credentials::Password { user, password }) = found else {
            panic!("{found:?}");
        };
        assert_eq!(
            (user.as_str(), password.expose_secret()),
            ("u", "for reg.example.com")
        );
    }

    #[tokio::test]
    async fn what_goes_wrong_is_said_without_what_it_said() {
        for (script, part) in [
            ("echo hunter2; exit 3", "exit status: 3"),
            ("echo hunter2", "not credentials"),
            (r#"echo '{"Username":"hunter2"}'"#, "not credentials"),
        ] {
            let (_directory, path) = program(script);
            let error = run(&path, "r").await.unwrap_err();
            assert!(
                error.contains(part) && !error.contains("hunter2"),
                "{error}"
            );
        }
        let error = ask("does-not-exist-here", "r").await.unwrap_err();
        assert!(
            error.contains("docker-credential-does-not-exist-here"),
            "{error}"
        );
        assert!(ask("../../bin/sh", "r").await.is_err());
    }

    #[test]
    fn tokens_and_absence_are_understood() {
        let token = understand(
            true,
            br#"{"ServerURL":"r","Username":"<token>","Secret":"t"}"#,
        );
        assert!(matches!(token, Ok(Some(Credentials::Identity(_)))));
        let none = understand(false, b"credentials not found in native keychain\n");
        assert!(matches!(none, Ok(None)));
    }
}
