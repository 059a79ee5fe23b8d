//! Which dependencies there may be: bans and licences, from `cargo metadata`.
//!
//! `deny.toml` says the same for who has cargo-deny; a test holds the two
//! together.

use std::collections::BTreeSet;

use anyhow::bail;
use serde_json::Value;

use crate::command::say;

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
    let problems = problems(metadata);
    if !problems.is_empty() {
        bail!(
            "the dependency policy is broken:\n  {}",
            problems.join("\n  ")
        );
    }
    say("dependency policy: bans and licences hold");
    Ok(())
}

fn problems(metadata: &Value) -> Vec<String> {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let resolved: BTreeSet<String> =
        list(metadata.pointer("/resolve/nodes").unwrap_or(&Value::Null))
            .iter()
            .filter_map(|node| node["id"].as_str().map(str::to_owned))
            .collect();
    let packages = list(&metadata["packages"]);
    let packages: Vec<_> = packages
        .iter()
        .filter(|package| {
            package["id"]
                .as_str()
                .is_some_and(|id| resolved.contains(id))
        })
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
        let package = |id: &str, name: &str, licence: &str| json!({"id": id, "name": name, "license": licence});
        let metadata = json!({
            "packages": [
                package("1", "ring", "MIT"),
                package("2", "backend-core", "MIT"),
                package("3", "backend-core", "MIT"),
                package("4", "left-pad", "WTFPL"),
                package("5", "rsa", "MIT"),
            ],
            "resolve": {"nodes": [{"id": "1"}, {"id": "2"}, {"id": "3"}, {"id": "4"}]},
        });
        let problems = problems(&metadata).join("; ");
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
            "only what is resolved counts: {problems}"
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
