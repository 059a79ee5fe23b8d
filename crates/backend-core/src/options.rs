//! The options of a backend, declared once.
//!
//! [`options!`](crate::options!) makes a struct whose fields *are* the
//! options: from it come parsing, the listing of `worker backends`, the JSON
//! schema and the errors for unknown keys and wrong values.

pub(crate) mod problem;
mod schema;
mod spec;
mod value;

pub use problem::{Problem, Problems, unknown_keys};
pub use schema::schema;
pub use spec::{Kind, OptionSpec};
pub use value::{ByteSize, Family, OptionField, OptionValue};

use crate::{ProviderConfig, Result};

/// A struct of options, made by [`options!`](crate::options!).
pub trait Options: Sized {
    /// The options, in the order of their declaration.
    fn specs() -> &'static [OptionSpec];

    /// Reads all options from `config`.
    ///
    /// # Errors
    ///
    /// One error that names every problem: unknown keys with the nearest
    /// right one, values that do not parse with the form that would, options
    /// that are missing. `MissingEndpoint` if an endpoint is what is missing,
    /// else `InvalidOption`.
    fn parse(alias: &str, config: &ProviderConfig) -> Result<Self> {
        Self::read(alias, config).map_err(|problems| problems.into_error(alias))
    }

    /// As [`parse`](Self::parse), for who tells the problems in an error of
    /// their own.
    ///
    /// # Errors
    ///
    /// Every problem.
    fn read(alias: &str, config: &ProviderConfig) -> std::result::Result<Self, Problems>;
}

/// Declares the options of a backend as a struct.
///
/// Each field is one option, its documentation the help text, its name the key
/// (with `-` for `_`). A field of type `Option<T>` may be missing, one with a
/// default (`= "text"`) has it, any other is required. `example "text"` is
/// shown in help and errors; `also "key"` is a second key for the same option.
///
/// ```
/// use std::time::Duration;
/// use backend_core::{Options, ProviderConfig};
///
/// backend_core::options! {
///     /// What the backend can be told.
///     pub struct ExampleOptions {
///         /// How long a start takes.
///         startup_duration: Duration = "0s", example "1s";
///         /// What the script prints.
///         log_output: Option<String>;
///     }
/// }
///
/// let options = ExampleOptions::parse("example", &ProviderConfig::from([("STARTUP_DURATION", "1s")]))?;
/// assert_eq!(options.startup_duration, Duration::from_secs(1));
/// assert_eq!(ExampleOptions::specs()[0].key, "startup-duration");
/// # Ok::<(), backend_core::Error>(())
/// ```
#[macro_export]
macro_rules! options {
    (
        $(#[$attribute:meta])*
        $visibility:vis struct $name:ident {
            $(
                $(#[doc = $help:literal])+
                $field:ident : $type:ty
                $(= $default:literal)?
                $(, also $also:literal)?
                $(, example $example:literal)?
                ;
            )*
        }
    ) => {
        $(#[$attribute])*
        #[derive(Debug, Clone)]
        $visibility struct $name {
            $(
                $(#[doc = $help])+
                pub $field: $type,
            )*
        }

        impl $crate::Options for $name {
            fn specs() -> &'static [$crate::OptionSpec] {
                static SPECS: ::std::sync::LazyLock<::std::vec::Vec<$crate::OptionSpec>> =
                    ::std::sync::LazyLock::new(|| ::std::vec![
                        $(
                            $crate::OptionSpec::new::<$type>(
                                stringify!($field),
                                concat!($($help, "\n"),+),
                                $crate::options!(@optional $($default)?),
                                $crate::options!(@optional $($also)?),
                                $crate::options!(@optional $($example)?),
                            ),
                        )*
                    ]);
                &SPECS
            }

            fn read(
                alias: &str,
                config: &$crate::ProviderConfig,
            ) -> ::core::result::Result<Self, $crate::Problems> {
                let mut reader = $crate::__private::Reader::new(alias, Self::specs(), config);
                $(let $field = reader.read::<$type>(stringify!($field));)*
                match (reader.finish(), $($field,)*) {
                    (Ok(()), $(::core::option::Option::Some($field),)*) => Ok(Self { $($field),* }),
                    (Err(problems), ..) => Err(problems),
                    (Ok(()), ..) => Err($crate::__private::unread()),
                }
            }
        }
    };
    (@optional) => { ::core::option::Option::None };
    (@optional $value:literal) => { ::core::option::Option::Some($value) };
}

/// Declares an option's type that is one of a few words.
///
/// ```
/// backend_core::choice! {
///     /// When to pull an image.
///     pub enum PullPolicy {
///         /// Never.
///         Never = "never",
///         /// If it is not there.
///         Missing = "missing",
///     }
/// }
/// # use backend_core::OptionValue;
/// assert!(matches!(PullPolicy::parse("missing"), Ok(PullPolicy::Missing)));
/// assert!(PullPolicy::parse("Missing ").is_err());
/// ```
#[macro_export]
macro_rules! choice {
    (
        $(#[$attribute:meta])*
        $visibility:vis enum $name:ident {
            $( $(#[$variant_attribute:meta])* $variant:ident = $word:literal ),+ $(,)?
        }
    ) => {
        $(#[$attribute])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        $visibility enum $name {
            $( $(#[$variant_attribute])* $variant, )+
        }

        impl $name {
            /// The word that stands for it.
            $visibility fn word(self) -> &'static str {
                match self {
                    $( Self::$variant => $word, )+
                }
            }
        }

        impl $crate::OptionValue for $name {
            const KIND: $crate::Kind = $crate::Kind::Choice(&[$($word),+]);

            fn parse(text: &str) -> ::core::result::Result<Self, ::std::string::String> {
                match text {
                    $( $word => Ok(Self::$variant), )+
                    _ => Err(::std::string::String::new()),
                }
            }
        }
    };
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::time::Duration;

    use secrecy::{ExposeSecret, SecretString};

    use super::*;
    use crate::config::Origin;
    use crate::{Chain, ErrorKind};

    choice! {
        enum Level { Low = "low", High = "high" }
    }

    options! {
        struct TestOptions {
            /// How long.
            /// And a second line.
            duration: Duration = "3m30s";
            /// How many.
            count: u8 = "2", example "7";
            /// On or off.
            flag: bool = "false";
            /// How much.
            memory: Option<ByteSize>, also "mem", example "4G";
            /// Where.
            path: Option<PathBuf>;
            /// Which.
            level: Level = "low";
            /// Several.
            hosts: Vec<String>;
            /// By name.
            image: Family;
            /// The secret one.
            token: Option<SecretString>;
            /// The one that must be there.
            endpoint: String, example "http://127.0.0.1:1";
        }
    }

    fn problems(config: &ProviderConfig) -> String {
        let error = TestOptions::parse("test", config).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidOption);
        Chain(&error).to_string()
    }

    #[test]
    fn defaults_and_values_are_read() {
        let mut config = ProviderConfig::from([
            ("ENDPOINT", "x"),
            ("Mem", "64M"),
            ("hosts", r"a,b\,c"),
            ("image-os", "linux"),
            ("IMAGE_DEFAULT", "d"),
        ]);
        config.add("hosts", "d", Origin::Program);
        config.add("token", "hunter2", Origin::Environment("T".into()));
        let options = TestOptions::parse("test", &config).unwrap();
        assert_eq!(options.duration, Duration::from_secs(210));
        assert_eq!((options.count, options.flag), (2, false));
        assert_eq!(options.memory, Some(ByteSize(64 << 20)));
        assert_eq!(options.level.word(), "low");
        assert_eq!(options.hosts, ["a", "b,c", "d"]);
        assert_eq!((&options.path, options.endpoint.as_str()), (&None, "x"));
        assert_eq!(options.image.get("os"), Some("linux"));
        assert_eq!(options.image.get("Default"), Some("d"));
        assert_eq!(options.token.as_ref().unwrap().expose_secret(), "hunter2");
        assert!(!format!("{options:?}").contains("hunter2"));
    }

    #[test]
    fn all_problems_come_in_one_message() {
        let text = problems(&ProviderConfig::from([
            ("duratoin", "1s"),
            ("count", "300"),
            ("flag", "maybe"),
            ("memory", "4X"),
            ("level", "mid"),
            ("endpoint", "x"),
        ]));
        for part in [
            "5 problems with the options of backend `test`",
            "unknown option `duratoin`: did you mean `duration`?",
            "option `count`: `300` is not an integer from 0 to 255, such as `7`",
            "option `flag`: `maybe` is not `true` or `false`",
            "option `memory`: `4X` is not a size",
            "option `level`: `mid` is not one of `low`, `high`",
        ] {
            assert!(text.contains(part), "{part:?} is not in {text:?}");
        }
    }

    #[test]
    fn a_missing_endpoint_is_an_error_of_its_own() {
        let error = TestOptions::parse("test", &ProviderConfig::new()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::MissingEndpoint);
        assert!(
            Chain(&error)
                .to_string()
                .contains("expected config key endpoint")
        );
    }

    #[test]
    fn a_secret_is_refused_on_the_command_line_and_never_shown() {
        let mut config = ProviderConfig::from([("endpoint", "x")]);
        config.add("token", "hunter2", Origin::Flag);
        let text = problems(&config);
        assert!(text.contains("WORKER_TEST_TOKEN"), "{text}");
        assert!(!text.contains("hunter2"), "{text}");
    }

    #[test]
    fn a_problem_says_where_it_is_to_be_corrected() {
        let file = |line| Origin::File {
            path: "worker.toml".into(),
            line,
        };
        let mut config = ProviderConfig::new();
        config.add("endpiont", "x", file(3));
        config.add("endpoint", "x", Origin::Flag);
        config.add(
            "count",
            "many",
            Origin::Environment("WORKER_TEST_COUNT".into()),
        );
        config.add("flag", "maybe", file(4));
        let problems = TestOptions::read("test", &config).unwrap_err();
        let texts: Vec<_> = problems.iter().map(Problem::to_string).collect();
        assert_eq!(
            texts,
            [
                "unknown option `endpiont` (worker.toml, line 3): did you mean `endpoint`?",
                "option `count` (WORKER_TEST_COUNT): `many` is not an integer from 0 to 255, such as `7`",
                "option `flag` (worker.toml, line 4): `maybe` is not `true` or `false`",
            ]
        );
    }

    #[test]
    fn two_keys_for_one_option_are_refused() {
        let text = problems(&ProviderConfig::from([
            ("endpoint", "x"),
            ("mem", "1G"),
            ("memory", "2G"),
        ]));
        assert!(
            text.contains("`mem` and `memory` are the same option"),
            "{text}"
        );
    }

    #[test]
    fn the_specs_tell_all() {
        let specs = TestOptions::specs();
        let keys: Vec<_> = specs.iter().map(|spec| spec.key.as_str()).collect();
        assert_eq!(
            keys,
            [
                "duration", "count", "flag", "memory", "path", "level", "hosts", "image", "token",
                "endpoint"
            ]
        );
        assert_eq!(specs[0].help, "How long. And a second line.");
        assert!(specs[9].required && !specs[4].required && !specs[6].required);
        assert_eq!(specs[3].also, Some("mem"));
        let schema = schema("test", specs);
        assert_eq!(schema["properties"]["count"]["default"], "2");
        assert_eq!(
            schema["properties"]["level"]["enum"],
            serde_json::json!(["low", "high"])
        );
        assert_eq!(schema["required"], serde_json::json!(["endpoint"]));
    }
}
