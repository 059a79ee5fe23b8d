//! The platform of an image: `OS/ARCHITECTURE` or `OS/ARCHITECTURE/VARIANT`.

use bollard::models::ImageInspect;

use super::failure::ImageFailure;

/// Checks the option `platform`.
pub(super) fn check(text: &str) -> Result<(), ImageFailure> {
    let parts: Vec<_> = text.split('/').collect();
    let is_word = |part: &&str| {
        let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        !part.is_empty() && part.bytes().all(inner)
    };
    let why = match parts.len() {
        2 | 3 if parts.iter().all(is_word) => return Ok(()),
        2 | 3 => "its parts are of a-z and 0-9",
        _ => "it has two or three parts, with `/` between them",
    };
    Err(ImageFailure::Platform {
        text: text.into(),
        why,
    })
}

/// Whether an image is of this platform, as far as it says. Where the platform
/// has no variant, any will do.
pub(super) fn is_of(image: &ImageInspect, platform: &str) -> bool {
    let own = [&image.os, &image.architecture, &image.variant];
    platform.split('/').zip(own).all(|(asked, own)| {
        let own = own.as_deref().unwrap_or_default();
        own.is_empty() || normal(own) == normal(asked)
    })
}

/// Names of old for the same, as containerd has them.
fn normal(part: &str) -> &str {
    match part {
        "x86_64" | "x86-64" => "amd64",
        "aarch64" => "arm64",
        "i386" => "386",
        part => part,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn platforms_are_checked() {
        for right in ["linux/amd64", "linux/arm/v7", "linux/x86_64"] {
            assert!(check(right).is_ok(), "{right}");
        }
        for wrong in [
            "",
            "linux",
            "linux/",
            "linux/a/b/c",
            "linux/arm 64",
            "Linux/amd64",
        ] {
            assert!(check(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_image_is_of_its_own_platform() {
        let image = ImageInspect {
            os: Some("linux".into()),
            architecture: Some("arm64".into()),
            variant: Some("v8".into()),
            ..ImageInspect::default()
        };
        for (platform, right) in [
            ("linux/arm64", true),
            ("linux/aarch64", true),
            ("linux/arm64/v8", true),
            ("linux/arm64/v7", false),
            ("linux/amd64", false),
        ] {
            assert_eq!(is_of(&image, platform), right, "{platform}");
        }
    }
}
