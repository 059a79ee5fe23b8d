//! Many jobs on a real engine, of which some are cancelled, some time out, and
//! the workers of some are killed: in the end nothing is left.

#![cfg(feature = "docker")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use testbed::dockerd::Dockerd;
use testbed::rootfs;

const JOBS: usize = 500;
const AT_A_TIME: usize = 8;

/// What becomes of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Finished,
    Cancelled,
    TimedOut,
    Killed,
}

/// A tenth each; those whose worker is killed come first, since what they leave
/// is looked at only when it is a minute old.
fn fate(number: usize) -> Fate {
    match number {
        0..50 => Fate::Killed,
        50..100 => Fate::Cancelled,
        100..150 => Fate::TimedOut,
        _ => Fate::Finished,
    }
}

struct Bench {
    engine: Dockerd,
    state: tempfile::TempDir,
}

impl Bench {
    fn worker(&self, arguments: &[&str]) -> Command {
        let (command_name, rest) = arguments.split_first().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_worker"));
        command
            .args([command_name, "-b", "docker", "-o", "network=none"])
            .args(["-o", &format!("endpoint={}", self.engine.endpoint())])
            // The last value of an option holds.
            .args(rest)
            .env("WORKER_STATE_DIR", self.state.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    fn begin(&self, number: usize) -> Child {
        let (limit, script) = match fate(number) {
            Fate::Finished => (None, format!("echo job {number}; exit {}", number % 100)),
            Fate::TimedOut => (Some("200ms"), "sleep 300".into()),
            Fate::Cancelled | Fate::Killed => (None, "echo running; sleep 300".into()),
        };
        let mut arguments = vec!["run", "--image", "busybox:test", "--grace", "200ms"];
        if let Some(limit) = limit {
            arguments.extend(["--hard-timeout", limit]);
        }
        arguments.extend(["-c", &script]);
        self.worker(&arguments).spawn().unwrap()
    }

    /// What the engine has of ours, as its own client tells.
    fn left(&self) -> (String, String, String) {
        let list = |arguments: &[&str]| self.engine.client(arguments).unwrap();
        (
            list(&["ps", "--all", "--quiet"]),
            list(&["volume", "ls", "--quiet"]),
            // Those that every engine has.
            list(&["network", "ls", "--quiet", "--filter", "type=custom"]),
        )
    }
}

impl Bench {
    /// An engine of its own with a small image; `None` where there can be none.
    fn new() -> Option<Self> {
        let engine = Dockerd::start().and_then(|engine| {
            engine.import_busybox()?;
            Ok(engine)
        });
        match engine {
            Ok(engine) => Some(Self {
                engine,
                state: tempfile::tempdir().unwrap(),
            }),
            Err(error) => {
                testbed::missing("docker", &format!("{error:#}"));
                None
            }
        }
    }
}

/// What is wrong, and what the message has to name.
const BAD_INPUT: &[(&[&str], &[&str])] = &[
    (
        &["--image", "busybox:none", "-o", "pull-policy=never"],
        &["busybox:none", "hint:"],
    ),
    (&["--image", "UPPER/case"], &["UPPER/case"]),
    (&["-o", "network=nowhere"], &["nowhere", "hint:"]),
    (&["-o", "memory=1M"], &["memory", "1M", "6M"]),
    (&["-o", "memory=lots"], &["memory", "lots"]),
    (
        &["-o", "binds=/no/such/directory:/x"],
        &["/no/such/directory", "hint:"],
    ),
    (&["-o", "binds=relative:/x"], &["binds", "relative:/x"]),
    (&["-o", "labels==value"], &["labels", "key is empty"]),
    (&["-o", "shm-size=4X"], &["shm-size", "4X"]),
    (&["-o", "ulimits=nofiles=1"], &["nofiles", "nofile"]),
    (&["-o", "runtime=nosuch"], &["nosuch", "hint:"]),
    (&["-o", "log-driver=nosuch"], &["nosuch"]),
    (&["-o", "rootfs=/"], &["rootfs", "directory"]),
    (&["-o", "netwrok=none"], &["netwrok", "network"]),
    (
        &["-o", "user=nobody-of-that-name"],
        &["nobody-of-that-name"],
    ),
    (&["-o", "working-directory=relative"], &["relative"]),
    (&["--os", "windows"], &["windows"]),
    (&["--image", "shellless:test"], &["/bin/sh", "hint:"]),
];

#[test]
fn bad_input_is_named_and_leaves_nothing() {
    let Some(bench) = Bench::new() else { return };
    let made = bench
        .engine
        .import("shellless:test", rootfs::without_shell, &[]);
    made.unwrap();
    for (arguments, parts) in BAD_INPUT {
        let mut all = vec!["run", "-c", "echo ran"];
        if !arguments.contains(&"--image") && !arguments.iter().any(|a| a.starts_with("rootfs")) {
            all.extend(["--image", "busybox:test"]);
        }
        all.extend(*arguments);
        let output = bench.worker(&all).output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(125), "{arguments:?}: {told}");
        assert!(output.stdout.is_empty(), "{arguments:?} ran");
        for part in *parts {
            assert!(
                told.contains(part),
                "{arguments:?}: {part:?} is not in: {told}"
            );
        }
        assert!(!told.contains("panicked"), "{arguments:?}: {told}");
        assert_eq!(bench.left().0, "", "{arguments:?} left a container");
    }
}

#[test]
fn nothing_is_left_after_many_jobs() {
    let Some(bench) = Bench::new() else { return };
    let mut running: Vec<(usize, Child, Instant)> = Vec::new();
    let mut next = 0;
    while next < JOBS || !running.is_empty() {
        while next < JOBS && running.len() < AT_A_TIME {
            running.push((next, bench.begin(next), Instant::now()));
            next += 1;
        }
        let (mut still, mut disturbed) = (Vec::new(), Vec::new());
        for (number, mut child, began) in running {
            if child.try_wait().unwrap().is_some() {
                check(number, child);
            } else if !matches!(fate(number), Fate::Finished | Fate::TimedOut)
                // At any moment of a job's life.
                && began.elapsed() > Duration::from_millis(20 * (number as u64 % 50))
            {
                disturbed.push((number, child));
            } else {
                still.push((number, child, began));
            }
        }
        for (number, child) in disturbed {
            let signal = if fate(number) == Fate::Killed {
                libc::SIGKILL
            } else {
                libc::SIGINT
            };
            signal_to(&child, signal);
            check(number, child);
        }
        running = still;
        sleep(Duration::from_millis(5));
    }
    let began = Instant::now();
    while !bench.left().0.is_empty() {
        assert!(
            began.elapsed() < Duration::from_mins(3),
            "left: {:?}",
            bench.left()
        );
        sleep(Duration::from_secs(5));
        let reaped = bench.worker(&["reap"]).output().unwrap();
        assert!(reaped.status.success(), "{reaped:?}");
    }
    let nothing = (String::new(), String::new(), String::new());
    assert_eq!(bench.left(), nothing);
    assert_eq!(processes_of(&bench.engine), Vec::<String>::new());
}

/// That a job ended as its fate has it.
fn check(number: usize, child: Child) {
    let output = child.wait_with_output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    match fate(number) {
        Fate::Finished => {
            let expected = i32::try_from(number % 100).unwrap();
            assert_eq!(output.status.code(), Some(expected), "{number}: {told}");
            assert_eq!(output.stdout, format!("job {number}\n").as_bytes());
        }
        Fate::TimedOut => assert_eq!(output.status.code(), Some(124), "{number}: {told}"),
        // A signal that comes before the worker listens ends it like any program.
        Fate::Cancelled => assert!(
            output.status.code() == Some(130) || output.status.code().is_none(),
            "{number}: {:?} {told}",
            output.status
        ),
        Fate::Killed => assert_eq!(output.status.code(), None, "{number}: {told}"),
    }
}

fn signal_to(child: &Child, signal: i32) {
    let process = i32::try_from(child.id()).unwrap();
    #[expect(unsafe_code, reason = "kill(2) touches no memory of ours")]
    // SAFETY: two integers go to the kernel; the child was not waited for, so
    // the id is still its own.
    unsafe {
        libc::kill(process, signal);
    }
}

/// The shims of containers that the engine still has.
fn processes_of(engine: &Dockerd) -> Vec<String> {
    let place = engine.socket();
    let place = place.parent().unwrap().display().to_string();
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let lines = processes.filter_map(|process| std::fs::read(process.path().join("cmdline")).ok());
    let texts = lines.map(|line| String::from_utf8_lossy(&line).replace('\0', " "));
    texts
        .filter(|text| text.contains("containerd-shim") && text.contains(&place))
        .collect()
}
