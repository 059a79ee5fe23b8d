//! What a backend without images makes of the attributes that choose one.

use crate::{Phase, Progress, ProgressReporter, StartAttributes};

/// An image was asked for where there are none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there are no images on this backend, so `{attribute}` cannot be `{value}`")]
pub struct NoImages {
    attribute: &'static str,
    value: String,
}

/// Refuses an image that is asked for.
///
/// # Errors
///
/// The first attribute that asks for one.
pub fn check(attributes: &StartAttributes) -> Result<(), NoImages> {
    let asks = [
        ("image_name", &attributes.image_name),
        ("osx_image", &attributes.osx_image),
    ];
    match asks.into_iter().find(|(_, value)| !value.is_empty()) {
        None => Ok(()),
        Some((attribute, value)) => Err(NoImages {
            attribute,
            value: value.clone(),
        }),
    }
}

/// Reports each attribute that only chooses among images, and so has no effect.
pub fn report_unused(attributes: &StartAttributes, progress: &ProgressReporter) {
    let choices = [
        ("language", &attributes.language),
        ("dist", &attributes.dist),
        ("group", &attributes.group),
        ("vm_type", &attributes.vm_type),
    ];
    for (attribute, _) in choices.into_iter().filter(|(_, value)| !value.is_empty()) {
        let text = format!("`{attribute}` has no effect: there are no images on this backend");
        progress.report(Progress::new(Phase::Notice, text));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[test]
    fn an_image_is_refused_by_the_name_of_its_attribute() {
        let mut attributes = StartAttributes::default();
        assert_eq!(check(&attributes), Ok(()));
        attributes.osx_image = "xcode15".into();
        assert_eq!(
            check(&attributes).unwrap_err().to_string(),
            "there are no images on this backend, so `osx_image` cannot be `xcode15`"
        );
    }

    #[test]
    fn what_only_chooses_an_image_is_named() {
        let attributes = StartAttributes {
            language: "go".into(),
            dist: "bookworm".into(),
            os: "linux".into(),
            ..StartAttributes::default()
        };
        let told = Arc::new(Mutex::new(Vec::new()));
        let seen = told.clone();
        let progress = ProgressReporter::new(move |progress: Progress| {
            seen.lock().unwrap().push(progress.detail);
        });
        report_unused(&attributes, &progress);
        assert_eq!(
            *told.lock().unwrap(),
            [
                "`language` has no effect: there are no images on this backend",
                "`dist` has no effect: there are no images on this backend",
            ]
        );
    }
}
