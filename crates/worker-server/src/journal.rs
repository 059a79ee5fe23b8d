//! The output of one run: a file that only grows, read by offset.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use backend_core::OutputSink;
use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::spawn_blocking;
use tokio::time::Instant;
use worker_api::Digest;

/// How long bytes may be held back so that more of them come together.
const COALESCE: Duration = Duration::from_millis(20);

/// So many bytes are worth an answer of their own.
const WORTHWHILE: u64 = 256 << 10;

/// The most bytes of answers under way, over all journals.
const IN_FLIGHT: usize = 64 << 20;

/// What all journals of a server share.
#[derive(Debug)]
pub(crate) struct Journals {
    /// Bytes that are kept on disk.
    kept: AtomicU64,
    /// Bytes that may be.
    most: u64,
    in_flight: Arc<Semaphore>,
}

impl Journals {
    pub(crate) fn new(most: u64) -> Self {
        Self {
            kept: AtomicU64::new(0),
            most,
            in_flight: Arc::new(Semaphore::new(IN_FLIGHT)),
        }
    }

    /// Whether there is room for more.
    pub(crate) fn has_room(&self) -> bool {
        self.kept.load(Ordering::Relaxed) < self.most
    }
}

/// How far a journal has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Extent {
    /// Bytes that can be read.
    pub(crate) length: u64,
    /// Whether there will be no more.
    pub(crate) closed: bool,
}

/// The output of one run.
#[derive(Debug)]
pub(crate) struct Journal {
    path: PathBuf,
    shared: Arc<Journals>,
    extent: watch::Sender<Extent>,
    /// Why it takes no more, once that is so.
    full: watch::Sender<Option<Full>>,
    /// When bytes were last answered.
    answered: Mutex<Option<Instant>>,
}

/// A piece of output, as it is answered.
#[derive(Debug)]
pub(crate) struct Piece {
    pub(crate) bytes: Bytes,
    pub(crate) digest: Digest,
    pub(crate) next_offset: u64,
    pub(crate) complete: bool,
}

/// The offset lies behind what there is, and will be.
#[derive(Debug)]
pub(crate) struct BeyondEnd(pub(crate) u64);

impl Journal {
    /// A new one, and the one writer of it. Blocks.
    pub(crate) fn create(
        path: &Path,
        shared: Arc<Journals>,
        limit: u64,
    ) -> io::Result<(Arc<Self>, JournalWriter)> {
        let mut options = OpenOptions::new();
        let file = options
            .create_new(true)
            .append(true)
            .mode(0o600)
            .open(path)?;
        let journal = Arc::new(Self::at(path, shared, Extent::default()));
        let writer = JournalWriter {
            journal: journal.clone(),
            inner: Some((file, Sha256::new())),
            limit,
        };
        Ok((journal, writer))
    }

    /// One of an earlier server, closed, and the SHA-256 of it. Blocks.
    pub(crate) fn reopen(path: &Path, shared: Arc<Journals>) -> io::Result<(Arc<Self>, Digest)> {
        let (mut length, mut hash) = (0, Sha256::new());
        match File::open(path) {
            Ok(mut file) => {
                let mut buffer = vec![0; 256 << 10];
                loop {
                    let read = file.read(&mut buffer)?;
                    if read == 0 {
                        break;
                    }
                    hash.update(buffer.get(..read).unwrap_or_default());
                    length += read as u64;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        shared.kept.fetch_add(length, Ordering::Relaxed);
        let extent = Extent {
            length,
            closed: true,
        };
        let journal = Arc::new(Self::at(path, shared, extent));
        Ok((journal, Digest(hash.finalize().into())))
    }

    fn at(path: &Path, shared: Arc<Journals>, extent: Extent) -> Self {
        Self {
            path: path.to_owned(),
            shared,
            extent: watch::Sender::new(extent),
            full: watch::Sender::new(None),
            answered: Mutex::new(None),
        }
    }

    pub(crate) fn extent(&self) -> Extent {
        *self.extent.borrow()
    }

    pub(crate) fn watch(&self) -> watch::Receiver<Extent> {
        self.extent.subscribe()
    }

    /// Why it took less than was written, if it did.
    pub(crate) fn full(&self) -> Option<Full> {
        self.full.borrow().clone()
    }

    /// Waits until it takes no more; for ever, where it takes all.
    pub(crate) async fn until_full(&self) -> Full {
        let mut full = self.full.subscribe();
        match full
            .wait_for(Option::is_some)
            .await
            .map(|full| full.clone())
        {
            Ok(Some(full)) => full,
            _ => std::future::pending().await,
        }
    }

    /// The output from `offset` on, `limit` bytes at the most. With nothing
    /// there it waits for so long.
    ///
    /// # Cancel safety
    ///
    /// Safe: it only reads.
    pub(crate) async fn read(
        &self,
        offset: u64,
        limit: u64,
        wait: Duration,
    ) -> io::Result<Result<Piece, BeyondEnd>> {
        tokio::time::timeout(wait, self.worth_answering(offset, limit))
            .await
            .ok();
        let extent = self.extent();
        if offset > extent.length {
            return Ok(Err(BeyondEnd(extent.length)));
        }
        let length = limit.min(extent.length - offset);
        let next_offset = offset + length;
        let (bytes, digest) = self.bytes(offset, length).await?;
        if length > 0 {
            *self.answered.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        }
        Ok(Ok(Piece {
            bytes,
            digest,
            next_offset,
            complete: extent.closed && next_offset == extent.length,
        }))
    }

    /// Waits until there is something to say about `offset`: a byte, or the
    /// end. After a pause the first byte goes at once; in a stream of them
    /// some come together.
    async fn worth_answering(&self, offset: u64, limit: u64) {
        let mut extent = self.extent.subscribe();
        let wants = |now: &Extent| now.closed || now.length > offset;
        // The sender is in `self`.
        extent.wait_for(wants).await.ok();
        let answered = *self.answered.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(answered) = answered else { return };
        let enough = offset.saturating_add(WORTHWHILE.min(limit));
        tokio::select! {
            () = tokio::time::sleep_until(answered + COALESCE) => {}
            _ = extent.wait_for(|now| now.closed || now.length >= enough) => {}
        }
    }

    async fn bytes(&self, offset: u64, length: u64) -> io::Result<(Bytes, Digest)> {
        if length == 0 {
            return Ok((Bytes::new(), Digest::of(b"")));
        }
        let length = usize::try_from(length).unwrap_or(IN_FLIGHT);
        let permits = u32::try_from(length).unwrap_or(u32::MAX);
        let permit = self.shared.in_flight.clone().acquire_many_owned(permits);
        // The semaphore is never closed.
        let permit = permit.await.map_err(io::Error::other)?;
        let path = self.path.clone();
        let read = move || {
            let mut buffer = vec![0; length];
            File::open(path)?.read_exact_at(&mut buffer, offset)?;
            let digest = Digest::of(&buffer);
            let counted = Counted {
                buffer,
                _permit: permit,
            };
            Ok((Bytes::from_owner(counted), digest))
        };
        spawn_blocking(read).await.map_err(io::Error::other)?
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        let length = self.extent().length;
        self.shared.kept.fetch_sub(length, Ordering::Relaxed);
    }
}

/// Bytes of an answer, which count until they are sent.
struct Counted {
    buffer: Vec<u8>,
    _permit: OwnedSemaphorePermit,
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.buffer
    }
}

/// Why a journal takes no more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Full {
    /// The run's own limit.
    Limit(u64),
    /// The server keeps as much as it may.
    Server,
    /// The disk does not take it.
    Disk(String),
}

impl std::fmt::Display for Full {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Limit(bytes) => write!(f, "the run wrote more than its limit of {bytes} bytes"),
            Self::Server => f.write_str("the server has no room for more output"),
            Self::Disk(error) => write!(f, "the server cannot keep more output: {error}"),
        }
    }
}

/// The one writer of a journal.
#[derive(Debug)]
pub(crate) struct JournalWriter {
    journal: Arc<Journal>,
    /// Lent to the thread that writes.
    inner: Option<(File, Sha256)>,
    limit: u64,
}

impl JournalWriter {
    /// The SHA-256 of all of it, unless a write was given up. The journal is
    /// closed when its writer is dropped.
    pub(crate) fn digest(&self) -> Option<Digest> {
        let (_, hash) = self.inner.as_ref()?;
        Some(Digest(hash.clone().finalize().into()))
    }

    async fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let (mut file, mut hash) = self
            .inner
            .take()
            .ok_or_else(|| io::Error::other("an earlier write was given up"))?;
        let owned = bytes.to_vec();
        let before = self.journal.extent().length;
        let written = spawn_blocking(move || {
            let written = file.write_all(&owned);
            if written.is_ok() {
                hash.update(&owned);
            } else {
                // Half of a piece is in nobody's hash.
                file.set_len(before).ok();
            }
            (file, hash, written)
        });
        let (file, hash, written) = written.await.map_err(io::Error::other)?;
        self.inner = Some((file, hash));
        written?;
        let length = bytes.len() as u64;
        self.journal
            .shared
            .kept
            .fetch_add(length, Ordering::Relaxed);
        self.journal
            .extent
            .send_modify(|extent| extent.length += length);
        Ok(())
    }
}

#[async_trait]
impl OutputSink for JournalWriter {
    async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let left = self.limit.saturating_sub(self.journal.extent().length);
        let fits = usize::try_from(left).map_or(bytes.len(), |left| left.min(bytes.len()));
        let (taken, rest) = bytes.split_at(fits);
        let full = if !self.journal.shared.has_room() {
            Full::Server
        } else if let Err(error) = self.append(taken).await {
            Full::Disk(error.to_string())
        } else if rest.is_empty() {
            return Ok(());
        } else {
            Full::Limit(self.limit)
        };
        let error = io::Error::other(full.to_string());
        self.journal.full.send_replace(Some(full));
        Err(error)
    }
}

impl Drop for JournalWriter {
    fn drop(&mut self) {
        self.journal
            .extent
            .send_modify(|extent| extent.closed = true);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn journal(limit: u64) -> (tempfile::TempDir, Arc<Journal>, JournalWriter) {
        let directory = tempfile::tempdir().unwrap();
        let shared = Arc::new(Journals::new(1000));
        let (journal, writer) =
            Journal::create(&directory.path().join("output"), shared, limit).unwrap();
        (directory, journal, writer)
    }

    async fn read(journal: &Journal, offset: u64, limit: u64) -> Piece {
        let read = journal.read(offset, limit, Duration::from_secs(5));
        read.await.unwrap().unwrap()
    }

    #[tokio::test]
    async fn what_was_written_is_read_by_offset_and_hashed() {
        let (_directory, journal, mut writer) = journal(100);
        writer.write(b"hello ").await.unwrap();
        writer.write(b"world").await.unwrap();
        let piece = read(&journal, 6, 3).await;
        assert_eq!(
            (&piece.bytes[..], piece.next_offset, piece.complete),
            (&b"wor"[..], 9, false)
        );
        assert_eq!(piece.digest, Digest::of(b"wor"));
        assert_eq!(writer.digest(), Some(Digest::of(b"hello world")));
        drop(writer);
        assert!(read(&journal, 9, 99).await.complete);
        assert!(read(&journal, 11, 99).await.complete);
        let beyond = journal.read(12, 9, Duration::ZERO).await;
        assert!(matches!(beyond, Ok(Err(BeyondEnd(11)))));
    }

    #[tokio::test]
    async fn a_reader_waits_for_a_byte_and_for_the_end() {
        let (_directory, journal, mut writer) = journal(100);
        let (piece, ()) = tokio::join!(read(&journal, 0, 9), async {
            writer.write(b"x").await.unwrap();
        });
        assert_eq!(&piece.bytes[..], b"x");
        let (piece, ()) = tokio::join!(read(&journal, 1, 9), async { drop(writer) });
        assert!(piece.bytes.is_empty() && piece.complete);
    }

    #[tokio::test]
    async fn a_limit_cuts_exactly_and_is_told() {
        let (_directory, journal, mut writer) = journal(4);
        writer.write(b"abc").await.unwrap();
        writer.write(b"def").await.unwrap_err();
        assert_eq!(journal.full(), Some(Full::Limit(4)));
        assert_eq!(writer.digest(), Some(Digest::of(b"abcd")));
        assert_eq!(&read(&journal, 0, 9).await.bytes[..], b"abcd");
    }

    #[tokio::test]
    async fn what_is_kept_is_bounded_over_all_and_given_back() {
        let (directory, journal, mut writer) = journal(5000);
        let shared = journal.shared.clone();
        writer.write(&[7; 1000]).await.unwrap();
        assert!(!shared.has_room());
        writer.write(b"x").await.unwrap_err();
        assert_eq!(journal.full(), Some(Full::Server));
        drop((journal, writer));
        assert!(shared.has_room());
        let (again, digest) = Journal::reopen(&directory.path().join("output"), shared).unwrap();
        assert_eq!(
            (again.extent().length, digest),
            (1000, Digest::of(&[7; 1000]))
        );
    }
}
