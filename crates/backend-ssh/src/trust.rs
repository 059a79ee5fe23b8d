//! Whether a host key is taken: the decision of [`known_hosts`]
//! on the files of this machine.

use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use crate::error::{Failure, HostKeyProblem};
use crate::known_hosts::{self, Decision, HostKey, KnownFile, LookupName};
use crate::machine::Trust;

/// Decides on `key` for `trust`. A key that is new and accepted is written down.
pub(crate) fn check(trust: &Trust, address: &str, key: &HostKey) -> Result<(), Failure> {
    let refused = |name: String, problem| Failure::HostKey {
        name,
        algorithm: key.algorithm.clone(),
        fingerprint: key.fingerprint(),
        problem: Box::new(problem),
    };
    match trust {
        Trust::Anyone => {
            tracing::warn!(
                address,
                fingerprint = key.fingerprint(),
                "the host key is not checked"
            );
            Ok(())
        }
        Trust::Pinned(pinned) if *pinned == key.fingerprint() => Ok(()),
        Trust::Pinned(pinned) => Err(refused(
            address.to_owned(),
            HostKeyProblem::NotPinned(pinned.clone()),
        )),
        Trust::Known {
            name,
            accept_new,
            files,
        } => {
            let written = name.written();
            let problem = match known_hosts::decide(&read(files)?, name, key) {
                Decision::Trusted(_) => return Ok(()),
                Decision::Unknown { .. } if *accept_new => return remember(files, name, key),
                Decision::Unknown {
                    authority: Some(place),
                } => HostKeyProblem::Authority { place },
                Decision::Unknown { authority: None } => HostKeyProblem::Unknown {
                    name: written.clone(),
                    files: files.clone(),
                },
                Decision::Changed { place, known } => HostKeyProblem::Changed {
                    place,
                    fingerprint: known.fingerprint(),
                    algorithm: known.algorithm,
                },
                Decision::Revoked(place) => HostKeyProblem::Revoked(place),
            };
            Err(refused(written, problem))
        }
    }
}

/// The algorithms of host keys to ask for first.
pub(crate) fn known_algorithms(trust: &Trust) -> Result<Vec<String>, Failure> {
    match trust {
        Trust::Known { name, files, .. } => Ok(known_hosts::known_algorithms(&read(files)?, name)),
        Trust::Pinned(_) | Trust::Anyone => Ok(Vec::new()),
    }
}

/// A file that is missing has no entries; one that cannot be read might have
/// said that the key is revoked.
fn read(files: &[PathBuf]) -> Result<Vec<KnownFile>, Failure> {
    let mut known = Vec::new();
    for path in files {
        match std::fs::read(path) {
            Ok(bytes) => known.push(KnownFile {
                path: path.clone(),
                text: String::from_utf8_lossy(&bytes).into_owned(),
            }),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(source) => {
                return Err(Failure::file(path.clone(), source));
            }
        }
    }
    Ok(known)
}

fn remember(files: &[PathBuf], name: &LookupName, key: &HostKey) -> Result<(), Failure> {
    let Some(path) = files.first() else {
        return Ok(());
    };
    let line = format!("{} {}\n", name.written(), key.written());
    append(path, &line).map_err(|source| Failure::Remember {
        name: name.written(),
        path: path.clone(),
        source,
    })?;
    tracing::info!(
        name = name.written(),
        fingerprint = key.fingerprint(),
        file = %path.display(),
        "a new host key was written down"
    );
    Ok(())
}

fn append(path: &Path, line: &str) -> std::io::Result<()> {
    if let Some(directory) = path.parent() {
        make_private(directory)?;
    }
    let mut options = std::fs::OpenOptions::new();
    options.append(true).create(true).read(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    // A last line that is not ended would swallow ours.
    let ended = std::fs::read(path)?
        .last()
        .is_none_or(|byte| *byte == b'\n');
    let text = if ended {
        line.to_owned()
    } else {
        format!("\n{line}")
    };
    // In one write, so that two at once do not mix.
    file.write_all(text.as_bytes())
}

fn make_private(directory: &Path) -> std::io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(directory)
}
