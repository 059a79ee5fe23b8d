//! A pool of servers: a start goes to one that can.

use backend_core::{Chain, ErrorKind, ProviderExt as _, StartAttributes};

use crate::client::{provider, ready, run};
use crate::support::Plan;

#[tokio::test]
async fn a_start_goes_to_another_server_where_one_is_down_or_full() {
    let mut plan = Plan::new("local");
    plan.instances = Some(1);
    let (full, other) = (plan.start(), Plan::new("local").start());
    let down = testbed::free_port().unwrap();
    let endpoints = format!(
        "http://127.0.0.1:{down},{},{}",
        full.endpoint, other.endpoint
    );
    let pool = provider(&endpoints, &[("resume-window", "1s")]);
    pool.setup().await.unwrap();
    let mut instances = Vec::new();
    for number in 0..4 {
        let instance = ready(&*pool, &format!("exit {number}\n")).await;
        assert_eq!(run(&*instance).await.0.exit_code(), Some(number));
        instances.push(instance);
    }
    // One that is down may hold what nobody knows of.
    assert_eq!(
        pool.list().await.unwrap_err().kind(),
        ErrorKind::Unreachable
    );
    let listing = pool.list_reachable().await;
    assert_eq!((listing.answered, listing.found.len()), (2, 4));
    let [why] = &listing.unanswered[..] else {
        panic!("{listing:?}");
    };
    assert!(
        Chain(why).to_string().contains(&down.to_string()),
        "{why:?}"
    );
    for instance in instances {
        instance.stop().await.unwrap();
    }
}

#[tokio::test]
async fn a_pool_that_is_down_is_one_error_that_may_be_retried() {
    let down = testbed::free_port().unwrap();
    let pool = provider(&format!("http://127.0.0.1:{down}"), &[]);
    let setup = pool.setup().await.unwrap_err();
    let start = pool
        .start_new(&StartAttributes::default())
        .await
        .unwrap_err();
    for error in [setup, start] {
        assert_eq!(error.kind(), ErrorKind::Unreachable, "{error:?}");
        assert!(
            error.is_retryable() && error.hint().unwrap().contains("endpoint"),
            "{error:?}"
        );
    }
}

#[tokio::test]
async fn a_full_server_is_waited_for() {
    let mut plan = Plan::new("local");
    plan.instances = Some(1);
    let serving = plan.start();
    let provider = provider(&serving.endpoint, &[]);
    let first = ready(&*provider, "exit 0\n").await;
    let (second, ()) = tokio::join!(ready(&*provider, "exit 0\n"), async {
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        first.stop().await.unwrap();
    });
    second.stop().await.unwrap();
}
