//! Bytes as text.

use std::fmt::Write as _;

/// Two of 0-9 and a-f for each byte.
pub(crate) fn hexadecimal(bytes: impl AsRef<[u8]>) -> String {
    let mut text = String::new();
    for byte in bytes.as_ref() {
        // Writing to a string does not fail.
        write!(text, "{byte:02x}").ok();
    }
    text
}
