//! A pull from a real registry, as it is seen on a terminal.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use backend_core::testkit::{Direction, FaultProxy};
use testbed::dockerd::Dockerd;
use testbed::registry::Registry;
use testbed::rootfs;

use crate::common::Place;
use crate::terminal::Terminal;

/// A file of the image that no compression makes smaller, and how much of it
/// comes before the registry pauses.
const LARGE: u64 = 24 << 20;
const BEFORE: u64 = 8 << 20;

/// Static busybox, and a large file beside it.
fn image(tar: &Path) -> anyhow::Result<()> {
    rootfs::busybox(tar)?;
    let directory = tempfile::tempdir()?;
    let mut large = File::create(directory.path().join("large"))?;
    std::io::copy(&mut File::open("/dev/urandom")?.take(LARGE), &mut large)?;
    let mut append = Command::new("tar");
    append.arg("-rf").arg(tar).arg("-C").arg(directory.path());
    anyhow::ensure!(append.arg("large").status()?.success(), "tar has failed");
    Ok(())
}

#[test]
fn a_pull_is_seen_and_gone_when_the_script_prints() {
    let both = Dockerd::start().and_then(|engine| Ok((engine, Registry::start()?)));
    let (engine, registry) = match both {
        Ok(both) => both,
        Err(error) => return testbed::missing("docker", &format!("{error:#}")),
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let proxy = runtime
        .block_on(FaultProxy::tcp(registry.address()))
        .unwrap();
    // Through the proxy, the registry's images have its name.
    let name = format!("{}/large:1", proxy.address().unwrap());
    engine.import(&name, image, &["ENV PATH=/bin"]).unwrap();
    engine.client(&["push", "--quiet", &name]).unwrap();
    engine.client(&["rmi", &name]).unwrap();

    let place = Place::new();
    let mut command = place.worker();
    command
        .args([
            "run",
            "-b",
            "docker",
            "--image",
            &name,
            "-o",
            "network=none",
        ])
        .args(["-o", &format!("endpoint={}", engine.endpoint())])
        .args(["-c", "printf 'no newline'; exit 43"]);
    let output = place.path("output");
    let pushed = proxy.forwarded(Direction::FromTarget);
    proxy.delay(Duration::from_millis(2));
    let apart = File::create(&output).unwrap().into();
    let mut terminal = Terminal::run(&command, 100, Some(apart));
    let began = Instant::now();
    while proxy.forwarded(Direction::FromTarget) - pushed < BEFORE {
        assert!(
            began.elapsed() < Duration::from_mins(1),
            "nothing is pulled"
        );
        sleep(Duration::from_millis(2));
    }
    proxy.stall();
    // It says what, how much of it, and of how much.
    let is_there = |screen: &str| {
        let line = screen.lines().last().unwrap_or_default();
        line.starts_with("pulling [=") && line.contains("% of 2") && line.contains(&name)
    };
    terminal.wait_for(is_there);
    assert_eq!(std::fs::read(&output).unwrap(), b"");
    proxy.delay(Duration::ZERO);
    proxy.resume();
    let (status, screen) = terminal.end();
    assert_eq!(status, 43, "{screen}");
    assert_eq!(std::fs::read(&output).unwrap(), b"no newline");
    assert!(!screen.contains("pulling"), "{screen}");
    let ended = "worker: the script exited with code 43 after ";
    assert!(screen.starts_with(ended), "{screen}");
    assert_eq!(engine.client(&["ps", "--all", "--quiet"]).unwrap(), "");
}
