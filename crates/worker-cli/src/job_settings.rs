//! What can be configured for the job, by file and environment.

use std::time::Duration;

use backend_core::{ByteSize, ProviderConfig};

/// The name of the section, and of the variables `WORKER_JOB_…`.
pub(crate) const SECTION: &str = "job";

backend_core::options! {
    /// The settings of `[job]`. Each is a flag of `worker run` too.
    pub(crate) struct JobSettings {
        /// The backend to use. Default: `local`. Its variable is
        /// `WORKER_BACKEND` as well.
        backend: Option<String>, example "docker";
        /// A set of limits: `ci` is 50 min hard, 10 min of silence, 4.5 MB of
        /// output. What is set by itself holds all the same.
        profile: Option<Profile>;
        /// How long the start may take. Default: 4m.
        startup_timeout: Option<Duration>, example "4m";
        /// How long the upload may take. Default: 3m 30s.
        upload_timeout: Option<Duration>, example "3m 30s";
        /// How long the script may run. Default: no limit.
        hard_timeout: Option<Duration>, example "50m";
        /// How long the script may be silent. Default: no limit.
        silence_timeout: Option<Duration>, example "10m";
        /// How long the script has between TERM and KILL. Default: 10s.
        grace: Option<Duration>, example "10s";
        /// How much the script may write. Default: no limit.
        max_output: Option<ByteSize>, example "64M";
        /// What happens when it writes more: `stop` ends the job, `truncate`
        /// drops the rest and lets the script go on. Default: `stop`.
        on_max_output: Option<MaxOutputAction>;
        /// An image by its name.
        image: Option<String>, example "debian:12";
        /// The language of the script, to choose an image by.
        language: Option<String>, example "ruby";
        /// The distribution, to choose an image by.
        dist: Option<String>, example "bookworm";
        /// The processor architecture.
        arch: Option<String>, example "arm64";
        /// The release group, to choose an image by.
        group: Option<String>, example "stable";
        /// The operating system, to choose an image by.
        os: Option<String>, example "linux";
        /// The macOS image.
        osx_image: Option<String>, example "xcode16";
        /// The class of machine.
        vm_type: Option<String>, example "premium";
    }
}

backend_core::choice! {
    /// A set of limits.
    pub(crate) enum Profile {
        /// 50 min hard, 10 min of silence, 4.5 MB of output.
        Ci = "ci",
    }
}

backend_core::choice! {
    /// What happens when a script writes more than it may.
    pub(crate) enum MaxOutputAction {
        /// The job is ended.
        Stop = "stop",
        /// The rest is dropped and the script goes on.
        Truncate = "truncate",
    }
}

/// What the environment says of the job: `WORKER_JOB_<KEY>`, and `WORKER_BACKEND`,
/// which wins over `WORKER_JOB_BACKEND`.
pub(crate) fn from_environment(
    variables: impl IntoIterator<Item = (String, String)> + Clone,
) -> ProviderConfig {
    let mut named = variables.clone().into_iter();
    let backend = named.find(|(name, _)| name == "WORKER_BACKEND");
    let mut config = ProviderConfig::from_environment(SECTION, variables);
    if let Some((name, value)) = backend {
        config.add("backend", value, backend_core::Origin::Environment(name));
    }
    config
}
