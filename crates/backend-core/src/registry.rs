//! The backends that this program is linked with.

use std::collections::BTreeMap;
use std::sync::Arc;

use linkme::distributed_slice;

use crate::suggest::nearest;
use crate::{Error, ErrorKind, OptionSpec, Provider, ProviderConfig, Result};

/// A kind of place in which instances can be started.
///
/// Each backend crate has one as `pub static BACKEND` and registers it with
/// [`register!`](crate::register).
#[derive(Debug, Clone, Copy)]
pub struct Backend {
    /// The word by which it is chosen; the same as its Cargo feature and the
    /// suffix of its crate.
    pub alias: &'static str,
    /// Its name for people.
    pub human_readable_name: &'static str,
    /// The options it knows, in the order of its documentation.
    pub options: fn() -> &'static [OptionSpec],
    /// Makes a provider; looks at nothing but the configuration.
    pub provider: fn(&ProviderConfig) -> Result<Arc<dyn Provider>>,
}

/// Every backend that the program is linked with. Filled by
/// [`register!`](crate::register); read it through [`backends`].
// Linkers have dropped an empty slice and put stray nulls into a full one:
// the sentinel keeps it from being empty, `Option` lets a null be skipped.
// https://github.com/dtolnay/linkme/issues/36
#[doc(hidden)]
#[distributed_slice]
pub static BACKENDS: [Option<&'static Backend>];

#[expect(
    unsafe_code,
    reason = "linkme places the element in the slice's link section"
)]
#[distributed_slice(BACKENDS)]
static SENTINEL: Option<&'static Backend> = None;

/// Registers a [`Backend`] with every program that links its crate.
///
/// One line in a backend's `lib.rs`. A crate that nothing in the program names
/// is not linked at all, so the program also needs `use backend_x as _;`.
///
/// ```ignore
/// backend_core::register!(BACKEND);
/// ```
#[macro_export]
macro_rules! register {
    ($backend:path) => {
        const _: () = {
            #[expect(
                unsafe_code,
                reason = "linkme places the element in the registry's link section"
            )]
            #[$crate::__private::linkme::distributed_slice($crate::__private::BACKENDS)]
            #[linkme(crate = $crate::__private::linkme)]
            static REGISTRATION: ::core::option::Option<&'static $crate::Backend> =
                ::core::option::Option::Some(&$backend);
        };
    };
}

/// All registered backends, sorted by alias.
///
/// # Errors
///
/// `DuplicateAlias` if two share one; the message names both.
pub fn backends() -> Result<Vec<&'static Backend>> {
    sorted(BACKENDS.iter().copied().flatten())
}

/// The registered backend of this alias.
///
/// # Errors
///
/// `UnknownBackend` lists what is there and suggests the nearest.
pub fn backend(alias: &str) -> Result<&'static Backend> {
    let backends = backends()?;
    backends
        .iter()
        .find(|backend| backend.alias == alias)
        .copied()
        .ok_or_else(|| {
            let known: Vec<_> = backends.iter().map(|backend| backend.alias).collect();
            unknown(alias, &known)
        })
}

/// Makes a provider of the backend of this alias.
///
/// # Errors
///
/// Those of [`backend`], and those of the configuration.
pub fn new_provider(alias: &str, config: &ProviderConfig) -> Result<Arc<dyn Provider>> {
    (backend(alias)?.provider)(config)
}

fn sorted(registered: impl Iterator<Item = &'static Backend>) -> Result<Vec<&'static Backend>> {
    let mut by_alias = BTreeMap::new();
    for backend in registered {
        let Some(other) = by_alias.insert(backend.alias, backend) else {
            continue;
        };
        return Err(Error::new(
            ErrorKind::DuplicateAlias,
            format!(
                "two backends are registered as `{}`: {} and {}",
                backend.alias, other.human_readable_name, backend.human_readable_name
            ),
        )
        .with_hint("link only one of the two crates"));
    }
    Ok(by_alias.into_values().collect())
}

fn unknown(alias: &str, known: &[&str]) -> Error {
    let list = known
        .iter()
        .map(|alias| format!("`{alias}`"))
        .collect::<Vec<_>>()
        .join(", ");
    let error = if known.is_empty() {
        Error::new(
            ErrorKind::UnknownBackend,
            format!("unknown backend `{alias}`: this program has none"),
        )
    } else {
        Error::new(
            ErrorKind::UnknownBackend,
            format!("unknown backend `{alias}`: this program has {list}"),
        )
    };
    match nearest(alias, known.iter().copied()) {
        Some(near) => error.with_hint(format!("did you mean `{near}`?")),
        None => error.with_hint("backends are chosen by Cargo features when the program is built"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn backend_named(alias: &'static str, human_readable_name: &'static str) -> Backend {
        Backend {
            alias,
            human_readable_name,
            options: || &[],
            provider: |_| Err(Error::new(ErrorKind::Unsupported, "only a name")),
        }
    }

    static LOCAL: Backend = backend_named("local", "Processes");
    static DOCKER: Backend = backend_named("docker", "Docker");
    static PODMAN: Backend = backend_named("docker", "Podman");

    #[test]
    fn nothing_is_registered_in_the_core_alone() {
        assert!(backends().unwrap().is_empty());
        assert_eq!(backend("x").unwrap_err().kind(), ErrorKind::UnknownBackend);
    }

    #[test]
    fn they_are_sorted_and_a_duplicate_names_both() {
        let aliases: Vec<_> = sorted([&LOCAL, &DOCKER].into_iter())
            .unwrap()
            .iter()
            .map(|b| b.alias)
            .collect();
        assert_eq!(aliases, ["docker", "local"]);
        let error = sorted([&DOCKER, &LOCAL, &PODMAN].into_iter()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "two backends are registered as `docker`: Docker and Podman"
        );
    }

    #[test]
    fn an_unknown_alias_lists_and_suggests() {
        let error = unknown("dokcer", &["docker", "local"]);
        assert_eq!(
            error.to_string(),
            "unknown backend `dokcer`: this program has `docker`, `local`"
        );
        assert_eq!(error.hint(), Some("did you mean `docker`?"));
        assert!(
            !unknown("xyzzy", &["docker"])
                .hint()
                .unwrap()
                .contains("docker")
        );
    }
}
