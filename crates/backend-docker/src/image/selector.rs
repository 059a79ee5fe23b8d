//! How an image is chosen from the attributes of a start.

use backend_core::{Family, StartAttributes};

/// The tags that the selector `tag` looks for, in this order, among the
/// images of the engine.
pub(super) fn tags(attributes: &StartAttributes) -> Vec<String> {
    let language = &attributes.language;
    let of_language = if language.is_empty() {
        vec![]
    } else {
        vec![format!("travis:{language}"), language.clone()]
    };
    let defaults = ["travis:default", "default"].map(str::to_owned);
    of_language.into_iter().chain(defaults).collect()
}

/// The image that the selector `env` takes from the options `image-…`: the
/// first of [`keys`] that is set. A value that is itself such a key is looked
/// up once more.
pub(super) fn from_options(attributes: &StartAttributes, images: &Family) -> Option<String> {
    let keys = keys(attributes);
    let value = keys.iter().find_map(|key| images.get(key))?;
    Some(images.get(value).unwrap_or(value).to_owned())
}

/// The keys of the selector `env`, the most specific first.
///
/// Each of several attributes is looked for with and without their names:
/// `dist-bookworm-ruby` before `bookworm-ruby`.
fn keys(attributes: &StartAttributes) -> Vec<String> {
    let StartAttributes {
        language,
        osx_image,
        dist,
        group,
        os,
        ..
    } = attributes;
    // Parts of a key; a key with an empty attribute is none.
    let candidates: [&[&str]; 22] = [
        &["osx-image", osx_image, language],
        &["osx-image", osx_image],
        &["dist", dist, "group", group, language],
        &[dist, group, language],
        &["dist", dist, language],
        &[dist, language],
        &["group", group, language],
        &[group, language],
        &["os", os, language],
        &[os, language],
        &["default-dist", dist],
        &["dist", dist],
        &[dist],
        &["default-group", group],
        &["group", group],
        &[group],
        &["language", language],
        &[language],
        &["default-os", os],
        &["os", os],
        &[os],
        &["default"],
    ];
    candidates
        .into_iter()
        .filter(|parts| parts.iter().all(|part| !part.is_empty()))
        .map(|parts| parts.join("-"))
        .collect()
}

#[cfg(test)]
mod tests {
    use backend_core::{OptionField as _, Options as _, ProviderConfig};
    use proptest::prelude::*;

    use super::*;
    use crate::DockerOptions;

    fn attributes(pairs: &str) -> StartAttributes {
        let mut attributes = StartAttributes::default();
        for pair in pairs.split_whitespace() {
            let (name, value) = pair.split_once('=').unwrap();
            let field = match name {
                "language" => &mut attributes.language,
                "osx_image" => &mut attributes.osx_image,
                "dist" => &mut attributes.dist,
                "group" => &mut attributes.group,
                "os" => &mut attributes.os,
                name => panic!("{name}"),
            };
            *field = value.into();
        }
        attributes
    }

    fn family(pairs: &[(&str, &str)]) -> Family {
        let options = DockerOptions::parse("docker", &pairs.iter().copied().collect());
        options.unwrap().image
    }

    #[test]
    fn tags_are_by_language_then_default() {
        assert_eq!(
            tags(&attributes("language=ruby os=linux")),
            ["travis:ruby", "ruby", "travis:default", "default"]
        );
        assert_eq!(tags(&attributes("dist=x")), ["travis:default", "default"]);
    }

    /// Each key wins over all that stand after it.
    #[test]
    fn the_precedence_is_the_documented_one() {
        let order = [
            "osx_image_xcode15_ruby",
            "osx_image_xcode15",
            "dist_bookworm_group_edge_ruby",
            "bookworm_edge_ruby",
            "dist_bookworm_ruby",
            "bookworm_ruby",
            "group_edge_ruby",
            "edge_ruby",
            "os_linux_ruby",
            "linux_ruby",
            "default_dist_bookworm",
            "dist_bookworm",
            "bookworm",
            "default_group_edge",
            "group_edge",
            "edge",
            "language_ruby",
            "ruby",
            "default_os_linux",
            "os_linux",
            "linux",
            "default",
        ];
        let all = attributes("osx_image=xcode15 dist=bookworm group=edge os=linux language=ruby");
        for (position, key) in order.iter().enumerate() {
            let keys = order
                .iter()
                .skip(position)
                .map(|key| format!("IMAGE_{}", key.to_uppercase()));
            let config: ProviderConfig = keys
                .map(|key| (key.clone(), format!("{key}-image")))
                .collect();
            let images = DockerOptions::parse("docker", &config).unwrap().image;
            let expected = format!("IMAGE_{}-image", key.to_uppercase());
            assert_eq!(from_options(&all, &images), Some(expected), "{key}");
        }
    }

    #[test]
    fn what_was_not_asked_for_does_not_choose() {
        let images = family(&[("image-dist-bookworm-ruby", "a"), ("image-ruby", "b")]);
        let chosen = |pairs: &str| from_options(&attributes(pairs), &images);
        assert_eq!(chosen("dist=bookworm language=ruby").as_deref(), Some("a"));
        assert_eq!(chosen("dist=bookworm"), None);
        assert_eq!(chosen("language=Ruby").as_deref(), Some("b"));
        assert_eq!(chosen("language=go"), None);
        assert_eq!(chosen(""), None);
    }

    #[test]
    fn a_value_may_be_the_key_of_another_but_not_twice() {
        let images = family(&[
            ("image-language-ruby", "os_linux"),
            ("image-os-linux", "default"),
            ("image-default", "debian:12"),
            ("image-go", "golang:1"),
        ]);
        let chosen = |pairs: &str| from_options(&attributes(pairs), &images);
        assert_eq!(chosen("language=ruby").as_deref(), Some("default"));
        assert_eq!(chosen("os=linux").as_deref(), Some("debian:12"));
        assert_eq!(chosen("language=go").as_deref(), Some("golang:1"));
        assert_eq!(chosen("language=c").as_deref(), Some("debian:12"));
    }

    proptest! {
        #[test]
        fn any_attributes_choose_a_value_of_the_options(language in ".{0,9}", dist in ".{0,9}") {
            let asked = StartAttributes { language, dist, ..StartAttributes::default() };
            let images = Family::read(&[("default", "debian:12")]).unwrap().unwrap();
            prop_assert_eq!(from_options(&asked, &images), Some("debian:12".to_owned()));
        }
    }
}
