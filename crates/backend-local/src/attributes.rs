//! What a job asks of its instance, held against what this machine is.

use backend_core::StartAttributes;

use crate::error::Failure;

/// Refuses what this machine is not. There are no images, so an image cannot
/// be asked for.
pub(crate) fn check(attributes: &StartAttributes) -> Result<(), Failure> {
    for (attribute, value) in [
        ("image_name", &attributes.image_name),
        ("osx_image", &attributes.osx_image),
    ] {
        if !value.is_empty() {
            return Err(Failure::NoImages {
                attribute,
                value: value.clone(),
            });
        }
    }
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

/// The attributes that only choose an image, and so choose nothing here.
pub(crate) fn without_effect(attributes: &StartAttributes) -> Vec<&'static str> {
    [
        ("language", &attributes.language),
        ("dist", &attributes.dist),
        ("group", &attributes.group),
        ("vm_type", &attributes.vm_type),
    ]
    .into_iter()
    .filter(|(_, value)| !value.is_empty())
    .map(|(attribute, _)| attribute)
    .collect()
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
        assert!(matches!(check(&image), Err(Failure::NoImages { .. })));
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

    #[test]
    fn what_only_chooses_an_image_is_named() {
        let attributes = StartAttributes {
            language: "go".into(),
            dist: "bookworm".into(),
            os: "linux".into(),
            ..StartAttributes::default()
        };
        assert_eq!(without_effect(&attributes), ["language", "dist"]);
    }
}
