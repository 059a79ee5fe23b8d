//! `cargo xtask record`: a session with the program, as a picture for the README.

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};
use vt100::{Cell, Color, Parser, Screen};

use crate::command::{cargo, root, run, say};

/// Where the picture is.
const PICTURE: &str = "docs/session.svg";

const COLUMNS: u16 = 84;
const MOST_ROWS: u16 = 100;

/// What is typed.
const SESSION: &[&str] = &[
    "worker run examples/hello.sh; echo \"status $?\"",
    "worker run --hard-timeout 1s -c 'echo begun; sleep 60'; echo \"status $?\"",
    "worker run -c 'kill -SEGV $$'; echo \"status $?\"",
    "worker run --keep always -c 'echo some work > result'; worker ps",
    "worker shell w- -- cat result </dev/null",
    "worker reap $(worker ps --json | grep -o -m 1 'w-[0-9a-f]*')",
];

/// Runs the session on a terminal, and writes what is on its screen in the end.
pub(crate) fn record() -> anyhow::Result<()> {
    run(cargo().args(["build", "--package", "worker-cli", "--features", "local"]))?;
    let screen = session(&root().join("target/debug"))?;
    let path = root().join(PICTURE);
    std::fs::write(&path, picture(screen.screen()))
        .with_context(|| format!("cannot write {}", path.display()))?;
    say(&format!("wrote {PICTURE}"));
    Ok(())
}

/// The session on a terminal, with the programs of `directory` first.
fn session(directory: &Path) -> anyhow::Result<Parser> {
    let place = tempfile::tempdir()?;
    let mut lines = format!("stty cols {COLUMNS} rows {MOST_ROWS}\n");
    for command in SESSION {
        let shown = command.replace('\'', r"'\''");
        writeln!(
            lines,
            "printf '\\033[1;32m$\\033[0m %s\\n' '{shown}'\n{command}"
        )?;
    }
    let mut path = vec![directory.to_owned()];
    path.extend(std::env::split_paths(
        &std::env::var_os("PATH").unwrap_or_default(),
    ));
    // The program `script` of util-linux has a terminal for us.
    let output = Command::new("script")
        .args(["--quiet", "--command", &lines, "/dev/null"])
        .current_dir(root())
        .env("PATH", std::env::join_paths(path)?)
        .env("SHELL", "/bin/sh")
        .env("TERM", "xterm-256color")
        .env("HOME", place.path())
        .env("WORKER_STATE_DIR", place.path().join("state"))
        .env("WORKER_LOCAL_DIRECTORY", place.path().join("instances"))
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .context("cannot run `script`, of util-linux")?;
    ensure!(
        output.status.success(),
        "the session failed: {}",
        output.status
    );
    let mut parser = Parser::new(MOST_ROWS, COLUMNS, 0);
    parser.process(&output.stdout);
    Ok(parser)
}

/// The screen as SVG, without what is empty below.
fn picture(screen: &Screen) -> String {
    const WIDTH: f32 = 8.4;
    const HEIGHT: f32 = 18.0;
    const MARGIN: f32 = 14.0;
    let used = screen.rows(0, COLUMNS).map(|row| !row.trim().is_empty());
    let rows = used
        .zip(1_u16..)
        .filter_map(|(used, row)| used.then_some(row));
    let rows = rows.max().unwrap_or(1);
    let (width, height) = (
        f32::from(COLUMNS).mul_add(WIDTH, 2.0 * MARGIN),
        f32::from(rows).mul_add(HEIGHT, 2.0 * MARGIN),
    );
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" height=\"{height:.0}\" \
         font-family=\"ui-monospace, Menlo, Consolas, monospace\" font-size=\"14\">\n\
         <title>A session with worker</title>\n\
         <rect width=\"100%\" height=\"100%\" rx=\"8\" fill=\"#16181d\"/>\n"
    );
    for row in 0..rows {
        let y = f32::from(row).mul_add(HEIGHT, MARGIN + 13.0);
        write!(
            svg,
            "<text x=\"{MARGIN}\" y=\"{y:.0}\" xml:space=\"preserve\">"
        )
        .ok();
        for (style, text) in runs(screen, row) {
            write!(svg, "<tspan{style}>{text}</tspan>").ok();
        }
        svg.push_str("</text>\n");
    }
    svg.push_str("</svg>\n");
    svg
}

/// The pieces of a row that look alike.
fn runs(screen: &Screen, row: u16) -> Vec<(String, String)> {
    let mut runs: Vec<(String, String)> = Vec::new();
    for column in 0..COLUMNS {
        let Some(cell) = screen.cell(row, column) else {
            continue;
        };
        let (style, text) = (style(cell), escaped(cell.contents()));
        match runs.last_mut() {
            Some((last, so_far)) if *last == style => so_far.push_str(&text),
            _ => runs.push((style, text)),
        }
    }
    runs
}

fn style(cell: &Cell) -> String {
    let fill = match cell.fgcolor() {
        Color::Idx(1 | 9) => "#ff7b72",
        Color::Idx(2 | 10) => "#7ee787",
        Color::Idx(3 | 11) => "#e3b341",
        Color::Idx(4 | 12) => "#79c0ff",
        Color::Idx(5 | 13) => "#d2a8ff",
        Color::Idx(6 | 14) => "#76e3ea",
        _ if cell.dim() => "#8b949e",
        _ => "#e6edf3",
    };
    let weight = if cell.bold() {
        " font-weight=\"bold\""
    } else {
        ""
    };
    format!(" fill=\"{fill}\"{weight}")
}

fn escaped(text: &str) -> String {
    if text.is_empty() {
        return " ".into();
    }
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_screen_becomes_rows_of_pieces_that_look_alike() {
        let mut parser = Parser::new(MOST_ROWS, COLUMNS, 0);
        parser.process(b"\x1b[1;32m$\x1b[0m a <b>\r\n\r\nend");
        let svg = picture(parser.screen());
        assert_eq!(svg.matches("<text ").count(), 3);
        assert!(
            svg.contains(r##"<tspan fill="#7ee787" font-weight="bold">$</tspan>"##),
            "{svg}"
        );
        assert!(svg.contains(" a &lt;b&gt;"), "{svg}");
    }
}
