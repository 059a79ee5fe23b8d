//! The files of the docker client: where they are, and its `config.json`.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;

/// More than any of these files.
const LARGEST: u64 = 4 << 20;

/// Where the docker client keeps its files: `DOCKER_CONFIG`, else `.docker`
/// at home.
pub(crate) fn directory() -> Option<PathBuf> {
    match std::env::var_os("DOCKER_CONFIG") {
        Some(directory) if !directory.is_empty() => Some(directory.into()),
        _ => std::env::home_dir().map(|home| home.join(".docker")),
    }
}

/// What we read of `config.json`. It holds secrets: no `Debug`.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct DockerConfig {
    pub(crate) auths: HashMap<String, StoredAuth>,
    pub(crate) creds_store: String,
    pub(crate) cred_helpers: HashMap<String, String>,
    pub(crate) current_context: String,
}

/// Credentials that stand in the file itself.
#[derive(Default, Clone, Deserialize)]
#[serde(default)]
pub(crate) struct StoredAuth {
    /// Base64 of `user:password`.
    pub(crate) auth: String,
    pub(crate) username: String,
    pub(crate) password: String,
    pub(crate) identitytoken: String,
    pub(crate) registrytoken: String,
}

/// A file of the docker client that cannot be used.
#[derive(Debug, Clone, thiserror::Error)]
#[error("cannot use {}: {why}", path.display())]
pub(crate) struct BadFile {
    pub(crate) path: PathBuf,
    pub(crate) why: String,
}

impl DockerConfig {
    /// Reads `config.json` in `directory`; what does not exist is empty.
    pub(crate) fn read(directory: &Path) -> Result<Self, BadFile> {
        Ok(read_json(directory.join("config.json"))?.unwrap_or_default())
    }
}

/// Reads a file of JSON, if it exists. The error quotes nothing of what is in
/// it, which may be a secret.
pub(crate) fn read_json<T: serde::de::DeserializeOwned>(
    path: PathBuf,
) -> Result<Option<T>, BadFile> {
    let bytes = match read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => {
            let why = error.to_string();
            return Err(BadFile { path, why });
        }
    };
    parse_json(&path, &bytes).map(Some)
}

/// The same from what is in the file.
pub(crate) fn parse_json<T: serde::de::DeserializeOwned>(
    path: &Path,
    bytes: &[u8],
) -> Result<T, BadFile> {
    serde_json::from_slice(bytes).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        let why = match error.classify() {
            serde_json::error::Category::Data => "is not of the right form",
            _ => "is not JSON",
        };
        let why = format!("it {why}, at line {line}, column {column}");
        let path = path.to_owned();
        BadFile { path, why }
    })
}

/// Reads a small file.
pub(crate) fn read(path: &Path) -> io::Result<Vec<u8>> {
    use std::io::Read as _;
    // A pipe would be waited for for ever.
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is not a file"));
    }
    let mut bytes = vec![];
    let file = std::fs::File::open(path)?;
    file.take(LARGEST + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LARGEST {
        return Err(io::Error::other("it is too large"));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_there_is_empty_and_what_is_wrong_is_said_without_its_secrets() {
        let directory = tempfile::tempdir().unwrap();
        let read = || DockerConfig::read(directory.path());
        assert!(read().is_ok_and(|config| config.auths.is_empty()));
        let write = |text: &str| std::fs::write(directory.path().join("config.json"), text);
        write(r#"{"auths": {"r": {"auth": "x"}}, "HttpHeaders": {}, "credsStore": "pass"}"#)
            .unwrap();
        assert!(read().is_ok_and(|config| config.creds_store == "pass"));
        for text in [r#"{"auths": {"r": "hunter2"}}"#, r#"{"auths": hunter2"#, ""] {
            write(text).unwrap();
            let error = read().err().unwrap().to_string();
            assert!(
                error.contains("config.json") && error.contains("line"),
                "{error}"
            );
            assert!(!error.contains("hunter2"), "{error}");
        }
        assert!(DockerConfig::read(Path::new("/dev/null/x")).is_err());
    }
}
