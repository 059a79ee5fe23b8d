//! A backend to measure, and what one would otherwise use for the same.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::figure::Target;
use super::holder::Holder;

/// A backend with its peer.
pub(crate) trait Rig: Sync {
    /// Its alias, which begins the name of each figure.
    fn backend(&self) -> &'static str;

    /// Its options, as `KEY=VALUE`.
    fn options(&self) -> Vec<String>;

    /// What the peers are called.
    fn peers(&self) -> Peers;

    /// What is to be reached.
    fn targets(&self) -> Targets;

    /// A whole job by the peer; `output` is how many bytes the script prints.
    fn job(&self, script: &Path, output: u64) -> anyhow::Result<Command>;

    /// Seconds from the peer's run of an `echo`, where everything is started
    /// already, to its first byte.
    fn first_byte(&self) -> anyhow::Result<f64>;

    /// Seconds that the peer takes to end `script`, which would never end, with
    /// all that belongs to it.
    fn stop(&self, script: &Path) -> anyhow::Result<f64>;

    /// How many jobs are run one, ten and fifty at a time.
    fn batches(&self) -> [u32; 3];

    /// How many processes of the peer there are at once at the most.
    fn most_peers(&self) -> u32 {
        u32::MAX
    }
}

/// What the peers of a backend are called.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peers {
    pub(crate) job: &'static str,
    pub(crate) first_byte: &'static str,
    pub(crate) stop: &'static str,
}

/// What a backend is to reach.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Targets {
    pub(crate) cold: Option<Target>,
    pub(crate) first_byte: Option<Target>,
    pub(crate) output: Option<Target>,
    pub(crate) ten_at_a_time: Option<Target>,
    pub(crate) held: Option<Target>,
}

/// How to measure.
#[derive(Debug)]
pub(crate) struct Bench {
    /// The program `worker`, as it is released.
    pub(crate) worker: PathBuf,
    /// The program of [`Holder`].
    pub(crate) holder: PathBuf,
    /// How many runs of each side.
    pub(crate) runs: usize,
    /// Whether ours takes the place of the peer, which shows the noise.
    pub(crate) against_itself: bool,
}

impl Bench {
    /// A whole job by the program.
    pub(crate) fn ours(&self, rig: &dyn Rig, script: &Path, state: &Path) -> Command {
        let mut command = Command::new(&self.worker);
        command.args(["run", "--quiet", "-b", rig.backend()]);
        for option in rig.options() {
            command.args(["-o", &option]);
        }
        command.arg(script).env("WORKER_STATE_DIR", state);
        command
    }

    /// The same by the peer.
    pub(crate) fn theirs(
        &self,
        rig: &dyn Rig,
        script: &Path,
        output: u64,
        state: &Path,
    ) -> anyhow::Result<Command> {
        if self.against_itself {
            Ok(self.ours(rig, script, state))
        } else {
            rig.job(script, output)
        }
    }

    /// A process that holds a provider.
    pub(crate) fn hold(&self, rig: &dyn Rig, state: &Path) -> anyhow::Result<Holder> {
        Holder::start(&self.holder, rig.backend(), &rig.options(), state)
    }

    /// What the peer is called in a figure.
    pub(crate) fn peer(&self, name: &str) -> String {
        if self.against_itself {
            "itself".to_owned()
        } else {
            name.to_owned()
        }
    }
}

/// Runs ours and the peer's in turn, so that what the machine does besides
/// falls on both.
pub(crate) fn interleaved<T>(
    runs: usize,
    mut ours: impl FnMut() -> anyhow::Result<T>,
    mut peer: impl FnMut() -> anyhow::Result<T>,
) -> anyhow::Result<(Vec<T>, Vec<T>)> {
    // The first of each warms the caches, and does not count.
    ours()?;
    peer()?;
    let mut samples = (Vec::new(), Vec::new());
    for _ in 0..runs {
        samples.0.push(ours()?);
        samples.1.push(peer()?);
    }
    Ok(samples)
}
