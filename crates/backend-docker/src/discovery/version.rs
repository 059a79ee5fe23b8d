//! Versions of the engine's API.

use std::fmt;
use std::str::FromStr;

/// A version, such as 1.41.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ApiVersion {
    major: u32,
    minor: u32,
}

impl ApiVersion {
    /// Whether an engine of this version is spoken to.
    pub(crate) fn is_supported(self) -> bool {
        let least = crate::MIN_SUPPORTED_API_VERSION.parse();
        least.is_ok_and(|least: Self| self >= least)
    }
}

impl FromStr for ApiVersion {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (major, minor) = text.split_once('.').ok_or(())?;
        let number = |text: &str| {
            if text.bytes().all(|byte| byte.is_ascii_digit()) {
                text.parse().map_err(|_| ())
            } else {
                Err(())
            }
        };
        Ok(Self {
            major: number(major)?,
            minor: number(minor)?,
        })
    }
}

impl fmt::Display for ApiVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn versions_are_numbers_not_texts() {
        let version = |text: &str| text.parse::<ApiVersion>().unwrap();
        assert!(version("1.9") < version("1.24") && version("1.53") < version("2.0"));
        assert!(version("1.24").is_supported() && version("1.41").is_supported());
        assert!(!version("1.23").is_supported() && !version("0.99").is_supported());
        for wrong in [
            "", "1", "1.", ".1", "1.x", "-1.2", "+1.2", "1.41.0", " 1.41",
        ] {
            assert!(wrong.parse::<ApiVersion>().is_err(), "{wrong:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_is_read_back(major: u32, minor: u32) {
            let version = ApiVersion { major, minor };
            prop_assert_eq!(version.to_string().parse(), Ok(version));
        }
    }
}
