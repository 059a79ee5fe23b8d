//! What the guides show is run, where this machine is all it needs.

use std::path::Path;

use crate::common::Place;

/// The command lines of `worker` in the console blocks of a document.
fn shown(document: &str) -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../docs")
        .join(document);
    let text = std::fs::read_to_string(path).unwrap();
    let lines = text
        .lines()
        .filter_map(|line| line.strip_prefix("$ worker "));
    lines.map(|line| format!("worker {line}")).collect()
}

#[test]
fn the_examples_of_local_and_fake_end_as_they_say() {
    let programs = Path::new(env!("CARGO_BIN_EXE_worker")).parent().unwrap();
    let path = format!(
        "{}:{}",
        programs.display(),
        std::env::var("PATH").unwrap_or_default()
    );
    for document in [
        "backends/local.md",
        "backends/fake.md",
        "when-something-does-not-work.md",
    ] {
        // Those that need an engine are run elsewhere.
        let mut lines = shown(document);
        lines.retain(|line| !line.contains("-b docker"));
        assert!(!lines.is_empty(), "{document} shows nothing");
        for line in lines {
            let place = Place::new();
            place.file("build.sh", "#!/bin/sh\necho built\n");
            let mut shell = std::process::Command::new("/bin/sh");
            shell
                .args(["-c", &line])
                .env("PATH", &path)
                .env("WORKER_STATE_DIR", place.path("state"))
                .env("WORKER_LOCAL_DIRECTORY", place.instances())
                .current_dir(place.directory.path());
            let output = shell.output().unwrap();
            let code = line.split("exit-code=").nth(1).map_or("0", |rest| {
                rest.split(|c: char| !c.is_ascii_digit()).next().unwrap()
            });
            let status = output.status.code().unwrap().to_string();
            let said = String::from_utf8_lossy(&output.stderr);
            assert_eq!(status, code, "{line}: {said}");
            assert!(!output.stdout.is_empty(), "{line} prints something");
            place.assert_clean();
        }
    }
}
