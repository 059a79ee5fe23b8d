//! The program lists exactly the backends that its features name, in every
//! profile: a crate that nothing names is not linked, and a linker that is
//! told to optimise may drop what it thinks is unused.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::PathBuf;
use std::process::Command;

/// What the program may weigh at its smallest, with all backends: 10 MiB. The
/// README says so.
const MOST_BYTES: u64 = 10 << 20;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_owned()
}

fn cargo() -> Command {
    let mut command = Command::new(env!("CARGO"));
    command.current_dir(root());
    command
}

/// The features of the program that are backends, by its manifest.
fn known_backends() -> Vec<String> {
    let manifest = std::fs::read_to_string(root().join("crates/worker-cli/Cargo.toml")).unwrap();
    let (_, features) = manifest.split_once("[features]").unwrap();
    let (features, _) = features.split_once("\n[").unwrap();
    let names = features.lines().filter_map(|line| line.split_once(" = "));
    let names = names.map(|(name, _)| name.trim().to_owned());
    names
        .filter(|name| name != "default" && !name.starts_with('#'))
        .collect()
}

/// Where the program is built, apart from what the tests themselves are.
fn target() -> PathBuf {
    root().join("target/feature-combinations")
}

/// Builds the program with `features`, and lists its backends.
fn listed(features: &[&str], profile: Profile) -> Vec<String> {
    let mut command = cargo();
    command
        .args(["build", "--quiet", "--locked", "--package", "worker-cli"])
        .args(features)
        .env("CARGO_TARGET_DIR", target());
    if profile == Profile::Small {
        command.args(["--profile", "small"]);
    }
    let built = command.status().unwrap();
    assert!(built.success(), "{features:?} {profile:?} does not build");
    let output = Command::new(program(profile))
        .args(["backends", "--json"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let list: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let entries = list.as_array().unwrap().iter();
    entries
        .map(|entry| entry["alias"].as_str().unwrap().to_owned())
        .collect()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Profile {
    Debug,
    /// Released for size: one unit of fat link-time optimisation, stripped.
    Small,
}

/// The program that was built last in this profile.
fn program(profile: Profile) -> PathBuf {
    let folder = match profile {
        Profile::Debug => "debug",
        Profile::Small => "small",
    };
    target().join(folder).join("worker")
}

#[test]
fn the_program_lists_exactly_the_enabled_backends() {
    for backend in known_backends() {
        let features = ["--no-default-features", "--features", backend.as_str()];
        assert_eq!(listed(&features, Profile::Debug), [backend.as_str()]);
        let crate_name = format!("backend-{backend}");
        assert!(
            root().join("crates").join(&crate_name).is_dir(),
            "there is no {crate_name}"
        );
    }
    let mut all = known_backends();
    all.sort();
    for profile in [Profile::Debug, Profile::Small] {
        assert_eq!(listed(&[], profile), ["local"]);
        let none = listed(&["--no-default-features"], profile);
        assert_eq!(none, Vec::<String>::new());
    }
    assert_eq!(listed(&["--all-features"], Profile::Small), all);
    let size = program(Profile::Small).metadata().unwrap().len();
    assert!(
        size < MOST_BYTES,
        "the program with all backends has {size} bytes, and may have {MOST_BYTES}"
    );
}
