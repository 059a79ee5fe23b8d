//! Far sides of other kinds: login shells that are not POSIX, busybox for all
//! tools, homes that cannot be used, noise, and a disk that is full.

use std::process::Command;

use backend_core::testkit::sha256_hex;
use backend_core::{Chain, ErrorKind, ProviderExt as _, RunOptions, StartAttributes};
use testbed::{SshKind, SshServer, SshSetup, find_program};

use super::support::{KINDS, config, job, provider, ready, server};

/// A script that needs all of it: a file, an environment, output of some size,
/// and a child.
const SCRIPT: &str = "#!/bin/sh\nset -e\necho \"in $PWD\" >&2\nhead -c 3000000 /dev/zero | tr '\\0' x >data\n\
    cat data\n(sleep 1; echo late) &\nsha256sum <data | cut -c1-64\nexit 9\n";

async fn works(server: &SshServer, what: &str) {
    let (result, output) = job(&*provider(&config(server)), SCRIPT).await;
    assert_eq!(result.exit_code(), Some(9), "{what}: {}", result.outcome);
    assert!(result.output_complete, "{what}");
    let text = String::from_utf8(output).unwrap();
    let hash = sha256_hex(&vec![b'x'; 3_000_000]);
    assert!(
        text.ends_with(&format!("{hash}\nlate\n")),
        "{what}: {}",
        &text[text.len() - 100..]
    );
    let left = provider(&config(server)).list().await.unwrap();
    assert!(
        left.is_empty() && !server.home().join(".worker-ssh").exists(),
        "{what}: {left:?}"
    );
}

#[tokio::test]
async fn any_login_shell_will_do() {
    for name in ["fish", "tcsh", "bash", "dash"] {
        let Some(shell) = find_program(name) else {
            testbed::missing("ssh", &format!("there is no {name}"));
            continue;
        };
        for kind in KINDS {
            let setup = SshSetup {
                shell: Some(shell.clone()),
                // dropbear lets in only those whose shell is in this file.
                files: vec![("/etc/shells".into(), format!("{}\n", shell.display()))],
                ..SshSetup::default()
            };
            let Some(server) = server(kind, &setup) else {
                return;
            };
            works(&server, &format!("{name} on {kind:?}")).await;
        }
    }
}

#[tokio::test]
async fn busybox_is_enough() {
    let Some(busybox) = find_program("busybox") else {
        return testbed::missing("ssh", "there is no busybox");
    };
    // All tools of busybox in place of those of the machine.
    let tools = tempfile::tempdir().unwrap();
    let listed = Command::new(&busybox).arg("--list").output().unwrap();
    for tool in String::from_utf8(listed.stdout).unwrap().lines() {
        std::os::unix::fs::symlink(&busybox, tools.path().join(tool)).unwrap();
    }
    let setup = SshSetup {
        binds: vec![(busybox, std::fs::canonicalize("/bin/sh").unwrap())],
        lines: vec![format!("SetEnv PATH={}", tools.path().display())],
        ..SshSetup::default()
    };
    let Some(server) = server(SshKind::OpenSsh, &setup) else {
        return;
    };
    let (_, output) = job(&*provider(&config(&server)), "tail --version 2>&1\n").await;
    assert!(!String::from_utf8(output).unwrap().contains("GNU"));
    works(&server, "busybox").await;
}

#[tokio::test]
async fn noise_of_start_up_files_is_not_output() {
    // bash reads this also for a command, when it is run by sshd.
    let bash = find_program("bash").unwrap();
    let setup = SshSetup {
        shell: Some(bash),
        ..SshSetup::default()
    };
    let Some(noisy) = server(SshKind::OpenSsh, &setup) else {
        return;
    };
    std::fs::write(
        noisy.home().join(".bashrc"),
        "echo welcome; echo '@exit 0 0' >&2\n",
    )
    .unwrap();
    let (result, output) = job(&*provider(&config(&noisy)), "echo mine; exit 4\n").await;
    assert_eq!(
        (result.exit_code(), output.as_slice()),
        (Some(4), &b"mine\n"[..])
    );
}

#[tokio::test]
async fn a_place_that_cannot_be_written_is_told_and_another_can_be_named() {
    let Some(server) = server(SshKind::OpenSsh, &SshSetup::default()) else {
        return;
    };
    let mut config = config(&server);
    config.set("directory", "/proc/worker");
    let error = provider(&config).setup().await.unwrap_err();
    let text = Chain(&error).to_string();
    assert!(text.contains("/proc/worker"), "{text}");
    assert!(error.hint().unwrap().contains("directory"), "{error:?}");
    let other = server.directory().join("other/place");
    config.set("directory", other.display().to_string());
    assert!(job(&*provider(&config), "exit 0\n").await.0.success());
    assert!(!other.exists());
}

#[tokio::test]
async fn a_file_system_without_exec_does_not_matter() {
    let Some(server) = with_small_home("noexec,size=64m") else {
        return;
    };
    works(&server, "noexec").await;
}

#[tokio::test]
async fn a_full_disk_is_flagged_and_is_not_the_end_of_the_script() {
    let Some(server) = with_small_home("size=4m") else {
        return;
    };
    let provider = provider(&config(&server));
    let (result, output) = job(
        &*provider,
        "head -c 9000000 /dev/zero; echo still here >/dev/null; exit 5\n",
    )
    .await;
    assert_eq!(result.exit_code(), Some(5), "{}", result.outcome);
    assert!(!result.output_complete && output.len() < 9_000_000);
    let instance = provider
        .start_new(&StartAttributes::default())
        .await
        .unwrap();
    let error = instance
        .upload_script(&vec![b'#'; 9_000_000])
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Exhausted, "{error:?}");
    instance.stop().await.unwrap();
    assert!(!server.home().join(".worker-ssh").exists());
}

#[tokio::test]
async fn a_run_for_which_there_is_no_room_has_not_begun() {
    let Some(server) = with_small_home("size=4m") else {
        return;
    };
    let provider = provider(&config(&server));
    let late = ready(&*provider, "echo never\n").await;
    let filling = "head -c 9000000 /dev/zero 2>/dev/null >\"$HOME/fill\"; exit 0\n";
    // Stopped at the end only, since its files make room.
    let filler = ready(&*provider, filling).await;
    let mut output = Vec::new();
    let options = RunOptions::default();
    let result = filler.run_script(&options, &mut output).await.unwrap();
    assert!(result.success(), "{}", result.outcome);
    let error = late.run_script(&options, &mut output).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Exhausted, "{error:?}");
    assert!(output.is_empty());
    late.stop().await.unwrap();
    filler.stop().await.unwrap();
    assert!(provider.list().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_machine_without_setsid_is_refused() {
    let Some(setsid) = find_program("setsid") else {
        return;
    };
    let setup = SshSetup {
        // No program, since it may not be executed.
        files: vec![(setsid, String::new())],
        ..SshSetup::default()
    };
    let Some(server) = server(SshKind::OpenSsh, &setup) else {
        return;
    };
    let error = provider(&config(&server)).setup().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsuitable, "{error:?}");
    assert!(Chain(&error).to_string().contains("setsid"), "{error:?}");
}

#[tokio::test]
async fn a_machine_without_a_shell_is_refused() {
    let Some(server) = server(
        SshKind::OpenSsh,
        &SshSetup {
            shell: find_program("false"),
            ..SshSetup::default()
        },
    ) else {
        return;
    };
    let error = provider(&config(&server)).setup().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsuitable, "{error:?}");
    assert!(
        Chain(&error).to_string().contains("no POSIX shell"),
        "{error:?}"
    );
}

/// A server whose home is a file system of its own, with these options.
fn with_small_home(options: &str) -> Option<SshServer> {
    let home = Some(options.to_owned());
    let setup = SshSetup {
        home,
        ..SshSetup::default()
    };
    server(SshKind::OpenSsh, &setup)
}
