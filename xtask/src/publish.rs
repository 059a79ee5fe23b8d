//! Whether the crates that are meant for others can be published: what their
//! manifests say, and what their packages have. Nothing is built.

use std::path::{Component, Path, PathBuf};

use anyhow::{Context as _, bail};
use serde_json::Value;

use crate::command::{cargo, root, say};

/// Files that every package has.
const FILES: [&str; 3] = ["LICENSE-APACHE", "LICENSE-MIT", "README.md"];

/// Fields of the manifest that say what a crate is.
const FIELDS: [&str; 7] = [
    "description",
    "license",
    "readme",
    "keywords",
    "categories",
    "rust_version",
    "edition",
];

/// Looks at every crate of the workspace that may be published.
pub(crate) fn check(metadata: &Value) -> anyhow::Result<()> {
    let mut problems = Vec::new();
    let mut count = 0;
    for package in meant_for_others(metadata) {
        let name = package["name"].as_str().unwrap_or_default();
        let found = problems_of(package, &listed(name)?, &sources(package)?);
        problems.extend(
            found
                .into_iter()
                .map(|problem| format!("{name}: {problem}")),
        );
        count += 1;
    }
    if count == 0 {
        bail!("no crate of the workspace is meant to be published");
    }
    if !problems.is_empty() {
        bail!("not to be published so:\n  {}", problems.join("\n  "));
    }
    say(&format!("{count} crates have all that a package needs"));
    Ok(())
}

/// The packages of the workspace, but those that are never published.
fn meant_for_others(metadata: &Value) -> impl Iterator<Item = &Value> {
    let all = metadata["packages"].as_array();
    let members = metadata["workspace_members"].as_array();
    all.into_iter().flatten().filter(move |package| {
        let is_ours = members.is_some_and(|members| members.contains(&package["id"]));
        is_ours
            && package["publish"]
                .as_array()
                .is_none_or(|to| !to.is_empty())
    })
}

/// The files of the package, as it would be published.
fn listed(name: &str) -> anyhow::Result<Vec<String>> {
    let output = cargo()
        .args(["package", "--list", "--allow-dirty", "--locked"])
        .args(["--package", name])
        .output()
        .context("cannot run cargo package")?;
    anyhow::ensure!(
        output.status.success(),
        "cargo package --list failed for {name}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = String::from_utf8(output.stdout)?;
    Ok(text.lines().map(str::to_owned).collect())
}

/// The source files of a package, by their paths in it, with their texts.
fn sources(package: &Value) -> anyhow::Result<Vec<(PathBuf, String)>> {
    let manifest = package["manifest_path"].as_str().map(PathBuf::from);
    let directory = manifest
        .as_deref()
        .and_then(Path::parent)
        .map(Path::to_owned);
    let directory = directory.unwrap_or_else(root);
    let mut sources = Vec::new();
    let mut places = vec![directory.join("src")];
    while let Some(place) = places.pop() {
        let listing = std::fs::read_dir(&place);
        for entry in listing.with_context(|| format!("cannot read {}", place.display()))? {
            let path = entry?.path();
            if path.is_dir() {
                places.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path)?;
                sources.push((path.strip_prefix(&directory)?.to_owned(), text));
            }
        }
    }
    Ok(sources)
}

fn problems_of(package: &Value, files: &[String], sources: &[(PathBuf, String)]) -> Vec<String> {
    let mut problems = Vec::new();
    for field in FIELDS {
        let value = &package[field];
        let is_said = value.as_str().is_some_and(|text| !text.is_empty())
            || value.as_array().is_some_and(|list| !list.is_empty());
        if !is_said {
            problems.push(format!("its manifest says nothing of `{field}`"));
        }
    }
    let features = package["features"].as_object();
    let has_features = features.is_some_and(|all| all.keys().any(|name| name != "default"));
    let documented = package.pointer("/metadata/docs/rs/all-features");
    if has_features && documented != Some(&Value::Bool(true)) {
        problems.push("its documentation would lack what features bring".into());
    }
    let has = |path: &str| files.iter().any(|file| file == path);
    for file in FILES {
        if !has(file) {
            problems.push(format!("there is no {file} in it"));
        }
    }
    for (path, text) in sources {
        for included in included(path, text) {
            if !has(&included) {
                problems.push(format!(
                    "{} includes {included}, which is not in it",
                    path.display()
                ));
            }
        }
    }
    problems
}

/// What a source file takes in when it is compiled, by paths in the package;
/// what begins with `../` is outside. What only tests of the documentation take
/// in is left out: they are run here.
fn included(path: &Path, text: &str) -> Vec<String> {
    let mut included = Vec::new();
    let mut before = "";
    for line in text.lines() {
        let named = line.split_once("include_str!(\"");
        let named = named.and_then(|(_, rest)| rest.split_once('"'));
        if let Some((name, _)) = named
            && before.trim() != "#[cfg(doctest)]"
        {
            included.push(resolved(path, name));
        }
        before = line;
    }
    included
}

/// The path of `name`, meant from the place of the file `path`.
fn resolved(path: &Path, name: &str) -> String {
    let mut parts: Vec<String> = Vec::new();
    let place = path.parent().unwrap_or(Path::new(""));
    for part in place.join(name).components() {
        match part {
            Component::ParentDir if parts.last().is_some_and(|last| last != "..") => {
                parts.pop();
            }
            part => parts.push(part.as_os_str().to_string_lossy().into_owned()),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn complete() -> Value {
        json!({
            "name": "backend-x", "description": "d", "license": "MIT", "readme": "README.md",
            "keywords": ["k"], "categories": ["c"], "rust_version": "1.95", "edition": "2024",
            "features": {"default": [], "y": []},
            "metadata": {"docs": {"rs": {"all-features": true}}},
        })
    }

    fn files(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn what_is_missing_is_told() {
        let all = files(&["LICENSE-APACHE", "LICENSE-MIT", "README.md"]);
        assert_eq!(problems_of(&complete(), &all, &[]), Vec::<String>::new());
        let mut poor = complete();
        poor["keywords"] = json!([]);
        poor["readme"] = Value::Null;
        poor["metadata"] = Value::Null;
        let problems = problems_of(&poor, &files(&["README.md", "LICENSE-MIT"]), &[]).join("; ");
        for told in ["`keywords`", "`readme`", "features", "LICENSE-APACHE"] {
            assert!(problems.contains(told), "{told}: {problems}");
        }
    }

    #[test]
    fn what_is_included_has_to_be_in_the_package() {
        let text = "const A: &str = include_str!(\"../data/a.txt\");\n\
                    #[cfg(doctest)]\n#[doc = include_str!(\"../../../docs/b.md\")]\n\
                    const C: &str = include_str!(\"../../../c.txt\");\n";
        let source = [(PathBuf::from("src/deep/lib.rs"), text.to_owned())];
        let mut all = files(&[
            "LICENSE-APACHE",
            "LICENSE-MIT",
            "README.md",
            "src/data/a.txt",
        ]);
        let outside = "src/deep/lib.rs includes ../c.txt, which is not in it";
        assert_eq!(problems_of(&complete(), &all, &source), [outside]);
        all.pop();
        assert_eq!(problems_of(&complete(), &all, &source).len(), 2);
    }

    #[test]
    fn what_is_never_published_is_left_alone() {
        let package = |id: &str, publish: Value| json!({"id": id, "publish": publish});
        let metadata = json!({
            "packages": [package("a", Value::Null), package("b", json!([])), package("c", Value::Null)],
            "workspace_members": ["a", "b"],
        });
        let ids: Vec<_> = meant_for_others(&metadata)
            .map(|package| &package["id"])
            .collect();
        assert_eq!(ids, ["a"]);
    }
}
