//! How the values of arguments are read.

use std::time::Duration;

use backend_core::{ByteSize, Kind, OptionValue};
use clap::builder::{PossibleValuesParser, TypedValueParser};

/// Reads one of the words of `T`, which help and completions then know.
pub(super) fn choice<T>() -> impl TypedValueParser<Value = T>
where
    T: OptionValue + Clone + Send + Sync + 'static,
{
    let words = match T::KIND {
        Kind::Choice(words) => words,
        _ => &[],
    };
    PossibleValuesParser::new(words).try_map(|word| T::parse(&word))
}

pub(super) fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("expected KEY=VALUE".into()),
    }
}

pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text)
        .map_err(|_| "expected a duration such as 90s, 10m or 1h30m".into())
}

pub(crate) fn size(text: &str) -> Result<ByteSize, String> {
    text.parse()
        .map_err(|_| "expected a size such as 4500000, 512K or 64M".into())
}
