//! A tar file of a root file system as an image: imported once, by what is in
//! it, under the name `worker-rootfs` and the hash of the file as its tag.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use http_body_util::StreamBody;
use hyper::body::Frame;

use super::create::{NotMade, create};
use super::failure::ImageFailure;
use super::layers::Amount;
use super::shared::Teller;
use crate::engine::Engine;
use content::{Content, Identity};

mod content;
mod tar;

/// The repository of imported root file systems.
const REPOSITORY: &str = "worker-rootfs";

/// The hash of a tar file, kept as long as the file is the same.
#[derive(Debug, Default)]
pub(super) struct Hashes {
    last: Mutex<Option<(PathBuf, Identity, String)>>,
}

/// The tar file and what is in it.
#[derive(Debug, Clone)]
pub(super) struct Rootfs {
    pub(super) path: PathBuf,
    /// Of the file, in hexadecimal.
    pub(super) sha256: String,
}

impl Rootfs {
    /// The name under which the engine has it.
    pub(super) fn name(&self, platform: Option<&str>) -> String {
        let platform = platform.map_or_else(String::new, |platform| {
            let plain = |letter: char| {
                if letter.is_ascii_alphanumeric() {
                    letter
                } else {
                    '-'
                }
            };
            format!("-{}", platform.chars().map(plain).collect::<String>())
        });
        format!("{REPOSITORY}:{}{platform}", self.sha256)
    }
}

impl Hashes {
    /// Hashes the file, unless it is the one that was hashed last. It reads
    /// off the runtime's threads.
    ///
    /// # Cancel safety
    ///
    /// Dropped, it stops reading.
    pub(super) async fn hash(&self, path: &Path) -> Result<Rootfs, ImageFailure> {
        let before = content::identity(path.to_owned()).await?;
        let known = self.known(path, &before);
        let sha256 = if let Some(sha256) = known {
            sha256
        } else {
            let sha256 = content::hash(path.to_owned()).await?;
            // A file that is being written may change without its times
            // showing it.
            if before.is_settled() {
                self.keep(path, before, &sha256);
            }
            sha256
        };
        Ok(Rootfs {
            path: path.to_owned(),
            sha256,
        })
    }

    fn known(&self, path: &Path, identity: &Identity) -> Option<String> {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let last = last.as_ref();
        last.filter(|(known, same, _)| known == path && same == identity)
            .map(|(_, _, sha256)| sha256.clone())
    }

    fn keep(&self, path: &Path, identity: Identity, sha256: &str) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        *last = Some((path.to_owned(), identity, sha256.into()));
    }
}

/// Has the engine import the file, whose hash has to be what it was.
pub(super) async fn import(
    engine: Engine,
    rootfs: Rootfs,
    platform: Option<String>,
    limit: Duration,
    teller: Teller<Amount, Result<(), ImageFailure>>,
) -> Result<(), ImageFailure> {
    let Content {
        chunks,
        length,
        trouble,
    } = content::open(rootfs.path.clone(), rootfs.sha256.clone()).await?;
    let sent = Arc::new(AtomicU64::new(0));
    let counter = sent.clone();
    let frames = chunks.map(move |chunk: Result<Bytes, _>| {
        let chunk = chunk?;
        let bytes = chunk.len() as u64;
        let done = counter.fetch_add(bytes, Ordering::Relaxed) + bytes;
        teller.tell(Amount {
            done,
            total: length.max(done),
        });
        Ok::<_, std::io::Error>(Frame::data(chunk))
    });
    // The tag as a part of the name: Podman takes no other.
    let name = rootfs.name(platform.as_deref());
    let mut query = vec![("fromSrc", "-"), ("repo", name.as_str())];
    if let Some(platform) = &platform {
        query.push(("platform", platform));
    }
    let mut before = 0;
    let moved = move |message: Option<&_>| {
        let now = sent.load(Ordering::Relaxed);
        let moved = message.is_some() || now != before;
        before = now;
        moved
    };
    let made = create(&engine, &query, None, StreamBody::new(frames), limit, moved).await;
    // What was wrong with the file is why the engine got no more of it.
    if let Some(trouble) = trouble.get() {
        return Err(trouble.clone());
    }
    made.map_err(|not_made| match not_made {
        NotMade::Stalled => ImageFailure::ImportStalled {
            path: rootfs.path.clone(),
            limit,
        },
        NotMade::Engine(source) => ImageFailure::Import {
            path: rootfs.path.clone(),
            source: Arc::new(source),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tag_is_by_content_and_platform() {
        let rootfs = Rootfs {
            path: "/x.tar".into(),
            sha256: "0".repeat(64),
        };
        let plain = rootfs.name(None);
        let other = rootfs.name(Some("linux/arm/v7"));
        assert!(other.ends_with("0-linux-arm-v7"));
        for name in [plain, other] {
            let reference: super::super::reference::Reference = name.parse().unwrap();
            assert_eq!(reference.to_string(), name);
        }
    }

    #[tokio::test]
    async fn a_file_that_changes_is_hashed_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x.tar");
        std::fs::write(&path, tar::tests::archive(b"one")).unwrap();
        let hashes = Hashes::default();
        let first = hashes.hash(&path).await.unwrap().sha256;
        assert_eq!(hashes.hash(&path).await.unwrap().sha256, first);
        std::fs::write(&path, tar::tests::archive(b"two")).unwrap();
        assert_ne!(hashes.hash(&path).await.unwrap().sha256, first);
    }
}
