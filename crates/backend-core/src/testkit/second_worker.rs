//! A second worker process, there to be killed: by it the suite shows what is
//! left of an instance whose worker had no time to clean up.
//!
//! It is this program once more, with the same arguments and an order in its
//! environment: [`obey`] finds it there, carries it out step by step, tells
//! each step on standard output, and waits for the end.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::PathBuf;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use super::case::{Checked, Unmet};
use super::fixture::{Fixture, within};
use crate::{
    Chain, Origin, OutputSink, OwnerId, ProviderConfig, Result, RunOptions, StartAttributes,
    StartContext, backend,
};

/// The variable with the order, as JSON.
const ORDER: &str = "WORKER_TESTKIT_SECOND_WORKER";

/// How long a second worker waits for its end before it ends itself.
const LIFE: Duration = Duration::from_mins(3);

/// How long one of its steps may take.
const STEP_PATIENCE: Duration = Duration::from_mins(1);

/// How far a second worker goes, and what it tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Step {
    /// The start begins.
    Starting,
    /// The instance is there, and the upload, if it comes to that, begins.
    Started,
    /// The script is there.
    Uploaded,
    /// The script has printed something.
    Running,
}

#[derive(Debug, Serialize, Deserialize)]
struct Order {
    backend: String,
    config: Vec<Entry>,
    attributes: StartAttributes,
    owner: OwnerId,
    script: String,
    /// Bytes that follow the script, so that its upload takes a while.
    padding: usize,
    until: Step,
}

#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    key: String,
    values: Vec<String>,
    origin: From,
}

/// Where an option came from, as far as it matters to the backend: a secret
/// must not have been a flag.
#[derive(Debug, Serialize, Deserialize)]
enum From {
    Program,
    Environment(String),
    File { path: PathBuf, line: usize },
}

/// If this process was begun by the suite as a second worker, it acts as one
/// and never comes back; else nothing happens.
///
/// [`main`](super::main()) and [`run`](super::run()) do it by themselves. Call
/// it first where making the targets takes long, as where daemons are started.
pub fn second_worker() {
    let Ok(order) = std::env::var(ORDER) else {
        return;
    };
    // On a thread of its own: the caller may be on a runtime already.
    let worked = std::thread::spawn(move || work(&order)).join();
    let code = worked.unwrap_or(ExitCode::FAILURE);
    std::process::exit(i32::from(code != ExitCode::SUCCESS));
}

fn work(order: &str) -> ExitCode {
    end_with_parent();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    let worked = match (serde_json::from_str(order), runtime) {
        (Ok(order), Ok(runtime)) => runtime
            .block_on(obey(order))
            .map_err(|error| Chain(&error).to_string()),
        (Err(error), _) => Err(error.to_string()),
        (_, Err(error)) => Err(error.to_string()),
    };
    match worked {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tell(&format!("failed: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// Ends this process when the one that began it is gone: its end of our
/// standard input closes.
fn end_with_parent() {
    std::thread::spawn(|| {
        let mut byte = [0];
        while matches!(std::io::stdin().read(&mut byte), Ok(1..)) {}
        std::process::exit(1);
    });
}

/// One line on standard output, at once.
fn tell(line: &str) {
    let mut output = std::io::stdout().lock();
    writeln!(output, "{line}").ok();
    output.flush().ok();
}

async fn obey(order: Order) -> Result<()> {
    let mut config = ProviderConfig::new();
    for Entry {
        key,
        values,
        origin,
    } in order.config
    {
        let origin = match origin {
            From::Program => Origin::Program,
            From::Environment(name) => Origin::Environment(name),
            From::File { path, line } => Origin::File { path, line },
        };
        for value in values {
            config.add(&key, value, origin.clone());
        }
    }
    let provider = (backend(&order.backend)?.provider)(&config)?;
    provider.setup().await?;
    let mut context = StartContext::new()
        .owner(order.owner)
        .lifetime(Duration::from_mins(10));
    context.job = Some("second worker".into());
    let mut script = order.script.into_bytes();
    script.resize(script.len() + order.padding, b'#');
    tell(&format!("{:?}", Step::Starting));
    let instance = provider.start(&order.attributes, &context).await?;
    tell(&format!("{:?}", Step::Started));
    if order.until != Step::Started {
        instance.upload_script(&script).await?;
        tell(&format!("{:?}", Step::Uploaded));
    }
    if order.until == Step::Running {
        let options = RunOptions::default();
        let result = instance.run_script(&options, &mut Teller).await?;
        tell(&format!("failed: the script {}", result.outcome));
    }
    tokio::time::sleep(LIFE).await;
    Ok(())
}

/// Tells that the script runs as soon as it prints.
struct Teller;

#[async_trait::async_trait]
impl OutputSink for Teller {
    async fn write(&mut self, _: &[u8]) -> std::io::Result<()> {
        tell(&format!("{:?}", Step::Running));
        Ok(())
    }
}

/// A second worker, seen from the first. Dropping it kills it.
pub(super) struct SecondWorker {
    child: Child,
    told: mpsc::UnboundedReceiver<String>,
}

impl SecondWorker {
    /// Begins one that goes on with `script` until `until`.
    pub(super) fn begin(
        fixture: &Fixture,
        until: Step,
        script: &str,
        padding: usize,
    ) -> Checked<Self> {
        let order = Order {
            backend: fixture.target.backend.alias.to_owned(),
            config: entries(&fixture.config()),
            attributes: fixture.attributes().clone(),
            owner: fixture.owner.clone(),
            script: script.to_owned(),
            padding,
            until,
        };
        let order = serde_json::to_string(&order).map_err(|error| failed(&error))?;
        let program = std::env::current_exe().map_err(|error| failed(&error))?;
        let mut child = Command::new(program)
            .args(std::env::args_os().skip(1))
            .env(ORDER, order)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| failed(&error))?;
        let (sender, told) = mpsc::unbounded_channel();
        let output = child.stdout.take();
        std::thread::spawn(move || {
            let lines = output
                .into_iter()
                .flat_map(|out| BufReader::new(out).lines());
            for line in lines.map_while(std::result::Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        Ok(Self { child, told })
    }

    /// Its process id.
    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until it has come to `step`.
    pub(super) async fn reached(&mut self, step: Step) -> Checked {
        let wanted = format!("{step:?}");
        let what = format!("the second worker's step {wanted}");
        within(STEP_PATIENCE, &what, async {
            loop {
                match self.told.recv().await {
                    Some(line) if line == wanted => return Ok(()),
                    Some(line) if line.starts_with("failed: ") => {
                        return Err(Unmet::failed(format!("the second worker has {line}")));
                    }
                    Some(_) => {}
                    None => {
                        return Err(Unmet::failed(
                            "the second worker ended too early: a program that runs the suite \
                             must run it again when it is begun again with the same arguments",
                        ));
                    }
                }
            }
        })
        .await?
    }

    /// Kills it, as by a crash or for lack of memory.
    pub(super) fn kill(mut self) -> Checked {
        self.end().map_err(|error| failed(&error))
    }

    fn end(&mut self) -> std::io::Result<()> {
        self.child.kill()?;
        self.child.wait().map(drop)
    }
}

impl Drop for SecondWorker {
    fn drop(&mut self) {
        // Ended already, where it was killed on purpose.
        self.end().ok();
    }
}

fn failed(error: &dyn std::error::Error) -> Unmet {
    Unmet::failed(format!("cannot begin a second worker: {error}"))
}

fn entries(config: &ProviderConfig) -> Vec<Entry> {
    let entry = |key: &str| {
        let entry = config.entry(key)?;
        let origin = match &entry.origin {
            Origin::Environment(name) => From::Environment(name.clone()),
            Origin::File { path, line } => From::File {
                path: path.clone(),
                line: *line,
            },
            _ => From::Program,
        };
        Some(Entry {
            key: key.to_owned(),
            values: entry.values.clone(),
            origin,
        })
    };
    config.keys().filter_map(entry).collect()
}
