//! Limits on memory and processes.

use std::time::Duration;

use backend_core::{Capability, ErrorKind, Outcome, RunOptions, Signal, StartAttributes};

use crate::support::{Fixture, cgroups, eventually, exited};

/// A shell that doubles a string until its memory is at an end.
const GLUTTON: &str = "x=0123456789abcdef; while :; do x=$x$x; done";

fn with_limit(pairs: [(&str, &str); 1], capability: Capability) -> Option<Fixture> {
    let fixture = Fixture::with(pairs);
    if fixture.provider.capabilities().has(capability) {
        return Some(fixture);
    }
    println!("skipped: no {capability} on this machine");
    None
}

#[tokio::test]
async fn a_script_beyond_its_memory_is_told_from_one_that_was_killed() {
    let Some(fixture) = with_limit([("memory", "32M")], Capability::MemoryLimit) else {
        return;
    };
    let (result, output) = fixture.run(format!("echo begun; {GLUTTON}")).await;
    let killed = Outcome::Signaled {
        signal: Signal::KILL,
        oom: true,
    };
    assert_eq!(
        (result.outcome, output.as_slice()),
        (killed, &b"begun\n"[..])
    );
    assert!(result.oom_seen);

    let (result, output) = fixture
        .run(format!("(sh -c '{GLUTTON}'); echo $?; exit 3"))
        .await;
    assert_eq!(result.outcome, exited(3), "{output:?}");
    assert!(
        result.oom_seen && output.ends_with(b"137\n"),
        "{}",
        String::from_utf8_lossy(&output)
    );

    let (result, _) = fixture.run("kill -9 $$").await;
    assert_eq!(
        result.outcome,
        Outcome::Signaled {
            signal: Signal::KILL,
            oom: false
        }
    );
    assert!(!result.oom_seen);
    fixture.assert_empty();
}

#[tokio::test]
async fn a_fork_bomb_ends_with_the_job_and_not_with_the_machine() {
    let Some(fixture) = with_limit([("pids-limit", "40")], Capability::ProcessLimit) else {
        return;
    };
    for containment in ["auto", "marker"] {
        let base = fixture.outer().join(containment);
        let pairs = [("pids-limit", "40"), ("containment", containment)];
        let provider = crate::support::provider_in(&base, pairs);
        let instance =
            backend_core::ProviderExt::start_new(&*provider, &StartAttributes::default())
                .await
                .unwrap();
        instance
            .upload_script(b"#!/bin/bash\nbomb() { bomb | bomb & }; bomb; sleep 600")
            .await
            .unwrap();
        let (options, mut output) = (RunOptions::default(), Vec::new());
        let groups = cgroups(instance.id().as_str());
        assert!(!groups.is_empty());
        let watch = async {
            let count = || {
                let read = |group: &std::path::PathBuf| {
                    std::fs::read_to_string(group.join("pids.current")).ok()
                };
                groups.iter().find_map(read)?.trim().parse::<u32>().ok()
            };
            eventually("the bomb has gone off", || {
                count().filter(|count| *count >= 40)
            })
            .await;
            assert_eq!(count(), Some(40));
            tokio::time::timeout(Duration::from_secs(15), instance.stop())
                .await
                .unwrap()
                .unwrap();
        };
        let (result, ()) = tokio::join!(instance.run_script(&options, &mut output), watch);
        assert!(matches!(result.unwrap().outcome, Outcome::Lost(_)));
        assert!(cgroups(instance.id().as_str()).is_empty());
        assert_eq!(std::fs::read_dir(&base).unwrap().count(), 0);
    }
}

#[tokio::test]
async fn a_limit_that_cannot_be_set_is_refused_by_start_and_setup() {
    let fixture = Fixture::with([("memory", "32M"), ("pids-limit", "9")]);
    let capabilities = fixture.provider.capabilities();
    let setup = fixture.provider.setup().await;
    let all =
        capabilities.has(Capability::MemoryLimit) && capabilities.has(Capability::ProcessLimit);
    assert_eq!(setup.is_ok(), all, "{setup:?}");
    if let Err(error) = setup {
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.hint().is_some());
    }
}
