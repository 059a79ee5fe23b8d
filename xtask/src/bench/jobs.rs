//! What is measured of every backend.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use super::figure::{Figure, Target, Unit};
use super::holder::{Batch, Holder};
use super::process::{Cost, read, whole};
use super::rig::{Bench, Rig, interleaved};
use crate::command::say;

/// Bytes of output: much, and a sixteenth of it.
const MUCH: u64 = 256 << 20;
const LESS: u64 = MUCH / 16;

/// Bytes of the script that is uploaded.
const UPLOAD: usize = 32 << 20;

/// What it is made of, but for its first lines.
const COMMENT: &[u8] = b"# nothing but a comment of sixty-four characters, which is not run\n";

/// How many runs of what takes about a second.
const LONG: usize = 7;

/// How many rounds of many jobs.
const ROUNDS: usize = 3;

/// How many jobs at a time.
const AT_A_TIME: [u32; 3] = [1, 10, 50];

/// Measures a backend.
pub(crate) fn figures(bench: &Bench, rig: &dyn Rig) -> anyhow::Result<Vec<Figure>> {
    let place = tempfile::tempdir()?;
    let subject = Subject {
        bench,
        rig,
        scripts: Scripts::write(place.path())?,
        state: place.path().join("state"),
    };
    let (mut figures, cold) = subject.cold()?;
    figures.extend(subject.output()?);
    figures.push(subject.upload()?);
    figures.extend(subject.held(&cold)?);
    Ok(figures)
}

/// The scripts that both sides run.
struct Scripts {
    echo: PathBuf,
    much: PathBuf,
    less: PathBuf,
    /// Says `x`, and never ends.
    endless: PathBuf,
    /// Ends at once, and is large.
    large: PathBuf,
}

impl Scripts {
    fn write(place: &Path) -> anyhow::Result<Self> {
        let script = |name: &str, text: &str| {
            let path = place.join(name);
            std::fs::write(&path, format!("#!/bin/sh\n{text}\n"))?;
            anyhow::Ok(path)
        };
        let large = script("large.sh", "echo hi; exit 0")?;
        // Never whole in memory: the kernel counts what this process had at
        // most to what it starts.
        let mut file = BufWriter::new(File::options().append(true).open(&large)?);
        for _ in 0..UPLOAD / COMMENT.len() {
            file.write_all(COMMENT)?;
        }
        file.flush()?;
        Ok(Self {
            echo: script("echo.sh", "echo hi")?,
            much: script("much.sh", &format!("head -c {MUCH} /dev/zero"))?,
            less: script("less.sh", &format!("head -c {LESS} /dev/zero"))?,
            endless: script("endless.sh", "echo x; exec sleep 1000")?,
            large,
        })
    }
}

struct Subject<'a> {
    bench: &'a Bench,
    rig: &'a dyn Rig,
    scripts: Scripts,
    state: PathBuf,
}

impl Subject<'_> {
    fn name(&self, what: &str) -> String {
        format!("{}: {what}", self.rig.backend())
    }

    fn runs(&self, most: usize) -> usize {
        self.bench.runs.min(most)
    }

    /// Whole processes, ours and the peer's in turn.
    fn sides(
        &self,
        runs: usize,
        script: &Path,
        output: u64,
        measure: impl Fn(&mut std::process::Command) -> anyhow::Result<Cost>,
    ) -> anyhow::Result<(Vec<Cost>, Vec<Cost>)> {
        let (bench, rig) = (self.bench, self.rig);
        interleaved(
            runs,
            || measure(&mut bench.ours(rig, script, &self.state)),
            || measure(&mut bench.theirs(rig, script, output, &self.state)?),
        )
    }

    /// Time, processor and memory of whole processes.
    fn costs(&self, what: &str, target: Option<Target>, sides: &Sides) -> [Figure; 3] {
        let peer = self.bench.peer(self.rig.peers().job);
        let name = self.name(what);
        [
            Figure::new(&name, &peer, target, sides.each(|cost| cost.wall)),
            Figure::new(
                format!("{name}, CPU"),
                &peer,
                None,
                sides.each(|cost| cost.cpu),
            ),
            Figure::new(
                format!("{name}, memory"),
                &peer,
                None,
                sides.each(|cost| cost.memory),
            )
            .in_unit(Unit::Bytes),
        ]
    }

    /// One cold job as a whole process.
    fn cold(&self) -> anyhow::Result<(Vec<Figure>, Sides)> {
        say(&self.name("cold jobs"));
        let sides = Sides(self.sides(self.bench.runs, &self.scripts.echo, 3, whole)?);
        let figures = self.costs("whole process", self.rig.targets().cold, &sides);
        Ok((figures.into(), sides))
    }

    /// Much output, and how its cost grows.
    fn output(&self) -> anyhow::Result<Vec<Figure>> {
        say(&self.name("output"));
        let runs = self.runs(LONG);
        let much = |command: &mut _| read(command, MUCH);
        let sides = Sides(self.sides(runs, &self.scripts.much, MUCH, much)?);
        let mut figures =
            Vec::from(self.costs("256 MiB of output", self.rig.targets().output, &sides));
        let mut less = Vec::new();
        for _ in 0..runs {
            let mut command = self.bench.ours(self.rig, &self.scripts.less, &self.state);
            less.push(read(&mut command, LESS)?);
        }
        let growth = Sides((sides.0.0, less));
        let name = self.name("16 times the output");
        let time = growth.each(|cost| cost.wall);
        let memory = growth.each(|cost| cost.memory);
        figures.extend([
            Figure::new(&name, "16 MiB", Target::Ratio(16.0), time),
            Figure::new(
                format!("{name}, memory"),
                "16 MiB",
                Target::Ratio(1.5),
                memory,
            )
            .in_unit(Unit::Bytes),
        ]);
        Ok(figures)
    }

    fn upload(&self) -> anyhow::Result<Figure> {
        say(&self.name("uploads"));
        let sides = Sides(self.sides(self.runs(LONG), &self.scripts.large, 3, whole)?);
        Ok(Figure::new(
            self.name("upload of 32 MiB"),
            self.bench.peer(self.rig.peers().job),
            None,
            sides.each(|cost| cost.wall),
        ))
    }

    /// What a process does that holds a provider.
    fn held(&self, cold: &Sides) -> anyhow::Result<Vec<Figure>> {
        let mut ours = self.bench.hold(self.rig, &self.state)?;
        let mut other = if self.bench.against_itself {
            Some(self.bench.hold(self.rig, &self.state)?)
        } else {
            None
        };
        let mut figures = self.one_by_one(&mut ours, &mut other)?;
        let rates = self.rates(&mut ours, &mut other)?;
        let [singly, tenfold, fiftyfold] = &rates;
        let each =
            |rate: &Rate, of: fn(&Batch) -> f64| -> Vec<f64> { rate.ours.iter().map(of).collect() };
        for (rate, target) in [
            (singly, None),
            (tenfold, self.rig.targets().ten_at_a_time),
            (fiftyfold, None),
        ] {
            let samples = (each(rate, |batch| batch.seconds), rate.theirs.clone());
            let name = format!("jobs, {} at a time", rate.at_a_time);
            let peer = self.bench.peer(self.rig.peers().job);
            figures.push(
                Figure::new(self.name(&name), peer, target, samples)
                    .in_unit(Unit::Jobs(rate.count)),
            );
        }
        let processor = tenfold.ours.iter();
        let processor = processor.map(|batch| batch.cpu / f64::from(tenfold.count));
        figures.push(Figure::new(
            self.name("CPU of a job, held"),
            self.bench.peer(self.rig.peers().job),
            None,
            (processor.collect(), cold.each(|cost| cost.cpu).1),
        ));
        let memory = |rate| each(rate, |batch| batch.memory);
        let growth = (memory(fiftyfold), memory(singly));
        // How many jobs were in the same step is chance: more than one of each.
        let mut earlier = memory(fiftyfold);
        let later = earlier.split_off(earlier.len() / 2);
        figures.extend([
            Figure::new(
                self.name("50 at a time, memory"),
                "one at a time",
                None,
                growth,
            )
            .in_unit(Unit::Bytes),
            Figure::new(
                self.name("50 at a time, later, memory"),
                "earlier",
                Target::Ratio(1.25),
                (later, earlier),
            )
            .in_unit(Unit::Bytes),
        ]);
        Ok(figures)
    }

    /// From a run to its first byte, a job on what is held, and a stop.
    fn one_by_one(
        &self,
        ours: &mut Holder,
        other: &mut Option<Holder>,
    ) -> anyhow::Result<Vec<Figure>> {
        say(&self.name("first bytes, held jobs, stops"));
        let (rig, scripts) = (self.rig, &self.scripts);
        let (mut jobs, mut first_bytes) = (Vec::new(), (Vec::new(), Vec::new()));
        let (mut whole_peers, mut stops) = (Vec::new(), (Vec::new(), Vec::new()));
        for round in 0..=self.bench.runs {
            let job = ours.jobs(1, 1, &scripts.echo)?;
            let (their_job, their_first_byte) = if let Some(other) = other {
                let job = other.jobs(1, 1, &scripts.echo)?;
                (job.seconds, job.first_bytes)
            } else {
                let job = whole(&mut rig.job(&scripts.echo, 3)?)?;
                (job.wall, vec![rig.first_byte()?])
            };
            // The first of each warms the caches, and does not count.
            if round > 0 {
                jobs.push(job.seconds);
                whole_peers.push(their_job);
                first_bytes.0.extend(job.first_bytes);
                first_bytes.1.extend(their_first_byte);
            }
        }
        for _ in 0..self.runs(LONG) {
            stops.0.push(ours.stop(&scripts.endless)?);
            stops.1.push(match other {
                Some(other) => other.stop(&scripts.endless)?,
                None => rig.stop(&scripts.endless)?,
            });
        }
        let (peers, targets) = (rig.peers(), rig.targets());
        let peer = |name| self.bench.peer(name);
        Ok(vec![
            Figure::new(
                self.name("a job, held"),
                peer(peers.job),
                targets.held,
                (jobs, whole_peers),
            ),
            Figure::new(
                self.name("run to first byte"),
                peer(peers.first_byte),
                targets.first_byte,
                first_bytes,
            ),
            Figure::new(self.name("stop until gone"), peer(peers.stop), None, stops),
        ])
    }

    /// Jobs a second.
    fn rates(&self, ours: &mut Holder, other: &mut Option<Holder>) -> anyhow::Result<[Rate; 3]> {
        let mut rates = Vec::new();
        for (count, at_a_time) in self.rig.batches().into_iter().zip(AT_A_TIME) {
            say(&self.name(&format!("{count} jobs, {at_a_time} at a time")));
            let mut rate = Rate {
                count,
                at_a_time,
                ours: Vec::new(),
                theirs: Vec::new(),
            };
            for _ in 0..self.runs(ROUNDS) {
                rate.ours
                    .push(ours.jobs(count, at_a_time, &self.scripts.echo)?);
                rate.theirs.push(match other {
                    Some(other) => other.jobs(count, at_a_time, &self.scripts.echo)?.seconds,
                    None => batch(self.rig, count, at_a_time, &self.scripts.echo)?,
                });
            }
            rates.push(rate);
        }
        let rates: Result<[Rate; 3], _> = rates.try_into();
        rates.map_err(|_| anyhow::anyhow!("there are three rates"))
    }
}

/// Rounds of many jobs, so many at a time.
struct Rate {
    count: u32,
    at_a_time: u32,
    ours: Vec<Batch>,
    /// Seconds of the peer's rounds.
    theirs: Vec<f64>,
}

/// Costs of ours and of the peer's.
struct Sides((Vec<Cost>, Vec<Cost>));

impl Sides {
    fn each(&self, of: fn(&Cost) -> f64) -> (Vec<f64>, Vec<f64>) {
        let column = |costs: &[Cost]| costs.iter().map(of).collect();
        (column(&self.0.0), column(&self.0.1))
    }
}

/// Seconds that the peer takes for many jobs, so many processes at a time.
fn batch(rig: &dyn Rig, count: u32, at_a_time: u32, script: &Path) -> anyhow::Result<f64> {
    let (next, began) = (AtomicU32::new(0), Instant::now());
    std::thread::scope(|scope| {
        let some = || {
            while next.fetch_add(1, Ordering::Relaxed) < count {
                whole(&mut rig.job(script, 3)?)?;
            }
            anyhow::Ok(())
        };
        let peers = at_a_time.min(rig.most_peers());
        let threads: Vec<_> = (0..peers).map(|_| scope.spawn(some)).collect();
        threads.into_iter().try_for_each(|thread| {
            thread
                .join()
                .unwrap_or_else(|_| anyhow::bail!("a thread panicked"))
        })
    })?;
    Ok(began.elapsed().as_secs_f64())
}
