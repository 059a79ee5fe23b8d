//! A network that cuts, stalls and doubles what passes.

use std::time::Duration;

use backend_core::testkit::{Action, Direction, FaultProxy};

use crate::client::{noise, provider, ready, run_noise};
use crate::support::Plan;

/// Bytes of output that pass.
const MEGABYTES: u32 = 64;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_of_the_output_passes_a_network_that_cuts_stalls_and_doubles() {
    let seed = std::env::var("WORKER_TEST_SEED")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or_else(|| fastrand::u64(..));
    println!("WORKER_TEST_SEED={seed}");
    let mut random = fastrand::Rng::with_seed(seed);

    let serving = Plan::new("local").start();
    let proxy = FaultProxy::tcp(serving.address()).await.unwrap();
    let endpoint = format!("http://{}", proxy.address().unwrap());
    let provider = provider(&endpoint, &[]);
    let instance = ready(&*provider, &noise(MEGABYTES, "")).await;
    // One in a megabyte and a half or so, of which one goes silent for good.
    for fault in 0..32 {
        let action = match fault {
            7 => Action::Freeze,
            _ => random
                .choice([Action::Reset, Action::Close, Action::Duplicate])
                .unwrap(),
        };
        proxy.inject(Direction::FromTarget, random.u64(1000..3_000_000), action);
    }
    for _ in 0..6 {
        proxy.inject(Direction::ToTarget, random.u64(50..1500), Action::Reset);
    }
    let stalls = async {
        loop {
            tokio::time::sleep(Duration::from_millis(700)).await;
            proxy.stall();
            tokio::time::sleep(Duration::from_millis(300)).await;
            proxy.resume();
        }
    };
    let result = tokio::select! {
        result = run_noise(&*instance, MEGABYTES.into()) => result,
        () = stalls => unreachable!("it never ends"),
    };
    assert!(result.reconnects > 10, "{result:?}, with seed {seed}");
    proxy.clear();
    instance.stop().await.unwrap();
    provider.settle().await;
}

#[tokio::test]
async fn a_connection_that_does_not_come_back_is_a_loss_and_no_exit() {
    let serving = Plan::new("local").start();
    let proxy = FaultProxy::tcp(serving.address()).await.unwrap();
    let endpoint = format!("http://{}", proxy.address().unwrap());
    let provider = provider(&endpoint, &[("resume-window", "2s")]);
    let instance = ready(&*provider, "echo begun\nsleep 300\n").await;
    let cut = async {
        let mut seen = 0;
        while seen < 3000 {
            tokio::time::sleep(Duration::from_millis(20)).await;
            seen = proxy.forwarded(Direction::FromTarget);
        }
    };
    let ((result, output), ()) = tokio::join!(crate::client::run(&*instance), async {
        tokio::time::timeout(Duration::from_secs(2), cut).await.ok();
        proxy.refuse(true).await;
        proxy.reset().await;
    });
    assert_eq!(output, b"begun\n");
    assert!(!result.completed() && !result.output_complete, "{result:?}");
    assert!(
        result.outcome.to_string().contains("connection lost"),
        "{result:?}"
    );
    proxy.refuse(false).await;
    instance.stop().await.unwrap();
}
