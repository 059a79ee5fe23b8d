//! A real reverse proxy, with the settings that it comes with.

use testbed::Nginx;

use crate::client::{noise, provider, ready, run_noise};
use crate::support::Plan;

#[tokio::test]
async fn a_silence_of_70_seconds_passes_nginx_with_its_defaults() {
    let serving = Plan::new("local").start();
    let Some(nginx) = Nginx::in_front_of(serving.address()).unwrap() else {
        return testbed::missing("http", "there is no nginx");
    };
    let provider = provider(&format!("http://{}", nginx.address), &[]);
    provider.setup().await.unwrap();
    let instance = ready(&*provider, &noise(64, "sleep 70")).await;
    let _ = run_noise(&*instance, 64).await;
    instance.stop().await.unwrap();
}

#[tokio::test]
async fn an_answer_of_a_proxy_is_not_taken_for_the_servers() {
    let mut plan = Plan::new("local");
    // It waits for no instance as it ends, and leaves none.
    plan.drain_seconds = Some(0);
    let serving = plan.start();
    let Some(nginx) = Nginx::in_front_of(serving.address()).unwrap() else {
        return testbed::missing("http", "there is no nginx");
    };
    let provider = provider(
        &format!("http://{}", nginx.address),
        &[("resume-window", "2s")],
    );
    let instance = ready(&*provider, "exit 0\n").await;
    drop(serving);
    // nginx answers 502 for a server that is no more.
    let (result, _) = crate::client::run(&*instance).await;
    assert!(!result.completed(), "{result:?}");
    // Beyond the default limit of nginx: one message, with a hint.
    let serving = Plan::new("local").start();
    let Some(nginx) = Nginx::in_front_of(serving.address()).unwrap() else {
        return;
    };
    let provider = crate::client::provider(&format!("http://{}", nginx.address), &[]);
    let instance = ready(&*provider, "").await;
    instance.stop().await.unwrap();
    let instance =
        backend_core::ProviderExt::start_new(&*provider, &backend_core::StartAttributes::default())
            .await
            .unwrap();
    let error = instance
        .upload_script(&vec![b'#'; 2 << 20])
        .await
        .unwrap_err();
    assert_eq!(error.kind(), backend_core::ErrorKind::InvalidInput);
    assert!(
        error.hint().unwrap().contains("client_max_body_size"),
        "{error:?}"
    );
    instance.stop().await.unwrap();
}
