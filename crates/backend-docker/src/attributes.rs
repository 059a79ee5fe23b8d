//! What a job asks of its instance, held against what a container is. The
//! attributes that choose an image are read where it is chosen.

use backend_core::StartAttributes;

use crate::error::Failure;

/// Refuses what a container cannot be.
pub(crate) fn check(attributes: &StartAttributes) -> Result<(), Failure> {
    match attributes.os.to_ascii_lowercase().as_str() {
        "" | "linux" => Ok(()),
        _ => Err(Failure::OtherSystem(attributes.os.clone())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_system_is_refused_by_name() {
        let os = |os: &str| StartAttributes {
            os: os.into(),
            ..StartAttributes::default()
        };
        assert!(check(&os("")).is_ok() && check(&os("Linux")).is_ok());
        assert!(check(&os("osx")).unwrap_err().to_string().contains("`osx`"));
    }
}
