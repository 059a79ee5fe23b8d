//! What a worker leaves that was killed, and who may remove it.

use std::fs;
use std::process::{Command, Stdio};

use backend_core::{FoundState, Liveness, Outcome, StartAttributes, StartContext};

use crate::support::{Fixture, alive, cgroups, eventually, exited, only, provider_in, worker};

#[tokio::test]
async fn a_killed_worker_leaves_nothing_after_list_and_remove() {
    for containment in ["auto", "marker"] {
        let fixture = Fixture::new();
        let provider = provider_in(&fixture.base(), [("containment", containment)]);
        let (script, pid) = (fixture.outer().join("script"), fixture.outer().join("pid"));
        fs::write(
            &script,
            format!(
                "setsid sleep 500 & echo $! > {0}.new; mv {0}.new {0}; echo hi; sleep 500",
                pid.display()
            ),
        )
        .unwrap();
        let mut process = Command::new(worker())
            .arg(&script)
            .arg(format!("directory={}", fixture.base().display()))
            .arg(format!("containment={containment}"))
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        eventually("the script runs", || alive(&pid).filter(|alive| *alive)).await;
        let found = only(&provider).await;
        assert_eq!(found.state, FoundState::Running);
        assert_eq!(found.marks.worker.pid, process.id());
        assert_eq!(found.marks.worker.liveness(), Liveness::Alive);

        process.kill().unwrap();
        process.wait().unwrap();
        let found = only(&provider).await;
        assert_eq!(
            found.state,
            FoundState::Running,
            "nothing ends it but a reaper"
        );
        assert_eq!(found.marks.worker.liveness(), Liveness::Dead);
        provider.remove(&found).await.unwrap();
        assert_eq!(alive(&pid), Some(false));
        assert!(cgroups(found.marks.instance.as_str()).is_empty());
        assert!(provider.list().await.unwrap().is_empty());
        fixture.assert_empty();
        provider.remove(&found).await.unwrap();
    }
}

#[tokio::test]
async fn only_what_was_found_is_removed() {
    let fixture = Fixture::new();
    assert!(
        fixture.provider.list().await.unwrap().is_empty(),
        "no directory yet"
    );
    let instance = fixture.uploaded("exit 5").await;
    let found = only(&fixture.provider).await;
    assert_eq!(found.state, FoundState::Stopped);
    assert_eq!(&found.marks.instance, instance.id());

    let mut other = found.clone();
    other.marks.created += 1;
    fixture.provider.remove(&other).await.unwrap();
    let mut elsewhere = found.clone();
    elsewhere.location = "/etc".into();
    fixture.provider.remove(&elsewhere).await.unwrap_err();
    // Neither has touched it.
    let result = backend_core::InstanceExt::run_to(&*instance, Vec::new())
        .await
        .unwrap();
    assert_eq!(result.outcome, exited(5));

    // What has no marks is nobody's.
    for name in ["w-0", "not an id", "w-1"] {
        fs::create_dir(fixture.base().join(name)).unwrap();
    }
    fs::write(fixture.base().join("w-1/marks.json"), "{}").unwrap();
    assert_eq!(only(&fixture.provider).await, found);
    fixture.provider.remove(&found).await.unwrap();
    assert_eq!(fs::read_dir(fixture.base()).unwrap().count(), 3);
    instance.stop().await.unwrap();
}

#[tokio::test]
async fn an_instance_that_is_kept_outlives_its_drop() {
    let fixture = Fixture::new();
    let mut context = StartContext::new();
    context.keep = true;
    let instance = fixture
        .provider
        .start(&StartAttributes::default(), &context)
        .await
        .unwrap();
    drop(instance);
    fixture.provider.settle().await;
    let found = only(&fixture.provider).await;
    assert!(found.marks.kept);
    fixture.provider.remove(&found).await.unwrap();
    fixture.assert_empty();
}

#[tokio::test]
async fn empty_directories_of_dead_workers_go_with_the_next_setup() {
    let fixture = Fixture::new();
    fixture.output("").await;
    let (old, young) = (fixture.base().join("w-0"), fixture.base().join("w-1"));
    for directory in [&old, &young] {
        fs::create_dir(directory).unwrap();
        fs::write(directory.join("marks.new"), "{").unwrap();
    }
    let hour_ago = std::time::SystemTime::now() - std::time::Duration::from_hours(1);
    fs::File::open(&old)
        .unwrap()
        .set_modified(hour_ago)
        .unwrap();
    fixture.provider.setup().await.unwrap();
    assert!(!old.exists() && young.exists());
}

/// Everything as a user who may make no cgroups and not override permissions.
#[tokio::test]
async fn an_ordinary_user_can_do_all_of_it() {
    const NOBODY: &str = "65534";
    let outer = tempfile::Builder::new().tempdir_in("/tmp").unwrap();
    let (program, script) = (outer.path().join("run"), outer.path().join("script"));
    fs::copy(worker(), &program).unwrap();
    fs::write(
        &script,
        "id -u; mkdir -p a/b; echo > a/b/f; chmod 000 a/b a; (setsid sleep 500 &) >/dev/null 2>&1; kill -9 $$",
    )
    .unwrap();
    let base = outer.path().join("all/base");
    for (path, mode) in [(outer.path(), 0o711), (&program, 0o755), (&script, 0o644)] {
        fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
    }
    fs::create_dir(outer.path().join("all")).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o777);
    fs::set_permissions(outer.path().join("all"), mode).unwrap();
    let output = Command::new("setpriv")
        .args(["--reuid", NOBODY, "--regid", NOBODY, "--clear-groups"])
        .arg(&program)
        .arg(&script)
        .arg(format!("directory={}", base.display()))
        .output()
        .unwrap();
    if !rustix::process::geteuid().is_root() {
        println!("skipped: only root can become another user");
        return;
    }
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "65534\n",
        "{errors}"
    );
    let killed = Outcome::Signaled {
        signal: backend_core::Signal::KILL,
        oom: false,
    };
    assert_eq!(errors, format!("{killed}\n"));
    assert_eq!(fs::read_dir(base).map_or(0, Iterator::count), 0);
}
