//! The types that an option can have.

use std::collections::BTreeMap;
use std::fmt;
use std::num::IntErrorKind;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use super::Kind;

/// A type that one text can be read as.
pub trait OptionValue: Sized {
    /// The kind of value.
    const KIND: Kind;

    /// Reads a value. The error is what more there is to say about it than
    /// that it is not of the kind; it may be empty.
    fn parse(text: &str) -> Result<Self, String>;
}

/// The type of a field in [`options!`](crate::options!): a value, an `Option`
/// of one, a `Vec` of them, or a [`Family`].
pub trait OptionField: Sized {
    /// The kind of the value, or of each.
    const KIND: Kind;
    /// Whether it may be missing where there is no default.
    const MAY_BE_MISSING: bool = false;
    /// Whether it takes all the values that are given.
    const LIST: bool = false;
    /// Whether it takes all keys under its own.
    const FAMILY: bool = false;

    /// Reads the field from the values given for it: pairs of a family's
    /// member (else the key) and a text. The error is the text that is wrong,
    /// and what more there is to say about it.
    fn read(values: &[(&str, &str)]) -> Result<Option<Self>, (String, String)>;
}

impl<V: OptionValue> OptionField for V {
    const KIND: Kind = V::KIND;

    fn read(values: &[(&str, &str)]) -> Result<Option<Self>, (String, String)> {
        let Some((_, text)) = values.last() else {
            return Ok(None);
        };
        parse(text).map(Some)
    }
}

impl<V: OptionValue> OptionField for Option<V> {
    const KIND: Kind = V::KIND;
    const MAY_BE_MISSING: bool = true;

    fn read(values: &[(&str, &str)]) -> Result<Option<Self>, (String, String)> {
        V::read(values).map(Some)
    }
}

impl<V: OptionValue> OptionField for Vec<V> {
    const KIND: Kind = V::KIND;
    const MAY_BE_MISSING: bool = true;
    const LIST: bool = true;

    fn read(values: &[(&str, &str)]) -> Result<Option<Self>, (String, String)> {
        let items = values.iter().flat_map(|(_, text)| split(text));
        items
            .map(|item| parse(&item))
            .collect::<Result<_, _>>()
            .map(Some)
    }
}

/// Options under one prefix, such as `image-…`: texts by the rest of the key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Family(BTreeMap<String, String>);

impl Family {
    /// The text of this member; case and `_` or `-` do not matter.
    pub fn get(&self, member: &str) -> Option<&str> {
        self.0
            .get(&member.to_ascii_lowercase().replace('_', "-"))
            .map(String::as_str)
    }

    /// Members and their texts, sorted.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .map(|(member, text)| (member.as_str(), text.as_str()))
    }
}

impl OptionField for Family {
    const KIND: Kind = Kind::Text;
    const MAY_BE_MISSING: bool = true;
    const FAMILY: bool = true;

    fn read(values: &[(&str, &str)]) -> Result<Option<Self>, (String, String)> {
        let pairs = values
            .iter()
            .map(|(member, text)| ((*member).to_owned(), (*text).to_owned()));
        Ok(Some(Self(pairs.collect())))
    }
}

fn parse<V: OptionValue>(text: &str) -> Result<V, (String, String)> {
    V::parse(text).map_err(|why| (text.to_owned(), why))
}

/// Splits at commas; `\,` is a comma, and blanks around an item do not count.
fn split(text: &str) -> Vec<String> {
    let mut items = vec![String::new()];
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\\' if characters.next_if_eq(&',').is_some() => push(&mut items, ','),
            ',' => items.push(String::new()),
            other => push(&mut items, other),
        }
    }
    items
        .iter()
        .map(|item| item.trim().to_owned())
        .filter(|item| !item.is_empty())
        .collect()
}

fn push(items: &mut [String], character: char) {
    if let Some(last) = items.last_mut() {
        last.push(character);
    }
}

impl OptionValue for String {
    const KIND: Kind = Kind::Text;

    fn parse(text: &str) -> Result<Self, String> {
        if text.contains('\0') {
            return Err("it holds a NUL byte".into());
        }
        Ok(text.to_owned())
    }
}

impl OptionValue for PathBuf {
    const KIND: Kind = Kind::Path;

    fn parse(text: &str) -> Result<Self, String> {
        match text {
            "" => Err("it is empty".into()),
            text if text.contains('\0') => Err("it holds a NUL byte".into()),
            text => Ok(text.into()),
        }
    }
}

impl OptionValue for SecretString {
    const KIND: Kind = Kind::Secret;

    fn parse(text: &str) -> Result<Self, String> {
        Ok(text.into())
    }
}

impl OptionValue for bool {
    const KIND: Kind = Kind::Bool;

    fn parse(text: &str) -> Result<Self, String> {
        text.parse().map_err(|_| String::new())
    }
}

/// The longest duration of an option. It can be added to any time of any clock.
const LONGEST: Duration = Duration::from_hours(24 * 365 * 100);

impl OptionValue for Duration {
    const KIND: Kind = Kind::Duration;

    fn parse(text: &str) -> Result<Self, String> {
        match humantime::parse_duration(text) {
            Ok(duration) if duration > LONGEST => Err("it is longer than a hundred years".into()),
            Ok(duration) => Ok(duration),
            Err(error) => Err(error.to_string()),
        }
    }
}

impl OptionValue for f64 {
    const KIND: Kind = Kind::Number;

    fn parse(text: &str) -> Result<Self, String> {
        match text.parse::<Self>() {
            Ok(number) if number.is_finite() && number >= 0.0 => Ok(number),
            _ => Err(String::new()),
        }
    }
}

macro_rules! integers {
    ($($type:ty = $max:expr),+) => {
        $(
            impl OptionValue for $type {
                const KIND: Kind = Kind::Integer { min: <$type>::MIN as i64, max: $max };

                fn parse(text: &str) -> Result<Self, String> {
                    text.parse().map_err(|_| String::new())
                }
            }
        )+
    };
}

integers!(
    u8 = u8::MAX as i64,
    u16 = u16::MAX as i64,
    u32 = u32::MAX as i64,
    i32 = i32::MAX as i64,
    i64 = i64::MAX
);

/// A number of bytes.
///
/// Written as a number and a unit: `K`, `M`, `G`, `T` and `KiB`, `MiB`, `GiB`,
/// `TiB` are powers of 1024, `kB`, `MB`, `GB`, `TB` powers of 1000, as in the
/// GNU core utilities; in any case. Without a unit, or with `B`, bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ByteSize(pub u64);

impl FromStr for ByteSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let end = text
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(text.len());
        let (number, unit) = text.split_at(end);
        let factor = factor(unit.trim_start())
            .ok_or("its unit is not one of B, K, M, G, T, KiB … TiB, kB … TB")?;
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if whole.is_empty() || fraction.len() > 9 || (number.contains('.') && fraction.is_empty()) {
            return Err(String::new());
        }
        let whole: u64 = whole.parse().map_err(|error: std::num::ParseIntError| {
            if *error.kind() == IntErrorKind::PosOverflow {
                "it is too large".to_owned()
            } else {
                String::new()
            }
        })?;
        let part = if fraction.is_empty() {
            0
        } else {
            let scale = 10_u128.pow(u32::try_from(fraction.len()).unwrap_or(9));
            let digits: u128 = fraction.parse().map_err(|_| String::new())?;
            digits * u128::from(factor) / scale
        };
        let bytes = u128::from(whole) * u128::from(factor) + part;
        u64::try_from(bytes)
            .map(Self)
            .map_err(|_| "it is too large".into())
    }
}

fn factor(unit: &str) -> Option<u64> {
    let unit = unit.to_ascii_lowercase();
    let power = |base: u64, letter: &str| {
        ["", "k", "m", "g", "t"]
            .iter()
            .zip(0..)
            .find(|(known, _)| **known == letter)
            .map(|(_, exponent)| base.pow(exponent))
    };
    match unit.as_str() {
        "b" => Some(1),
        unit if unit.len() <= 1 => power(1024, unit),
        unit => match (unit.strip_suffix("ib"), unit.strip_suffix('b')) {
            (Some(letter), _) if !letter.is_empty() => power(1024, letter),
            (None, Some(letter)) => power(1000, letter),
            _ => None,
        },
    }
}

impl OptionValue for ByteSize {
    const KIND: Kind = Kind::Size;

    fn parse(text: &str) -> Result<Self, String> {
        text.parse()
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [
            (1 << 40, "TiB"),
            (1 << 30, "GiB"),
            (1 << 20, "MiB"),
            (1 << 10, "KiB"),
        ];
        match units
            .iter()
            .find(|(size, _)| self.0 >= *size && self.0.is_multiple_of(*size))
        {
            Some((size, unit)) => write!(f, "{} {unit}", self.0 / size),
            None => write!(f, "{} B", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn sizes_are_read_as_documented() {
        for (text, bytes) in [
            ("0", 0),
            ("4500000", 4_500_000),
            ("1k", 1 << 10),
            ("1 KiB", 1 << 10),
            ("1kB", 1000),
            ("4.5MB", 4_500_000),
            ("1.5G", 3 << 29),
            ("64 B", 64),
            ("2T", 2 << 40),
        ] {
            assert_eq!(text.parse(), Ok(ByteSize(bytes)), "{text}");
        }
        for text in [
            "",
            "G",
            "-1",
            "1.",
            ".5",
            "1..2",
            "4X",
            "4iB",
            "1e3",
            "99999999T",
            "1 K B",
        ] {
            assert!(text.parse::<ByteSize>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_duration_can_be_added_to_any_time() {
        let parse = <Duration as OptionValue>::parse;
        let long = parse("99 years").unwrap();
        assert!(std::time::Instant::now().checked_add(long).is_some());
        for text in ["101 years", "18446744073709551615s", "500000000000years"] {
            assert!(parse(text).unwrap_err().contains("hundred years"), "{text}");
        }
    }

    #[test]
    fn lists_split_at_commas_that_are_not_escaped() {
        assert_eq!(split(r"a, b\,c ,,\d"), ["a", "b,c", r"\d"]);
        assert!(split("").is_empty());
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in ".{0,40}") {
            let _ = text.parse::<ByteSize>();
            let _ = split(&text);
            let _ = <Duration as OptionValue>::parse(&text);
        }

        #[test]
        fn what_is_displayed_is_read_back(bytes: u64) {
            prop_assert_eq!(ByteSize(bytes).to_string().parse(), Ok(ByteSize(bytes)));
        }
    }
}
