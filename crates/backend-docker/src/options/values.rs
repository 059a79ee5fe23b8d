//! The forms of the values that the engine would otherwise refuse late, and in
//! its own words.

use backend_core::{ByteSize, Kind, OptionValue};

/// A limit on memory. Engines refuse less than 6 MiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryLimit(i64);

impl MemoryLimit {
    /// The least that the Docker engine takes (`linuxMinMemory`).
    const LEAST: u64 = 6 << 20;

    /// The limit in bytes.
    pub fn bytes(self) -> i64 {
        self.0
    }
}

impl OptionValue for MemoryLimit {
    const KIND: Kind = Kind::Size;

    fn parse(text: &str) -> Result<Self, String> {
        let size = <ByteSize as OptionValue>::parse(text)?;
        if size.0 < Self::LEAST {
            return Err("it is less than 6M, the least that an engine takes".into());
        }
        i64::try_from(size.0)
            .map(Self)
            .map_err(|_| "it is too large".into())
    }
}

/// A number of processors, in billionths, as the engine counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cpus(i64);

impl Cpus {
    /// Billionths of a processor.
    pub fn nano(self) -> i64 {
        self.0
    }
}

impl OptionValue for Cpus {
    const KIND: Kind = Kind::Number;

    fn parse(text: &str) -> Result<Self, String> {
        let number = <f64 as OptionValue>::parse(text)?;
        if !(0.01..=1e6).contains(&number) {
            return Err("it is not between 0.01 and 1000000".into());
        }
        #[expect(
            clippy::cast_possible_truncation,
            reason = "it is between 1e7 and 1e15"
        )]
        Ok(Self((number * 1e9).round() as i64))
    }
}

/// A limit on the number of processes, or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PidsLimit(Option<i64>);

impl PidsLimit {
    /// The limit; `None` for no limit.
    pub fn count(self) -> Option<i64> {
        self.0
    }
}

impl OptionValue for PidsLimit {
    const KIND: Kind = Kind::Text;

    fn parse(text: &str) -> Result<Self, String> {
        // Init, the gate and the script itself are three.
        const LEAST: i64 = 4;
        match (text, text.parse()) {
            ("unlimited", _) => Ok(Self(None)),
            (_, Ok(count)) if (LEAST..=1 << 22).contains(&count) => Ok(Self(Some(count))),
            _ => Err("a number from 4 to 4194304, or `unlimited`".into()),
        }
    }
}

/// How many starts there may be at once: at least one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StartLimit(u16);

impl StartLimit {
    /// The limit.
    pub fn count(self) -> usize {
        self.0.into()
    }
}

impl OptionValue for StartLimit {
    const KIND: Kind = Kind::Integer {
        min: 1,
        max: u16::MAX as i64,
    };

    fn parse(text: &str) -> Result<Self, String> {
        match text.parse() {
            Ok(count) if count > 0 => Ok(Self(count)),
            _ => Err(String::new()),
        }
    }
}

/// A file system in memory: where, and with which mount options.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TmpfsMount {
    /// The place in the container.
    pub target: String,
    /// Mount options; may be empty.
    pub options: String,
}

impl OptionValue for TmpfsMount {
    const KIND: Kind = Kind::Text;

    fn parse(text: &str) -> Result<Self, String> {
        let (target, options) = text.split_once(':').unwrap_or((text, ""));
        if !target.starts_with('/') {
            return Err("`PATH` or `PATH:OPTIONS`, with an absolute path".into());
        }
        Ok(Self {
            target: target.into(),
            options: options.into(),
        })
    }
}

/// A limit on a resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ulimit {
    /// The name, such as `nofile`.
    pub name: String,
    /// The soft limit; -1 for none.
    pub soft: i64,
    /// The hard limit; -1 for none.
    pub hard: i64,
}

impl OptionValue for Ulimit {
    const KIND: Kind = Kind::Text;

    fn parse(text: &str) -> Result<Self, String> {
        const NAMES: [&str; 15] = [
            "core",
            "cpu",
            "data",
            "fsize",
            "locks",
            "memlock",
            "msgqueue",
            "nice",
            "nofile",
            "nproc",
            "rss",
            "rtprio",
            "rttime",
            "sigpending",
            "stack",
        ];
        let form = || "`NAME=SOFT` or `NAME=SOFT:HARD`, such as `nofile=1024:4096`".to_owned();
        let (name, limits) = text.split_once('=').ok_or_else(form)?;
        if !NAMES.contains(&name) {
            let near = backend_core::nearest(name, NAMES);
            let near = near.map_or_else(
                || NAMES.join(", "),
                |near| format!("did you mean `{near}`?"),
            );
            return Err(format!("there is no limit `{name}`: {near}"));
        }
        let (soft, hard) = limits.split_once(':').unwrap_or((limits, limits));
        let number = |text: &str| match text.parse() {
            Ok(number) if number >= -1 => Ok(number),
            _ => Err(form()),
        };
        let (soft, hard) = (number(soft)?, number(hard)?);
        if hard >= 0 && (soft > hard || soft < 0) {
            return Err("the soft limit is above the hard one".into());
        }
        Ok(Self {
            name: name.into(),
            soft,
            hard,
        })
    }
}

/// A directory of the engine's machine, and where it appears.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BindMount {
    /// The place on the engine's machine.
    pub source: String,
    /// The place in the container.
    pub target: String,
    /// Whether it cannot be written.
    pub read_only: bool,
}

impl OptionValue for BindMount {
    const KIND: Kind = Kind::Text;

    fn parse(text: &str) -> Result<Self, String> {
        let form = || "`SOURCE:TARGET` or `SOURCE:TARGET:ro`, with absolute paths".to_owned();
        let parts: Vec<_> = text.split(':').collect();
        let (source, target, mode) = match parts.as_slice() {
            [source, target] => (*source, *target, "rw"),
            [source, target, mode] => (*source, *target, *mode),
            _ => return Err(form()),
        };
        if !source.starts_with('/') || !target.starts_with('/') || target == "/" {
            return Err(form());
        }
        let read_only = match mode {
            "ro" => true,
            "rw" => false,
            _ => return Err(form()),
        };
        Ok(Self {
            source: source.into(),
            target: target.into(),
            read_only,
        })
    }
}

/// A key and its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// The key; not empty.
    pub key: String,
    /// The value; may be empty.
    pub value: String,
}

impl OptionValue for Setting {
    const KIND: Kind = Kind::Text;

    fn parse(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            Some((key, value)) if !key.is_empty() && !text.contains('\0') => Ok(Self {
                key: key.into(),
                value: value.into(),
            }),
            Some(("", _)) => Err("its key is empty".into()),
            _ => Err("`KEY=VALUE`".into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Debug;

    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn refused<T: OptionValue + Debug>(texts: &[&str]) {
        for text in texts {
            let parsed = T::parse(text);
            assert!(parsed.is_err(), "{text:?} was read as {parsed:?}");
        }
    }

    #[test]
    fn what_an_engine_would_refuse_is_refused_here() {
        refused::<MemoryLimit>(&["", "4M", "0", "-1", "9999999T"]);
        refused::<Cpus>(&["", "0", "0.001", "-1", "two", "NaN", "1e9"]);
        refused::<PidsLimit>(&["", "0", "-1", "3", "many"]);
        refused::<StartLimit>(&["", "0", "-1", "65536"]);
        refused::<TmpfsMount>(&["", "scratch", ":size=1g"]);
        refused::<Ulimit>(&[
            "nofile",
            "nofiles=1",
            "nofile=2:1",
            "nofile=-2",
            "nofile=a",
            "cpu=-1:5",
        ]);
        refused::<BindMount>(&["", "/a", "a:/b", "/a:b", "/a:/b:x", "/a:/b:ro:z", "/a:/"]);
        refused::<Setting>(&["", "key", "=value"]);
    }

    #[test]
    fn what_is_right_is_read() {
        assert_eq!(
            MemoryLimit::parse("64M").map(MemoryLimit::bytes),
            Ok(64 << 20)
        );
        assert_eq!(Cpus::parse("1.5").map(Cpus::nano), Ok(1_500_000_000));
        assert_eq!(
            PidsLimit::parse("unlimited").map(PidsLimit::count),
            Ok(None)
        );
        let ulimit = Ulimit::parse("nofile=1024:4096").unwrap();
        assert_eq!((ulimit.soft, ulimit.hard), (1024, 4096));
        assert_eq!(Ulimit::parse("core=0").unwrap().hard, 0);
        assert!(BindMount::parse("/a:/b:ro").unwrap().read_only);
        assert_eq!(Setting::parse("a=b=c").unwrap().value, "b=c");
        assert_eq!(
            TmpfsMount::parse("/x:size=1g,exec").unwrap().options,
            "size=1g,exec"
        );
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in ".{0,40}") {
            let _ = MemoryLimit::parse(&text);
            let _ = Cpus::parse(&text);
            let _ = PidsLimit::parse(&text);
            let _ = StartLimit::parse(&text);
            let _ = TmpfsMount::parse(&text);
            let _ = Ulimit::parse(&text);
            let _ = BindMount::parse(&text);
            let _ = Setting::parse(&text);
        }
    }
}
