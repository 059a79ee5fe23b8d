//! From the text of a `worker.toml` to sections, keys and values: pure.

use std::fmt;

use backend_core::{Options as _, nearest};
use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use crate::job_settings::JobSettings;

/// The text, taken apart. What has no place in it is a problem, and the rest is
/// there all the same, so that all problems can be told at once.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Document {
    /// In the order of the alphabet, the job's first.
    pub(crate) sections: Vec<Section>,
    /// What is wrong with its form, by line.
    pub(crate) problems: Vec<(usize, String)>,
}

/// `[job]`, or `[backends.ALIAS]`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Section {
    /// The alias; `None` is the job.
    pub(crate) backend: Option<String>,
    /// Where it begins.
    pub(crate) line: usize,
    pub(crate) entries: Vec<Entry>,
}

/// One key and its values.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// In lower case with `-`.
    pub(crate) key: String,
    /// One, or those of an array.
    pub(crate) values: Vec<String>,
    /// Whether it was an array.
    pub(crate) list: bool,
    /// Where the key stands.
    pub(crate) line: usize,
}

/// A text that is no TOML.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SyntaxError {
    line: usize,
    column: usize,
    message: String,
}

impl fmt::Display for SyntaxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            line,
            column,
            message,
        } = self;
        write!(f, "line {line}, column {column}: {message}")
    }
}

impl std::error::Error for SyntaxError {}

impl Document {
    /// Takes the text apart.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, SyntaxError> {
        let text = std::str::from_utf8(bytes).map_err(|error| {
            let valid = bytes.get(..error.valid_up_to()).unwrap_or_default();
            syntax_error(
                &String::from_utf8_lossy(valid),
                valid.len(),
                "this is not UTF-8",
            )
        })?;
        let table = DeTable::parse(text).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start);
            syntax_error(text, at, error.message())
        })?;
        let mut document = Self::default();
        for (name, value) in table.get_ref() {
            let line = line(text, name);
            match (name.get_ref().as_ref(), value.get_ref()) {
                ("job", DeValue::Table(entries)) => document.add(text, None, line, entries),
                ("backends", DeValue::Table(backends)) => {
                    for (alias, value) in backends {
                        document.add_backend(text, alias, value);
                    }
                }
                ("job", _) => document.complain(line, "`job` is not a table: write `[job]`"),
                ("backends", _) => {
                    document.complain(line, "`backends` is not a table: write `[backends.ALIAS]`");
                }
                (other, _) => document.complain(line, &misplaced(other)),
            }
        }
        document
            .sections
            .sort_by(|one, other| one.backend.cmp(&other.backend));
        Ok(document)
    }

    fn add_backend(&mut self, text: &str, alias: &Spanned<DeString>, value: &Spanned<DeValue>) {
        let line = line(text, alias);
        match value.get_ref() {
            DeValue::Table(entries) => {
                self.add(text, Some(alias.get_ref().to_string()), line, entries);
            }
            _ => self.complain(
                line,
                &format!(
                    "`backends.{alias}` is not a table: write `[backends.{alias}]`",
                    alias = alias.get_ref()
                ),
            ),
        }
    }

    fn add(
        &mut self,
        text: &str,
        backend: Option<String>,
        line_of_section: usize,
        table: &DeTable,
    ) {
        let mut entries: Vec<Entry> = Vec::new();
        for (key, value) in table {
            let line = line(text, key);
            let key = key.get_ref().to_ascii_lowercase().replace('_', "-");
            if let Some(before) = entries.iter().find(|entry| entry.key == key) {
                let before = before.line;
                self.complain(
                    line,
                    &format!("`{key}` is set twice (the other is on line {before})"),
                );
                continue;
            }
            match values(value.get_ref()) {
                Ok(values) => entries.push(Entry {
                    key,
                    values,
                    list: value.get_ref().is_array(),
                    line,
                }),
                Err(what) => self.complain(line, &format!("`{key}` is {what}")),
            }
        }
        self.sections.push(Section {
            backend,
            line: line_of_section,
            entries,
        });
    }

    fn complain(&mut self, line: usize, what: &str) {
        self.problems.push((line, what.to_owned()));
    }
}

/// The texts of a value; the error is what it is instead.
fn values(value: &DeValue) -> Result<Vec<String>, String> {
    match value {
        DeValue::Array(items) => items
            .iter()
            .map(|item| {
                // In a list of texts a comma would end an item.
                let text = scalar(item.get_ref())?;
                Ok(text.replace(',', r"\,"))
            })
            .collect(),
        one => Ok(vec![scalar(one)?]),
    }
}

fn scalar(value: &DeValue) -> Result<String, String> {
    match value {
        DeValue::String(text) => Ok(text.to_string()),
        DeValue::Boolean(truth) => Ok(truth.to_string()),
        DeValue::Float(number) => Ok(number.as_str().replace('_', "")),
        DeValue::Integer(number) => {
            let digits = number.as_str().replace('_', "");
            match number.radix() {
                10 => Ok(digits),
                radix => i64::from_str_radix(&digits, radix)
                    .map(|number| number.to_string())
                    .map_err(|_| "a number that is too large".to_owned()),
            }
        }
        DeValue::Datetime(_) => {
            Err("a date or a time, which no option takes: put it in quotes if it is a text".into())
        }
        DeValue::Array(_) => Err("a list in a list, which no option takes".into()),
        DeValue::Table(_) => Err("a table, which no option takes".into()),
    }
}

fn misplaced(name: &str) -> String {
    let of_job = JobSettings::specs().iter().any(|spec| spec.key == name);
    let hint = match nearest(name, ["job", "backends"]) {
        _ if of_job => "it stands under `[job]`".to_owned(),
        Some(near) => format!("did you mean `[{near}]`?"),
        None => "what is there is `[job]` and `[backends.ALIAS]`".to_owned(),
    };
    format!("unknown key `{name}`: {hint}")
}

fn line(text: &str, name: &Spanned<DeString>) -> usize {
    place(text, name.span().start).0
}

fn syntax_error(text: &str, at: usize, message: &str) -> SyntaxError {
    let (line, column) = place(text, at);
    SyntaxError {
        line,
        column,
        message: message.to_owned(),
    }
}

/// Line and column, both from 1; a column is a character.
fn place(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before
        .rsplit('\n')
        .next()
        .unwrap_or_default()
        .chars()
        .count()
        + 1;
    (line, column)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn entry(key: &str, values: &[&str], line: usize) -> Entry {
        Entry {
            key: key.into(),
            values: values.iter().map(|&value| value.to_owned()).collect(),
            list: values.len() > 1,
            line,
        }
    }

    #[test]
    fn sections_keys_and_values_are_found_with_their_lines() {
        let text = "\
# a comment
[backends.docker]
Pids_Limit = 0x1_0
binds = [\"/a,b:/c\", \"/d:/e\"]
cpus = 1.5
privileged = false
[job]
backend = \"docker\"
";
        let document = Document::parse(text.as_bytes()).unwrap();
        let job = Section {
            backend: None,
            line: 7,
            entries: vec![entry("backend", &["docker"], 8)],
        };
        let mut entries = vec![
            entry("pids-limit", &["16"], 3),
            entry("binds", &[r"/a\,b:/c", "/d:/e"], 4),
            entry("cpus", &["1.5"], 5),
            entry("privileged", &["false"], 6),
        ];
        entries.sort_by(|one, other| one.key.cmp(&other.key));
        let mut document = document;
        for section in &mut document.sections {
            section
                .entries
                .sort_by(|one, other| one.key.cmp(&other.key));
        }
        let docker = Section {
            backend: Some("docker".into()),
            line: 2,
            entries,
        };
        assert_eq!(document.problems, []);
        assert_eq!(document.sections, [job, docker]);
    }

    #[test]
    fn what_has_no_place_is_told_with_its_line_and_the_rest_is_there() {
        let text = "\
jobs = 1
backend = \"x\"
[backends]
local = 1
[job]
image = \"a\"
IMAGE = \"b\"
os = 2026-01-01
dist = [[1]]
arch = {a = 1}
";
        let document = Document::parse(text.as_bytes()).unwrap();
        assert_eq!(document.sections.len(), 1);
        let mut problems = document.problems;
        problems.sort();
        let problems: Vec<_> = problems
            .iter()
            .map(|(line, what)| format!("{line}: {what}"))
            .collect();
        insta::assert_snapshot!(problems.join("\n"), @"
        1: unknown key `jobs`: did you mean `[job]`?
        2: unknown key `backend`: it stands under `[job]`
        4: `backends.local` is not a table: write `[backends.local]`
        6: `image` is set twice (the other is on line 7)
        8: `os` is a date or a time, which no option takes: put it in quotes if it is a text
        9: `dist` is a list in a list, which no option takes
        10: `arch` is a table, which no option takes
        ");
    }

    #[test]
    fn a_broken_text_has_line_and_column() {
        for text in ["[job]\nimage = \n", "[job\n", "a = 1\na = 2\n", "é = 'x\n"] {
            let error = Document::parse(text.as_bytes()).unwrap_err();
            assert!(error.line >= 1 && error.column >= 1 && !error.message.is_empty());
        }
        let error = Document::parse(b"[job]\nx = \"\xff\"").unwrap_err();
        assert_eq!(error.to_string(), "line 2, column 6: this is not UTF-8");
        let error = Document::parse("[job]\nx = 'é' y".as_bytes()).unwrap_err();
        assert_eq!((error.line, error.column), (2, 9), "{error}");
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Document::parse(&bytes);
        }

        #[test]
        fn anything_like_a_configuration_is_read_or_refused(text in r#"(\[(job|backends\.x)\]\n|[a-z_]{1,3} ?= ?("[^"]{0,4}"|[0-9x_.]{0,5}|\[.{0,5}\])\n){0,6}"#) {
            let _ = Document::parse(text.as_bytes());
        }
    }
}
