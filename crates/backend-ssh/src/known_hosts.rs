//! What the files of known host keys say about a key: a pure decision, the
//! same as that of OpenSSH.
//!
//! Source: `sshd(8)`, the format of `ssh_known_hosts`, and `hostfile.c` of
//! OpenSSH for what it leaves open.

use std::path::{Path, PathBuf};

use aws_lc_rs::{digest, hmac};
use data_encoding::{BASE64, BASE64_NOPAD};

use crate::pattern;

/// The port for which a name is written without brackets.
const DEFAULT_PORT: u16 = 22;

/// A file of known hosts, read.
#[derive(Debug, Clone)]
pub(crate) struct KnownFile {
    pub(crate) path: PathBuf,
    pub(crate) text: String,
}

/// The name by which a machine is looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LookupName {
    pub(crate) host: String,
    pub(crate) port: u16,
    /// An alias (`HostKeyAlias`) stands for itself, whatever the port.
    pub(crate) is_alias: bool,
}

impl LookupName {
    /// As it is written in a file.
    pub(crate) fn written(&self) -> String {
        let host = self.host.to_ascii_lowercase();
        if self.is_alias || self.port == DEFAULT_PORT {
            host
        } else {
            format!("[{host}]:{}", self.port)
        }
    }

    /// The name without its port, which is tried too where nothing is known of
    /// the one with it.
    fn without_port(&self) -> Option<String> {
        let has_port = !self.is_alias && self.port != DEFAULT_PORT;
        has_port.then(|| self.host.to_ascii_lowercase())
    }
}

/// A host key, as the server shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HostKey {
    /// Such as `ssh-ed25519`.
    pub(crate) algorithm: String,
    /// Its encoding on the wire.
    pub(crate) blob: Vec<u8>,
}

impl HostKey {
    /// `SHA256:` and the digest, as `ssh-keygen -l` prints it.
    pub(crate) fn fingerprint(&self) -> String {
        let digest = digest::digest(&digest::SHA256, &self.blob);
        format!("SHA256:{}", BASE64_NOPAD.encode(digest.as_ref()))
    }

    /// As it is written in a file, behind the name.
    pub(crate) fn written(&self) -> String {
        format!("{} {}", self.algorithm, BASE64.encode(&self.blob))
    }

    /// Reads a line such as `ssh-ed25519 AAAA… comment`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut fields = text.split_ascii_whitespace();
        let (algorithm, encoded) = (fields.next()?, fields.next()?);
        let blob = BASE64.decode(encoded.as_bytes()).ok()?;
        let key = russh::keys::key::parse_public_key(&blob).ok()?;
        (key.algorithm().as_str() == algorithm).then(|| Self {
            algorithm: algorithm.to_owned(),
            blob,
        })
    }
}

/// Where an entry stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) path: PathBuf,
    /// Counted from 1.
    pub(crate) line: usize,
}

/// What the files say about a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Decision {
    /// It is known.
    Trusted(Place),
    /// Nothing is known about the machine.
    Unknown {
        /// An entry for an authority, which would be needed to go by.
        authority: Option<Place>,
    },
    /// The machine is known, with other keys only.
    Changed {
        /// The last entry that says otherwise.
        place: Place,
        known: HostKey,
    },
    /// This key is marked as revoked.
    Revoked(Place),
}

/// Decides on `key` for the machine `name`.
pub(crate) fn decide(files: &[KnownFile], name: &LookupName, key: &HostKey) -> Decision {
    let decision = decide_by_name(files, &name.written(), key);
    let (Decision::Unknown { .. }, Some(plain)) = (&decision, name.without_port()) else {
        return decision;
    };
    match decide_by_name(files, &plain, key) {
        found @ (Decision::Trusted(_) | Decision::Revoked(_)) => found,
        // Another key on the usual port says nothing about this port.
        Decision::Changed { .. } | Decision::Unknown { .. } => decision,
    }
}

/// The key algorithms that are known for a machine, in the order of the files:
/// those to ask the server for first, as OpenSSH does.
pub(crate) fn known_algorithms(files: &[KnownFile], name: &LookupName) -> Vec<String> {
    let of = |name: &str| -> Vec<String> {
        let entries = files.iter().flat_map(entries);
        let keys = entries.filter(|entry| entry.marker == Marker::None && entry.names(name));
        keys.map(|entry| entry.key.algorithm).collect()
    };
    let known = of(&name.written());
    match name.without_port() {
        Some(plain) if known.is_empty() => of(&plain),
        _ => known,
    }
}

fn decide_by_name(files: &[KnownFile], name: &str, key: &HostKey) -> Decision {
    let mut decision = Decision::Unknown { authority: None };
    let mut authority_at = None;
    for entry in files.iter().flat_map(entries) {
        if !entry.names(name) {
            continue;
        }
        match entry.marker {
            // Wherever it stands, and whatever else is known.
            Marker::Revoked if entry.key == *key => return Decision::Revoked(entry.place),
            Marker::Revoked => {}
            Marker::Authority => authority_at = Some(entry.place),
            Marker::None if entry.key == *key => {
                if !matches!(decision, Decision::Trusted(_)) {
                    decision = Decision::Trusted(entry.place);
                }
            }
            Marker::None => {
                if !matches!(decision, Decision::Trusted(_)) {
                    decision = Decision::Changed {
                        place: entry.place,
                        known: entry.key,
                    };
                }
            }
        }
    }
    match decision {
        Decision::Unknown { .. } => Decision::Unknown {
            authority: authority_at,
        },
        decision => decision,
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Marker {
    None,
    Authority,
    Revoked,
}

#[derive(Debug)]
struct Entry<'a> {
    marker: Marker,
    hosts: &'a str,
    key: HostKey,
    place: Place,
}

impl Entry<'_> {
    fn names(&self, name: &str) -> bool {
        match self.hosts.strip_prefix("|1|") {
            Some(hashed) => is_hash_of(hashed, name),
            None => pattern::list_matches(self.hosts, name),
        }
    }
}

/// The entries of a file; what cannot be read is no entry, as for OpenSSH.
fn entries(file: &KnownFile) -> impl Iterator<Item = Entry<'_>> {
    let lines = file.text.lines().enumerate();
    lines.filter_map(|(index, line)| entry(line, &file.path, index + 1))
}

fn entry<'a>(line: &'a str, path: &Path, number: usize) -> Option<Entry<'a>> {
    let is_blank = |c: char| c == ' ' || c == '\t';
    let field = |text: &'a str| text.split_once(is_blank);
    let mut rest = line.trim_start_matches(is_blank);
    if rest.starts_with('#') {
        return None;
    }
    let mut marker = Marker::None;
    if rest.starts_with('@') {
        let (word, behind) = field(rest)?;
        marker = match word {
            "@cert-authority" => Marker::Authority,
            "@revoked" => Marker::Revoked,
            _ => return None,
        };
        rest = behind.trim_start_matches(is_blank);
    }
    let (hosts, rest) = field(rest)?;
    let place = Place {
        path: path.to_owned(),
        line: number,
    };
    Some(Entry {
        marker,
        hosts,
        key: HostKey::parse(rest)?,
        place,
    })
}

/// Whether `salt|hash` is that of this name: HMAC-SHA1, in base64.
fn is_hash_of(hashed: &str, name: &str) -> bool {
    let Some((salt, hash)) = hashed.split_once('|') else {
        return false;
    };
    let (Ok(salt), Ok(hash)) = (
        BASE64.decode(salt.as_bytes()),
        BASE64.decode(hash.as_bytes()),
    ) else {
        return false;
    };
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &salt);
    hmac::verify(&key, name.as_bytes(), &hash).is_ok()
}

#[cfg(test)]
mod table;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_text_is_decided_on_and_only_a_known_key_is_trusted(
            text in "([a-z*?!,|@# \\[\\]:0-9=A-Z]{0,60}\n){0,4}",
        ) {
            let key = HostKey { algorithm: "ssh-ed25519".into(), blob: vec![1, 2, 3] };
            let files = [KnownFile { path: "f".into(), text }];
            let name = LookupName { host: "h".into(), port: 2222, is_alias: false };
            let trusted = matches!(decide(&files, &name, &key), Decision::Trusted(_));
            prop_assert!(!trusted);
        }
    }
}
