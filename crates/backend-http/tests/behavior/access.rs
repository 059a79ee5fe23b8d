//! Who may: tokens and scopes; and that no token is in any log.

use backend_core::{ErrorKind, ProviderExt as _, StartAttributes};

use crate::client::{JSON, provider, ready, request, run};
use crate::support::Plan;

const ANN: &str = "ann-token-0123456789";
const ANN_READS: &str = "ann-reads-0123456789";
const BOB: &str = "bob-token-0123456789";

#[tokio::test]
async fn a_token_reaches_its_own_instances_and_a_reader_only_watches() {
    let mut plan = Plan::new("local");
    plan.tokens = Some(format!(
        "ann full {ANN}\nann read {ANN_READS}\nbob full {BOB}\n"
    ));
    let serving = plan.start();
    let address = serving.address();
    let header = |token: &str| format!("authorization: Bearer {token}");
    let ask = |token: &str, method: &str, path: &str| {
        request(address, method, path, &[&header(token), JSON], b"{}").0
    };

    let ann = provider(&serving.endpoint, &[("token", ANN)]);
    ann.setup().await.unwrap();
    let instance = ready(&*ann, "echo mine\n").await;
    assert_eq!(run(&*instance).await.1, b"mine\n");
    let path = format!("/v1/instances/{}", instance.id());
    assert_eq!(ask(ANN_READS, "GET", &path), 200);
    assert_eq!(ask(ANN_READS, "DELETE", &path), 403);
    assert_eq!(ask(ANN_READS, "PUT", &format!("{path}/lease")), 403);
    assert_eq!(ask(BOB, "GET", &path), 404);
    assert_eq!(ask(BOB, "PUT", &path), 409);
    // Gone for Bob, and untouched.
    assert_eq!(ask(BOB, "DELETE", &path), 204);
    assert_eq!(ask(ANN, "GET", &path), 200);
    let bob = provider(&serving.endpoint, &[("token", BOB)]);
    assert!(bob.list().await.unwrap().is_empty());
    assert_eq!(ann.list().await.unwrap().len(), 1);
    assert_eq!(request(address, "GET", &path, &[], b"").0, 401);
    assert_eq!(request(address, "GET", "/healthz", &[], b"").0, 204);

    for wrong in ["wrong-token-0123456789", ""] {
        let options: &[(&str, &str)] = if wrong.is_empty() {
            &[]
        } else {
            &[("token", wrong)]
        };
        let stranger = provider(&serving.endpoint, options);
        let error = stranger.setup().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Denied, "{error:?}");
        assert!(
            error.hint().unwrap().contains("WORKER_HTTP_TOKEN"),
            "{error:?}"
        );
        assert!(!format!("{error:?}").contains("wrong-token"), "{error:?}");
        let start = stranger.start_new(&StartAttributes::default()).await;
        assert_eq!(start.unwrap_err().kind(), ErrorKind::Denied);
    }
    instance.stop().await.unwrap();
    let log = serving.daemon.log();
    assert!(
        log.contains("caller=\"ann\"") && log.contains("status=401"),
        "{log}"
    );
    for secret in [ANN, ANN_READS, BOB, "wrong-token"] {
        assert!(!log.contains(secret), "a token is in the log");
    }
}
