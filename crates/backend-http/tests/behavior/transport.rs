//! TLS with an authority of one's own, and Unix sockets.

use backend_core::ErrorKind;

use crate::client::{provider, ready, run, try_provider};
use crate::support::Plan;

#[tokio::test]
async fn tls_is_verified_against_the_authority_that_is_given() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    std::fs::write(path("certificate"), made.cert.pem()).unwrap();
    std::fs::write(path("key"), made.signing_key.serialize_pem()).unwrap();
    let other = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    std::fs::write(path("other"), other.cert.pem()).unwrap();
    let mut plan = Plan::new("local");
    plan.certificate = Some((path("certificate"), path("key")));
    let serving = plan.start();
    assert!(serving.endpoint.starts_with("https://"));

    let ca_file = path("certificate");
    let trusting = provider(&serving.endpoint, &[("ca-file", ca_file.to_str().unwrap())]);
    trusting.setup().await.unwrap();
    let instance = ready(&*trusting, "echo safe\n").await;
    assert_eq!(run(&*instance).await.1, b"safe\n");
    instance.stop().await.unwrap();

    let other = path("other");
    for options in [&[("ca-file", other.to_str().unwrap())][..], &[]] {
        let error = match try_provider(&serving.endpoint, options) {
            Ok(provider) => provider.setup().await.unwrap_err(),
            // Where the system has no authorities at all.
            Err(error) => error,
        };
        assert!(
            format!("{error:?}").to_lowercase().contains("certificate"),
            "{error:?}"
        );
    }
    let key = path("key");
    for wrong in ["/no/such/file", key.to_str().unwrap()] {
        let error = try_provider(&serving.endpoint, &[("ca-file", wrong)]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidOption);
        assert!(format!("{error:?}").contains(wrong), "{error:?}");
    }
}

#[tokio::test]
async fn a_unix_socket_serves_who_can_open_it() {
    let directory = tempfile::tempdir().unwrap();
    let mut plan = Plan::new("local");
    plan.socket = Some(directory.path().join("worker.sock"));
    let serving = plan.start();
    assert!(serving.endpoint.starts_with("unix:///"));
    let provider = provider(&serving.endpoint, &[]);
    provider.setup().await.unwrap();
    let instance = ready(&*provider, "echo near\n").await;
    assert_eq!(run(&*instance).await.1, b"near\n");
    instance.stop().await.unwrap();
}
