//! The `Prefer: wait` header (RFC 7240).

use std::time::Duration;

/// The value of a `Prefer` header that asks to wait so long, in whole seconds.
pub fn prefer_wait(wait: Duration) -> String {
    format!("wait={}", wait.as_secs())
}

/// The wait that the value of a `Prefer` header asks for, if it is one. What
/// cannot be read is ignored, as the RFC wants it.
pub fn wait_of(value: &str) -> Option<Duration> {
    value.split([',', ';']).find_map(|preference| {
        let (name, seconds) = preference.split_once('=')?;
        if !name.trim().eq_ignore_ascii_case("wait") {
            return None;
        }
        let seconds: u32 = seconds.trim().trim_matches('"').parse().ok()?;
        Some(Duration::from_secs(seconds.into()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_found_among_other_preferences() {
        let seconds = |value| wait_of(value).map(|wait| wait.as_secs());
        assert_eq!(seconds("wait=30"), Some(30));
        assert_eq!(seconds("respond-async, Wait = \"7\""), Some(7));
        for none in ["", "wait", "wait=", "wait=-1", "wait=1.5", "return=minimal"] {
            assert_eq!(seconds(none), None, "{none}");
        }
        assert_eq!(
            wait_of(&prefer_wait(Duration::from_secs(9))),
            Some(Duration::from_secs(9))
        );
    }
}
