//! Where instances live: odd directories, full and read-only ones.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use backend_core::{Chain, ErrorKind, ProviderExt, RunOptions, StartAttributes, StartContext};
use testbed::Tmpfs;

use crate::support::{Fixture, provider_in};

/// A small file system in memory; `None` where this user cannot mount.
fn mount(options: &str) -> Option<Tmpfs> {
    let mounted = Tmpfs::mount(options).unwrap();
    if mounted.is_none() {
        println!("skipped: this user cannot mount");
    }
    mounted
}

#[tokio::test]
async fn setup_says_what_is_wrong_and_leaves_nothing() {
    let fixture = Fixture::new();
    fixture.provider.setup().await.unwrap();
    fixture.provider.setup().await.unwrap();
    assert!(!fixture.base().exists(), "it did not exist before");

    let open = fixture.outer().join("open");
    fs::create_dir(&open).unwrap();
    fs::set_permissions(&open, fs::Permissions::from_mode(0o755)).unwrap();
    let error = provider_in(&open, []).setup().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsuitable);
    assert!(Chain(&error).to_string().contains("mode 755"));
    assert!(error.hint().unwrap().contains("`directory`"));

    let file = fixture.outer().join("file");
    fs::write(&file, "").unwrap();
    for base in [file.clone(), file.join("below")] {
        let provider = provider_in(&base, []);
        assert!(provider.setup().await.is_err());
        assert!(
            provider
                .start_new(&StartAttributes::default())
                .await
                .is_err()
        );
    }
}

#[tokio::test]
async fn a_full_disk_is_said_and_cleaned_up() {
    let Some(tmpfs) = mount("size=2m,mode=700") else {
        return;
    };
    let provider = provider_in(&tmpfs.path().join("base"), []);
    let instance = provider
        .start_new(&StartAttributes::default())
        .await
        .unwrap();
    let error = instance
        .upload_script(&vec![b'#'; 4 << 20])
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Exhausted);
    assert!(error.hint().is_some());
    assert!(error.is_retryable());
    // The room is there again once nobody has the file open: a process that
    // another test is just beginning may, for a moment.
    let deadline = Instant::now() + Duration::from_secs(20);
    while let Err(error) = instance.upload_script(b"exit 2").await {
        assert_eq!(error.kind(), ErrorKind::Exhausted);
        assert!(Instant::now() < deadline, "{error:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let result = backend_core::InstanceExt::run_to(&*instance, Vec::new())
        .await
        .unwrap();
    assert_eq!(result.exit_code(), Some(2));
    instance.stop().await.unwrap();
    fs::write(tmpfs.path().join("filler"), vec![0; 4 << 20]).unwrap_err();
    let error = provider
        .start_new(&StartAttributes::default())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Exhausted);
    assert_eq!(fs::read_dir(tmpfs.path().join("base")).unwrap().count(), 0);
}

#[tokio::test]
async fn a_read_only_file_system_is_said() {
    let Some(tmpfs) = mount("size=1m,ro") else {
        return;
    };
    let error = provider_in(&tmpfs.path().join("base"), [])
        .setup()
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied);
    assert!(error.hint().unwrap().contains("directory"));
}

#[tokio::test]
async fn noexec_does_not_matter() {
    let Some(tmpfs) = mount("size=1m,noexec,mode=700") else {
        return;
    };
    let provider = provider_in(&tmpfs.path().join("base"), []);
    let instance = provider
        .start_new(&StartAttributes::default())
        .await
        .unwrap();
    instance
        .upload_script(b"#!/bin/sh\necho hi\n")
        .await
        .unwrap();
    let mut output = Vec::new();
    let result = backend_core::InstanceExt::run_to(&*instance, &mut output)
        .await
        .unwrap();
    assert!(result.success() && output == b"hi\n");
    instance.stop().await.unwrap();
}

#[tokio::test]
async fn whatever_a_script_makes_is_removed_and_nothing_else() {
    let fixture = Fixture::new();
    let kept = fixture.outer().join("kept");
    fs::create_dir(&kept).unwrap();
    fs::write(kept.join("file"), "").unwrap();
    let script = format!(
        "ln -s {0} link; ln -s {0} \"$TMPDIR/link\"; mkdir -p a/b/c; echo > a/b/f; mkfifo a/fifo; \
         chattr +i a/b/f 2>/dev/null; chattr +a a 2>/dev/null; \
         i=0; while [ $i -lt 1200 ]; do mkdir d && cd d; i=$((i+1)); done; \
         chmod 000 \"$HOME\"; chmod -R 000 ../../a 2>/dev/null; \
         (while :; do echo > \"$TMPDIR/x$((n=n+1))\" || exit; done) >/dev/null 2>&1 & exit 0",
        kept.display()
    );
    fixture.run(script).await.0.exit_code().unwrap();
    assert!(kept.join("file").exists());
    fixture.assert_empty();
}

#[tokio::test]
async fn the_same_id_twice_is_refused_and_the_first_lives() {
    let fixture = Fixture::new();
    let context = backend_core::StartContext::new();
    let first = fixture
        .provider
        .start(&StartAttributes::default(), &context)
        .await
        .unwrap();
    let error = fixture
        .provider
        .start(&StartAttributes::default(), &context)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Stale);
    first.upload_script(b"exit 8").await.unwrap();
    let result = backend_core::InstanceExt::run_to(&*first, Vec::new())
        .await
        .unwrap();
    assert_eq!(result.exit_code(), Some(8));
    first.stop().await.unwrap();
    fixture.assert_empty();
}

#[tokio::test]
async fn one_of_the_same_id_elsewhere_is_left_alone_by_a_start_that_fails() {
    let (here, there) = (Fixture::new(), Fixture::new());
    let (attributes, context) = (StartAttributes::default(), StartContext::new());
    let first = here.provider.start(&attributes, &context).await.unwrap();
    first.upload_script(b"sleep 1; exit 7").await.unwrap();
    let options = RunOptions::default();
    let mut output = Vec::new();
    let (result, second) = tokio::join!(
        first.run_script(&options, &mut output),
        there.provider.start(&attributes, &context)
    );
    assert_eq!(result.unwrap().exit_code(), Some(7));
    // Without cgroups both can be there.
    if let Ok(second) = second {
        second.stop().await.unwrap();
    }
    first.stop().await.unwrap();
}
