//! Nothing of the worker's is seen by the script, however odd the worker is.

use std::path::Path;
use std::process::{Command, Output};

use crate::support::{Fixture, worker};

const LOOK: &str = r#"
echo "umask $(umask)"
echo "files $(ulimit -Sn) core $(ulimit -Sc) stack $(ulimit -Ss)"
echo "pwd $(pwd | sed 's,.*/job/,job/,') $(ls -A | wc -l)"
read x; echo "read $?"
test -t 0 || test -t 1 || echo no terminal
[ "$(cut -d' ' -f6 /proc/$$/stat)" = $$ ] && echo own session
env | sort | sed 's/=.*//' | tr '\n' ' '; echo
exec ls /proc/self/fd
"#;

/// Runs a script by a worker that `prelude` has made odd.
fn by_worker(prelude: &str, script: &Path, base: &Path) -> Output {
    Command::new("/bin/bash")
        .arg("-c")
        .arg(format!("{prelude}\nexec \"$0\" \"$@\""))
        .arg(worker())
        .arg(script)
        .arg(format!("directory={}", base.display()))
        .env("LEAKED", "1")
        .env("LC_ALL", "C")
        .output()
        .unwrap()
}

const ODD: &str = "trap '' HUP INT QUIT PIPE TERM USR1 CHLD TSTP
umask 0777
ulimit -S -n 77; ulimit -S -s 4096; ulimit -S -c 100; ulimit -S -f 100000
exec 7</dev/null 8>&1 70<>/dev/null 0</dev/zero";

#[test]
fn odd_signals_umasks_limits_and_descriptors_stay_with_the_worker() {
    let outer = tempfile::tempdir().unwrap();
    let (script, base) = (outer.path().join("script"), outer.path().join("base"));
    std::fs::write(&script, LOOK).unwrap();
    let output = by_worker(ODD, &script, &base);
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    // The descriptor 3 is the directory that `ls` reads.
    let expected = "umask 0022\n\
        files 1024 core 0 stack 8192\n\
        pwd job/work 0\n\
        read 1\n\
        no terminal\n\
        own session\n\
        HOME LOGNAME PATH PWD SHELL TMPDIR USER WORKER_INSTANCE_ID \n\
        0\n1\n2\n3\n";
    assert_eq!(text, expected, "{errors}");
    assert_eq!(errors, "exited with code 0\n");

    std::fs::write(&script, "#!/bin/cat /proc/self/status\n").unwrap();
    let output = by_worker(ODD, &script, &base);
    let text = String::from_utf8_lossy(&output.stdout);
    for set in ["SigBlk", "SigIgn", "SigCgt"] {
        assert!(
            text.contains(&format!("{set}:\t0000000000000000\n")),
            "{text}"
        );
    }
    assert_eq!(std::fs::read_dir(&base).map_or(0, Iterator::count), 0);
}

#[test]
fn a_worker_that_ignores_the_end_of_its_children_still_knows_the_code() {
    let outer = tempfile::tempdir().unwrap();
    let (script, base) = (outer.path().join("script"), outer.path().join("base"));
    std::fs::write(&script, "kill -INT $$").unwrap();
    let output = by_worker("trap '' CHLD INT", &script, &base);
    assert_eq!(String::from_utf8_lossy(&output.stderr), "ended by SIGINT\n");
    std::fs::write(&script, "exit 7").unwrap();
    let output = by_worker("trap '' CHLD", &script, &base);
    assert_eq!(output.status.code(), Some(7));
}

#[tokio::test]
async fn one_job_sees_nothing_of_the_one_before() {
    let fixture = Fixture::new();
    let look = "ls -A . \"$HOME\" \"$TMPDIR\" | grep secret; echo \"${SECRET:-none}\"";
    fixture
        .output("export SECRET=1; for d in . \"$HOME\" \"$TMPDIR\"; do echo > $d/secret; done")
        .await;
    assert_eq!(fixture.output(look).await, "none\n");
}

#[tokio::test]
async fn the_home_of_the_account_can_be_asked_for() {
    let fixture = Fixture::with([("home", "account"), ("path", "/bin:/opt/x")]);
    let output = fixture
        .output("echo \"$PATH\"; [ \"$HOME\" = ~\"$USER\" ] || eval echo ~$USER; echo $HOME")
        .await;
    let lines: Vec<_> = output.lines().collect();
    assert_eq!(lines.first(), Some(&"/bin:/opt/x"));
    assert_eq!(lines.get(1), lines.last());
    let private = Fixture::new();
    let home = private
        .output("cd \"$HOME\" && ls -A | wc -l; stat -c %a .; echo $HOME")
        .await;
    assert!(
        home.starts_with("0\n700\n") && home.contains("/job/home"),
        "{home}"
    );
}
