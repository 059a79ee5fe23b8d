//! Which dependencies there may be: bans and licences, from `cargo metadata`.
//!
//! `deny.toml` says the same for who has cargo-deny; a test holds the two
//! together.

use std::collections::BTreeSet;

use anyhow::{Context as _, bail};
use serde_json::Value;

use crate::command::{cargo, say};

/// Crates that must not be in the tree, and why.
pub(crate) const BANNED: &[(&str, &str)] = &[
    ("ring", "one crypto provider in the whole tree: aws-lc-rs"),
    (
        "openssl-sys",
        "one crypto provider in the whole tree: aws-lc-rs",
    ),
    (
        "native-tls",
        "one crypto provider in the whole tree: aws-lc-rs",
    ),
    (
        "rsa",
        "RUSTSEC-2023-0071: a timing side channel without a fix",
    ),
];

/// Crates of which there must be one version: two would be two registries.
const SINGLE: &[&str] = &["backend-core", "linkme"];

/// Licences that a dependency may have, one of which is enough.
pub(crate) const LICENCES: &[&str] = &[
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "MIT-0",
    "OpenSSL",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// Checks every crate that is really in the tree.
pub(crate) fn check(metadata: &Value) -> anyhow::Result<()> {
    let problems = problems(metadata, &built()?);
    if !problems.is_empty() {
        bail!(
            "the dependency policy is broken:\n  {}",
            problems.join("\n  ")
        );
    }
    say("dependency policy: bans and licences hold");
    Ok(())
}

/// Names and versions of all that is built on any platform, with all features.
///
/// Not from `cargo metadata`: its graph also has optional dependencies that a
/// weak feature (`quinn?/…`) names and nothing enables.
/// <https://github.com/rust-lang/cargo/issues/10801>
fn built() -> anyhow::Result<BTreeSet<String>> {
    let output = cargo()
        .args(["tree", "--workspace", "--all-features", "--locked"])
        .args(["--target", "all", "--prefix", "none", "--format", "{p}"])
        .output()
        .context("cannot run cargo tree")?;
    anyhow::ensure!(
        output.status.success(),
        "cargo tree failed: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = String::from_utf8(output.stdout)?;
    let lines = text.lines().map(|line| line.split(' ').take(2));
    Ok(lines
        .map(|words| words.collect::<Vec<_>>().join(" "))
        .collect())
}

/// A package as `cargo tree` calls it.
fn in_tree(package: &Value) -> String {
    let text = |key: &str| package[key].as_str().unwrap_or_default();
    format!("{} v{}", text("name"), text("version"))
}

fn problems(metadata: &Value, built: &BTreeSet<String>) -> Vec<String> {
    let packages = metadata["packages"].as_array();
    let packages = packages.map_or(&[][..], Vec::as_slice).iter();
    let packages: Vec<_> = packages
        .filter(|package| built.contains(&in_tree(package)))
        .collect();
    let mut problems = Vec::new();
    for package in &packages {
        let name = package["name"].as_str().unwrap_or_default();
        if let Some((_, why)) = BANNED.iter().find(|(banned, _)| *banned == name) {
            problems.push(format!("{name} is banned: {why}"));
        }
        let licence = package["license"].as_str().unwrap_or_default();
        if !is_allowed(licence) {
            problems.push(format!("{name} has the licence `{licence}`"));
        }
    }
    for single in SINGLE {
        let versions = packages
            .iter()
            .filter(|package| package["name"] == **single)
            .count();
        if versions > 1 {
            problems.push(format!("there are {versions} versions of {single}"));
        }
    }
    problems
}

fn is_allowed(licence: &str) -> bool {
    // Some manifests still write `MIT/Apache-2.0`.
    let licence = licence.replace('/', " OR ");
    let Ok(expression) = spdx::Expression::parse(&licence) else {
        return false;
    };
    expression.evaluate(|requirement| LICENCES.contains(&requirement.to_string().as_str()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn one_allowed_licence_is_enough_and_all_of_and_are_needed() {
        assert!(is_allowed("MIT OR GPL-3.0-only"));
        assert!(is_allowed("MIT/Apache-2.0"));
        assert!(is_allowed("ISC AND (Apache-2.0 OR ISC)"));
        assert!(!is_allowed("MIT AND GPL-3.0-only"));
        assert!(!is_allowed(""));
    }

    #[test]
    fn bans_licences_and_second_versions_are_found() {
        let package = |name: &str, version: &str, licence: &str| json!({"name": name, "version": version, "license": licence});
        let metadata = json!({
            "packages": [
                package("ring", "1.0.0", "MIT"),
                package("backend-core", "0.1.0", "MIT"),
                package("backend-core", "0.2.0", "MIT"),
                package("left-pad", "1.0.0", "WTFPL"),
                package("rsa", "1.0.0", "MIT"),
            ],
        });
        let built = [
            "ring v1.0.0",
            "backend-core v0.1.0",
            "backend-core v0.2.0",
            "left-pad v1.0.0",
        ];
        let built = built.map(str::to_owned).into();
        let problems = problems(&metadata, &built).join("; ");
        assert!(
            problems.contains("ring is banned") && problems.contains("`WTFPL`"),
            "{problems}"
        );
        assert!(
            problems.contains("2 versions of backend-core"),
            "{problems}"
        );
        assert!(
            !problems.contains("rsa"),
            "only what is built counts: {problems}"
        );
    }

    #[test]
    fn deny_toml_says_the_same() {
        let deny = std::fs::read_to_string(crate::command::root().join("deny.toml")).unwrap();
        for (banned, _) in BANNED {
            assert!(
                deny.contains(&format!("\"{banned}\"")),
                "{banned} is not in deny.toml"
            );
        }
        for licence in LICENCES {
            assert!(
                deny.contains(&format!("\"{licence}\"")),
                "{licence} is not in deny.toml"
            );
        }
    }
}
