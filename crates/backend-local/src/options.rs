//! What the backend can be told.

use std::path::PathBuf;

use backend_core::{ByteSize, Kind, OptionValue};

backend_core::options! {
    /// The options of the backend `local`.
    pub struct LocalOptions {
        /// Where the directories of instances are made. It is created with
        /// mode 0700, and refused unless it is a directory of this user with
        /// that mode. Default: `worker-UID` under `TMPDIR`, else under `/tmp`.
        directory: Option<PathBuf>, also "scripts-dir", example "/var/tmp/worker";
        /// What `HOME` of a script is: `private`, an empty directory of the
        /// instance, or `account`, the home of the account.
        home: Home = "private";
        /// What `PATH` of a script is.
        path: String = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
        /// How the processes of a script are held together: by a `cgroup` of
        /// version 2 (refused where none can be made), by a `marker` in their
        /// environment, their session and their group, or `auto`: by a cgroup
        /// where one can be made.
        containment: ContainmentChoice = "auto";
        /// How much memory a script and its children may use, swap included.
        /// Refused where no cgroup can limit it. Default: no limit.
        memory: Option<MemoryLimit>, example "2G";
        /// How many processes and threads a script may have at once. Refused
        /// where no cgroup can limit it. Default: no limit.
        pids_limit: Option<ProcessLimit>, example "512";
    }
}

backend_core::choice! {
    /// What `HOME` of a script is.
    pub enum Home {
        /// An empty directory of the instance.
        Private = "private",
        /// The home directory of the account.
        Account = "account",
    }
}

backend_core::choice! {
    /// How the processes of a script are held together.
    pub enum ContainmentChoice {
        /// By a cgroup where one can be made, else by a marker.
        Auto = "auto",
        /// By a cgroup, or not at all.
        Cgroup = "cgroup",
        /// By a marker in the environment.
        Marker = "marker",
    }
}

/// A limit on memory: at least 1 MiB, since no program begins with less.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryLimit(ByteSize);

impl MemoryLimit {
    const LEAST: u64 = 1 << 20;

    /// The limit in bytes.
    pub fn bytes(self) -> u64 {
        self.0.0
    }
}

impl OptionValue for MemoryLimit {
    const KIND: Kind = Kind::Size;

    fn parse(text: &str) -> Result<Self, String> {
        let size = <ByteSize as OptionValue>::parse(text)?;
        if size.0 < Self::LEAST {
            return Err("it is less than 1M, with which no program can begin".into());
        }
        // The kernel reads a signed number.
        if i64::try_from(size.0).is_err() {
            return Err("it is too large".into());
        }
        Ok(Self(size))
    }
}

/// A limit on the number of processes: at least one, the script itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProcessLimit(u32);

impl ProcessLimit {
    /// The limit.
    pub fn count(self) -> u32 {
        self.0
    }
}

impl OptionValue for ProcessLimit {
    const KIND: Kind = Kind::Integer {
        min: 1,
        // `PID_MAX_LIMIT` of 64-bit kernels.
        max: 1 << 22,
    };

    fn parse(text: &str) -> Result<Self, String> {
        match text.parse() {
            Ok(count) if (1..=1 << 22).contains(&count) => Ok(Self(count)),
            _ => Err(String::new()),
        }
    }
}

#[cfg(test)]
mod tests {
    use backend_core::{Chain, Options, ProviderConfig};

    use super::*;

    #[test]
    fn limits_that_nothing_can_run_under_are_refused_in_one_message() {
        let config = ProviderConfig::from([("memory", "4k"), ("pids-limit", "0"), ("hoem", "x")]);
        let error = LocalOptions::parse("local", &config).unwrap_err();
        let text = Chain(&error).to_string();
        for part in ["memory", "less than 1M", "pids-limit", "home"] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }

    #[test]
    fn the_defaults_are_those_of_the_documentation() {
        let options = LocalOptions::parse("local", &ProviderConfig::new()).unwrap();
        assert_eq!(options.home, Home::Private);
        assert_eq!(options.containment, ContainmentChoice::Auto);
        assert_eq!(options.memory, None);
        assert_eq!(options.directory, None);
        let limits = ProviderConfig::from([("memory", "1G"), ("PIDS_LIMIT", "7")]);
        let options = LocalOptions::parse("local", &limits).unwrap();
        assert_eq!(options.memory.map(MemoryLimit::bytes), Some(1 << 30));
        assert_eq!(options.pids_limit.map(ProcessLimit::count), Some(7));
    }
}
