//! The cases, in the order of the behaviour list.

mod cancel;
mod claims;
mod environment;
mod exit;
mod faults;
mod killed;
mod output;
mod processes;
mod providers;
mod shell;
mod upload;

use super::case::Case;

/// All cases, in the order of the behaviour list.
pub fn all() -> impl Iterator<Item = &'static Case> {
    [
        exit::CASES,
        output::CASES,
        processes::CASES,
        upload::CASES,
        environment::CASES,
        cancel::CASES,
        killed::CASES,
        providers::CASES,
        claims::CASES,
        shell::CASES,
        faults::CASES,
    ]
    .into_iter()
    .flatten()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn ids_are_unique_and_name_a_line_of_the_behaviour_list() {
        let mut ids = HashSet::new();
        for case in all() {
            let id = case.id();
            assert!(ids.insert(id.to_lowercase()), "{id} is there twice");
            let mut letters = id.chars();
            assert!(
                letters.next().is_some_and(|c| "EOPUVCRF".contains(c)),
                "{id}"
            );
            assert!(letters.next().is_some_and(|c| c.is_ascii_digit()), "{id}");
            assert_eq!(letters.next(), Some('-'), "{id}");
            assert!(
                letters.all(|c| c.is_ascii_alphanumeric() || c == '-'),
                "{id}"
            );
        }
        assert!(ids.len() >= 161, "{}", ids.len());
    }

    #[test]
    fn titles_read_after_it_checks_that() {
        for case in all() {
            let title = case.title();
            assert!(!title.ends_with('.'), "{title}");
            assert!(title.len() > 15, "{title}");
        }
    }
}
