//! A machine whose host key is known beforehand: for programs that are told
//! of it by someone they trust, such as the service that has created it.

use backend_core::{OptionValue as _, SecretString};

use crate::error::Failure;
use crate::host::HostSpec;
use crate::known_hosts::HostKey;
use crate::machine::{KeySource, Machine, Resolver, Trust};
use crate::options::{Fingerprint, SshOptions};

/// One machine with its address, its account and its host key.
#[derive(Debug, Clone)]
pub struct PinnedMachine {
    /// A name or an address.
    pub host: String,
    /// The TCP port.
    pub port: u16,
    /// The account.
    pub user: String,
    /// The only host key to take: a line as in `/etc/ssh/ssh_host_ed25519_key.pub`
    /// (`ssh-ed25519 AAAA…`), or a fingerprint (`SHA256:…`).
    pub host_key: String,
    /// The text of a private key, if it is not among the files or the agent's
    /// of the options.
    pub private_key: Option<SecretString>,
}

impl PinnedMachine {
    pub(crate) fn resolve(&self, options: &SshOptions) -> Result<Machine, Failure> {
        let wrong =
            |why: String| Failure::Options(format!("`{}` is not a host key: {why}", self.host_key));
        let fingerprint = if self.host_key.starts_with("SHA256:") {
            let fingerprint = Fingerprint::parse(&self.host_key).map_err(wrong)?;
            fingerprint.as_str().to_owned()
        } else {
            let key = HostKey::parse(&self.host_key);
            let key =
                key.ok_or_else(|| wrong("expected `ssh-ed25519 AAAA…` or `SHA256:…`".into()))?;
            key.fingerprint()
        };
        let spec = HostSpec {
            user: Some(self.user.clone()),
            host: self.host.clone(),
            port: Some(self.port),
            slots: None,
            weight: 1,
        };
        let own = SshOptions {
            jump: None,
            ssh_config: Some("none".into()),
            host_key_fingerprint: None,
            ..options.clone()
        };
        let mut machine = Resolver::new(&own).resolve(&spec)?;
        machine.trust = Trust::Pinned(fingerprint);
        if let Some(key) = &self.private_key {
            machine.credentials.keys = vec![KeySource::Text(key.clone())];
            machine.credentials.agent = None;
        }
        Ok(machine)
    }
}
