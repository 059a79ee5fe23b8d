//! Quoting for POSIX shells.

/// `text` as one word of a POSIX shell, in which nothing is expanded.
///
/// For `sh` and everything like it. fish and csh treat a few characters
/// differently even inside single quotes: never give them values at all.
pub fn single(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('\'');
    for character in text.chars() {
        match character {
            '\'' => quoted.push_str(r"'\''"),
            other => quoted.push(other),
        }
    }
    quoted.push('\'');
    quoted
}

#[cfg(test)]
mod tests {
    #[test]
    fn quotes_end_only_where_they_are_meant_to() {
        assert_eq!(super::single(""), "''");
        assert_eq!(super::single("a'b$c\n"), "'a'\\''b$c\n'");
    }
}
