//! The program lists exactly the backends that its features name, in every
//! profile: a crate that nothing names is not linked, and a linker that is
//! told to optimise may drop what it thinks is unused.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::PathBuf;
use std::process::Command;

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

/// Builds the program with `features`, and lists its backends.
fn listed(features: &[&str], profile: &[&str]) -> Vec<String> {
    let target = root().join("target/feature-combinations");
    let built = cargo()
        .args(["build", "--quiet", "--locked", "--package", "worker-cli"])
        .args(features)
        .args(profile)
        .env("CARGO_TARGET_DIR", &target)
        .status()
        .unwrap();
    assert!(built.success(), "{features:?} {profile:?} does not build");
    let folder = if profile.is_empty() {
        "debug"
    } else {
        "release"
    };
    let output = Command::new(target.join(folder).join("worker"))
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

#[test]
fn the_program_lists_exactly_the_enabled_backends() {
    for backend in known_backends() {
        let features = ["--no-default-features", "--features", backend.as_str()];
        assert_eq!(listed(&features, &[]), [backend.as_str()]);
        let crate_name = format!("backend-{backend}");
        assert!(
            root().join("crates").join(&crate_name).is_dir(),
            "there is no {crate_name}"
        );
    }
    let optimised = [
        "--release",
        "--config",
        "profile.release.lto=\"fat\"",
        "--config",
        "profile.release.strip=true",
    ];
    for profile in [&[][..], &optimised] {
        assert_eq!(listed(&[], profile), ["local"]);
        assert_eq!(
            listed(&["--no-default-features"], profile),
            Vec::<String>::new()
        );
    }
    let mut all = known_backends();
    all.sort();
    assert_eq!(listed(&["--all-features"], &[]), all);
}
