//! Places that are read-only, do not let programs run, or are too small.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use backend_core::{
    Chain, Environment, ErrorKind, Phase, Progress, ProgressReporter, RunOptions, StartAttributes,
    StartContext,
};

use crate::liar::{Liar, Lie};
use crate::support::{Jobs, run, shared_engine};

/// How soon a lack is found, on a busy machine.
const SOON: Duration = Duration::from_secs(20);

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

#[tokio::test(flavor = "multi_thread")]
async fn a_script_that_fills_its_disk_has_its_own_exit() {
    let Some(engine) = shared_engine() else {
        return;
    };
    let options = [
        ("tmpfs", "/small:size=1m\\,mode=1777"),
        ("working-directory", "/small"),
    ];
    let jobs = Jobs::at(&engine, &options);
    let script = "echo begun\nhead -c 8388608 /dev/zero >file || exit 9\n";
    let mut running = run(jobs.ready(script).await);
    let result = running.ends_within(SOON).await;
    assert_eq!(result.exit_code(), Some(9), "{result:?}");
    assert!(result.output_complete && running.output.text().starts_with("begun\n"));
    running.instance.stop().await.unwrap();
    jobs.nothing_left_at(&engine).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_larger_than_the_memory_is_refused_soon_and_memory_is_named() {
    let Some(engine) = shared_engine() else {
        return;
    };
    for init in ["true", "false"] {
        let jobs = Jobs::at(&engine, &[("memory", "16M"), ("init", init)]);
        let instance = jobs.start().await.unwrap();
        let script = vec![b'#'; 64 << 20];
        let upload = tokio::time::timeout(SOON, instance.upload_script(&script)).await;
        let error = upload.unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Exhausted, "{error:?}");
        let (text, hint) = (Chain(&error).to_string(), error.hint().unwrap_or_default());
        assert!(
            text.contains("memory") && hint.contains("`memory`"),
            "{text}; {hint}"
        );
        instance.stop().await.unwrap();
        jobs.nothing_left_at(&engine).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_place_that_is_too_small_for_script_or_environment_is_named() {
    let Some(engine) = shared_engine() else {
        return;
    };
    let liar = Liar::in_front_of(&engine);
    let jobs = Jobs::at(&liar.endpoint, &[]);
    let mut environment = Environment::new();
    for number in 0..5 {
        environment
            .set(format!("LARGE_{number}"), "x".repeat(120 << 10))
            .unwrap();
    }
    for (script, fits) in [(4 << 20, false), (700 << 10, true)] {
        liar.lie(
            "/containers/create",
            1,
            Lie::Asked("size=512m", "size=001m"),
        );
        let instance = jobs.start().await.unwrap();
        let mut uploaded = instance.upload_script(&vec![b'#'; script]).await;
        assert_eq!(uploaded.is_ok(), fits, "{uploaded:?}");
        if fits {
            let options = RunOptions {
                environment: environment.clone(),
                ..RunOptions::default()
            };
            let mut output = Vec::new();
            uploaded = instance.run_script(&options, &mut output).await.map(|_| ());
        }
        let error = uploaded.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Exhausted, "{error:?}");
        assert!(
            error.hint().unwrap_or_default().contains("512 MiB"),
            "{error:?}"
        );
        instance.stop().await.unwrap();
        jobs.nothing_left_at(&engine).await;
    }
}
