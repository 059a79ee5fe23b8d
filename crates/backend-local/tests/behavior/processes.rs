//! What a script starts, and how all of it is reached.

use std::time::Duration;

use backend_core::{Capability, Outcome, RunOptions, Signal};

use crate::support::{ESCAPE, Fixture, alive, cgroups, eventually, exited, listed, signaled};

/// Runs `script` while `act` is done once the script has made `work/ready`.
async fn while_running(
    fixture: &Fixture,
    script: &str,
    act: impl AsyncFn(&dyn backend_core::Instance),
) -> (Outcome, String) {
    let instance = fixture.uploaded(script).await;
    let ready = fixture
        .base()
        .join(instance.id().as_str())
        .join("job/work/ready");
    let (options, mut output) = (RunOptions::default(), Vec::new());
    let acting = async {
        eventually("the script is ready", || ready.exists().then_some(())).await;
        act(&*instance).await;
    };
    let (result, ()) = tokio::join!(instance.run_script(&options, &mut output), acting);
    instance.stop().await.unwrap();
    fixture.assert_empty();
    (result.unwrap().outcome, String::from_utf8(output).unwrap())
}

#[tokio::test]
async fn a_signal_reaches_grandchildren_and_what_left_the_group() {
    for containment in ["auto", "marker"] {
        let fixture = Fixture::with([("containment", containment)]);
        let script = "\
            setsid sh -c 'trap \"echo escaped; exit\" TERM; while :; do sleep 0.01; done' &\n\
            sh -c 'trap \"echo grandchild; exit\" TERM; while :; do sleep 0.01; done' &\n\
            trap 'wait; echo bye; exit 99' TERM\n\
            sleep 0.2; echo > ready; wait; wait; wait";
        let (outcome, output) = while_running(&fixture, script, async |instance| {
            instance.signal(Signal::TERM).await.unwrap();
        })
        .await;
        assert_eq!(outcome, exited(99), "{containment}: {output}");
        for word in ["escaped", "grandchild", "bye"] {
            assert_eq!(output.matches(word).count(), 1, "{containment}: {output}");
        }
    }
}

#[tokio::test]
async fn what_ignores_term_is_ended_by_kill_with_all_of_it() {
    for containment in ["auto", "marker"] {
        let fixture = Fixture::with([("containment", containment)]);
        let script =
            "trap '' TERM; (while :; do sleep 1; done) & echo > ready; while :; do sleep 1; done";
        let (outcome, _) = while_running(&fixture, script, async |instance| {
            instance.signal(Signal::TERM).await.unwrap();
            assert!(instance.processes().await.unwrap().is_some());
            instance.signal(Signal::KILL).await.unwrap();
        })
        .await;
        assert_eq!(outcome, signaled(Signal::KILL));
    }
}

#[tokio::test]
async fn a_real_time_signal_can_be_sent() {
    let fixture = Fixture::new();
    let signal = Signal::from_number(40).unwrap();
    let (outcome, _) = while_running(&fixture, "echo > ready; exec sleep 60", async |instance| {
        instance.signal(signal).await.unwrap();
    })
    .await;
    assert_eq!(outcome, signaled(signal));
}

#[tokio::test]
async fn processes_are_listed_for_a_person() {
    let fixture = Fixture::new();
    let script = "setsid sleep 55 & echo > ready; sleep 44";
    let (outcome, _) = while_running(&fixture, script, async |instance| {
        listed(instance, &["PID", "sleep 55", "sleep 44", "/bin/sh"]).await;
        instance.signal(Signal::KILL).await.unwrap();
    })
    .await;
    assert_eq!(outcome, signaled(Signal::KILL));
}

#[tokio::test]
async fn what_left_the_session_and_cleared_its_environment_ends_with_the_instance() {
    let fixture = Fixture::new();
    if !fixture
        .provider
        .capabilities()
        .has(Capability::ContainsEscapees)
    {
        println!("skipped: no contains-escapees on this machine");
        return;
    }
    let pid = fixture.outer().join("pid");
    let script = format!(
        "{ESCAPE} (setsid sh -c 'echo $$ > {0}.new; mv {0}.new {0}; exec env -i sleep 300' &) >/dev/null 2>&1",
        pid.display()
    );
    let instance = fixture.uploaded(script).await;
    let result = instance
        .run_script(&RunOptions::default(), &mut Vec::new())
        .await
        .unwrap();
    assert_eq!(result.outcome, exited(0));
    eventually("it has escaped", || alive(&pid).filter(|alive| *alive)).await;
    assert!(!cgroups(instance.id().as_str()).is_empty());
    instance.stop().await.unwrap();
    assert_eq!(alive(&pid), Some(false));
    assert!(cgroups(instance.id().as_str()).is_empty());
}

#[tokio::test]
async fn what_left_the_session_ends_with_the_instance_by_its_marker() {
    let fixture = Fixture::with([("containment", "marker")]);
    assert!(
        !fixture
            .provider
            .capabilities()
            .has(Capability::ContainsEscapees)
    );
    let pid = fixture.outer().join("pid");
    let script = format!(
        "(setsid sh -c 'echo $$ > {0}.new; mv {0}.new {0}; exec sleep 300' &) >/dev/null 2>&1",
        pid.display()
    );
    let instance = fixture.uploaded(script).await;
    let mut output = Vec::new();
    instance
        .run_script(&RunOptions::default(), &mut output)
        .await
        .map(drop)
        .unwrap();
    eventually("it has escaped", || alive(&pid).filter(|alive| *alive)).await;
    assert!(cgroups(instance.id().as_str()).is_empty());
    instance.stop().await.unwrap();
    assert_eq!(alive(&pid), Some(false));
}

#[tokio::test]
async fn a_script_that_kills_its_group_leaves_the_worker_alive() {
    let fixture = Fixture::new();
    let (result, output) = fixture.run("echo a; kill -TERM 0; sleep 60").await;
    assert_eq!(
        (result.outcome, output.as_slice()),
        (signaled(Signal::TERM), &b"a\n"[..])
    );
}

#[tokio::test]
async fn a_stopped_group_can_be_killed() {
    let fixture = Fixture::new();
    let (outcome, _) = while_running(&fixture, "echo > ready; sleep 60", async |instance| {
        instance
            .signal(Signal::from_name("STOP").unwrap())
            .await
            .unwrap();
        tokio::time::timeout(Duration::from_secs(10), instance.stop())
            .await
            .unwrap()
            .unwrap();
    })
    .await;
    assert!(matches!(outcome, Outcome::Lost(_)), "{outcome}");
}
