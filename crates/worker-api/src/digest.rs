//! SHA-256 in the form of `Content-Digest` (RFC 9530).

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

/// A SHA-256.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Digest(pub [u8; 32]);

/// A header that holds no SHA-256.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no `sha-256=:…:` in the header Content-Digest (RFC 9530)")]
pub struct InvalidDigest;

impl Digest {
    /// Of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// The value of a `Content-Digest` header.
    pub fn to_header(self) -> String {
        format!("sha-256=:{}:", STANDARD.encode(self.0))
    }

    /// Reads the SHA-256 in the value of a `Content-Digest` header, which may
    /// hold others beside it.
    ///
    /// # Errors
    ///
    /// If there is none, or it has not 32 bytes.
    pub fn from_header(value: &str) -> Result<Self, InvalidDigest> {
        value
            .split(',')
            .filter_map(|member| member.trim().strip_prefix("sha-256=:")?.strip_suffix(':'))
            .find_map(|text| STANDARD.decode(text).ok()?.try_into().ok())
            .map(Self)
            .ok_or(InvalidDigest)
    }

    /// Lower-case hexadecimal, as `sha256sum` prints it.
    pub fn to_hex(self) -> String {
        use fmt::Write as _;

        let mut text = String::with_capacity(64);
        for byte in self.0 {
            // Writing to a text cannot fail.
            write!(text, "{byte:02x}").ok();
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_form_is_that_of_rfc_9530() {
        // The example of RFC 9530, appendix D.
        let digest = Digest::of(b"{\"hello\": \"world\"}\n");
        assert_eq!(
            digest.to_header(),
            "sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:"
        );
        let mixed = format!("sha-512=:YQ==:, {}", digest.to_header());
        assert_eq!(Digest::from_header(&mixed), Ok(digest));
        for wrong in [
            "",
            "sha-256=",
            "sha-256=:YQ==:",
            "md5=:YQ==:",
            "sha-256=:!:",
        ] {
            assert_eq!(Digest::from_header(wrong), Err(InvalidDigest), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in ".{0,80}") {
            let _ = Digest::from_header(&text);
        }

        #[test]
        fn what_is_written_is_read(bytes: Vec<u8>) {
            let digest = Digest::of(&bytes);
            prop_assert_eq!(Digest::from_header(&digest.to_header()), Ok(digest));
        }
    }
}
