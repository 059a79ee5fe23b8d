//! Something between the worker and a real engine that lies about single calls.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};

/// What is answered instead of what the engine would say.
#[derive(Clone)]
pub(crate) enum Lie {
    /// These bytes, and the end of the connection.
    Bytes(Vec<u8>),
    /// A head, and a body that does not end.
    Endless,
    /// Nothing at all, for good.
    Silence,
    /// What the engine says to a request in which these words were replaced by
    /// others of the same length.
    Asked(&'static str, &'static str),
}

/// What a request's first line has in it, how often it is lied to, and how.
type Lies = Arc<Mutex<Vec<(String, usize, Lie)>>>;

/// This answer, as the engine would put it.
pub(crate) fn answer(status: &str, body: &str) -> Lie {
    let length = body.len();
    let text = format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    );
    Lie::Bytes(text.into_bytes())
}

/// Stands between, and lies to requests that begin with `method path-part`.
pub(crate) struct Liar {
    pub(crate) endpoint: String,
    lies: Lies,
    _directory: tempfile::TempDir,
    task: tokio::task::JoinHandle<()>,
}

impl Liar {
    pub(crate) fn in_front_of(engine: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("liar.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        let target = PathBuf::from(engine.trim_start_matches("unix://"));
        let lies = Lies::default();
        let shared = lies.clone();
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (target, lies) = (target.clone(), shared.clone());
                tokio::spawn(async move {
                    serve(client, target, lies).await.ok();
                });
            }
        });
        Self {
            endpoint: format!("unix://{}", socket.display()),
            lies,
            _directory: directory,
            task,
        }
    }

    /// Lies `times` times to requests whose first line has `part` in it.
    pub(crate) fn lie(&self, part: &str, times: usize, lie: Lie) {
        self.lies.lock().unwrap().push((part.into(), times, lie));
    }

    /// Lies no more.
    pub(crate) fn be_honest(&self) {
        self.lies.lock().unwrap().clear();
    }
}

impl Drop for Liar {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(mut client: UnixStream, target: PathBuf, lies: Lies) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.windows(4).any(|window| window == b"\r\n\r\n") {
        if client.read_buf(&mut head).await? == 0 {
            return Ok(());
        }
    }
    let text = String::from_utf8_lossy(&head).into_owned();
    let line = text.lines().next().unwrap_or_default().to_owned();
    let told = {
        let mut all = lies.lock().unwrap();
        let fitting = all
            .iter_mut()
            .find(|(part, times, _)| *times > 0 && line.contains(part.as_str()));
        fitting.map(|(_, times, lie)| {
            *times -= 1;
            lie.clone()
        })
    };
    match told {
        None => {
            let mut server = UnixStream::connect(target).await?;
            server.write_all(&head).await?;
            tokio::io::copy_bidirectional(&mut client, &mut server).await?;
        }
        Some(Lie::Asked(words, others)) => {
            assert_eq!(words.len(), others.len());
            let mut server = UnixStream::connect(target).await?;
            let mut asked = head;
            let at = loop {
                let mut places = asked.windows(words.len());
                if let Some(at) = places.position(|place| place == words.as_bytes()) {
                    break at;
                }
                let read = client.read_buf(&mut asked).await?;
                assert!(read > 0, "{words:?} is not in the request");
            };
            asked.splice(at..at + words.len(), others.bytes());
            server.write_all(&asked).await?;
            tokio::io::copy_bidirectional(&mut client, &mut server).await?;
        }
        Some(Lie::Bytes(bytes)) => client.write_all(&bytes).await?,
        Some(Lie::Endless) => {
            client
                .write_all(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{\"a\":\"")
                .await?;
            loop {
                client.write_all(&vec![b'x'; 65536]).await?;
            }
        }
        Some(Lie::Silence) => std::future::pending().await,
    }
    Ok(())
}
