//! Places that are read-only, or do not let programs run.

use std::sync::{Arc, Mutex};

use backend_core::{Phase, Progress, ProgressReporter, RunOptions, StartAttributes, StartContext};

use crate::support::{Jobs, shared_engine};

#[tokio::test(flavor = "multi_thread")]
async fn a_container_in_which_nothing_can_be_written_runs_and_says_where() {
    let Some(engine) = shared_engine() else {
        return;
    };
    let jobs = Jobs::at(&engine, &[("read-only", "true")]);
    let notices: Arc<Mutex<Vec<String>>> = Arc::default();
    let told = notices.clone();
    let progress = ProgressReporter::new(move |news: Progress| {
        if news.phase == Phase::Notice {
            told.lock().unwrap().push(news.detail);
        }
    });
    let context = StartContext::new().progress(progress);
    let attributes = StartAttributes::default();
    let starting = jobs.provider.start(&attributes, &context);
    let instance = starting.await.unwrap();
    instance.upload_script(b"pwd; exit 6\n").await.unwrap();
    let mut output = Vec::new();
    let options = RunOptions::default();
    let result = instance.run_script(&options, &mut output).await.unwrap();
    assert_eq!(
        (result.exit_code(), output.as_slice()),
        (Some(6), &b"/\n"[..])
    );
    let notices = notices.lock().unwrap().join("; ");
    assert!(notices.contains("the script runs in /"), "{notices}");
    instance.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_place_from_which_no_program_may_be_run_does_not_matter() {
    let Some(engine) = shared_engine() else {
        return;
    };
    let options = [
        ("read-only", "true"),
        ("tmpfs", "/tmp:mode=1777\\,noexec"),
        ("working-directory", "/tmp"),
    ];
    let jobs = Jobs::at(&engine, &options);
    let instance = jobs.ready("#!/bin/sh\npwd; exit 6\n").await;
    let mut output = Vec::new();
    let options = RunOptions::default();
    let result = instance.run_script(&options, &mut output).await.unwrap();
    assert_eq!(
        (result.exit_code(), output.as_slice()),
        (Some(6), &b"/tmp\n"[..])
    );
    instance.stop().await.unwrap();
    jobs.nothing_left_at(&engine).await;
}
