//! What the fuzz targets of this crate check. Each takes any bytes, and panics
//! where a property does not hold; its seeds are in `tests/seeds`.

#![expect(
    clippy::unwrap_used,
    reason = "a property that does not hold is a panic"
)]

use std::path::PathBuf;
use std::time::Duration;

use crate::config::Origin;
use crate::interpreter::Interpreter;
use crate::{
    ByteSize, Environment, ExposeSecret as _, Family, InstanceId, Kind, Marks, OptionValue,
    Options, ProviderConfig, SecretString, Signal, quote,
};

/// All targets of this crate.
#[cfg(test)]
const TARGETS: &[testbed::FuzzTarget] = &[
    ("core_options", options),
    ("core_environment", environment),
    ("core_marks", marks),
];

crate::choice! {
    /// A few words.
    enum Level {
        /// One.
        Low = "low",
        /// The other.
        High = "high",
    }
}

crate::options! {
    /// An option of each kind.
    struct EachKind {
        /// A length of time.
        duration: Option<Duration>;
        /// A whole number.
        count: Option<u16>;
        /// One that may be negative.
        offset: Option<i64>;
        /// One with a fraction.
        share: Option<f64>;
        /// On or off.
        flag: Option<bool>;
        /// Bytes.
        size: Option<ByteSize>, also "bytes";
        /// A path.
        path: Option<PathBuf>;
        /// A word.
        level: Option<Level>;
        /// A text.
        text: Option<String>;
        /// Several.
        list: Vec<String>;
        /// By name.
        image: Family;
        /// The secret one.
        token: Option<SecretString>;
    }
}

const SECRET: &str = "hunter2-hunter2";

/// Lines of `key=value` as options of all kinds: what is read and printed is
/// read again as the same, and the secret is in no message.
pub fn options(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    each_value(&text);
    let mut config = ProviderConfig::new();
    for line in text.lines() {
        let (key, value) = line.split_once('=').unwrap_or((line, ""));
        config.add(key, value, Origin::Flag);
    }
    config.set("token", SECRET);
    let shown = match EachKind::read("fuzz", &config) {
        Ok(options) => {
            let printed = print(&options);
            let again = EachKind::read("fuzz", &printed).unwrap();
            assert_eq!(format!("{options:?}"), format!("{again:?}"), "{text:?}");
            assert_eq!(again.token.unwrap().expose_secret(), SECRET);
            format!("{options:?}")
        }
        Err(problems) => {
            assert!(problems.iter().next().is_some());
            format!("{problems} {:?}", problems.clone().into_error("fuzz"))
        }
    };
    assert!(!shown.contains(SECRET) || text.contains("hunter2"));
    let variables = config
        .keys()
        .map(|key| (format!("WORKER_FUZZ_{key}"), String::new()));
    let from_variables = ProviderConfig::from_environment("fuzz", variables);
    let keys = config.keys().filter(|key| !key.is_empty());
    assert!(keys.eq(from_variables.keys()));
}

/// The whole text as one value of each kind.
fn each_value(text: &str) {
    if let Ok(duration) = Duration::parse(text) {
        let printed = humantime::format_duration(duration).to_string();
        assert_eq!(Duration::parse(&printed), Ok(duration), "{text:?}");
    }
    if let Ok(size) = ByteSize::parse(text) {
        assert_eq!(ByteSize::parse(&size.to_string()), Ok(size), "{text:?}");
    }
    if let Ok(number) = f64::parse(text) {
        let printed = number.to_string();
        assert_eq!(f64::parse(&printed).map(f64::to_bits), Ok(number.to_bits()));
    }
    if let Ok(number) = i32::parse(text) {
        assert_eq!(i32::parse(&number.to_string()), Ok(number));
        let (min, max) = match i32::KIND {
            Kind::Integer { min, max } => (min, max),
            _ => (0, 0),
        };
        assert!((min..=max).contains(&number.into()));
    }
    if let Some(signal) = Signal::from_name(text) {
        assert_eq!(Signal::from_number(signal.number()), Some(signal));
        assert_eq!(Signal::from_exit_code(signal.exit_code()), Some(signal));
        assert_eq!(Signal::from_name(signal.name().unwrap()), Some(signal));
    }
}

/// The options as they would be written down.
fn print(options: &EachKind) -> ProviderConfig {
    let mut config = ProviderConfig::new();
    let mut print = |key: &str, value: Option<String>| {
        if let Some(value) = value {
            config.add(key, value, Origin::Program);
        }
    };
    let duration = options.duration.map(humantime::format_duration);
    print("duration", duration.map(|duration| duration.to_string()));
    print("count", options.count.map(|count| count.to_string()));
    print("offset", options.offset.map(|offset| offset.to_string()));
    print("share", options.share.map(|share| share.to_string()));
    print("flag", options.flag.map(|flag| flag.to_string()));
    print("size", options.size.map(|size| size.to_string()));
    let path = options.path.as_ref();
    print("path", path.map(|path| path.display().to_string()));
    print("level", options.level.map(|level| level.word().to_owned()));
    print("text", options.text.clone());
    for item in &options.list {
        print("list", Some(item.replace(',', r"\,")));
    }
    for (member, text) in options.image.iter() {
        print(&format!("image-{member}"), Some(text.to_owned()));
    }
    let token = options.token.as_ref();
    print("token", token.map(|token| token.expose_secret().to_owned()));
    config
}

/// The bytes as a script, and as variables of an environment: the interpreter
/// is what Linux would take, and a shell would read back what was set.
pub fn environment(bytes: &[u8]) {
    let interpreter = Interpreter::of(bytes);
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\n' | 0);
    assert!(!interpreter.path.is_empty() && !interpreter.path.iter().any(blank));
    if let Some(argument) = &interpreter.argument {
        assert!(argument.first().is_some_and(|byte| !blank(byte)));
        assert!(argument.last().is_some_and(|byte| !blank(byte)));
        assert!(!argument.iter().any(|byte| matches!(byte, b'\n' | 0)));
    }
    // Linux reads so much, and no more.
    let read = bytes.get(..256).unwrap_or(bytes);
    assert_eq!(Interpreter::of(read), interpreter);

    let text = String::from_utf8_lossy(bytes);
    let mut environment = Environment::new();
    for line in text.split(';') {
        let (name, value) = line.split_once('=').unwrap_or((line, ""));
        if let Err(error) = environment.set(name, value) {
            assert!(!error.to_string().contains(SECRET) || name.contains(SECRET));
        }
    }
    let shell = environment.to_shell();
    let mut rest = shell.as_str();
    for (name, value) in environment.iter() {
        rest = rest.strip_prefix("export ").unwrap();
        rest = rest.strip_prefix(name).unwrap().strip_prefix('=').unwrap();
        let (word, behind) = unquote(rest);
        assert_eq!(word, value);
        rest = behind.strip_prefix('\n').unwrap();
    }
    assert!(rest.is_empty());
    assert_eq!(unquote(&quote::single(&text)), (text.into_owned(), ""));
}

/// The word at the beginning, as a POSIX shell reads it, and the rest.
fn unquote(text: &str) -> (String, &str) {
    let (mut word, mut quoted) = (String::new(), false);
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '\'' => quoted = !quoted,
            other if quoted => word.push(other),
            '\\' => word.extend(characters.next().map(|(_, escaped)| escaped)),
            _ => return (word, text.get(at..).unwrap_or_default()),
        }
    }
    assert!(!quoted, "a quote is not closed");
    (word, "")
}

/// The bytes as marks in JSON, and as an id: what is read passes labels and
/// JSON unchanged, and is as old as it says.
pub fn marks(bytes: &[u8]) {
    if let Ok(marks) = serde_json::from_slice::<Marks>(bytes) {
        let json = serde_json::to_vec(&marks).unwrap();
        assert_eq!(serde_json::from_slice::<Marks>(&json).unwrap(), marks);
        let labels = marks.to_labels();
        let read = Marks::from_labels(|key| {
            let found = labels.iter().find(|(known, _)| known == key);
            found.map(|(_, value)| value.as_str())
        });
        assert_eq!(read.as_ref(), Some(&marks));
        assert_eq!(marks.age(std::time::UNIX_EPOCH), Duration::ZERO);
    }
    // Labels as an engine would tell them: the same key may be there twice.
    let text = String::from_utf8_lossy(bytes);
    let label = |key: &str| {
        let mut pairs = text.lines().filter_map(|line| line.split_once('='));
        pairs.find(|(known, _)| *known == key).map(|pair| pair.1)
    };
    if let Some(marks) = Marks::from_labels(label) {
        let labels = marks.to_labels();
        let again = Marks::from_labels(|key| {
            let found = labels.iter().find(|(known, _)| known == key);
            found.map(|(_, value)| value.as_str())
        });
        assert_eq!(again, Some(marks));
    }
    if let Ok(id) = text.parse::<InstanceId>() {
        assert_eq!(id.as_str(), text);
        assert!(!text.contains(['/', '.', ' ', '\n']) && text.len() <= 63);
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_seed_holds() {
        testbed::replay_seeds(env!("CARGO_MANIFEST_DIR"), super::TARGETS).unwrap();
    }
}
