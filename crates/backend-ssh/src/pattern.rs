//! Patterns of OpenSSH: `*`, `?`, lists with `!`. Source: `ssh_config(5)`,
//! "PATTERNS".

/// Whether a list of patterns, separated by commas, matches: one of them does,
/// and none that begins with `!`. Case does not matter.
pub(crate) fn list_matches(list: &str, name: &str) -> bool {
    matches_all(list.split(','), name)
}

/// The same with the patterns as they are.
pub(crate) fn matches_all<'a>(patterns: impl Iterator<Item = &'a str>, name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let mut matched = false;
    for pattern in patterns {
        let pattern = pattern.to_ascii_lowercase();
        match pattern.strip_prefix('!') {
            Some(pattern) if matches(pattern.as_bytes(), name.as_bytes()) => return false,
            Some(_) => {}
            None => matched |= matches(pattern.as_bytes(), name.as_bytes()),
        }
    }
    matched
}

/// In time that grows with the product of the lengths only: at a mismatch it
/// goes back to the last `*`, and lets that take one byte more.
pub(crate) fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut at, mut in_text) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while let Some(byte) = text.get(in_text) {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, in_text));
                at += 1;
            }
            Some(wanted) if *wanted == b'?' || wanted == byte => {
                at += 1;
                in_text += 1;
            }
            _ => match star {
                Some((star_at, taken)) => {
                    star = Some((star_at, taken + 1));
                    at = star_at + 1;
                    in_text = taken + 1;
                }
                None => return false,
            },
        }
    }
    pattern
        .get(at..)
        .is_none_or(|rest| rest.iter().all(|byte| *byte == b'*'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lists_match_as_documented() {
        for (list, name, expected) in [
            ("a", "a", true),
            ("A.B", "a.b", true),
            ("*.b", "a.b", true),
            ("*.b,!a.b", "a.b", false),
            ("!a.b,*.b", "a.b", false),
            ("!x", "a", false),
            ("10.0.?.1", "10.0.7.1", true),
            ("10.0.?.1", "10.0.77.1", false),
            ("*", "", true),
            ("", "a", false),
        ] {
            assert_eq!(list_matches(list, name), expected, "{list} {name}");
        }
    }

    /// The definition, in exponential time.
    fn simply(pattern: &[u8], text: &[u8]) -> bool {
        match (pattern.split_first(), text.split_first()) {
            (None, None) => true,
            (Some((b'*', rest)), None) => simply(rest, text),
            (Some((b'*', rest)), Some((_, behind))) => {
                simply(rest, text) || simply(pattern, behind)
            }
            (Some((b'?', rest)), Some((_, behind))) => simply(rest, behind),
            (Some((wanted, rest)), Some((byte, behind))) => wanted == byte && simply(rest, behind),
            (Some(_), None) | (None, Some(_)) => false,
        }
    }

    proptest! {
        #[test]
        fn it_is_the_definition(pattern in "[ab*?]{0,7}", text in "[ab]{0,9}") {
            prop_assert_eq!(
                matches(pattern.as_bytes(), text.as_bytes()),
                simply(pattern.as_bytes(), text.as_bytes())
            );
        }
    }
}
