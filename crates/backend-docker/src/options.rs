//! What the backend can be told.

use std::path::PathBuf;
use std::time::Duration;

use backend_core::{ByteSize, Family};

pub use values::{
    BindMount, Cpus, MemoryLimit, PidsLimit, Setting, StartLimit, TmpfsMount, Ulimit,
};

mod values;

backend_core::options! {
    /// The options of the backend `docker`.
    pub struct DockerOptions {
        /// Where the engine listens: `unix:///path`, `tcp://host:port`,
        /// `https://host:port` or `ssh://user@host`. Default: `DOCKER_HOST`, else the current context
        /// of the docker client, else the first of the well-known sockets that
        /// answers (Docker, rootless Docker, Podman, Docker Desktop).
        endpoint: Option<String>, also "host", example "unix:///run/docker.sock";
        /// A directory with `ca.pem`, `cert.pem` and `key.pem`: the engine at a
        /// `tcp` endpoint is spoken to over TLS. Without `ca.pem` it is verified
        /// by the authorities of the machine; the other two are both there or
        /// neither.
        cert_path: Option<PathBuf>, example "/home/me/.docker";
        /// Whether the engine's certificate is verified. `false` gives whoever
        /// is in between the run of your machine.
        tls_verify: bool = "true";
        /// How long one answer of the engine may take. Pulling, waiting and
        /// streaming have limits of their own.
        request_timeout: Duration = "60s";
        /// How many starts there may be at once; further ones wait. Default:
        /// three for every two processors of this machine where the engine is
        /// on it, else no limit.
        concurrent_starts: Option<StartLimit>, example "8";
        /// How long a run goes on without the engine before it is lost.
        reconnect_window: Duration = "1m";

        /// The image of a start that names none and whose attributes choose none.
        default_image: Option<String>, example "debian:12";
        /// How an image is chosen from the attributes of a start that names
        /// none: `tag` takes the first local image among `travis:LANGUAGE`,
        /// `LANGUAGE`, `travis:default` and `default`; `env` takes it from the
        /// options `image-…`; `none` takes the default image.
        image_selector: ImageSelector = "none";
        /// For the selector `env`: images by osx-image, dist, group, os and
        /// language, as in `image-dist-bookworm-ruby` or `image-default`. A
        /// value that is itself such a key is looked up once more.
        image: Family, example "debian:12";
        /// A tar file of a root file system: it is imported once, by its
        /// content, and is the image of every start that names none.
        rootfs: Option<PathBuf>, example "/var/lib/images/base.tar";
        /// When an image is pulled.
        pull_policy: PullPolicy = "missing";
        /// How long a pull, or the import of a root file system, may go without
        /// any progress.
        pull_timeout: Duration = "2m";
        /// The platform to pull and run, where it is not the engine's own.
        platform: Option<String>, example "linux/arm64";

        /// Memory of the container, swap included. Default: no limit.
        memory: Option<MemoryLimit>, example "4G";
        /// Processors of the container, as a quota of time. Default: no limit.
        cpus: Option<Cpus>, example "2";
        /// How many processes and threads the container may have at once;
        /// `unlimited` for no limit.
        pids_limit: PidsLimit = "4096";
        /// The size of /dev/shm. Default: the engine's (64 MiB).
        shm_size: Option<ByteSize>, example "256M";
        /// Further file systems in memory, as `PATH` or `PATH:OPTIONS`.
        tmpfs: Vec<TmpfsMount>, example "/scratch:size=1g";
        /// Limits on resources, as `NAME=SOFT` or `NAME=SOFT:HARD`.
        ulimits: Vec<Ulimit>, example "nofile=1024:4096";
        /// Directories of the engine's machine to mount, as
        /// `SOURCE:TARGET` or `SOURCE:TARGET:ro`. The source has to exist.
        binds: Vec<BindMount>, example "/var/cache/ccache:/cache";
        /// The network: `none`, `bridge`, `host`, or the name of one that
        /// exists. Default: the engine's.
        network: Option<String>, example "none";
        /// The name of the host in the container. Default: the engine's choice.
        hostname: Option<String>, example "builder";
        /// The user, as `NAME`, `UID` or either with `:GROUP`. Default: the image's.
        user: Option<String>, example "1000:1000";
        /// Where the script runs. It is made if it does not exist, and is not
        /// emptied. Default: a new empty directory in the first place that can
        /// be written: the image's own working directory, /tmp, /var/tmp.
        working_directory: Option<String>, example "/build";
        /// Capabilities to add to the engine's set.
        cap_add: Vec<String>, example "SYS_PTRACE";
        /// Capabilities to drop; `ALL` drops all.
        cap_drop: Vec<String>, example "NET_RAW";
        /// Whether a program in the container may gain privileges (by a setuid
        /// bit, for example).
        new_privileges: bool = "false";
        /// Further security options, as the engine takes them.
        security_options: Vec<String>, also "security-opt", example "seccomp=unconfined";
        /// The runtime, such as `runsc` (gVisor) or `kata`. Default: the engine's.
        runtime: Option<String>, example "runsc";
        /// Whether the container has the rights of the machine. It can then do
        /// anything to it.
        privileged: bool = "false";
        /// Whether the root file system is read-only.
        read_only: bool = "false";
        /// Whether an init process runs as PID 1: it passes signals on and
        /// collects orphans. Without it, PID 1 is Worker's gate.
        init: bool = "true";
        /// Further labels on the container, as `KEY=VALUE`.
        labels: Vec<Setting>, example "team=build";
        /// Environment of the container, as `KEY=VALUE`. Whoever may inspect
        /// the container sees it: secrets belong into the environment of the run.
        environment: Vec<Setting>, example "LANG=C.UTF-8";
        /// `HTTP_PROXY` and `http_proxy` in the container. Never taken from the
        /// worker's environment.
        http_proxy: Option<String>, example "http://proxy:3128";
        /// `HTTPS_PROXY` and `https_proxy` in the container.
        https_proxy: Option<String>, example "http://proxy:3128";
        /// `FTP_PROXY` and `ftp_proxy` in the container.
        ftp_proxy: Option<String>, example "http://proxy:3128";
        /// `NO_PROXY` and `no_proxy` in the container.
        no_proxy: Option<String>, example "localhost,127.0.0.1";
        /// How the engine keeps a copy of the output. `none` keeps none and is
        /// the fastest; Worker needs no copy.
        log_driver: String = "none", example "local";
    }
}

backend_core::choice! {
    /// How an image is chosen from the attributes of a start.
    pub enum ImageSelector {
        /// Not at all: the default image.
        None = "none",
        /// By local tags.
        Tag = "tag",
        /// By the options `image-…`.
        Env = "env",
    }
}

backend_core::choice! {
    /// When an image is pulled.
    pub enum PullPolicy {
        /// Never: an image that is not there is an error.
        Never = "never",
        /// If it is not there.
        Missing = "missing",
        /// Before every start.
        Always = "always",
    }
}
