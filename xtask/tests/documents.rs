//! Code that is shown in a document is code that is compiled and run: a block
//! behind `<!-- from: PATH -->` is what stands in that file between its two
//! marks, or all of it.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

use std::path::{Path, PathBuf};

const MARK: &str = "// ---8<---\n";

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_owned()
}

fn documents(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() && name != "target" && !name.starts_with('.') {
            documents(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "md") {
            found.push(path);
        }
    }
}

fn source(path: &str) -> String {
    let text = std::fs::read_to_string(root().join(path)).expect(path);
    match text.split(MARK).collect::<Vec<_>>().as_slice() {
        [_, shown, _] => (*shown).to_owned(),
        _ => text,
    }
}

#[test]
fn what_is_shown_is_what_is_compiled() {
    let mut paths = Vec::new();
    documents(&root(), &mut paths);
    let mut blocks = 0;
    for path in paths {
        let text = std::fs::read_to_string(&path).unwrap();
        for (_, rest) in text
            .match_indices("<!-- from: ")
            .map(|(at, mark)| text.split_at(at + mark.len()))
        {
            let (from, rest) = rest
                .split_once(" -->\n\n```")
                .expect("a block of code follows");
            let (_, rest) = rest.split_once('\n').unwrap();
            let (shown, _) = rest.split_once("```").unwrap();
            assert_eq!(
                shown,
                source(from),
                "{} shows something else than {from}",
                path.display()
            );
            blocks += 1;
        }
    }
    assert!(blocks > 0, "no document shows code");
}
