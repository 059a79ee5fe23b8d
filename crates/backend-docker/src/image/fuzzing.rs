//! What the fuzz targets of this crate check about images.

#![expect(
    clippy::unwrap_used,
    reason = "a property that does not hold is a panic"
)]

use backend_core::StartAttributes;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;

use super::credentials;
use super::helper;
use super::layers::Layers;
use super::messages::{Message, Messages};
use super::reference::Reference;
use super::selector;
use crate::docker_config::DockerConfig;
use crate::options::DockerOptions;

/// The name of an image: what is shown is read as the same, and is nothing
/// that a path or a query could be made of.
pub(crate) fn name(text: &str) {
    let Ok(reference) = text.parse::<Reference>() else {
        return;
    };
    let shown = reference.to_string();
    assert_eq!(shown.parse(), Ok(reference.clone()), "{text:?}");
    let odd = |byte: u8| !byte.is_ascii_graphic() || matches!(byte, b'?' | b'#' | b'%' | b'\\');
    assert!(!shown.bytes().any(odd), "{shown:?}");
    assert!(!shown.split('/').any(|part| part == ".."), "{shown:?}");
    assert!(reference.repository().is_some() || shown.starts_with("sha256:"));
}

/// The stream of a pull: how it comes in pieces does not matter.
pub(crate) fn pull<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Result<Vec<String>, String> {
    let (mut messages, mut layers) = (Messages::default(), Layers::default());
    let mut told = Vec::new();
    let mut tell = |message: &Message| {
        layers.take(message);
        told.push(format!(
            "{message:?} {:?} {:?}",
            message.failure(),
            layers.amount()
        ));
    };
    let read = || {
        for piece in pieces {
            messages.take(piece)?.iter().for_each(&mut tell);
        }
        messages.finish()?.iter().for_each(&mut tell);
        Ok(())
    };
    match read() {
        // How much was whole before the nonsense depends on the pieces.
        Err(error) => Err(error),
        Ok(()) => Ok(told),
    }
}

/// The credentials in a `config.json`, for some registries: what an engine is
/// shown is what stands there, and no error quotes it.
pub(crate) fn credentials(config: &DockerConfig) {
    for domain in ["docker.io", "registry.example.com:5000", "localhost"] {
        match credentials::shown(config, domain) {
            Ok(None) => {}
            Ok(Some(header)) => {
                let json = URL_SAFE.decode(header.as_bytes()).unwrap();
                let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
                assert!(json.get("serveraddress").is_some() && header.is_sensitive());
            }
            Err(why) => {
                let secrets = config.auths.values().map(|stored| stored.auth.as_str());
                let names: String = config.auths.keys().map(String::as_str).collect();
                for secret in secrets.filter(|secret| secret.len() > 8) {
                    assert!(!why.contains(secret) || names.contains(secret));
                }
            }
        }
    }
}

/// What a credential helper answers: credentials are for a header, and no error
/// quotes the answer.
pub(crate) fn helper(answer: &[u8]) {
    assert!(
        helper::understand(false, answer).is_ok_and(|found| found.is_none())
            == String::from_utf8_lossy(answer).contains("credentials not found")
    );
    match helper::understand(true, answer) {
        Ok(found) => {
            let shown = found.map(|found| (format!("{found:?}"), found));
            assert!(shown.is_some_and(|(shown, _)| shown.contains("REDACTED")));
        }
        Err(wrong) => assert!(!format!("{wrong:?}").contains("hunter2")),
    }
}

/// An image that the options choose: one of their values.
pub(crate) fn choose(options: &DockerOptions, word: &str) {
    let asked = StartAttributes {
        language: word.into(),
        dist: word.into(),
        os: "linux".into(),
        ..StartAttributes::default()
    };
    if let Some(chosen) = selector::from_options(&asked, &options.image) {
        assert!(options.image.iter().any(|(_, value)| value == chosen));
    }
}
