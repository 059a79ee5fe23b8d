//! What can be done about a failure: one sentence for its reader.

use std::path::PathBuf;

use crate::error::{Failure, FarKind, HostKeyProblem, KeyProblem, Stage};

/// The hint of a failure, where there is one.
pub(crate) fn of(failure: &Failure) -> Option<String> {
    Some(match failure {
        Failure::AllFailed(last) => return of(last),
        Failure::Shared(shared) | Failure::Broke(shared) => return of(shared),
        Failure::NoHosts => "name one with the option `hosts`: `user@host:port`".into(),
        Failure::Config { .. } => "correct the file, or name another with the option `ssh-config` (or `none`)".into(),
        Failure::Key { path, problem } => match problem {
            KeyProblem::TooOpen(_) => {
                format!("take their right away: `chmod 600 {}`", path.display())
            },
            KeyProblem::Encrypted | KeyProblem::WrongPassphrase => {
                "set WORKER_SSH_PASSPHRASE, or add the key to an agent".into()
            }
            KeyProblem::Rsa => "add it to an agent (`ssh-add`), or use an ed25519 key".into(),
            KeyProblem::Unreadable(_) if path.exists() => format!(
                "give it to this user (`chown $USER {}`, as root), or name another with the option `identity-file`",
                path.display()
            ),
            KeyProblem::Unreadable(_) | KeyProblem::NoKey(_) => {
                "name a private key with the option `identity-file`".into()
            }
        },
        Failure::Resolve { .. } => "check the name in the option `hosts`".into(),
        Failure::Connect { .. } => "check that the SSH server runs, and its port".into(),
        Failure::TimedOut { stage, .. } => match stage {
            Stage::Connect => "check the address and the firewall, or raise `connect-timeout`".into(),
            Stage::Handshake => "check that an SSH server is there, or raise `handshake-timeout`".into(),
            Stage::Auth => "raise `auth-timeout`".into(),
        },
        Failure::TurnedAway { .. } => "the server takes no more connections (MaxStartups): try later".into(),
        Failure::HostKey { name, algorithm, problem, .. } => match &**problem {
            HostKeyProblem::Unknown { files, .. } => format!(
                "make sure that this fingerprint is the right one, and add the key (`{}`), or set `host-key-policy` to `accept-new`",
                keyscan(name, algorithm, files.first())
            ),
            HostKeyProblem::Authority { place } => format!(
                "make sure that this fingerprint is the right one, and add the key (`{}`), or set `host-key-policy` to `accept-new`",
                keyscan(name, algorithm, Some(&place.path))
            ),
            HostKeyProblem::Changed { place, .. } => format!(
                "someone may listen in; if the machine was really changed, forget its old key: `ssh-keygen -R '{name}' -f {}`",
                place.path.display()
            ),
            HostKeyProblem::Revoked(_) => "do not connect to it".into(),
            HostKeyProblem::NotPinned(_) => "someone may listen in; if the machine was really changed, pin its new key".into(),
            HostKeyProblem::Certificate => "let the server show a plain host key too".into(),
        },
        Failure::Denied { .. } => "name a key with `identity-file`, run an agent, or set WORKER_SSH_PASSWORD".into(),
        Failure::Agent { .. } => "start the agent, or set `identity-agent` to `none`".into(),
        Failure::ExecRefused { .. } => "the account must be allowed to run commands (no ForceCommand, no restricted shell)".into(),
        Failure::NoShell { .. } => "the machine needs /bin/sh, and an account that may use it".into(),
        Failure::Far { kind, text, .. } => match kind {
            FarKind::Unsuitable => "the machine needs Linux with util-linux or busybox".into(),
            FarKind::Directory | FarKind::Full => {
                "make room, or choose another place with the option `directory`".into()
            }
            FarKind::Stale => "look at what is there, and remove it; or set `revert`".into(),
            FarKind::Revert => "repair the machine by hand, and remove the slot".into(),
            FarKind::Logout => "no run would outlive a lost connection: set `KillUserProcesses=no` in /etc/systemd/logind.conf over there and restart systemd-logind, or find what else ends the processes of a session".into(),
            FarKind::Prepare if !text.is_empty() => "correct the command in the option `prepare`".into(),
            _ => return None,
        },
        Failure::NoImages(_) => "choose a backend that has images, such as `docker`".into(),
        Failure::Leftover { .. } => "the machine removes it by itself when the lease has run out; `worker reap` does it before".into(),
        _ => return None,
    })
}

/// The command that adds the key of `name`, as known hosts are written.
fn keyscan(name: &str, algorithm: &str, file: Option<&PathBuf>) -> String {
    let kind = match algorithm.strip_prefix("ssh-") {
        Some(kind) => kind,
        None if algorithm.starts_with("ecdsa-") => "ecdsa",
        None => algorithm,
    };
    let bracketed = name
        .strip_prefix('[')
        .and_then(|name| name.split_once("]:"));
    let address = match bracketed {
        Some((host, port)) => format!("-p {port} {host}"),
        None => name.to_owned(),
    };
    let file = file.map_or("~/.ssh/known_hosts".into(), |file| {
        file.display().to_string()
    });
    format!("ssh-keyscan -t {kind} {address} >> {file}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_asked_for_as_ssh_keyscan_wants_it() {
        let file = PathBuf::from("/k");
        assert_eq!(
            keyscan("[::1]:2222", "ssh-ed25519", Some(&file)),
            "ssh-keyscan -t ed25519 -p 2222 ::1 >> /k"
        );
        assert_eq!(
            keyscan("build1", "ecdsa-sha2-nistp256", None),
            "ssh-keyscan -t ecdsa build1 >> ~/.ssh/known_hosts"
        );
    }
}
