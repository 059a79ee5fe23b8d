//! What the backend can be told.

use std::path::PathBuf;
use std::time::Duration;

use backend_core::{Kind, OptionValue, SecretString};

use crate::host::HostSpec;

backend_core::options! {
    /// The options of the backend `ssh`.
    pub struct SshOptions {
        /// The machines: `user@host:port`, or the name of an entry of the
        /// `ssh-config`, each with `?slots=N` and `?weight=N` where it differs
        /// from the rest (`?slots=2&weight=3`). A start goes to the machine
        /// with the most room for its weight.
        hosts: Vec<HostSpec>, example "ci@build1,ci@build2:2222?slots=8";
        /// How many instances each machine has at once, unless its entry says.
        slots: Slots = "4";
        /// A private key file (ed25519 or ecdsa; OpenSSH or PKCS#8). Several
        /// are tried in order. Default: those of the `ssh-config`, then
        /// `~/.ssh/id_ed25519` and `~/.ssh/id_ecdsa`.
        identity_file: Vec<PathBuf>, example "~/.ssh/ci";
        /// The passphrase of the private key files.
        passphrase: Option<SecretString>;
        /// The password of the account, for password and keyboard-interactive
        /// authentication.
        password: Option<SecretString>;
        /// The socket of the agent, or `none`. Default: `SSH_AUTH_SOCK`.
        identity_agent: Option<PathBuf>, example "none";
        /// The file of known host keys. Default: those of the `ssh-config`,
        /// then `~/.ssh/known_hosts` and `/etc/ssh/ssh_known_hosts`.
        known_hosts: Option<PathBuf>, example "~/.ssh/known_hosts";
        /// What to do with a host key: `strict` takes known ones only,
        /// `accept-new` writes down that of a machine seen for the first time,
        /// `insecure` takes any. A changed or revoked key is refused by the
        /// first two.
        host_key_policy: HostKeyPolicy = "strict";
        /// The fingerprint of the only host key to take, as `ssh-keygen -l`
        /// prints it. It wins over `known-hosts`.
        host_key_fingerprint: Option<Fingerprint>, example "SHA256:uNiVztksCsDhcc0u9e8BrrJXVGDlm3G7ry3zXMkYyzo";
        /// The client configuration of OpenSSH to read, or `none`. Default:
        /// `~/.ssh/config`, then `/etc/ssh/ssh_config`.
        ssh_config: Option<PathBuf>, example "none";
        /// A machine to connect through: `user@host:port` or an entry of the
        /// `ssh-config`. Its host key is checked as that of any other.
        jump: Option<HostSpec>, example "me@bastion";
        /// Where slots are made on the machine; a relative path is meant from
        /// the home directory. It is created with mode 0700, and removed when
        /// it is empty.
        directory: FarPath = ".worker-ssh", example "/var/tmp/worker";
        /// How long a TCP connection may take.
        connect_timeout: Duration = "10s";
        /// How long the key exchange may take, host key check included.
        handshake_timeout: Duration = "15s";
        /// How long authentication may take.
        auth_timeout: Duration = "30s";
        /// How long a machine may be silent before it is asked for a sign of
        /// life. After that and two unanswered questions more, the connection
        /// is lost: within four times this.
        keepalive: Positive = "15s";
        /// How long a lost connection is tried to be re-made. The run goes on
        /// meanwhile, and nothing of its output is lost; after it the run is
        /// lost. `0s` makes every lost connection a lost run.
        resume_window: Duration = "5m";
        /// How long an instance lives that no worker is connected to: then the
        /// machine ends and removes it by itself. Default: `resume-window` and
        /// a minute.
        lease: Option<Positive>, example "10m";
        /// A command that the machine runs before each job, such as a reset.
        prepare: Option<OneLine>, example "sudo /usr/local/bin/reset-machine";
        /// A command that the machine runs after each job, before its slot is
        /// free again; also when the worker is gone.
        revert: Option<OneLine>, example "docker system prune --force";
    }
}

backend_core::choice! {
    /// What to do with a host key.
    pub enum HostKeyPolicy {
        /// Take known ones only.
        Strict = "strict",
        /// Write down that of a machine that is seen for the first time.
        AcceptNew = "accept-new",
        /// Take any.
        Insecure = "insecure",
    }
}

/// A number of slots or a weight: 1 to 1024.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slots(pub(crate) u32);

impl OptionValue for Slots {
    const KIND: Kind = Kind::Integer { min: 1, max: 1024 };

    fn parse(text: &str) -> Result<Self, String> {
        match text.parse() {
            Ok(count) if (1..=1024).contains(&count) => Ok(Self(count)),
            _ => Err(String::new()),
        }
    }
}

/// A length of time of at least a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Positive(pub(crate) Duration);

impl OptionValue for Positive {
    const KIND: Kind = Kind::Duration;

    fn parse(text: &str) -> Result<Self, String> {
        let duration = Duration::parse(text)?;
        if duration < Duration::from_secs(1) {
            return Err("it is less than a second".into());
        }
        Ok(Self(duration))
    }
}

/// The SHA-256 fingerprint of a host key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fingerprint(String);

impl Fingerprint {
    /// The text, beginning with `SHA256:`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl OptionValue for Fingerprint {
    const KIND: Kind = Kind::Text;

    fn parse(text: &str) -> Result<Self, String> {
        let digest = text.strip_prefix("SHA256:").unwrap_or_default();
        let is_base64 = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'+' || byte == b'/';
        if digest.len() != 43 || !digest.bytes().all(is_base64) {
            return Err(
                "a fingerprint is `SHA256:` and 43 characters, as `ssh-keygen -l` prints it".into(),
            );
        }
        Ok(Self(text.to_owned()))
    }
}

/// A path of the machine that is connected to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FarPath(pub(crate) String);

impl OptionValue for FarPath {
    const KIND: Kind = Kind::Text;

    fn parse(text: &str) -> Result<Self, String> {
        let text = one_line(text)?;
        if text.split('/').any(|part| part == "..") || text.starts_with('~') {
            return Err("neither `..` nor `~` can be part of it; a relative path is meant from the home directory".into());
        }
        Ok(Self(text.trim_end_matches('/').to_owned()))
    }
}

/// A command of one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OneLine(pub(crate) String);

impl OptionValue for OneLine {
    const KIND: Kind = Kind::Text;

    fn parse(text: &str) -> Result<Self, String> {
        one_line(text).map(|text| Self(text.to_owned()))
    }
}

fn one_line(text: &str) -> Result<&str, String> {
    match text {
        "" => Err("it is empty".into()),
        text if text.contains(['\n', '\0']) => Err("it has more than one line".into()),
        text => Ok(text),
    }
}

#[cfg(test)]
mod tests {
    use backend_core::{Chain, Options, ProviderConfig};

    use super::*;

    #[test]
    fn the_defaults_are_those_of_the_documentation() {
        let config = ProviderConfig::from([("hosts", "h")]);
        let options = SshOptions::parse("ssh", &config).unwrap();
        assert_eq!(options.host_key_policy, HostKeyPolicy::Strict);
        assert_eq!(options.resume_window, Duration::from_mins(5));
        assert_eq!(options.directory.0, ".worker-ssh");
    }

    #[test]
    fn what_cannot_work_is_refused_in_one_message() {
        let config = ProviderConfig::from([
            ("hosts", "user@"),
            ("slots", "0"),
            ("keepalive", "10ms"),
            ("directory", "a/../b"),
            ("prepare", "a\nb"),
            ("host-key-fingerprint", "MD5:aa:bb"),
            ("host-key-policy", "ask"),
        ]);
        let error = SshOptions::parse("ssh", &config).unwrap_err();
        let text = Chain(&error).to_string();
        for part in [
            "hosts",
            "slots",
            "keepalive",
            "directory",
            "prepare",
            "43 characters",
            "accept-new",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }
}
