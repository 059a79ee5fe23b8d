//! What an image is called in a result.

use std::sync::Arc;

use bollard::models::ImageInspect;

use super::Image;
use super::failure::ImageFailure;
use super::reference::Reference;
use crate::engine_error::EngineError;

/// The image that the engine has as `shown`, which `reference` names if it is
/// a name at a registry.
pub(super) fn image(
    shown: &str,
    reference: Option<&Reference>,
    image: ImageInspect,
) -> Result<Image, ImageFailure> {
    let missing = || ImageFailure::Engine {
        step: "look at the image",
        name: shown.into(),
        source: Arc::new(EngineError::Missing("the id of the image")),
    };
    let id = image.id.filter(|id| !id.is_empty()).ok_or_else(missing)?;
    let digests = image.repo_digests.unwrap_or_default();
    let user = image.config.and_then(|config| config.user);
    let name = match reference {
        Some(Reference::Id(_)) => shown.to_owned(),
        Some(reference) if reference.digest().is_some() => shown.to_owned(),
        reference => match reference.and_then(|reference| digest(reference, &digests)) {
            Some(digest) => format!("{shown}@{digest}"),
            // It is no digest of a registry: with `@`, it would look like one.
            None => format!("{shown} ({id})"),
        },
    };
    Ok(Image {
        reference: id,
        name,
        user: user.unwrap_or_default(),
    })
}

/// The digest of the image at the registry of `reference`.
fn digest(reference: &Reference, digests: &[String]) -> Option<String> {
    let digests = digests.iter().filter_map(|text| text.parse().ok());
    let of_it = |known: &Reference| known.repository() == reference.repository();
    let found = digests.into_iter().find(of_it)?;
    found.digest().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(text: &str, digests: &[&str]) -> String {
        let reference: Reference = text.parse().unwrap();
        let inspected = ImageInspect {
            id: Some("sha256:5".into()),
            repo_digests: Some(digests.iter().map(|&digest| digest.to_owned()).collect()),
            ..ImageInspect::default()
        };
        let image = image(&reference.to_string(), Some(&reference), inspected).unwrap();
        assert_eq!(image.reference, "sha256:5");
        image.name
    }

    #[test]
    fn the_digest_is_that_of_the_same_repository() {
        let digest = format!("sha256:{}", "a".repeat(64));
        let other = format!("other@sha256:{}", "b".repeat(64));
        let short = format!("debian@{digest}");
        let long = format!("docker.io/library/debian@{digest}");
        for digests in [[other.as_str(), &short], [&other, &long]] {
            assert_eq!(named("debian:12", &digests), format!("debian:12@{digest}"));
        }
        assert_eq!(named("debian:12", &[&other]), "debian:12 (sha256:5)");
        assert_eq!(
            named("debian:12", &["<none>@<none>"]),
            "debian:12 (sha256:5)"
        );
        assert_eq!(named(&short, &[]), short);
        assert_eq!(named(&digest, &[&short]), digest);
    }

    #[test]
    fn an_image_without_an_id_is_none() {
        assert!(image("x", None, ImageInspect::default()).is_err());
    }
}
