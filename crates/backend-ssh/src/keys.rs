//! Private keys: read, checked and decrypted.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use backend_core::{ExposeSecret as _, SecretString, why_unusable};
use russh::keys::{Error as KeyError, PrivateKey, decode_secret_key};

use crate::error::{Failure, KeyProblem};
use crate::machine::KeySource;

/// A private key that can sign.
#[derive(Debug, Clone)]
pub(crate) struct Key {
    /// For messages.
    pub(crate) name: String,
    pub(crate) key: Arc<PrivateKey>,
}

/// Reads `source`; `None` for a usual file that is not there, or that cannot
/// be used: then it is said in the log, and others are tried. Blocks.
pub(crate) fn load(
    source: &KeySource,
    passphrase: Option<&SecretString>,
) -> Result<Option<Key>, Failure> {
    match source {
        KeySource::Named(path) => read(path, passphrase).map(Some),
        KeySource::Usual(path) if !path.exists() => Ok(None),
        KeySource::Usual(path) => match read(path, passphrase) {
            Ok(key) => Ok(Some(key)),
            Err(failure) => {
                tracing::warn!(%failure, "a key file is passed over");
                Ok(None)
            }
        },
        KeySource::Text(text) => {
            let path = PathBuf::from("from the program");
            let key = decode(text.expose_secret(), passphrase)
                .map_err(|problem| Failure::Key { path, problem })?;
            Ok(Some(Key {
                name: "a key of the program".into(),
                key: Arc::new(key),
            }))
        }
    }
}

/// The public key beside a private one: by it, an agent's key is found.
pub(crate) fn public_half(path: &Path) -> Option<russh::keys::PublicKey> {
    let mut name = path.as_os_str().to_owned();
    name.push(".pub");
    russh::keys::load_public_key(name).ok()
}

fn read(path: &Path, passphrase: Option<&SecretString>) -> Result<Key, Failure> {
    let failed = |problem| Failure::Key {
        path: path.to_owned(),
        problem,
    };
    let metadata = std::fs::metadata(path).map_err(|error| failed(unreadable(path, &error)))?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt as _;
        let mode = metadata.mode() & 0o7777;
        if mode & 0o077 != 0 {
            return Err(failed(KeyProblem::TooOpen(mode)));
        }
    }
    if !metadata.is_file() {
        return Err(failed(KeyProblem::NoKey("it is not a file".into())));
    }
    let text = std::fs::read_to_string(path).map_err(|error| failed(unreadable(path, &error)))?;
    Ok(Key {
        name: path.display().to_string(),
        key: Arc::new(decode(&text, passphrase).map_err(failed)?),
    })
}

fn unreadable(path: &Path, error: &std::io::Error) -> KeyProblem {
    KeyProblem::Unreadable(why_unusable(path, error))
}

fn decode(text: &str, passphrase: Option<&SecretString>) -> Result<PrivateKey, KeyProblem> {
    let passphrase = passphrase.map(SecretString::expose_secret);
    // A passphrase that a key does not need is no mistake: others may need it.
    let key = match decode_secret_key(text, None) {
        Err(KeyError::KeyIsEncrypted) => {
            let passphrase = passphrase.ok_or(KeyProblem::Encrypted)?;
            decode_secret_key(text, Some(passphrase)).map_err(|_| KeyProblem::WrongPassphrase)
        }
        Err(error) if text.contains("ENCRYPTED") => match passphrase {
            None => Err(KeyProblem::Encrypted),
            Some(passphrase) => {
                tracing::debug!(%error, "the key needs its passphrase");
                decode_secret_key(text, Some(passphrase)).map_err(|_| KeyProblem::WrongPassphrase)
            }
        },
        Err(KeyError::UnsupportedKeyType {
            key_type_string, ..
        }) if key_type_string == "RSA" => Err(KeyProblem::Rsa),
        Err(error) => Err(KeyProblem::NoKey(error.to_string())),
        Ok(key) => Ok(key),
    }?;
    if key.algorithm().is_rsa() {
        return Err(KeyProblem::Rsa);
    }
    Ok(key)
}
