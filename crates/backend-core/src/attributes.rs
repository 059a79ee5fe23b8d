//! What a job asks of the instance it wants.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What a job asks of its instance: the inputs of image selection.
///
/// The JSON names are those of the fields. `vm_type` and `hard_timeout` are never
/// serialised: they are decided by whoever runs the job, not by who submits it.
/// An empty string means "not asked for"; a member that is missing from JSON is
/// empty, a member that is not known is ignored.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct StartAttributes {
    /// The language the script is written for, such as `go`.
    pub language: String,
    /// The macOS image asked for, such as `xcode15`.
    pub osx_image: String,
    /// The distribution, such as `bookworm`.
    pub dist: String,
    /// The release group of the image, such as `stable` or `edge`.
    pub group: String,
    /// The operating system, such as `linux`.
    pub os: String,
    /// The processor architecture, such as `amd64` or `arm64`.
    pub arch: String,
    /// One image by its name; it wins over every selection by attributes.
    pub image_name: String,
    /// The class of machine, where a provider has several.
    #[serde(skip)]
    pub vm_type: String,
    /// The hard limit of the job, for providers that plan by it.
    #[serde(skip)]
    pub hard_timeout: Option<Duration>,
}

impl StartAttributes {
    /// Fills every attribute that is empty from `defaults`, and no other.
    ///
    /// ```
    /// use backend_core::StartAttributes;
    ///
    /// let defaults = StartAttributes { dist: "bookworm".into(), os: "linux".into(), ..Default::default() };
    /// let mut attributes = StartAttributes { os: "osx".into(), ..Default::default() };
    /// attributes.set_defaults(&defaults);
    /// assert_eq!((attributes.dist.as_str(), attributes.os.as_str()), ("bookworm", "osx"));
    /// ```
    pub fn set_defaults(&mut self, defaults: &Self) {
        let pairs = [
            (&mut self.language, &defaults.language),
            (&mut self.osx_image, &defaults.osx_image),
            (&mut self.dist, &defaults.dist),
            (&mut self.group, &defaults.group),
            (&mut self.os, &defaults.os),
            (&mut self.arch, &defaults.arch),
            (&mut self.image_name, &defaults.image_name),
            (&mut self.vm_type, &defaults.vm_type),
        ];
        for (attribute, default) in pairs {
            if attribute.is_empty() {
                attribute.clone_from(default);
            }
        }
        if self.hard_timeout.is_none() {
            self.hard_timeout = defaults.hard_timeout;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_has_the_documented_names_and_no_others() {
        let attributes = StartAttributes {
            vm_type: "premium".into(),
            hard_timeout: Some(Duration::from_mins(1)),
            language: "go".into(),
            ..StartAttributes::default()
        };
        let json = serde_json::to_value(&attributes).unwrap();
        let mut names: Vec<_> = json.as_object().unwrap().keys().cloned().collect();
        names.sort();
        assert_eq!(
            names,
            [
                "arch",
                "dist",
                "group",
                "image_name",
                "language",
                "os",
                "osx_image"
            ]
        );
    }

    #[test]
    fn json_from_elsewhere_may_lack_members_and_have_others() {
        let attributes: StartAttributes =
            serde_json::from_str(r#"{"os":"linux","vm_type":"x","future":1}"#).unwrap();
        assert_eq!(attributes.os, "linux");
        assert_eq!(attributes.vm_type, "");
    }
}
