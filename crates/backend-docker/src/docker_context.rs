//! The contexts of the docker client: named endpoints, with their TLS material.
//!
//! Source: docker's `contexts/meta/<SHA-256 of the name>/meta.json` and
//! `contexts/tls/<the same>/docker/`.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use crate::docker_config::{BadFile, read_json};
use crate::hexadecimal::hexadecimal;

/// The context of that name is no file: it stands for the environment.
pub(crate) const DEFAULT: &str = "default";

/// Where a context's engine is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DockerContext {
    /// As it is written.
    pub(crate) host: String,
    /// Whether the engine's certificate is not to be verified.
    pub(crate) skip_tls_verify: bool,
    /// The directory of its TLS material, if it has any.
    pub(crate) tls: Option<PathBuf>,
}

/// A `meta.json`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Metadata {
    #[serde(default)]
    endpoints: Endpoints,
}

#[derive(Default, Deserialize)]
struct Endpoints {
    docker: Option<DockerEndpoint>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DockerEndpoint {
    #[serde(default)]
    host: String,
    #[serde(default, rename = "SkipTLSVerify")]
    skip_tls_verify: bool,
}

/// Reads the context `name` of the docker client whose files are in `directory`.
///
/// # Errors
///
/// The file that is missing or wrong, and why.
pub(crate) fn read(directory: &Path, name: &str) -> Result<DockerContext, BadFile> {
    let contexts = directory.join("contexts");
    let id = hexadecimal(Sha256::digest(name));
    let path = contexts.join("meta").join(&id).join("meta.json");
    let metadata: Option<Metadata> = read_json(path.clone())?;
    let context = match metadata {
        Some(metadata) => metadata.context(),
        None => Err("it does not exist"),
    };
    let context = context.map_err(|why| BadFile {
        path,
        why: why.into(),
    })?;
    let tls = contexts.join("tls").join(&id).join("docker");
    Ok(DockerContext {
        tls: tls.is_dir().then_some(tls),
        ..context
    })
}

impl Metadata {
    /// What it says of the engine; the error is what is missing in it.
    pub(crate) fn context(self) -> Result<DockerContext, &'static str> {
        let endpoint = self.endpoints.docker;
        let endpoint = endpoint.ok_or("it has no endpoint `docker`")?;
        if endpoint.host.is_empty() {
            return Err("its endpoint `docker` has no `Host`");
        }
        Ok(DockerContext {
            host: endpoint.host,
            skip_tls_verify: endpoint.skip_tls_verify,
            tls: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `printf test | sha256sum`
    const ID: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

    #[test]
    fn a_context_is_read_with_its_tls_material() {
        let directory = tempfile::tempdir().unwrap();
        let meta = directory.path().join("contexts/meta").join(ID);
        std::fs::create_dir_all(&meta).unwrap();
        let write = |text: &str| std::fs::write(meta.join("meta.json"), text).unwrap();
        let read = || read(directory.path(), "test");

        // As the docker client writes it.
        write(
            r#"{"Name":"test","Metadata":{},"Endpoints":{"docker":{"Host":"tcp://h:1","SkipTLSVerify":true}}}"#,
        );
        let context = read().unwrap();
        assert_eq!(
            (context.host.as_str(), context.skip_tls_verify, &context.tls),
            ("tcp://h:1", true, &None)
        );
        let tls = directory
            .path()
            .join("contexts/tls")
            .join(ID)
            .join("docker");
        std::fs::create_dir_all(&tls).unwrap();
        assert_eq!(read().unwrap().tls, Some(tls));

        for (text, part) in [
            (r#"{"Name":"test"}"#, "no endpoint"),
            (r#"{"Endpoints":{"docker":{}}}"#, "no `Host`"),
            ("{", "not JSON"),
        ] {
            write(text);
            let error = read().unwrap_err().to_string();
            assert!(
                error.contains(part) && error.contains("meta.json"),
                "{error}"
            );
        }
        std::fs::remove_file(meta.join("meta.json")).unwrap();
        assert!(read().unwrap_err().to_string().contains("does not exist"));
    }
}
