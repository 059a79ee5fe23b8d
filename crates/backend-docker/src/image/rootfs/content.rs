//! Reads a tar file on a thread of its own.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use bytes::{Bytes, BytesMut};
use futures_util::Stream;
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;

use super::tar;
use crate::hexadecimal::hexadecimal;
use crate::image::failure::ImageFailure;

/// How much is read at once, and how often that is kept for a slow engine.
const CHUNK: usize = 256 << 10;
const CHUNKS: usize = 4;

/// By which a file is known again without reading it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Identity {
    device: u64,
    inode: u64,
    length: u64,
    modified: Option<SystemTime>,
    changed: (i64, i64),
}

/// A file to send.
pub(super) struct Content<S> {
    /// Its bytes; an error, if the file is not what was hashed.
    pub(super) chunks: S,
    pub(super) length: u64,
    /// What was wrong with the file, if something was.
    pub(super) trouble: Arc<OnceLock<ImageFailure>>,
}

impl Identity {
    /// Whether the file has not been written for a while, as far as its times
    /// can tell.
    pub(super) fn is_settled(&self) -> bool {
        // More than the resolution of any file system's times.
        const WHILE: Duration = Duration::from_secs(3);
        let since = Duration::from_secs(u64::try_from(self.changed.0).unwrap_or(0));
        let age = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH + since);
        age.is_ok_and(|age| age > WHILE)
    }
}

pub(super) async fn identity(path: PathBuf) -> Result<Identity, ImageFailure> {
    use std::os::unix::fs::MetadataExt as _;
    let metadata = tokio::fs::metadata(&path).await;
    let metadata = metadata.map_err(|error| unreadable(&path, error))?;
    if metadata.is_dir() {
        let why = "it is a directory, not a tar file";
        return Err(ImageFailure::NotATar { path, why });
    }
    if !metadata.is_file() {
        let why = "it is not a file";
        return Err(ImageFailure::NotATar { path, why });
    }
    Ok(Identity {
        device: metadata.dev(),
        inode: metadata.ino(),
        length: metadata.len(),
        modified: metadata.modified().ok(),
        changed: (metadata.ctime(), metadata.ctime_nsec()),
    })
}

/// The SHA-256 of a tar file, in hexadecimal.
///
/// # Cancel safety
///
/// Dropped, it stops reading.
pub(super) async fn hash(path: PathBuf) -> Result<String, ImageFailure> {
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = stop.clone();
    let _guard = StopOnDrop(stop);
    let reading = tokio::task::spawn_blocking(move || {
        read_through(&path, |_| !stopped.load(Ordering::Relaxed))
    });
    match reading.await {
        Ok(Ok(Some(sha256))) => Ok(sha256),
        Ok(Err(failure)) => Err(failure),
        Ok(Ok(None)) | Err(_) => Err(ImageFailure::RuntimeEnded),
    }
}

/// Reads the file for sending. Its last bytes come only if all of it together
/// has this hash, so that no engine keeps something else under its name.
pub(super) async fn open(
    path: PathBuf,
    sha256: String,
) -> Result<Content<impl Stream<Item = io::Result<Bytes>> + Send + 'static>, ImageFailure> {
    let length = identity(path.clone()).await?.length;
    let (sender, receiver) = mpsc::channel(CHUNKS);
    let trouble = Arc::new(OnceLock::new());
    let seen = trouble.clone();
    // It ends with the receiver.
    tokio::task::spawn_blocking(move || {
        let mut held = None;
        let read = read_through(&path, |chunk| match held.replace(chunk) {
            Some(before) => sender.blocking_send(Ok(before)).is_ok(),
            None => true,
        });
        let failure = match read {
            Ok(Some(now)) if now == sha256 => {
                sender.blocking_send(Ok(held.unwrap_or_default())).ok();
                return;
            }
            Ok(Some(_)) => ImageFailure::Changed(path),
            Ok(None) => return,
            Err(failure) => failure,
        };
        let error = io::Error::other(failure.to_string());
        seen.set(failure).ok();
        sender.blocking_send(Err(error)).ok();
    });
    let next = |mut receiver: mpsc::Receiver<_>| async move {
        let chunk = receiver.recv().await?;
        Some((chunk, receiver))
    };
    Ok(Content {
        chunks: futures_util::stream::unfold(receiver, next),
        length,
        trouble,
    })
}

/// Reads a tar file to its end and hashes it; `None` if `each` said to stop.
fn read_through(
    path: &Path,
    mut each: impl FnMut(Bytes) -> bool,
) -> Result<Option<String>, ImageFailure> {
    let unreadable = |error| unreadable(path, error);
    let mut file = File::open(path).map_err(unreadable)?;
    let mut hasher = Sha256::new();
    let mut is_first = true;
    loop {
        let chunk = read_chunk(&mut file).map_err(unreadable)?;
        if is_first && !tar::is_archive(&chunk) {
            let why = if chunk.is_empty() {
                "it is empty"
            } else {
                "it is not a tar file"
            };
            let path = path.to_owned();
            return Err(ImageFailure::NotATar { path, why });
        }
        is_first = false;
        if chunk.is_empty() {
            return Ok(Some(hexadecimal(hasher.finalize())));
        }
        hasher.update(&chunk);
        if !each(chunk) {
            return Ok(None);
        }
    }
}

/// Reads up to [`CHUNK`] bytes; fewer only at the end.
fn read_chunk(file: &mut File) -> io::Result<Bytes> {
    let mut chunk = BytesMut::zeroed(CHUNK);
    let mut filled = 0;
    while let Some(rest) = chunk.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match file.read(rest) {
            Ok(0) => break,
            Ok(bytes) => filled += bytes,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    chunk.truncate(filled);
    Ok(chunk.freeze())
}

fn unreadable(path: &Path, error: io::Error) -> ImageFailure {
    ImageFailure::Unreadable {
        path: path.to_owned(),
        source: Arc::new(error),
    }
}

struct StopOnDrop(Arc<AtomicBool>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures_util::StreamExt as _;

    use super::*;

    async fn sent(path: &Path, sha256: &str) -> (Vec<u8>, Option<ImageFailure>) {
        let content = open(path.to_owned(), sha256.to_owned()).await.unwrap();
        let mut bytes = vec![];
        let mut chunks = pin!(content.chunks);
        while let Some(Ok(chunk)) = chunks.next().await {
            bytes.extend(chunk);
        }
        (bytes, content.trouble.get().cloned())
    }

    #[tokio::test]
    async fn a_file_arrives_whole_if_it_is_what_was_hashed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x.tar");
        let archive = tar::tests::archive(&vec![7; 3 * CHUNK + 11]);
        std::fs::write(&path, &archive).unwrap();
        let sha256 = hash(path.clone()).await.unwrap();
        let (bytes, trouble) = sent(&path, &sha256).await;
        assert!(bytes == archive && trouble.is_none());
        let (bytes, trouble) = sent(&path, "other").await;
        assert!(bytes.len() < archive.len());
        assert!(matches!(trouble, Some(ImageFailure::Changed(_))));
    }

    #[tokio::test]
    async fn what_is_no_tar_file_is_refused_by_name() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x.tar");
        for content in [b"".as_slice(), b"#!/bin/sh\nexit 1\n"] {
            std::fs::write(&path, content).unwrap();
            let error = hash(path.clone()).await.unwrap_err();
            assert!(error.to_string().contains("x.tar"), "{error}");
            assert!(matches!(error, ImageFailure::NotATar { .. }));
        }
        for (path, kind) in [
            (
                directory.path().to_owned(),
                backend_core::ErrorKind::InvalidInput,
            ),
            ("/dev/null".into(), backend_core::ErrorKind::InvalidInput),
            ("/does/not/exist".into(), backend_core::ErrorKind::NotFound),
        ] {
            let error = identity(path.clone()).await.unwrap_err();
            assert_eq!(error.kind(), kind, "{}", path.display());
        }
    }
}
