//! Schemathesis against the server's own description: no failure of the
//! server, and no answer that is not described.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::client::{JSON, eventually, request};
use crate::support::{Plan, Serving};

/// Examples for each operation in each of its two runs.
const EXAMPLES: &str = "20";

#[tokio::test]
async fn schemathesis_finds_no_undocumented_answer() {
    let Some(program) = program() else {
        return testbed::missing(
            "http",
            "schemathesis is missing; `cargo xtask test` installs it",
        );
    };
    let seed = std::env::var("WORKER_TEST_SEED").unwrap_or_else(|_| fastrand::u32(..).to_string());
    println!("WORKER_TEST_SEED={seed}");
    let token = "0123456789abcdef";
    let mut plan = Plan::new("fake")
        .option("run-sleep", "300s")
        .option("log-output", "hello\n");
    plan.tokens = Some(token.into());
    let serving = plan.start();
    // With ids of its own choice, and with those of an instance that runs.
    check(&program, &serving, token, &seed, &[]);
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("schemathesis.toml");
    let known = "[parameters]\n\"path.iid\" = \"known\"\n\"path.rid\" = \"known-run\"\n";
    std::fs::write(&file, known).unwrap();
    begin(&serving, token).await;
    let file = file.to_str().unwrap();
    check(&program, &serving, token, &seed, &["--config-file", file]);
    let log = serving.daemon.log();
    assert!(!log.contains("panicked") && !log.contains(token), "{log}");
}

/// The program, where the set-up of the tests puts it.
fn program() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2)?;
    let program = root.join("target/schemathesis/bin/schemathesis");
    program.exists().then_some(program)
}

/// Has an instance `known` run for a long time.
async fn begin(serving: &Serving, token: &str) {
    let header = format!("authorization: Bearer {token}");
    let put = |path: &str, body: &str| {
        let path = format!("/v1/instances/known{path}");
        request(
            serving.address(),
            "PUT",
            &path,
            &[JSON, &header],
            body.as_bytes(),
        )
        .0
    };
    assert_eq!(put("", r#"{"lease_s":3600}"#), 201);
    let ready = || put("/script", "echo hello") == 201;
    eventually("an instance", Duration::from_secs(20), ready).await;
    assert_eq!(put("/runs/known-run", "{}"), 201);
}

fn check(program: &Path, serving: &Serving, token: &str, seed: &str, first: &[&str]) {
    let mut command = Command::new(program);
    command
        .args(first)
        .arg("run")
        .arg(format!("{}/openapi.json", serving.endpoint))
        .args(["--header", &format!("Authorization: Bearer {token}")])
        .args(["--max-examples", EXAMPLES, "--seed", seed])
        .args(["--no-color", "--request-timeout", "40"])
        // What is valid by its form may still not fit the state.
        .args(["--exclude-checks", "positive_data_acceptance"]);
    if !first.is_empty() {
        // They would end the instance that is known.
        command.args(["--exclude-operation-id", "deleteInstance"]);
        command.args(["--exclude-operation-id", "renewLease"]);
    }
    let output = command
        .current_dir(serving.daemon.directory())
        .output()
        .unwrap();
    let text: String = String::from_utf8_lossy(&output.stdout)
        .chars()
        .take(20_000)
        .collect();
    assert!(output.status.success(), "with seed {seed}:\n{text}");
    let summary = text.lines().rev().find(|line| line.contains("generated"));
    println!("schemathesis:{}", summary.unwrap_or_default());
}
