//! The forms in which a secret may be printed.

use std::collections::BTreeSet;

use super::MINIMUM_SECRET;

/// The shortest piece of a secret (a line, a part of its base64) that is
/// masked by itself: a shorter one would be found in honest text.
const MINIMUM_PIECE: usize = 8;

/// Every form of `secret` that is masked: as it is; each of its lines; in
/// base64, wherever it stands in what was encoded, and broken into lines where it
/// is encoded alone; percent-encoded; and as in a JSON string.
pub(crate) fn of(secret: &[u8]) -> BTreeSet<Vec<u8>> {
    let mut forms = BTreeSet::from([secret.to_vec()]);
    // What is printed by `echo "$SECRET"` has lost or gained a newline.
    let trimmed = secret.trim_ascii();
    let lines = secret.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    let pieces: Vec<_> = lines.filter(|line| line.len() >= MINIMUM_PIECE).collect();
    let wholes = [secret, trimmed]
        .into_iter()
        .filter(|whole| whole.len() >= MINIMUM_SECRET);
    for text in wholes.chain(pieces.iter().copied()) {
        forms.insert(text.to_vec());
        forms.extend(percent_encoded(text));
        forms.extend(json_escaped(text));
    }
    for alignment in 0..3 {
        for alphabet in [STANDARD, URL_SAFE] {
            let form = base64(secret, alignment, alphabet);
            if form.len() >= MINIMUM_PIECE {
                forms.insert(form);
            }
        }
    }
    // Tools break base64 into lines, of which each is a form of its own.
    let digits = base64(secret, 0, STANDARD);
    for width in LINE_WIDTHS
        .into_iter()
        .filter(|width| digits.len() > *width)
    {
        let lines = digits
            .chunks(width)
            .filter(|line| line.len() >= MINIMUM_PIECE);
        forms.extend(lines.map(<[u8]>::to_vec));
    }
    forms
}

/// How many digits of base64 are on a line: for `base64` and MIME (RFC 2045),
/// and for PEM (RFC 7468).
const LINE_WIDTHS: [usize; 2] = [76, 64];

const STANDARD: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const URL_SAFE: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// The base64 digits (RFC 4648) that depend on `secret` alone, where it stands
/// `alignment` bytes behind the beginning of a group of three.
fn base64(secret: &[u8], alignment: usize, alphabet: &[u8; 64]) -> Vec<u8> {
    let bits = |digit: usize| {
        // Each digit is six bits, that is parts of one or two bytes.
        (digit * 6..digit * 6 + 6).map(|bit| {
            let byte = (bit / 8)
                .checked_sub(alignment)
                .and_then(|index| secret.get(index));
            byte.map(|byte| usize::from(byte >> (7 - bit % 8) & 1))
        })
    };
    let digits = ((alignment + secret.len()) * 8).div_ceil(6);
    let value = |digit: usize| bits(digit).try_fold(0, |value, bit| Some(value << 1 | bit?));
    (0..digits)
        .filter_map(value)
        .filter_map(|value| alphabet.get(value).copied())
        .collect()
}

/// As in a URL (RFC 3986), with digits in either case, and with a blank as `+`.
fn percent_encoded(text: &[u8]) -> Vec<Vec<u8>> {
    let encode = |digits: &[u8; 16], plus: bool| {
        let mut encoded = Vec::with_capacity(text.len());
        for byte in text {
            match byte {
                b' ' if plus => encoded.push(b'+'),
                b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                    encoded.push(*byte);
                }
                _ => {
                    let nibbles = [byte >> 4, byte & 15].map(usize::from);
                    encoded.push(b'%');
                    encoded.extend(nibbles.iter().filter_map(|nibble| digits.get(*nibble)));
                }
            }
        }
        encoded
    };
    let (upper, lower) = (b"0123456789ABCDEF", b"0123456789abcdef");
    vec![
        encode(upper, false),
        encode(lower, false),
        encode(upper, true),
        encode(lower, true),
    ]
}

/// As inside a JSON string, with and without `\/` for a slash. Only for what is
/// text: JSON can hold nothing else.
fn json_escaped(text: &[u8]) -> Vec<Vec<u8>> {
    let Ok(text) = std::str::from_utf8(text) else {
        return Vec::new();
    };
    let quoted = serde_json::Value::from(text).to_string();
    let inner = quoted.get(1..quoted.len() - 1).unwrap_or_default();
    vec![
        inner.as_bytes().to_vec(),
        inner.replace('/', "\\/").into_bytes(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn assert_form(secret: &str, form: &str) {
        assert!(
            of(secret.as_bytes()).contains(form.as_bytes()),
            "{form:?} is no form of {secret:?}"
        );
    }

    #[test]
    fn the_forms_are_there() {
        assert_form("pass word/é", "pass%20word%2F%C3%A9");
        assert_form("pass word/é", "pass%20word%2f%c3%a9");
        assert_form("pass word/é", "pass+word%2F%C3%A9");
        assert_form("a\"b\\c\n/", r#"a\"b\\c\n/"#);
        assert_form("a\"b\\c\n/", r#"a\"b\\c\n\/"#);
        assert_form("first line\nsecond line\r\n}", "second line");
        assert_form("hunter22\n", "hunter22");
        assert!(!of(b"first line\nsecond line\r\n}").contains(b"}".as_slice()));
    }

    #[test]
    fn base64_is_found_wherever_it_stands() {
        // printf 'hunter22hunter22' | base64, and behind one and two bytes.
        assert_form("hunter22hunter22", "aHVudGVyMjJodW50ZXIyM");
        assert_form("hunter22hunter22", "h1bnRlcjIyaHVudGVyMj");
        assert_form("hunter22hunter22", "odW50ZXIyMmh1bnRlcjIy");
        assert_form("\u{fb}\u{ff}\u{fb}\u{ff}", "w7vDv8O7w7");
        assert_eq!(base64(b"\xfb\xff\xfe", 0, STANDARD), b"+//+");
        assert_eq!(base64(b"\xfb\xff\xfe", 0, URL_SAFE), b"-__-");
    }
}
