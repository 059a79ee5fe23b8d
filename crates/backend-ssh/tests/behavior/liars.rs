//! Servers that lie or break: russh's own, with a far side that says what it
//! is told to say.

use std::sync::Arc;
use std::time::{Duration, Instant};

use backend_core::{
    Chain, ErrorKind, Instance, Outcome, Provider, ProviderConfig, ProviderExt as _, RunOptions,
    RunResult, StartAttributes,
};
use russh::keys::PrivateKey;
use russh::server::{Auth, ChannelOpenHandle, Config, Handle, Handler, Msg, Session};
use russh::{Channel, ChannelId, MethodSet, Sig};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;

use super::support::provider;

/// How the server behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lie {
    /// It plays the far side in good order: the frame of all others.
    None,
    /// It refuses to run commands.
    RefusesExec,
    /// An exit status of 0 comes in place of everything.
    StatusAtOnce,
    /// The same by a signal.
    SignalAtOnce,
    /// The end of the output comes at once, and nothing after it.
    EofAndSilence,
    /// The channel is closed without a word.
    ClosesAtOnce,
    /// A line of the program comes before its beginning.
    LineBeforeTheBeginning,
    /// Noise without end comes before the beginning.
    Noise,
    /// A line makes no sense.
    Garbage,
    /// The run ends by an exit status of the channel, and no status of the script.
    StatusInMidRun,
    /// The same by a signal.
    SignalInMidRun,
    /// The script ends, with less output than it is said to have.
    TooLittleOutput,
    /// The end of the script is said twice, with another code.
    TwoStatuses,
    /// Output comes without pause, whatever is asked for.
    Flood,
    /// The banner is as long as one can be.
    HugeBanner,
    /// It asks for a password again and again.
    AsksForEver,
}

struct Liar {
    lie: Lie,
    /// What came on the channel so far.
    heard: Vec<u8>,
    /// How much of it was taken.
    taken: usize,
    begun: bool,
}

impl Handler for Liar {
    type Error = russh::Error;

    async fn auth_none(&mut self, _: &str) -> Result<Auth, russh::Error> {
        Ok(Auth::reject())
    }

    async fn auth_password(&mut self, _: &str, password: &str) -> Result<Auth, russh::Error> {
        let taken = password == "secret" && self.lie != Lie::AsksForEver;
        Ok(if taken { Auth::Accept } else { Auth::reject() })
    }

    async fn auth_keyboard_interactive<'a>(
        &'a mut self,
        _: &str,
        _: &str,
        _: Option<russh::server::Response<'a>>,
    ) -> Result<Auth, russh::Error> {
        Ok(Auth::Partial {
            name: "".into(),
            instructions: "".into(),
            prompts: vec![("Password: ".into(), false)].into(),
        })
    }

    async fn authentication_banner(&mut self) -> Result<Option<String>, russh::Error> {
        Ok((self.lie == Lie::HugeBanner).then(|| "x".repeat(200_000)))
    }

    async fn channel_open_session(
        &mut self,
        _: Channel<Msg>,
        reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), russh::Error> {
        reply.accept().await;
        self.heard.clear();
        self.taken = 0;
        self.begun = false;
        Ok(())
    }

    async fn exec_request(
        &mut self,
        channel: ChannelId,
        _: &[u8],
        session: &mut Session,
    ) -> Result<(), russh::Error> {
        if self.lie == Lie::RefusesExec {
            return session.channel_failure(channel);
        }
        session.channel_success(channel)?;
        match self.lie {
            Lie::StatusAtOnce => {
                session.exit_status_request(channel, 0)?;
                session.eof(channel)?;
                session.close(channel)?;
            }
            Lie::SignalAtOnce => {
                session.exit_signal_request(channel, Sig::KILL, false, "", "")?;
                session.close(channel)?;
            }
            Lie::EofAndSilence => session.eof(channel)?,
            Lie::ClosesAtOnce => session.close(channel)?,
            Lie::LineBeforeTheBeginning => {
                session.extended_data(
                    channel,
                    1,
                    &b"@started 1 /slot\n@exit 0 0\n@end 0 intact\n"[..],
                )?;
                session.close(channel)?;
            }
            Lie::Noise => {
                let handle = session.handle();
                tokio::spawn(async move {
                    while handle.data(channel, vec![b'x'; 30_000]).await.is_ok() {}
                });
            }
            _ => {}
        }
        Ok(())
    }

    async fn data(
        &mut self,
        channel: ChannelId,
        data: &[u8],
        session: &mut Session,
    ) -> Result<(), russh::Error> {
        self.heard.extend_from_slice(data);
        if !self.begun {
            // The length of the program and the number of lines, the lines, of
            // which the first are mode and nonce, the program.
            let text = String::from_utf8_lossy(&self.heard).into_owned();
            let Some((numbers, behind)) = text.split_once('\n') else {
                return Ok(());
            };
            let (length, count) = numbers.split_once(' ').unwrap();
            let (length, count): (usize, usize) = (length.parse().unwrap(), count.parse().unwrap());
            let pieces: Vec<_> = behind.splitn(count + 1, '\n').collect();
            if pieces
                .get(count)
                .is_none_or(|program| program.len() < length)
            {
                return Ok(());
            }
            let [mode, nonce, ..] = pieces[..] else {
                return Ok(());
            };
            self.begun = true;
            self.taken = self.heard.len();
            let begin = format!("\n{nonce}\n");
            session.data(channel, begin.clone().into_bytes())?;
            let answer = match mode {
                "check" => "@checked\n",
                "list" => "@listed\n",
                "remove" => "@removed\n",
                "attach" => "@error gone /slot\n",
                _ if self.lie == Lie::Garbage => "@started one two\n",
                _ => "@started 1 /slot\n",
            };
            session.extended_data(channel, 1, format!("{begin}{answer}").into_bytes())?;
            if mode != "start" {
                session.exit_status_request(channel, 0)?;
                session.close(channel)?;
            }
            return Ok(());
        }
        self.converse(channel, session)
    }
}

impl Liar {
    fn converse(&mut self, channel: ChannelId, session: &mut Session) -> Result<(), russh::Error> {
        let text =
            String::from_utf8_lossy(self.heard.get(self.taken..).unwrap_or_default()).into_owned();
        self.taken = self.heard.len();
        let mut say = |line: &str| session.extended_data(channel, 1, line.as_bytes().to_vec());
        if text.starts_with("put ") || text.starts_with("text ") {
            say("@put\n")?;
        } else if text.starts_with("size") {
            say("@size 5\n")?;
        } else if text.starts_with("leftovers") {
            say("@listed\n")?;
        } else if text.starts_with("remove") {
            say("@removed\n")?;
            session.close(channel)?;
        } else if text.starts_with("run") {
            say("@began\n")?;
            self.run(channel, session)?;
        }
        Ok(())
    }

    fn run(&self, channel: ChannelId, session: &mut Session) -> Result<(), russh::Error> {
        let ends = &b"@exit 7 5\n@end 5 intact\n"[..];
        match self.lie {
            Lie::StatusInMidRun => {
                session.data(channel, &b"hello"[..])?;
                session.exit_status_request(channel, 0)?;
                session.eof(channel)?;
                session.close(channel)?;
            }
            Lie::SignalInMidRun => {
                session.exit_signal_request(channel, Sig::TERM, false, "", "")?;
                session.close(channel)?;
            }
            Lie::TooLittleOutput => {
                session.data(channel, &b"hel"[..])?;
                session.extended_data(channel, 1, ends)?;
                session.close(channel)?;
            }
            Lie::TwoStatuses => {
                // The status before the data, and the data in the end.
                session.extended_data(channel, 1, &b"@exit 7 5\n@exit 0 5\n@end 5 intact\n"[..])?;
                session.data(channel, &b"hello"[..])?;
            }
            Lie::Flood => {
                let handle = session.handle();
                tokio::spawn(flood(handle, channel));
            }
            _ => {
                session.data(channel, &b"hello"[..])?;
                session.extended_data(channel, 1, ends)?;
            }
        }
        Ok(())
    }
}

async fn flood(handle: Handle, channel: ChannelId) {
    while handle.data(channel, vec![b'x'; 30_000]).await.is_ok() {}
}

/// Where a server that lies listens; it ends with the test's runtime.
async fn liar(lie: Lie) -> ProviderConfig {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("host");
    testbed::make_key(&path, "ed25519", "").unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    let key: PrivateKey = russh::keys::decode_secret_key(&text, None).unwrap();
    let config = Arc::new(Config {
        keys: vec![key],
        methods: MethodSet::server_supported(),
        auth_rejection_time: Duration::ZERO,
        ..Config::default()
    });
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let handler = Liar {
                lie,
                heard: Vec::new(),
                taken: 0,
                begun: false,
            };
            let config = config.clone();
            tokio::spawn(async move {
                if let Ok(session) = russh::server::run_stream(config, stream, handler).await {
                    session.await.ok();
                }
            });
        }
    });
    let mut config = ProviderConfig::from([
        ("hosts", format!("me@127.0.0.1:{port}")),
        ("host-key-policy", "insecure".into()),
        ("identity-agent", "none".into()),
        ("ssh-config", "none".into()),
        ("keepalive", "1s".into()),
        ("resume-window", "2s".into()),
    ]);
    let variable = backend_core::Origin::Environment("WORKER_SSH_PASSWORD".into());
    config.add("password", "secret", variable);
    config
}

async fn start(provider: &dyn Provider) -> backend_core::Result<Box<dyn Instance>> {
    provider.start_new(&StartAttributes::default()).await
}

/// What a run comes to at such a server.
async fn run(lie: Lie) -> (RunResult, Vec<u8>) {
    let provider = provider(&liar(lie).await);
    let instance = start(&*provider).await.unwrap();
    instance.upload_script(b"exit 0\n").await.unwrap();
    let mut output = Vec::new();
    let result = instance
        .run_script(&RunOptions::default(), &mut output)
        .await
        .unwrap();
    instance.stop().await.unwrap();
    (result, output)
}

#[tokio::test]
async fn one_that_does_not_lie_is_believed() {
    for lie in [Lie::None, Lie::HugeBanner, Lie::TwoStatuses] {
        let (result, output) = run(lie).await;
        assert_eq!(result.exit_code(), Some(7), "{lie:?}: {}", result.outcome);
        assert!(result.output_complete && output == b"hello", "{lie:?}");
    }
}

#[tokio::test]
async fn no_exit_status_of_a_channel_is_that_of_the_script() {
    for lie in [Lie::StatusInMidRun, Lie::SignalInMidRun] {
        let (result, _) = run(lie).await;
        assert!(
            matches!(result.outcome, Outcome::Lost(_)),
            "{lie:?}: {}",
            result.outcome
        );
        assert!(!result.output_complete);
    }
}

#[tokio::test]
async fn output_that_does_not_come_is_not_complete() {
    let (result, output) = run(Lie::TooLittleOutput).await;
    // The script's end was said; what is missing is missing.
    assert_eq!(result.exit_code(), Some(7), "{}", result.outcome);
    assert!(!result.output_complete && output == b"hel");
}

#[tokio::test]
async fn a_flood_does_not_fill_the_memory() {
    let provider = provider(&liar(Lie::Flood).await);
    let instance = start(&*provider).await.unwrap();
    instance.upload_script(b"exit 0\n").await.unwrap();
    let mut slow = backend_core::testkit::SlowSink::new(Vec::new(), Duration::from_millis(10));
    let result = instance
        .run_script(&RunOptions::default(), &mut slow)
        .await
        .unwrap();
    let Outcome::Lost(loss) = &result.outcome else {
        panic!("{}", result.outcome);
    };
    assert!(loss.detail.contains("does not pause"), "{loss:?}");
    instance.stop().await.unwrap();
}

#[tokio::test]
async fn a_start_at_a_liar_is_a_typed_error_in_time() {
    for (lie, kind, part) in [
        (
            Lie::RefusesExec,
            ErrorKind::Denied,
            "refused to run a command",
        ),
        (Lie::StatusAtOnce, ErrorKind::Unsuitable, "no POSIX shell"),
        (Lie::SignalAtOnce, ErrorKind::Unsuitable, "no POSIX shell"),
        (Lie::EofAndSilence, ErrorKind::Unsuitable, "no POSIX shell"),
        (Lie::ClosesAtOnce, ErrorKind::Unsuitable, "no POSIX shell"),
        (
            Lie::LineBeforeTheBeginning,
            ErrorKind::Unsuitable,
            "no POSIX shell",
        ),
        (Lie::Noise, ErrorKind::Protocol, "noise"),
        (Lie::Garbage, ErrorKind::Protocol, "makes no sense"),
        (Lie::AsksForEver, ErrorKind::Denied, "asked again and again"),
    ] {
        let provider = provider(&liar(lie).await);
        let began = Instant::now();
        let error = start(&*provider).await.unwrap_err();
        let text = Chain(&error).to_string();
        assert!(
            error.kind() == kind && text.contains(part),
            "{lie:?}: {error:?}"
        );
        assert!(!text.contains("secret"), "{text}");
        assert!(
            began.elapsed() < Duration::from_mins(1),
            "{lie:?}: {:?}",
            began.elapsed()
        );
        provider.settle().await;
    }
}

#[tokio::test]
async fn what_is_no_ssh_server_is_told() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            stream
                .write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                .await
                .ok();
        }
    });
    let mut config = liar(Lie::None).await;
    config.set("hosts", format!("me@127.0.0.1:{port}"));
    let error = provider(&config).setup().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unreachable);
    assert!(
        Chain(&error).to_string().contains("key exchange"),
        "{error:?}"
    );
}
