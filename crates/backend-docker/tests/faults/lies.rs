//! Engines that lie: the real one, with single answers of it replaced.

use std::time::Duration;

use backend_core::{ErrorKind, Outcome, RunResult};

use crate::liar::{Liar, Lie, answer};
use crate::support::{Jobs, PROMPTLY, run, shared_engine};

fn lies() -> Vec<(&'static str, Lie)> {
    vec![
        (
            "a proxy's 404",
            answer("404 Not Found", "<html>not found</html>"),
        ),
        ("409", answer("409 Conflict", "{\"message\":\"conflict\"}")),
        (
            "429",
            Lie::Bytes(
                b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n"
                    .to_vec(),
            ),
        ),
        (
            "500",
            answer("500 Internal Server Error", "{\"message\":\"boom\"}"),
        ),
        ("an empty body", answer("200 OK", "")),
        ("another document", answer("200 OK", "[1, 2, 3]")),
        (
            "a truncated body",
            Lie::Bytes(
                b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{\"State\":{\"Exit".to_vec(),
            ),
        ),
        (
            "garbage",
            Lie::Bytes(b"\x00\x01\x02 no HTTP at all\r\n\r\n".to_vec()),
        ),
        ("nothing", Lie::Bytes(Vec::new())),
        ("a body without end", Lie::Endless),
        ("silence", Lie::Silence),
    ]
}

/// Runs `exit 43` while the engine lies once to requests with `part`.
async fn verdict_under(engine: &str, part: &str, lie: Lie) -> RunResult {
    let liar = Liar::in_front_of(engine);
    let jobs = Jobs::at(&liar.endpoint, &[("request-timeout", "2s")]);
    let instance = jobs.ready("echo out\nexit 43\n").await;
    liar.lie(part, 1, lie);
    let mut running = run(instance);
    let result = running.ends_within(PROMPTLY).await;
    running.instance.stop().await.unwrap();
    jobs.nothing_left_at(engine).await;
    result
}

#[tokio::test(flavor = "multi_thread")]
async fn no_answer_to_a_wait_or_an_inspection_changes_the_verdict() {
    let Some(engine) = shared_engine() else {
        return;
    };
    for (name, lie) in lies() {
        if name == "silence" {
            continue; // a wait is silent by its nature; see below for inspections
        }
        for part in ["/wait", "/json"] {
            println!("{part}: {name}");
            let result = verdict_under(&engine, part, lie.clone()).await;
            assert_eq!(result.exit_code(), Some(43), "{part}, {name}: {result:?}");
        }
    }
    let result = verdict_under(&engine, "/json", Lie::Silence).await;
    assert_eq!(result.exit_code(), Some(43), "{result:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_that_lies_about_the_code_is_not_believed() {
    let Some(engine) = shared_engine() else {
        return;
    };
    let lie = answer("200 OK", "{\"StatusCode\":0}");
    let result = verdict_under(&engine, "/wait", lie).await;
    assert_eq!(result.exit_code(), Some(43), "{result:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_under_lies_is_a_typed_error_and_leaves_nothing() {
    let Some(engine) = shared_engine() else {
        return;
    };
    for (name, lie) in lies() {
        for part in ["/containers/create", "/attach", "/start"] {
            let liar = Liar::in_front_of(&engine);
            let jobs = Jobs::at(&liar.endpoint, &[("request-timeout", "2s")]);
            jobs.provider.setup().await.unwrap();
            liar.lie(part, 1, lie.clone());
            let began = std::time::Instant::now();
            let started = tokio::time::timeout(Duration::from_secs(50), jobs.start()).await;
            assert!(
                started.is_ok(),
                "{part}, {name}: no end after {:?}",
                began.elapsed()
            );
            match started.unwrap() {
                // The lie about the attach is one that Podman tells, too.
                Ok(instance) => instance.stop().await.unwrap(),
                Err(error) => println!("{part}, {name}: {error:?}"),
            }
            jobs.nothing_left_at(&engine).await;
        }
    }
}

/// What passes: an engine that is overloaded, restarted, or asked too often.
fn transient() -> Vec<(&'static str, Lie)> {
    let busy = answer("503 Service Unavailable", "{\"message\":\"busy\"}");
    let often = answer("429 Too Many Requests", "{\"message\":\"slowly\"}");
    vec![
        ("503", busy),
        ("429", often),
        ("hung up", Lie::Bytes(Vec::new())),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_fails_for_a_time_may_be_tried_again_until_it_works() {
    const TIMES: usize = 3;
    let Some(engine) = shared_engine() else {
        return;
    };
    for (name, lie) in transient() {
        for part in ["/images/", "/containers/create", "/start"] {
            let liar = Liar::in_front_of(&engine);
            let jobs = Jobs::at(&liar.endpoint, &[]);
            jobs.provider.setup().await.unwrap();
            liar.lie(part, TIMES, lie.clone());
            let mut failures = 0;
            let instance = loop {
                match jobs.start().await {
                    Ok(instance) => break instance,
                    Err(error) => {
                        assert!(error.is_retryable(), "{part}, {name}: {error:?}");
                        failures += 1;
                        assert!(failures <= TIMES, "{part}, {name}: {error:?}");
                    }
                }
            };
            assert_eq!(failures, TIMES, "{part}, {name}");
            // The failed ones have left nothing.
            assert_eq!(jobs.left_at(&engine).await.len(), 1, "{part}, {name}");
            instance.upload_script(b"exit 43\n").await.unwrap();
            let mut running = run(instance);
            let result = running.ends_within(PROMPTLY).await;
            assert_eq!(result.exit_code(), Some(43), "{part}, {name}: {result:?}");
            running.instance.stop().await.unwrap();
            jobs.nothing_left_at(&engine).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_fails_for_good_is_not_to_be_tried_again() {
    let Some(engine) = shared_engine() else {
        return;
    };
    for (status, kind) in [
        ("500 Internal Server Error", ErrorKind::Io),
        ("400 Bad Request", ErrorKind::InvalidInput),
        ("403 Forbidden", ErrorKind::Denied),
    ] {
        for part in ["/containers/create", "/start"] {
            let liar = Liar::in_front_of(&engine);
            let jobs = Jobs::at(&liar.endpoint, &[]);
            liar.lie(part, usize::MAX, answer(status, "{\"message\":\"boom\"}"));
            let error = jobs.start().await.unwrap_err();
            let is_final = !error.is_retryable() && error.kind() == kind;
            assert!(is_final, "{part}, {status}: {error:?}");
            jobs.nothing_left_at(&engine).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_that_are_none_are_no_output() {
    let Some(engine) = shared_engine() else {
        return;
    };
    let liar = Liar::in_front_of(&engine);
    let jobs = Jobs::at(&liar.endpoint, &[("request-timeout", "2s")]);
    let head = b"HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n".to_vec();
    liar.lie(
        "/attach",
        1,
        Lie::Bytes([head.as_slice(), b"this is no frame"].concat()),
    );
    let error = jobs.start().await.unwrap_err();
    println!("{error:?}");
    jobs.nothing_left_at(&engine).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removal_that_only_claims_to_have_removed_is_tried_again() {
    let Some(engine) = shared_engine() else {
        return;
    };
    let liar = Liar::in_front_of(&engine);
    let jobs = Jobs::at(&liar.endpoint, &[("request-timeout", "2s")]);
    let instance = jobs.ready("exit 0\n").await;
    liar.lie(
        "DELETE",
        1,
        Lie::Bytes(b"HTTP/1.1 204 No Content\r\n\r\n".to_vec()),
    );
    instance.stop().await.unwrap();
    jobs.nothing_left_at(&engine).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_has_forgotten_everything_is_a_run_that_is_lost() {
    let Some(engine) = shared_engine() else {
        return;
    };
    let liar = Liar::in_front_of(&engine);
    let jobs = Jobs::at(&liar.endpoint, &[("request-timeout", "2s")]);
    let mut running = run(jobs.ready("echo before\nsleep 300\n").await);
    running.printed("before").await;
    let gone = answer("404 Not Found", "{\"message\":\"No such container: x\"}");
    liar.lie("/json", 1000, gone.clone());
    // The wait that is under way is the engine's own: it ends with the container.
    let id = jobs.left_at(&engine).await[0].location.clone();
    testbed::engine_client::run(&engine, &["kill", &id]).unwrap();
    let result = running.ends_within(PROMPTLY).await;
    assert!(matches!(result.outcome, Outcome::Lost(_)), "{result:?}");
    liar.be_honest();
    running.instance.stop().await.unwrap();
    jobs.nothing_left_at(&engine).await;
}
