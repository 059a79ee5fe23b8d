//! What the figures were measured on.

use std::fmt;
use std::fs::read_to_string;
use std::process::Command;

use serde::Serialize;

/// This machine, and the peers that are on it.
#[derive(Debug, Serialize)]
pub(crate) struct Machine {
    processor: String,
    processors: usize,
    memory_mib: u64,
    system: String,
    kernel: String,
    /// One-minute load before the first figure.
    load: String,
    /// What the peers say of their version.
    peers: Vec<String>,
}

impl Machine {
    /// Looks at this one; what cannot be known is empty.
    pub(crate) fn this() -> Self {
        let processor = field("/proc/cpuinfo", "model name");
        let memory = field("/proc/meminfo", "MemTotal");
        let memory = memory.trim_end_matches(" kB").parse().unwrap_or(0_u64);
        let system = field("/etc/os-release", "PRETTY_NAME");
        let load = read_to_string("/proc/loadavg").unwrap_or_default();
        let kernel = read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let versions = [
            ("docker", "--version"),
            ("ssh", "-V"),
            ("curl", "--version"),
            ("bwrap", "--version"),
        ];
        Self {
            processor,
            processors: std::thread::available_parallelism().map_or(0, usize::from),
            memory_mib: memory >> 10,
            system: system.trim_matches('"').to_owned(),
            kernel: kernel.trim().to_owned(),
            load: load.split(' ').next().unwrap_or_default().to_owned(),
            peers: versions
                .into_iter()
                .filter_map(|(program, option)| version(program, option))
                .collect(),
        }
    }
}

/// What stands after `name` and a separator in a file of such lines.
fn field(path: &str, name: &str) -> String {
    let text = read_to_string(path).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let value = line.unwrap_or_default();
    value.trim_start_matches([' ', '\t', ':', '=']).to_owned()
}

/// The first line that a program says of its version, on either stream.
fn version(program: &str, option: &str) -> Option<String> {
    let output = Command::new(program).arg(option).output().ok()?;
    let said = if output.stdout.is_empty() {
        output.stderr
    } else {
        output.stdout
    };
    let said = String::from_utf8(said).ok()?;
    Some(said.lines().next()?.to_owned())
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} × {}, {} MiB, {}, Linux {}, load {}",
            self.processors, self.processor, self.memory_mib, self.system, self.kernel, self.load
        )?;
        self.peers
            .iter()
            .try_for_each(|peer| write!(f, "\npeer: {peer}"))
    }
}
