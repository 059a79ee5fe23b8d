//! Connections that are cut, by a reset and in silence.

use std::time::Duration;

use backend_core::testkit::{Action, Direction, sha256_hex};
use backend_core::{LossCause, Outcome, RunOptions};
use testbed::{SshKind, SshSetup};

use super::support::{KINDS, config_at, job, port, provider, proxy, ready, server};

const MIB: u64 = 1 << 20;
const CUTS: u64 = 20;
const SIZE: u64 = 64 * MIB;

/// The output, and its SHA-256 as the last line.
const SCRIPT: &str =
    "head -c 67108864 /dev/urandom >data\ncat data\nsha256sum <data | cut -c1-64\nexit 7\n";

/// The seed of this run: that of `WORKER_TEST_SEED`, or a new one.
fn seed() -> u64 {
    let given = std::env::var("WORKER_TEST_SEED").ok();
    given
        .and_then(|text| text.parse().ok())
        .unwrap_or_else(|| fastrand::u64(..))
}

async fn survives_cuts(kind: SshKind) {
    let Some(server) = server(kind, &SshSetup::default()) else {
        return;
    };
    let seed = seed();
    eprintln!("{kind:?}: WORKER_TEST_SEED={seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let proxy = proxy(&server).await;
    let mut config = config_at(&server, port(&proxy));
    config.set("keepalive", "1s");
    let provider = provider(&config);
    let instance = ready(&*provider, SCRIPT).await;
    for cut in 0..CUTS {
        let after = random.u64(1..SIZE / (CUTS + 2));
        let action = if random.bool() {
            Action::Reset
        } else {
            Action::Freeze
        };
        eprintln!("cut {cut}: {action:?} after {after} bytes");
        proxy.inject(Direction::FromTarget, after, action);
    }
    let mut output = Vec::new();
    let result = instance
        .run_script(&RunOptions::default(), &mut output)
        .await
        .unwrap();
    assert_eq!(proxy.pending(), 0, "not all cuts were made");
    assert_eq!(result.exit_code(), Some(7), "{}", result.outcome);
    // A cut within a few bytes of the one before hits a handshake: then two cuts
    // are one connection that was made anew.
    assert!(result.output_complete, "{result:?}");
    assert!(
        (1..=CUTS).contains(&u64::from(result.reconnects)),
        "{result:?}"
    );
    let (data, line) = output.split_at(usize::try_from(SIZE).unwrap());
    assert_eq!(String::from_utf8_lossy(line).trim(), sha256_hex(data));
    instance.stop().await.unwrap();
    assert!(!server.home().join(".worker-ssh").exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_survives_20_cuts_on_openssh() {
    survives_cuts(SshKind::OpenSsh).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_survives_20_cuts_on_dropbear() {
    survives_cuts(SshKind::Dropbear).await;
}

#[tokio::test]
async fn without_a_window_each_cut_is_lost_and_never_a_code() {
    for kind in KINDS {
        let Some(server) = server(kind, &SshSetup::default()) else {
            return;
        };
        let proxy = proxy(&server).await;
        let mut config = config_at(&server, port(&proxy));
        config.set("keepalive", "1s").set("resume-window", "0s");
        let provider = provider(&config);
        for (after, action) in [
            (0, Action::Reset),
            (1, Action::Freeze),
            (3 * MIB, Action::Reset),
            (5 * MIB + 77, Action::Close),
            (7 * MIB, Action::Freeze),
        ] {
            let instance = ready(&*provider, SCRIPT).await;
            proxy.inject(Direction::FromTarget, after, action);
            let mut output = Vec::new();
            let result = instance
                .run_script(&RunOptions::default(), &mut output)
                .await
                .unwrap();
            let Outcome::Lost(loss) = &result.outcome else {
                panic!("{kind:?} {action:?} after {after}: {}", result.outcome);
            };
            assert_eq!(loss.cause, LossCause::Connection, "{loss:?}");
            assert!(!result.output_complete);
            // The stop connects again, and ends what runs.
            instance.stop().await.unwrap();
        }
        assert!(!server.home().join(".worker-ssh").exists());
    }
}

#[tokio::test]
async fn a_cut_at_any_step_is_resumed() {
    let Some(server) = server(SshKind::OpenSsh, &SshSetup::default()) else {
        return;
    };
    let proxy = proxy(&server).await;
    let mut config = config_at(&server, port(&proxy));
    config.set("keepalive", "1s");
    let provider = provider(&config);
    // In the upload: it is begun again.
    let instance = provider_start(&*provider).await;
    proxy.inject(Direction::ToTarget, 3 * MIB, Action::Reset);
    let mut script = b"echo whole; exit 5\n".to_vec();
    script.resize(8 << 20, b'#');
    instance.upload_script(&script).await.unwrap();
    // Between the go and the answer to it.
    proxy.inject(Direction::ToTarget, 20, Action::Reset);
    let mut output = Vec::new();
    let result = instance
        .run_script(&RunOptions::default(), &mut output)
        .await
        .unwrap();
    assert_eq!(
        (result.exit_code(), output.as_slice()),
        (Some(5), &b"whole\n"[..])
    );
    assert!(result.reconnects >= 2);
    instance.stop().await.unwrap();
    // Between the last byte and the exit status.
    let instance = ready(&*provider, "echo last; sleep 2; exit 6\n").await;
    let running = async {
        let mut output = Vec::new();
        let result = instance
            .run_script(&RunOptions::default(), &mut output)
            .await;
        (result.unwrap(), output)
    };
    let cutting = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        proxy.reset().await;
    };
    let ((result, output), ()) = tokio::join!(running, cutting);
    assert_eq!(
        (result.exit_code(), output.as_slice()),
        (Some(6), &b"last\n"[..])
    );
    instance.stop().await.unwrap();
}

async fn provider_start(provider: &dyn backend_core::Provider) -> Box<dyn backend_core::Instance> {
    use backend_core::ProviderExt as _;
    provider
        .start_new(&backend_core::StartAttributes::default())
        .await
        .unwrap()
}

#[tokio::test]
async fn a_server_that_stops_answering_is_noticed_and_waited_for() {
    let Some(server) = server(SshKind::OpenSsh, &SshSetup::default()) else {
        return;
    };
    let proxy = proxy(&server).await;
    let mut config = config_at(&server, port(&proxy));
    config.set("keepalive", "1s").set("resume-window", "5s");
    let provider = provider(&config);
    let instance = ready(&*provider, "sleep 300\n").await;
    proxy.stall();
    let began = std::time::Instant::now();
    let result = instance
        .run_script(&RunOptions::default(), &mut Vec::new())
        .await
        .unwrap();
    assert!(!result.completed(), "{}", result.outcome);
    // Four seconds to notice, five to give up, and a machine that is busy.
    assert!(
        began.elapsed() < Duration::from_secs(30),
        "{:?}",
        began.elapsed()
    );
    proxy.resume();
    instance.stop().await.unwrap();
    let (result, _) = job(&*provider, "exit 3\n").await;
    assert_eq!(result.exit_code(), Some(3));
}
