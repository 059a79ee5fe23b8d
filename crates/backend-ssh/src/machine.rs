//! A machine with everything that is needed to connect to it: what the
//! options say, then the `ssh-config`, then the defaults.

use std::path::{Path, PathBuf};
use std::time::Duration;

use backend_core::{OptionValue, SecretString};

use crate::error::Failure;
use crate::host::HostSpec;
use crate::known_hosts::LookupName;
use crate::options::{HostKeyPolicy, SshOptions};
use crate::ssh_config::{self, Includes, Settings};

/// One machine, resolved.
#[derive(Debug, Clone)]
pub(crate) struct Machine {
    /// `user@host:port`, for messages.
    pub(crate) address: String,
    pub(crate) user: String,
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) trust: Trust,
    pub(crate) credentials: Credentials,
    pub(crate) jump: Option<Box<Machine>>,
    pub(crate) limits: Limits,
}

/// How the machine proves who it is.
#[derive(Debug, Clone)]
pub(crate) enum Trust {
    /// By this key and no other.
    Pinned(String),
    /// By the files of known hosts.
    Known {
        name: LookupName,
        accept_new: bool,
        /// A new key is written into the first.
        files: Vec<PathBuf>,
    },
    /// Not at all.
    Anyone,
}

/// How we prove who we are.
#[derive(Debug, Clone, Default)]
pub(crate) struct Credentials {
    pub(crate) keys: Vec<KeySource>,
    pub(crate) agent: Option<PathBuf>,
    /// Of the agent's keys use only those that are among the files.
    pub(crate) identities_only: bool,
    pub(crate) passphrase: Option<SecretString>,
    pub(crate) password: Option<SecretString>,
}

/// A private key.
#[derive(Debug, Clone)]
pub(crate) enum KeySource {
    /// A file that was asked for: that it cannot be used is an error.
    Named(PathBuf),
    /// One of the usual files, which may be missing.
    Usual(PathBuf),
    /// The text itself.
    Text(SecretString),
}

/// How long things may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) connect: Duration,
    pub(crate) handshake: Duration,
    pub(crate) auth: Duration,
    pub(crate) keepalive: Duration,
    /// How many unanswered signs of life are too many.
    pub(crate) unanswered: usize,
}

/// Makes machines out of what is configured. Reads files.
#[derive(Debug)]
pub(crate) struct Resolver<'a> {
    options: &'a SshOptions,
    home: Option<PathBuf>,
    local_user: Option<String>,
}

/// The port of SSH.
const PORT: u16 = 22;

impl<'a> Resolver<'a> {
    pub(crate) fn new(options: &'a SshOptions) -> Self {
        let user = ["USER", "LOGNAME"]
            .into_iter()
            .find_map(|name| std::env::var(name).ok());
        Self {
            options,
            home: std::env::home_dir().filter(|home| home.is_absolute()),
            local_user: user.filter(|user| !user.is_empty()),
        }
    }

    pub(crate) fn resolve(&self, spec: &HostSpec) -> Result<Machine, Failure> {
        self.resolve_with(spec, self.options.jump.as_ref(), 0)
    }

    fn resolve_with(
        &self,
        spec: &HostSpec,
        jump: Option<&HostSpec>,
        depth: u32,
    ) -> Result<Machine, Failure> {
        let settings = self.settings(spec)?;
        let host = match &settings.host_name {
            Some(name) => name.replace("%h", &spec.host).replace("%%", "%"),
            None => spec.host.clone(),
        };
        let port = spec.port.or(settings.port).unwrap_or(PORT);
        let user = spec
            .user
            .clone()
            .or(settings.user.clone())
            .or(self.local_user.clone());
        let user = user.ok_or_else(|| {
            Failure::Options(format!(
                "no user is named for `{spec}`: write `user@{spec}`"
            ))
        })?;
        let names = Names {
            spec,
            host: &host,
            user: &user,
            port,
        };
        let jump = match (jump, &settings.proxy_jump) {
            (Some(jump), _) => Some(jump.clone()),
            (None, Some(text)) if text != "none" => Some(one_jump(text)?),
            (None, _) => None,
        };
        if jump.is_some() && depth > 0 {
            return Err(Failure::Options(format!(
                "`{spec}` is itself behind a jump host, and only one is supported"
            )));
        }
        let jump = jump
            .map(|jump| self.resolve_with(&jump, None, depth + 1))
            .transpose()?;
        Ok(Machine {
            address: HostSpec {
                user: Some(user.clone()),
                host: host.clone(),
                port: Some(port),
                slots: None,
                weight: 1,
            }
            .to_string(),
            trust: self.trust(&settings, &names)?,
            credentials: self.credentials(&settings, &names)?,
            limits: self.limits(&settings),
            jump: jump.map(Box::new),
            host,
            port,
            user,
        })
    }

    fn settings(&self, spec: &HostSpec) -> Result<Settings, Failure> {
        let mut settings = Settings::default();
        let mut files = Vec::new();
        match &self.options.ssh_config {
            Some(path) if path.as_os_str() == "none" => {}
            Some(path) => files.push((self.expand_home(path)?, true)),
            None => {
                files.extend(
                    self.home
                        .iter()
                        .map(|home| (home.join(".ssh/config"), false)),
                );
                files.push(("/etc/ssh/ssh_config".into(), false));
            }
        }
        for (path, must_be_there) in files {
            let text = match std::fs::read_to_string(&path) {
                Ok(text) => text,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound && !must_be_there => {
                    continue;
                }
                Err(source) => return Err(Failure::file(path, source)),
            };
            let directory = path.parent().map(Path::to_owned).unwrap_or_default();
            let mut includes = Disk {
                resolver: self,
                directory,
            };
            ssh_config::apply(&mut settings, &spec.host, (&path, &text), &mut includes)?;
        }
        Ok(settings)
    }

    fn trust(&self, settings: &Settings, names: &Names<'_>) -> Result<Trust, Failure> {
        let options = self.options;
        if let Some(fingerprint) = &options.host_key_fingerprint {
            return Ok(Trust::Pinned(fingerprint.as_str().to_owned()));
        }
        let accept_new = match options.host_key_policy {
            HostKeyPolicy::Insecure => return Ok(Trust::Anyone),
            HostKeyPolicy::AcceptNew => true,
            HostKeyPolicy::Strict => match settings.strict_host_key_checking.as_deref() {
                Some("no" | "off") => {
                    return Err(Failure::Options(format!(
                        "the ssh-config turns StrictHostKeyChecking off for `{}`: if that is meant, set `host-key-policy` to `insecure`",
                        names.spec
                    )));
                }
                Some("accept-new") => true,
                _ => false,
            },
        };
        let files = if let Some(path) = &options.known_hosts {
            vec![self.expand_home(path)?]
        } else {
            let defaults = |files: &[&str]| files.iter().map(|file| (*file).to_owned()).collect();
            let user = settings.user_known_hosts.clone();
            let global = settings.global_known_hosts.clone();
            let user: Vec<String> =
                user.unwrap_or_else(|| defaults(&["~/.ssh/known_hosts", "~/.ssh/known_hosts2"]));
            let global = global.unwrap_or_else(|| {
                defaults(&["/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2"])
            });
            let files = user.iter().chain(&global).filter(|file| *file != "none");
            files
                .map(|file| self.expand(file, names))
                .collect::<Result<_, _>>()?
        };
        let alias = settings.host_key_alias.clone();
        Ok(Trust::Known {
            name: LookupName {
                is_alias: alias.is_some(),
                host: alias.unwrap_or_else(|| names.host.to_owned()),
                port: names.port,
            },
            accept_new,
            files,
        })
    }

    fn credentials(&self, settings: &Settings, names: &Names<'_>) -> Result<Credentials, Failure> {
        let options = self.options;
        let mut keys = Vec::new();
        if options.identity_file.is_empty() {
            for file in settings
                .identity_files
                .iter()
                .filter(|file| *file != "none")
            {
                // OpenSSH passes over one that is missing, and so has to.
                keys.push(KeySource::Usual(self.expand(file, names)?));
            }
            if settings.identity_files.is_empty() {
                let home = self.home.iter();
                keys.extend(home.flat_map(|home| {
                    ["id_ed25519", "id_ecdsa"]
                        .map(|file| KeySource::Usual(home.join(".ssh").join(file)))
                }));
            }
        } else {
            for file in &options.identity_file {
                keys.push(KeySource::Named(self.expand_home(file)?));
            }
        }
        let variable = |name: &str| {
            std::env::var_os(name)
                .filter(|value| !value.is_empty())
                .map(PathBuf::from)
        };
        let agent = match (&options.identity_agent, settings.identity_agent.as_deref()) {
            (Some(path), _) if path.as_os_str() == "none" => None,
            (Some(path), _) => Some(self.expand_home(path)?),
            (None, Some("none")) => None,
            (None, Some("SSH_AUTH_SOCK") | None) => variable("SSH_AUTH_SOCK"),
            (None, Some(text)) => match text.strip_prefix('$') {
                Some(name) => variable(name.trim_start_matches('{').trim_end_matches('}')),
                None => Some(self.expand(text, names)?),
            },
        };
        Ok(Credentials {
            keys,
            agent,
            identities_only: settings.identities_only.unwrap_or(false),
            passphrase: options.passphrase.clone(),
            password: options.password.clone(),
        })
    }

    fn limits(&self, settings: &Settings) -> Limits {
        let options = self.options;
        Limits {
            connect: settings.connect_timeout.unwrap_or(options.connect_timeout),
            handshake: options.handshake_timeout,
            auth: options.auth_timeout,
            keepalive: match settings.alive_interval {
                Some(interval) if !interval.is_zero() => interval,
                _ => options.keepalive.0,
            },
            unanswered: settings
                .alive_count
                .map_or(2, |count| usize::try_from(count.max(1)).unwrap_or(2)),
        }
    }

    /// A path with `~` and the tokens of `ssh_config(5)` replaced.
    fn expand(&self, text: &str, names: &Names<'_>) -> Result<PathBuf, Failure> {
        let mut expanded = String::new();
        let mut characters = text.chars();
        while let Some(character) = characters.next() {
            if character != '%' {
                expanded.push(character);
                continue;
            }
            match characters.next() {
                Some('%') => expanded.push('%'),
                Some('d') => expanded.push_str(&self.home()?.to_string_lossy()),
                Some('h') => expanded.push_str(names.host),
                Some('n') => expanded.push_str(&names.spec.host),
                Some('p') => expanded.push_str(&names.port.to_string()),
                Some('r') => expanded.push_str(names.user),
                Some('u') => expanded.push_str(self.local_user.as_deref().unwrap_or_default()),
                other => {
                    let token: String = other.into_iter().collect();
                    return Err(Failure::Options(format!(
                        "`%{token}` in `{text}` is not supported"
                    )));
                }
            }
        }
        self.expand_home(Path::new(&expanded))
    }

    fn expand_home(&self, path: &Path) -> Result<PathBuf, Failure> {
        match path.strip_prefix("~") {
            Ok(rest) => Ok(self.home()?.join(rest)),
            Err(_) => Ok(path.to_owned()),
        }
    }

    fn home(&self) -> Result<&Path, Failure> {
        self.home.as_deref().ok_or_else(|| {
            Failure::Options("there is no home directory: name files by their whole paths".into())
        })
    }
}

struct Names<'a> {
    spec: &'a HostSpec,
    host: &'a str,
    user: &'a str,
    port: u16,
}

fn one_jump(text: &str) -> Result<HostSpec, Failure> {
    if text.contains(',') {
        return Err(Failure::Options(format!(
            "`ProxyJump {text}` names several machines, and only one is supported"
        )));
    }
    HostSpec::parse(text.strip_prefix("ssh://").unwrap_or(text))
        .map_err(|why| Failure::Options(format!("`ProxyJump {text}`: {why}")))
}

/// Included files of the disk.
struct Disk<'a> {
    resolver: &'a Resolver<'a>,
    /// Relative names are meant from here.
    directory: PathBuf,
}

impl Includes for Disk<'_> {
    fn load(&mut self, pattern: &str) -> Result<Vec<(PathBuf, String)>, Failure> {
        let path = self
            .directory
            .join(self.resolver.expand_home(Path::new(pattern))?);
        let mut files = Vec::new();
        for path in matching(&path) {
            match std::fs::read_to_string(&path) {
                Ok(text) => files.push((path, text)),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(source) => return Err(Failure::file(path, source)),
            }
        }
        Ok(files)
    }
}

/// The paths that a pattern names, sorted; patterns are in the last part only,
/// which is how they are used.
fn matching(path: &Path) -> Vec<PathBuf> {
    let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
        return Vec::new();
    };
    if !name.contains(['*', '?']) {
        return vec![path.to_owned()];
    }
    let directory = path.parent().unwrap_or(Path::new("/"));
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let mut found: Vec<_> = names
        .filter(|found| {
            !found.starts_with('.') && crate::pattern::matches(name.as_bytes(), found.as_bytes())
        })
        .map(|found| directory.join(found))
        .collect();
    found.sort();
    found
}
