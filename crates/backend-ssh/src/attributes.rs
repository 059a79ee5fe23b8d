//! What a job asks of its instance, held against what the machines are.

use backend_core::{StartAttributes, without_images};

use crate::error::Failure;

/// Refuses an image, and what no machine here is.
pub(crate) fn check(attributes: &StartAttributes) -> Result<(), Failure> {
    without_images::check(attributes)?;
    match attributes.os.as_str() {
        "" | "linux" => Ok(()),
        other => Err(Failure::OtherSystem(other.to_owned())),
    }
}

/// What `uname -m` may say on a machine of this architecture, separated by
/// blanks; empty if any will do.
pub(crate) fn machine_names(architecture: &str) -> String {
    match architecture {
        "amd64" | "x86_64" | "x86-64" => "x86_64 amd64".into(),
        "arm64" | "aarch64" => "aarch64 arm64".into(),
        "386" | "i386" | "i686" | "x86" => "i386 i486 i586 i686".into(),
        "ppc64le" => "ppc64le".into(),
        // On one line, whatever was asked for.
        other => other.split_whitespace().collect::<Vec<_>>().join(" "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_and_other_systems_are_refused_by_name() {
        let mut attributes = StartAttributes {
            os: "linux".into(),
            ..StartAttributes::default()
        };
        assert!(check(&attributes).is_ok());
        attributes.os = "osx".into();
        assert!(
            check(&attributes)
                .unwrap_err()
                .to_string()
                .contains("`osx`")
        );
        attributes.image_name = "alpine".into();
        assert!(matches!(check(&attributes), Err(Failure::NoImages(_))));
        assert_eq!(machine_names("a\nb"), "a b");
    }
}
