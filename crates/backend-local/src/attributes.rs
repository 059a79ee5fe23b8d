//! What a job asks of its instance, held against what this machine is.

use backend_core::{StartAttributes, without_images};

use crate::error::Failure;

/// Refuses an image, and what this machine is not.
pub(crate) fn check(attributes: &StartAttributes) -> Result<(), Failure> {
    without_images::check(attributes)?;
    let machine = [
        ("os", &attributes.os, std::env::consts::OS),
        ("arch", &attributes.arch, std::env::consts::ARCH),
    ];
    for (attribute, value, own) in machine {
        if !value.is_empty() && common_name(value) != own {
            return Err(Failure::OtherMachine {
                attribute,
                value: value.clone(),
                own,
            });
        }
    }
    Ok(())
}

/// The name that Rust has for what engines and packages call differently.
fn common_name(value: &str) -> &str {
    match value {
        "amd64" | "x86-64" => "x86_64",
        "arm64" => "aarch64",
        "386" | "i386" | "i686" => "x86",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_and_other_machines_are_refused_by_name() {
        let os = |os: &str| StartAttributes {
            os: os.into(),
            ..StartAttributes::default()
        };
        assert!(check(&os("linux")).is_ok() && check(&os("")).is_ok());
        let text = check(&os("osx")).unwrap_err().to_string();
        assert_eq!(text, "this machine has `os` `linux`, not `osx`");
        let image = StartAttributes {
            image_name: "alpine".into(),
            ..StartAttributes::default()
        };
        assert!(matches!(check(&image), Err(Failure::NoImages(_))));
        for (name, rust) in [("amd64", "x86_64"), ("arm64", "aarch64")] {
            let arch = StartAttributes {
                arch: name.into(),
                ..StartAttributes::default()
            };
            assert_eq!(
                check(&arch).is_ok(),
                rust == std::env::consts::ARCH,
                "{name}"
            );
        }
    }
}
