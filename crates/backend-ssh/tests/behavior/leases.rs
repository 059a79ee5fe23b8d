//! Slots, leases, and what happens when nobody is there.

use std::time::Duration;

use backend_core::{ErrorKind, InstanceExt as _, ProviderExt as _, RunOptions, StartAttributes};
use testbed::{SshKind, SshSetup};

use super::support::{
    KINDS, config, config_at, job, port, processes_with, provider, proxy, ready, server, until,
};

#[tokio::test]
async fn a_machine_that_nobody_asks_any_more_cleans_up_by_itself() {
    for kind in KINDS {
        let Some(server) = server(kind, &SshSetup::default()) else {
            return;
        };
        let proxy = proxy(&server).await;
        let mut config = config_at(&server, port(&proxy));
        config.set("lease", "3s").set("resume-window", "1s");
        let provider = provider(&config);
        let mark = format!("{}", 100_000 + fastrand::u32(..900_000));
        let script =
            format!("sleep {mark} & setsid sleep {mark} & trap '' TERM; echo ready; wait\n");
        let instance = ready(&*provider, &script).await;
        let mut output = Vec::new();
        let cut = async {
            let sleeping = || processes_with(&format!("sleep {mark}")).len() == 2;
            until(Duration::from_secs(10), "the script runs", sleeping).await;
            // From here on nobody can connect.
            proxy.refuse(true).await;
            proxy.reset().await;
        };
        let options = RunOptions::default();
        let run = instance.run_script(&options, &mut output);
        let (result, ()) = tokio::join!(run, cut);
        assert!(!result.unwrap().completed());
        let home = server.home().join(".worker-ssh");
        until(Duration::from_secs(30), "no file is left", || {
            !home.join("slot-1").exists()
        })
        .await;
        assert_eq!(
            processes_with(&format!("sleep {mark}")),
            Vec::<String>::new()
        );
        let program = home.display().to_string();
        until(Duration::from_secs(10), "no process is left", || {
            processes_with(&program).is_empty()
        })
        .await;
        proxy.refuse(false).await;
        instance.stop().await.unwrap();
    }
}

#[tokio::test]
async fn a_lease_is_renewed_for_as_long_as_someone_is_there() {
    let Some(server) = server(SshKind::OpenSsh, &SshSetup::default()) else {
        return;
    };
    let mut config = config(&server);
    config.set("lease", "2s").set("resume-window", "1s");
    let provider = provider(&config);
    let (result, output) = job(&*provider, "sleep 6; echo still here\n").await;
    assert!(result.success(), "{}", result.outcome);
    assert_eq!(output, b"still here\n");
}

#[tokio::test]
async fn two_workers_wait_for_each_other() {
    let Some(server) = server(SshKind::OpenSsh, &SshSetup::default()) else {
        return;
    };
    let mut config = config(&server);
    config.set("slots", "1");
    let (one, other) = (provider(&config), provider(&config));
    let first = ready(&*one, "exit 0\n").await;
    let attributes = StartAttributes::default();
    let second = other.start_new(&attributes);
    tokio::pin!(second);
    let early = tokio::time::timeout(Duration::from_secs(2), &mut second).await;
    assert!(early.is_err(), "one slot was leased twice");
    first.stop().await.unwrap();
    second.await.unwrap().stop().await.unwrap();
}

#[tokio::test]
async fn leftovers_that_cannot_be_read_are_stale() {
    let Some(server) = server(SshKind::OpenSsh, &SshSetup::default()) else {
        return;
    };
    let slot = server.home().join(".worker-ssh/slot-1");
    std::fs::create_dir_all(&slot).unwrap();
    std::fs::write(slot.join("artifact"), "of an earlier job").unwrap();
    let touched = std::process::Command::new("touch")
        .args(["-d", "1 hour ago"])
        .arg(&slot)
        .status();
    assert!(touched.unwrap().success());
    let mut config = config(&server);
    config.set("slots", "1");
    let started = provider(&config)
        .start_new(&StartAttributes::default())
        .await;
    let error = started.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Stale, "{error:?}");
    assert!(
        slot.join("artifact").exists(),
        "what is not ours is left alone"
    );
    // Another slot can be used.
    config.set("slots", "2");
    assert!(job(&*provider(&config), "exit 0\n").await.0.success());
}

#[tokio::test]
async fn a_slot_of_an_earlier_boot_is_taken_over() {
    let Some(server) = server(SshKind::OpenSsh, &SshSetup::default()) else {
        return;
    };
    let mut config = config(&server);
    config.set("slots", "1");
    let provider = provider(&config);
    let slot = server.home().join(".worker-ssh/slot-1");
    std::fs::create_dir_all(&slot).unwrap();
    for (file, text) in [
        ("id", "w-1\n"),
        ("boot", "another\n"),
        ("marks", "{}\n"),
        ("lease", "9 9\n"),
    ] {
        std::fs::write(slot.join(file), text).unwrap();
    }
    assert!(job(&*provider, "exit 0\n").await.0.success());
    assert!(!slot.exists());
}

#[tokio::test]
async fn hooks_run_before_and_after_each_job() {
    let Some(server) = server(SshKind::OpenSsh, &SshSetup::default()) else {
        return;
    };
    let mut config = config(&server);
    let log = server.directory().join("hooks");
    let say = |word: &str| format!("echo {word} >>{}", log.display());
    config
        .set("slots", "1")
        .set("prepare", say("prepare"))
        .set("revert", say("revert"));
    let with_hooks = provider(&config);
    let (result, _) = job(&*with_hooks, &format!("{}\n", say("script"))).await;
    assert!(result.success());
    assert_eq!(
        std::fs::read_to_string(&log).unwrap(),
        "prepare\nscript\nrevert\n"
    );

    config
        .set("prepare", "echo no such tool >&2; exit 3")
        .set("revert", say("again"));
    let error = provider(&config)
        .start_new(&StartAttributes::default())
        .await
        .unwrap_err();
    let text = backend_core::Chain(&error).to_string();
    assert!(
        text.contains("code 3") && text.contains("no such tool"),
        "{text}"
    );
    assert!(!server.home().join(".worker-ssh").exists());

    // A machine that could not be reverted is not used again.
    config
        .set("prepare", "true")
        .set("revert", "echo broken; exit 1");
    let broken = provider(&config);
    let instance = ready(&*broken, "exit 0\n").await;
    let result = instance.run_to(tokio::io::sink()).await.unwrap();
    assert!(result.success());
    let error = instance.stop().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Leftover, "{error:?}");
    let mut without = config.clone();
    without.set("revert", "true");
    // With a way to revert it, it is.
    let again = provider(&without);
    assert!(job(&*again, "exit 0\n").await.0.success());
    again.settle().await;
}

#[tokio::test]
async fn what_runs_is_ended_also_where_its_files_are_gone() {
    let Some(server) = server(SshKind::OpenSsh, &SshSetup::default()) else {
        return;
    };
    let mut config = config(&server);
    config.set("lease", "3s").set("resume-window", "1s");
    for stopped in [true, false] {
        let provider = provider(&config);
        let mark = format!("sleep {}", 100_000 + fastrand::u32(..900_000));
        let instance = ready(&*provider, &format!("{mark} & wait\n")).await;
        let options = RunOptions::default();
        let mut output = Vec::new();
        let run = instance.run_script(&options, &mut output);
        let meanwhile = async {
            let runs = || processes_with(&mark).len() == 1;
            until(Duration::from_secs(10), "the script runs", runs).await;
            std::fs::remove_dir_all(server.home().join(".worker-ssh")).unwrap();
            if stopped {
                instance.stop().await.unwrap();
            }
            // Else the switch sees that the files are gone.
            let gone = || processes_with(&mark).is_empty();
            until(Duration::from_secs(30), "nothing runs", gone).await;
            instance.stop().await.unwrap();
        };
        let (result, ()) = tokio::join!(run, meanwhile);
        assert!(!result.unwrap().success());
    }
}
