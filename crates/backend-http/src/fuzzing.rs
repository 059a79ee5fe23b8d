//! What the fuzz targets of this crate check. Each takes any bytes, and panics
//! where a property does not hold; its seeds are in `tests/seeds`.

use backend_core::OptionField as _;

use crate::endpoint::{Endpoint, Endpoints};

/// All targets of this crate.
#[cfg(test)]
const TARGETS: &[testbed::FuzzTarget] = &[("http_endpoint", endpoint)];

/// Where a server is: what is shown is read as the same, no secret is in it,
/// and a path of the protocol stands behind it.
pub fn endpoint(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Ok(endpoint) = Endpoint::parse(&text) {
        let shown = endpoint.to_string();
        assert_eq!(Endpoint::parse(&shown), Ok(endpoint.clone()), "{text:?}");
        assert!(!endpoint.is_exposed() || !endpoint.is_tls());
        if let Endpoint::Url(_) = endpoint {
            let authority = shown.split('/').nth(2).unwrap_or_default();
            assert!(
                !authority.contains('@') && !shown.contains(['?', '#']),
                "{shown}"
            );
            let url = endpoint.url("/v1/instances");
            assert_eq!(url, format!("{shown}/v1/instances"));
        }
    }
    match Endpoints::read(&[("endpoint", &text)]) {
        Ok(Some(Endpoints(all))) => assert!(!all.is_empty()),
        Ok(None) => assert!(text.split(',').all(|part| part.trim().is_empty())),
        Err((wrong, why)) => {
            // What stands before an `@` may be a password, whatever is in it.
            let parts = text.split(',').filter_map(|part| part.rsplit_once('@'));
            let behind: String = parts.map(|(_, host)| host).collect();
            let bare = text
                .split(',')
                .any(|part| !part.contains('@') && part.contains("hunter2"));
            if !bare && !behind.contains("hunter2") {
                assert!(
                    !format!("{wrong} {why}").contains("hunter2"),
                    "{wrong}: {why}"
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_seed_holds() {
        testbed::replay_seeds(env!("CARGO_MANIFEST_DIR"), super::TARGETS).unwrap();
    }
}
