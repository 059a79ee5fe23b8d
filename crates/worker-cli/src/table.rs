//! Tables for people: aligned columns, no colour needed.

use std::borrow::Cow;

/// `rows` as lines of aligned columns, the first row being the heading.
pub(crate) fn render(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter()
            .filter_map(|row| row.get(column))
            .map(|cell| cell.chars().count())
            .max()
    };
    let widths: Vec<_> = (0..columns)
        .map(|column| width(column).unwrap_or(0))
        .collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            line.push_str(cell);
            let pad = width - cell.chars().count() + 2;
            line.extend(std::iter::repeat_n(' ', pad));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// A text as a cell: what would break the line, or what a terminal would take
/// for a command, is escaped.
pub(crate) fn one_line(text: &str) -> Cow<'_, str> {
    if text.contains(char::is_control) {
        return format!("{text:?}").into();
    }
    text.into()
}

/// How wide the reader's terminal is, in characters: at most 100, at least 40,
/// and 80 where there is none.
pub(crate) fn width() -> usize {
    match terminal_size::terminal_size() {
        Some((terminal_size::Width(columns), _)) => usize::from(columns).clamp(40, 100),
        None => 80,
    }
}

/// `text` in lines of at most `width` characters, broken between words.
pub(crate) fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in text.split_whitespace() {
        if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > width {
            lines.push(std::mem::take(&mut line));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    lines.push(line);
    lines
}

/// The same where that fits into `columns`, and else each row as a list of its
/// cells, each behind its heading.
pub(crate) fn fitted(rows: &[Vec<String>], columns: Option<usize>) -> String {
    let table = render(rows);
    let widest = table.lines().map(|line| line.chars().count()).max();
    if columns.is_none_or(|columns| widest.unwrap_or(0) <= columns) {
        return table;
    }
    let Some((heading, rows)) = rows.split_first() else {
        return table;
    };
    let lists = rows.iter().map(|row| {
        let cells = heading.iter().zip(row).filter(|(_, cell)| !cell.is_empty());
        let pairs: Vec<_> = cells
            .map(|(name, cell)| vec![name.clone(), cell.clone()])
            .collect();
        render(&pairs)
    });
    lists.collect::<Vec<_>>().join("\n")
}

/// The width of the terminal that standard output is; `None` elsewhere.
pub(crate) fn columns() -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(std::io::stdout()).ok()?;
    Some(usize::from(size.ws_col)).filter(|columns| *columns > 0)
}

#[cfg(test)]
mod tests {
    #[test]
    fn lines_are_broken_between_words() {
        assert_eq!(super::wrapped("one two  three", 7), ["one two", "three"]);
        assert_eq!(super::wrapped("unbreakable", 3), ["unbreakable"]);
    }

    #[test]
    fn columns_are_aligned() {
        let rows = [
            vec!["ID".into(), "AGE".into()],
            vec!["w-1".into(), "é".into()],
        ];
        assert_eq!(super::render(&rows), "ID   AGE\nw-1  é\n");
    }
}
