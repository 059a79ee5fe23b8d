//! Authentication: what there is to show, in a fixed order, within the number
//! of attempts that servers allow.

use std::fmt::Write as _;
use std::path::Path;

use backend_core::ExposeSecret as _;
use russh::client::{AuthResult, Handle, KeyboardInteractiveAuthResponse};
use russh::keys::agent::AgentIdentity;
use russh::keys::agent::client::AgentClient;
use russh::keys::{HashAlg, PrivateKeyWithHashAlg, PublicKey};
use russh::{MethodKind, MethodSet};

use crate::connect::Client;
use crate::error::Failure;
use crate::keys::{self, Key};
use crate::machine::{KeySource, Machine};

/// How many attempts are made. OpenSSH allows 6 by default and counts each;
/// dropbear 10.
const ATTEMPTS: usize = 5;

/// How many rounds of questions are answered.
const ROUNDS: usize = 4;

/// Authenticates: agent, key files, password, keyboard-interactive.
pub(crate) async fn authenticate(
    handle: &mut Handle<Client>,
    machine: &Machine,
    keys: Vec<Key>,
) -> Result<(), Failure> {
    let mut attempts = Attempts {
        handle,
        machine,
        tried: Vec::new(),
        takes: None,
    };
    let done = attempts.agent(&keys).await?
        || attempts.keys(keys).await?
        || attempts.password().await?
        || attempts.keyboard_interactive().await?;
    if done {
        return Ok(());
    }
    let none = || "nothing (there is no key, no agent and no password)".to_owned();
    let tried = attempts.tried;
    Err(Failure::Denied {
        address: machine.address.clone(),
        user: machine.user.clone(),
        tried: if tried.is_empty() {
            none()
        } else {
            tried.join(", ")
        },
        takes: attempts
            .takes
            .map_or_else(|| "unknown methods".into(), |methods| listed(&methods)),
    })
}

/// Reads the private keys of a machine. Blocks, since a passphrase is slow on
/// purpose.
pub(crate) fn load_keys(machine: &Machine) -> Result<Vec<Key>, Failure> {
    let credentials = &machine.credentials;
    let keys = credentials.keys.iter().map(|source| {
        let loaded = keys::load(source, credentials.passphrase.as_ref());
        match (loaded, source) {
            // An agent may hold what cannot be used from its file.
            (Err(failure), KeySource::Named(path))
                if credentials.agent.is_some() && keys::public_half(path).is_some() =>
            {
                tracing::debug!(%failure, "left to the agent");
                Ok(None)
            }
            (loaded, _) => loaded,
        }
    });
    let keys = keys.collect::<Result<Vec<_>, _>>()?;
    Ok(keys.into_iter().flatten().collect())
}

struct Attempts<'a> {
    handle: &'a mut Handle<Client>,
    machine: &'a Machine,
    tried: Vec<String>,
    /// What the server says that it takes, once it has said so.
    takes: Option<MethodSet>,
}

impl Attempts<'_> {
    async fn agent(&mut self, keys: &[Key]) -> Result<bool, Failure> {
        let credentials = &self.machine.credentials;
        let Some(path) = &credentials.agent else {
            return Ok(false);
        };
        let named = credentials.keys.iter().filter_map(|source| match source {
            KeySource::Named(path) => Some(path.as_path()),
            KeySource::Usual(_) | KeySource::Text(_) => None,
        });
        let named: Vec<&Path> = named.collect();
        let wanted = named.iter().filter_map(|path| keys::public_half(path));
        let wanted: Vec<PublicKey> = wanted.collect();
        let mut agent = match AgentClient::connect_uds(path).await {
            Ok(agent) => agent,
            Err(source) => {
                // An agent that is gone is no reason to try nothing else.
                let failure = Failure::Agent {
                    path: path.clone(),
                    source: Box::new(source),
                };
                tracing::debug!(%failure, "no agent");
                self.tried.push("no agent, which did not answer".into());
                return Ok(false);
            }
        };
        let Ok(identities) = agent.request_identities().await else {
            self.tried
                .push("no agent, which would not list its keys".into());
            return Ok(false);
        };
        for identity in identities {
            let AgentIdentity::PublicKey { key, comment } = identity else {
                continue;
            };
            let is_wanted = wanted
                .iter()
                .any(|wanted| wanted.key_data() == key.key_data());
            if (credentials.identities_only || !named.is_empty()) && !is_wanted {
                continue;
            }
            // The same key from its file would be a second attempt for nothing.
            if keys
                .iter()
                .any(|own| own.key.public_key().key_data() == key.key_data())
            {
                continue;
            }
            if !self.may_try(MethodKind::PublicKey) {
                break;
            }
            self.tried.push(format!("the agent's key `{comment}`"));
            let hash = self.rsa_hash(&key).await?;
            let user = self.machine.user.clone();
            let result = self
                .handle
                .authenticate_publickey_with(user, key, hash, &mut agent)
                .await;
            match result {
                Ok(result) => {
                    if self.take(result) {
                        return Ok(true);
                    }
                }
                Err(error) => {
                    self.remark(&format!("it could not sign: {error}"));
                }
            }
        }
        Ok(false)
    }

    async fn keys(&mut self, keys: Vec<Key>) -> Result<bool, Failure> {
        for Key { name, key } in keys {
            if !self.may_try(MethodKind::PublicKey) {
                break;
            }
            self.tried.push(format!("the key {name}"));
            let key = PrivateKeyWithHashAlg::new(key, None);
            let user = self.machine.user.clone();
            let result = self.handle.authenticate_publickey(user, key).await;
            if self.take(result.map_err(|error| self.lost(&error))?) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn password(&mut self) -> Result<bool, Failure> {
        let Some(password) = &self.machine.credentials.password else {
            return Ok(false);
        };
        if !self.may_try(MethodKind::Password) {
            return Ok(false);
        }
        self.tried.push("the password".into());
        let user = self.machine.user.clone();
        let result = self
            .handle
            .authenticate_password(user, password.expose_secret())
            .await;
        Ok(self.take(result.map_err(|error| self.lost(&error))?))
    }

    async fn keyboard_interactive(&mut self) -> Result<bool, Failure> {
        use KeyboardInteractiveAuthResponse as Response;
        let Some(password) = &self.machine.credentials.password else {
            return Ok(false);
        };
        if !self.may_try(MethodKind::KeyboardInteractive) {
            return Ok(false);
        }
        self.tried.push("the password, asked for".into());
        let user = self.machine.user.clone();
        let mut response = self
            .handle
            .authenticate_keyboard_interactive_start(user, None)
            .await;
        for _ in 0..ROUNDS {
            match response.map_err(|error| self.lost(&error))? {
                Response::Success => return Ok(true),
                Response::Failure {
                    remaining_methods, ..
                } => {
                    self.takes = Some(remaining_methods);
                    return Ok(false);
                }
                Response::InfoRequest { prompts, .. } => {
                    // One hidden question is for the password. What else is
                    // asked for (a code, a new password) we do not have.
                    let answers = match prompts.as_slice() {
                        [] => Vec::new(),
                        [prompt] if !prompt.echo => vec![password.expose_secret().to_owned()],
                        _ => {
                            self.remark("it asked for more than a password");
                            return Ok(false);
                        }
                    };
                    response = self
                        .handle
                        .authenticate_keyboard_interactive_respond(answers)
                        .await;
                }
            }
        }
        self.remark("it asked again and again");
        Ok(false)
    }

    fn may_try(&self, method: MethodKind) -> bool {
        let taken = self
            .takes
            .as_ref()
            .is_none_or(|takes| takes.contains(&method));
        taken && self.tried.len() < ATTEMPTS && !self.handle.is_closed()
    }

    fn take(&mut self, result: AuthResult) -> bool {
        match result {
            AuthResult::Success => true,
            AuthResult::Failure {
                remaining_methods,
                partial_success,
            } => {
                if partial_success {
                    self.remark("taken, but it wants more");
                }
                if !remaining_methods.is_empty() {
                    self.takes = Some(remaining_methods);
                }
                false
            }
        }
    }

    fn remark(&mut self, text: &str) {
        if let Some(last) = self.tried.last_mut() {
            // Writing to a string cannot fail.
            write!(last, " ({text})").ok();
        }
    }

    /// RSA keys sign with SHA-2; which of them the server says by itself.
    async fn rsa_hash(&self, key: &PublicKey) -> Result<Option<HashAlg>, Failure> {
        if !key.algorithm().is_rsa() {
            return Ok(None);
        }
        let best = self.handle.best_supported_rsa_hash().await;
        let best = best.map_err(|error| self.lost(&error))?;
        Ok(Some(best.flatten().unwrap_or(HashAlg::Sha256)))
    }

    fn lost(&self, error: &russh::Error) -> Failure {
        Failure::Lost {
            address: self.machine.address.clone(),
            reason: format!("in the middle of authentication: {error}"),
        }
    }
}

fn listed(methods: &MethodSet) -> String {
    let names: Vec<&'static str> = methods.iter().map(Into::into).collect();
    if names.is_empty() {
        "nothing else".into()
    } else {
        names.join(", ")
    }
}
