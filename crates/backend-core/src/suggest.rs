//! "Did you mean": the nearest of the known names.

/// The known name nearest to `wrong`, if one is near enough to be meant.
///
/// Near is a Jaro-Winkler similarity of at least 0.8, as in clap and cargo.
pub fn nearest<'a>(wrong: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|name| (strsim::jaro_winkler(wrong, name), name))
        .filter(|(similarity, _)| *similarity >= 0.8)
        .max_by(|one, other| one.0.total_cmp(&other.0))
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn typos_are_near_and_other_words_are_not() {
        let known = ["startup-duration", "log-output", "exit-code"];
        assert_eq!(nearest("startup-duratoin", known), Some("startup-duration"));
        assert_eq!(nearest("log_output", known), Some("log-output"));
        assert_eq!(nearest("colour", known), None);
        assert_eq!(nearest("", known), None);
    }
}
