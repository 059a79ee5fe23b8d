//! A server in front of `local` and `fake`, against `curl` at the same server.

use std::io::Read as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use anyhow::{Context as _, ensure};
use testbed::WorkerServer;

use super::docker::peak_memory;
use super::figure::{Figure, Target, Unit};
use super::holder::Holder;
use super::process::{first_byte, whole};
use super::rig::{Bench, Peers, Rig, Targets, interleaved};

/// Bytes of output, and of each answer with some of it.
const OUTPUT: u64 = 256 << 20;
const CHUNK: u64 = 1 << 20;

/// Seconds after which that much output lies whole on the server.
const WRITTEN: u64 = 4;

/// Jobs at once, and what the server's memory may come to.
const JOBS: u32 = 200;
const MEMORY: f64 = 100.0 * 1024.0 * 1024.0;

/// Measures the program `worker` on both sides.
pub(crate) fn figures(bench: &Bench) -> anyhow::Result<Vec<Figure>> {
    let server = WorkerServer::start(&bench.worker, "local", &[])?;
    let rig = Http::to(&server);
    let mut figures = super::jobs::figures(bench, &rig)?;
    figures.push(fetch(bench, &rig)?);
    drop(server);
    figures.extend(at_once(bench)?);
    Ok(figures)
}

struct Http {
    endpoint: String,
    /// The next id of an instance.
    next: AtomicU32,
}

impl Http {
    fn to(server: &WorkerServer) -> Self {
        Self {
            endpoint: format!("http://{}", server.address()),
            next: AtomicU32::new(0),
        }
    }

    /// The address of a new instance, which no other server on this machine
    /// has.
    fn instance(&self) -> String {
        let (process, next) = (std::process::id(), &self.next);
        let number = next.fetch_add(1, Ordering::Relaxed);
        format!("{}/v1/instances/bench-{process}-{number}", self.endpoint)
    }

    /// An instance that has the script.
    fn ready(&self, script: &Path) -> anyhow::Result<String> {
        let instance = self.instance();
        whole(&mut Calls::new().ready(&instance, script).command())?;
        Ok(instance)
    }
}

/// Calls that one process of `curl` makes, one after another.
struct Calls(Vec<String>);

impl Calls {
    fn new() -> Self {
        Self(Vec::new())
    }

    /// One call, whose answer goes nowhere.
    fn call(self, arguments: &[&str]) -> Self {
        self.call_to(&[arguments, &["--output", "/dev/null"]].concat())
    }

    /// One call, whose answer is printed.
    fn call_to(mut self, arguments: &[&str]) -> Self {
        if !self.0.is_empty() {
            self.0.push("--next".to_owned());
        }
        self.0.extend(["--silent", "--fail"].map(str::to_owned));
        self.0.extend(arguments.iter().map(|&word| word.to_owned()));
        self
    }

    fn put(self, address: &str, document: &str) -> Self {
        let json = "Content-Type: application/json";
        self.call(&["-X", "PUT", "-H", json, "--data", document, address])
    }

    fn ready(self, instance: &str, script: &Path) -> Self {
        // The third revision of an instance of `local` is that it is ready.
        let news = format!("{instance}?since=2");
        let place = format!("{instance}/script");
        let script = script.display().to_string();
        self.put(instance, r#"{"lease_s":60}"#)
            .call(&["-H", "Prefer: wait=10", &news])
            .call(&["--upload-file", &script, &place])
    }

    fn run(self, instance: &str) -> Self {
        self.put(&format!("{instance}/runs/it"), "{}")
    }

    fn end(self, instance: &str) -> Self {
        self.call(&["-H", "Prefer: wait=60", &format!("{instance}/runs/it")])
    }

    /// The output of a run, in the pieces of the server.
    fn output(self, instance: &str, bytes: u64) -> Self {
        let offsets = match bytes.saturating_sub(CHUNK) {
            0 => "0".to_owned(),
            last => format!("[0-{last}:{CHUNK}]"),
        };
        let place = format!("{instance}/runs/it/output?offset={offsets}&limit={CHUNK}");
        self.call_to(&["-H", "Prefer: wait=30", &place])
    }

    fn delete(self, instance: &str) -> Self {
        self.call(&["-X", "DELETE", instance])
    }

    fn command(self) -> Command {
        let mut command = Command::new("curl");
        command.arg("--fail-early").args(self.0);
        command
    }
}

impl Rig for Http {
    fn backend(&self) -> &'static str {
        "http"
    }

    fn options(&self) -> Vec<String> {
        vec![format!("endpoint={}", self.endpoint)]
    }

    fn peers(&self) -> Peers {
        Peers {
            job: "curl, call by call",
            first_byte: "curl",
            stop: "curl -X DELETE",
        }
    }

    fn targets(&self) -> Targets {
        Targets {
            first_byte: Some(Target::Most(0.010)),
            ..Targets::default()
        }
    }

    /// All calls of a job, in one process on one connection. The output comes
    /// when the run is over: `curl` cannot ask for what it does not know yet.
    fn job(&self, script: &Path, output: u64) -> anyhow::Result<Command> {
        let instance = self.instance();
        Ok(Calls::new()
            .ready(&instance, script)
            .run(&instance)
            .end(&instance)
            .output(&instance, output)
            .delete(&instance)
            .command())
    }

    fn first_byte(&self) -> anyhow::Result<f64> {
        let script = tempfile::NamedTempFile::new()?;
        std::fs::write(script.path(), "#!/bin/sh\necho hi\n")?;
        let instance = self.ready(script.path())?;
        let took = first_byte(&mut Calls::new().run(&instance).output(&instance, 3).command())?;
        whole(&mut Calls::new().delete(&instance).command())?;
        Ok(took)
    }

    fn stop(&self, script: &Path) -> anyhow::Result<f64> {
        let instance = self.ready(script)?;
        whole(&mut Calls::new().run(&instance).output(&instance, 2).command())?;
        Ok(whole(&mut Calls::new().delete(&instance).command())?.wall)
    }

    fn batches(&self) -> [u32; 3] {
        [50, 100, 200]
    }

    /// Beside others an instance may become ready without a revision between,
    /// and then a chain of calls waits for one that does not come.
    fn most_peers(&self) -> u32 {
        1
    }
}

/// The client fetching output that lies whole on the server, against `curl`
/// fetching the same bytes there, by offset too.
fn fetch(bench: &Bench, rig: &Http) -> anyhow::Result<Figure> {
    let place = tempfile::tempdir()?;
    let much = place.path().join("much.sh");
    std::fs::write(&much, format!("#!/bin/sh\nhead -c {OUTPUT} /dev/zero\n"))?;
    let hold = || bench.hold(rig, &place.path().join("state"));
    let late = |holder: &mut Holder| holder.late(WRITTEN, &much);
    let (mut ours, mut other) = (hold()?, hold()?);
    let instance = rig.ready(&much)?;
    whole(&mut Calls::new().run(&instance).end(&instance).command())?;
    let measured = interleaved(
        bench.runs.min(7),
        || late(&mut ours),
        || {
            if bench.against_itself {
                return late(&mut other);
            }
            let mut fetch = Calls::new().output(&instance, OUTPUT).command();
            Ok(whole(&mut fetch)?.wall)
        },
    )?;
    whole(&mut Calls::new().delete(&instance).command())?;
    // 0.6 times as fast is 1.67 times as long.
    Ok(Figure::new(
        "http: 256 MiB that lie on the server",
        bench.peer("curl"),
        Target::Ratio(1.0 / 0.6),
        measured,
    ))
}

/// Many processes at once: every verdict right, and the server's memory
/// bounded.
fn at_once(bench: &Bench) -> anyhow::Result<[Figure; 2]> {
    let options = ["-o", "run-sleep=2s", "-o", "exit-code=9"];
    let server = WorkerServer::start(&bench.worker, "fake", &options)?;
    let place = tempfile::tempdir()?;
    let any = place.path().join("any.sh");
    std::fs::write(&any, "anything\n")?;
    let rig = Http::to(&server);
    let began = Instant::now();
    let children: Vec<_> = (0..JOBS)
        .map(|_| {
            bench
                .ours(&rig, &any, &place.path().join("state"))
                .args(["-o", "capabilities=signals,resumes"])
                .stdout(Stdio::null())
                .stderr(Stdio::piped())
                .spawn()
        })
        .collect::<Result<_, _>>()?;
    for mut child in children {
        let mut said = String::new();
        if let Some(mut errors) = child.stderr.take() {
            errors.read_to_string(&mut said)?;
        }
        let status = child.wait()?;
        ensure!(status.code() == Some(9), "{status}, not 9: {said}");
    }
    let took = began.elapsed().as_secs_f64();
    let process = u32::try_from(server.daemon().pid())?;
    let memory = peak_memory(process).context("the server's memory is not known")?;
    // Each sleeps for two seconds: what is beyond is the cost of all of them.
    let time = (vec![took], vec![2.0]);
    let memory = (vec![memory], vec![memory / f64::from(JOBS)]);
    Ok([
        Figure::new(
            "http: 200 jobs at once",
            "their sleep",
            Target::Above(30.0),
            time,
        ),
        Figure::new(
            "http: 200 jobs at once, memory",
            "a job of them",
            Target::Most(MEMORY),
            memory,
        )
        .in_unit(Unit::Bytes),
    ])
}
