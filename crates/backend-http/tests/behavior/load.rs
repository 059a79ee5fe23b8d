//! Many jobs at once.

use futures_util::future::join_all;

use crate::client::{provider, ready, run};
use crate::support::Plan;

/// What the server's memory may come to, in KiB.
const MEMORY: u64 = 100 << 10;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_jobs_at_once_have_their_verdicts() {
    let serving = Plan::new("fake")
        .option("log-output", "a line of output\n")
        .option("run-sleep", "3s")
        .option("exit-code", "9")
        .start();
    let provider = provider(&serving.endpoint, &[("capabilities", "signals,resumes")]);
    provider.setup().await.unwrap();
    let jobs = (0..200).map(|_| async {
        let instance = ready(&*provider, "anything").await;
        let (result, output) = run(&*instance).await;
        instance.stop().await.unwrap();
        assert_eq!(
            (result.exit_code(), output.as_slice()),
            (Some(9), &b"a line of output\n"[..])
        );
    });
    assert_eq!(join_all(jobs).await.len(), 200);
    assert!(provider.list().await.unwrap().is_empty());
    let memory = serving.memory();
    println!("memory of the server at its most: {memory} KiB");
    assert!(memory < MEMORY, "{memory} KiB");
}
