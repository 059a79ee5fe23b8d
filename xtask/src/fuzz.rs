//! `cargo xtask fuzz`: the fuzz targets, each for as long as asked.
//!
//! The targets are in `fuzz/fuzz_targets`, what they check is in the crates
//! (`src/fuzzing.rs`), and so are their seeds (`tests/seeds`). What a run makes
//! is in `target/fuzz`: the corpus, which the next run begins with, what was
//! found, and what libFuzzer said.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, bail};
use clap::Args;

use crate::command::{root, run, say};

/// What to fuzz, and for how long.
#[derive(Debug, Args)]
pub(crate) struct FuzzArguments {
    /// The targets [default: all]
    targets: Vec<String>,
    /// How many seconds each of them runs
    #[arg(long, value_name = "N", default_value_t = 120)]
    seconds: u32,
}

/// The longest that one input may take, in seconds: none of our decoders takes
/// a hundredth of that.
const TIMEOUT: u32 = 10;

/// What came of one target.
#[derive(Debug, Default, PartialEq, Eq)]
struct Figures {
    runs: u64,
    /// Inputs that each reach something that no other does.
    corpus: u64,
    /// Edges of the program's control flow that were reached.
    coverage: u64,
}

/// Fuzzes, and prints a table and every finding.
pub(crate) fn fuzz(arguments: &FuzzArguments) -> anyhow::Result<()> {
    let host = tools()?;
    let all = targets()?;
    for name in &arguments.targets {
        if !all.contains(name) {
            let near = backend_core::nearest(name, all.iter().map(String::as_str));
            let near = near.unwrap_or("none of that name");
            bail!(
                "there is no target `{name}`; did you mean {near}? There are:\n  {}",
                all.join("\n  ")
            );
        }
    }
    let chosen = if arguments.targets.is_empty() {
        &all
    } else {
        &arguments.targets
    };
    build(chosen, &host)?;
    let mut rows =
        vec![["TARGET", "RUNS", "SECONDS", "CORPUS", "COVERAGE", "RESULT"].map(str::to_owned)];
    let mut findings = Vec::new();
    for name in chosen {
        let begin = Instant::now();
        say(&format!("fuzzing {name} for {} s", arguments.seconds));
        let target = Target::new(name, &host);
        let (figures, finding) = target.fuzz(arguments.seconds)?;
        let result = if finding.is_some() {
            "FINDING"
        } else {
            "clean"
        };
        rows.push([
            name.clone(),
            figures.runs.to_string(),
            begin.elapsed().as_secs().to_string(),
            figures.corpus.to_string(),
            figures.coverage.to_string(),
            result.to_owned(),
        ]);
        findings.extend(finding);
    }
    print(&table(&rows));
    if !findings.is_empty() {
        print(&format!("\n{}\n", findings.join("\n")));
        bail!(
            "{} of {} targets found something",
            findings.len(),
            chosen.len()
        );
    }
    Ok(())
}

/// Looks for what is needed; gives the platform to build for.
fn tools() -> anyhow::Result<String> {
    let said = |arguments: &[&str]| {
        let output = nightly()
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .ok()?;
        let success = output.status.success();
        success.then(|| String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let compiler = said(&["rustc", "--version", "--verbose"]);
    let mut missing = Vec::new();
    if compiler.is_none() {
        missing.push("a nightly compiler: `rustup toolchain install nightly`");
    }
    if Command::new("cargo-fuzz")
        .arg("--version")
        .output()
        .is_err()
    {
        missing.push("cargo-fuzz: `cargo install cargo-fuzz --locked`");
    }
    if !missing.is_empty() {
        bail!(
            "fuzzing needs, and there is not:\n  {}",
            missing.join("\n  ")
        );
    }
    let compiler = compiler.unwrap_or_default();
    let host = compiler
        .lines()
        .find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned)
        .context("the compiler does not say its host")
}

/// A program of the nightly toolchain, in the workspace.
fn nightly() -> Command {
    let mut command = Command::new("rustup");
    command.args(["run", "nightly"]).current_dir(root());
    command
}

/// The names of all targets.
fn targets() -> anyhow::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in listing(&root().join("fuzz/fuzz_targets"))? {
        if let Some(name) = entry.file_stem() {
            names.push(name.to_string_lossy().into_owned());
        }
    }
    names.sort();
    Ok(names)
}

fn build(chosen: &[String], host: &str) -> anyhow::Result<()> {
    let mut build = nightly();
    build.args(["cargo", "fuzz", "build", "--fuzz-dir", "fuzz"]);
    build.args(["--target", host, "--target-dir", "target/fuzz/build"]);
    // One by name, else all: there is nothing between.
    if let [name] = chosen {
        build.arg(name);
    }
    run(&mut build)
}

/// One target, and where its things are.
struct Target<'a> {
    name: &'a str,
    binary: PathBuf,
    corpus: PathBuf,
    findings: PathBuf,
    log: PathBuf,
}

impl<'a> Target<'a> {
    fn new(name: &'a str, host: &str) -> Self {
        let place = root().join("target/fuzz");
        Self {
            name,
            binary: place.join("build").join(host).join("release").join(name),
            corpus: place.join("corpus").join(name),
            findings: place.join("findings").join(name),
            log: place.join(format!("{name}.log")),
        }
    }

    /// Runs it; also what to print of a finding, if there is one.
    fn fuzz(&self, seconds: u32) -> anyhow::Result<(Figures, Option<String>)> {
        fs::create_dir_all(&self.corpus)?;
        fs::create_dir_all(&self.findings)?;
        self.copy_seeds()?;
        let before = listing(&self.findings)?;
        let log = fs::File::create(&self.log)?;
        let status = Command::new(&self.binary)
            .arg(&self.corpus)
            .arg(format!("-max_total_time={seconds}"))
            .arg(format!("-timeout={TIMEOUT}"))
            .arg(format!("-artifact_prefix={}/", self.findings.display()))
            // Each target is one program out of many crates with the same names.
            .env("ASAN_OPTIONS", "detect_odr_violation=0")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .status()
            .with_context(|| format!("cannot run {}", self.binary.display()))?;
        let said = fs::read(&self.log)?;
        let said = String::from_utf8_lossy(&said);
        let figures = figures(&said);
        if status.success() {
            return Ok((figures, None));
        }
        let mut found = listing(&self.findings)?;
        found.retain(|path| !before.contains(path));
        let input = found.pop();
        Ok((figures, Some(self.finding(&said, input.as_deref()))))
    }

    fn copy_seeds(&self) -> anyhow::Result<()> {
        for package in listing(&root().join("crates"))? {
            let seeds = package.join("tests/seeds").join(self.name);
            if !seeds.is_dir() {
                continue;
            }
            for seed in listing(&seeds)? {
                if let Some(name) = seed.file_name() {
                    fs::copy(&seed, self.corpus.join(name))?;
                }
            }
        }
        Ok(())
    }

    fn finding(&self, said: &str, input: Option<&Path>) -> String {
        let what = what(said);
        let name = self.name;
        let Some(input) = input else {
            return format!(
                "{name}: {what}\n  all that was said: {}",
                self.log.display()
            );
        };
        format!(
            "{name}: {what}\n  again: {} {}\n  kept as a test: copy it to crates/*/tests/seeds/{name}/ under a name that says what it was",
            self.binary.display(),
            input.display()
        )
    }
}

fn listing(directory: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let entries = fs::read_dir(directory);
    let entries = entries.with_context(|| format!("cannot list {}", directory.display()))?;
    entries.map(|entry| Ok(entry?.path())).collect()
}

/// The figures in what libFuzzer says: of the last line that has them.
fn figures(said: &str) -> Figures {
    let mut figures = Figures::default();
    for line in said.lines() {
        let Some((number, rest)) = line
            .strip_prefix('#')
            .and_then(|line| line.split_once('\t'))
        else {
            continue;
        };
        figures.runs = number.parse().unwrap_or(figures.runs);
        let mut words = rest.split_ascii_whitespace();
        while let Some(word) = words.next() {
            let figure = match word {
                "cov:" => &mut figures.coverage,
                "corp:" => &mut figures.corpus,
                _ => continue,
            };
            let value = words.next().unwrap_or_default();
            let value = value.split('/').next().unwrap_or_default();
            *figure = value.parse().unwrap_or(*figure);
        }
    }
    figures
}

/// What was found, in a line or two.
fn what(said: &str) -> String {
    let mut lines = said.lines();
    if let Some(panic) = lines.find(|line| line.contains("panicked at")) {
        return format!("{panic} {}", lines.next().unwrap_or_default());
    }
    let error = said.lines().find(|line| line.contains("ERROR:"));
    error.unwrap_or("it ended without a word").to_owned()
}

/// The rows in columns; figures to the right.
fn table(rows: &[[String; 6]]) -> String {
    let mut widths = [0; 6];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.len().max(*width);
        }
    }
    let [name_width, figure_widths @ .., _] = widths;
    let mut text = String::new();
    for [name, figures @ .., result] in rows {
        let mut line = format!("{name:<name_width$}");
        for (figure, width) in figures.iter().zip(figure_widths) {
            line.extend([String::from("  "), format!("{figure:>width$}")]);
        }
        text.extend([&line, "  ", result, "\n"]);
    }
    text
}

#[expect(clippy::print_stdout, reason = "the table is what this chore gives")]
fn print(text: &str) {
    print!("{text}");
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const SAID: &str = "INFO: Running with entropic power schedule (0xFF, 100).\n\
        #12\tINITED cov: 90 ft: 91 corp: 10/300b exec/s: 0 rss: 40Mb\n\
        #4096\tpulse  cov: 120 ft: 300 corp: 33/1500b lim: 43 exec/s: 2048 rss: 50Mb\n\
        thread '<unnamed>' panicked at src/fuzzing.rs:7:5:\n\
        assertion failed: left == right\n\
        ==7== ERROR: libFuzzer: deadly signal\n";

    #[test]
    fn figures_and_findings_are_read_from_what_libfuzzer_says() {
        let expected = Figures {
            runs: 4096,
            corpus: 33,
            coverage: 120,
        };
        assert_eq!(figures(SAID), expected);
        let found = what(SAID);
        assert!(
            found.ends_with("src/fuzzing.rs:7:5: assertion failed: left == right"),
            "{found}"
        );
        assert_eq!(
            what("==7== ERROR: libFuzzer: timeout after 10 s"),
            "==7== ERROR: libFuzzer: timeout after 10 s"
        );
        assert_eq!(figures("nothing"), Figures::default());
    }

    /// A target is a file, a program in the manifest, and a directory of seeds.
    #[test]
    fn every_target_is_built_and_has_seeds() {
        let names: BTreeSet<_> = targets().unwrap().into_iter().collect();
        let manifest = fs::read_to_string(root().join("fuzz/Cargo.toml")).unwrap();
        let built = manifest
            .lines()
            .filter_map(|line| line.strip_prefix("path = \"fuzz_targets/"));
        let built: BTreeSet<_> = built
            .filter_map(|rest| rest.strip_suffix(".rs\""))
            .map(str::to_owned)
            .collect();
        assert_eq!(names, built);
        let mut with_seeds = BTreeSet::new();
        for package in listing(&root().join("crates")).unwrap() {
            let seeds = package.join("tests/seeds");
            if seeds.is_dir() {
                let entries = listing(&seeds).unwrap();
                with_seeds.extend(
                    entries
                        .iter()
                        .map(|path| path.file_name().unwrap().to_string_lossy().into_owned()),
                );
            }
        }
        assert_eq!(names, with_seeds);
    }
}
