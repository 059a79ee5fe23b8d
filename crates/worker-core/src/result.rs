//! What came of a job.

use std::fmt;
use std::time::Duration;

use backend_core::{Error, Outcome};
use serde::{Serialize, Serializer};

use crate::event::FORMAT_VERSION;
use crate::{CancelCause, Job, Kept, Secrets};

/// Source: FIPS 180-4, of no bytes at all.
const EMPTY_SHA256: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// The JSON schema of a [`JobResult`].
pub const RESULT_SCHEMA: &str = include_str!("../schema/result.json");

/// What came of a job: one for each, whatever happened.
///
/// Its JSON is `--result FILE` of the program, and is described by
/// [`RESULT_SCHEMA`]; members may be added.
#[derive(Debug, Clone, Serialize)]
#[must_use = "the result is the verdict on the job"]
#[non_exhaustive]
pub struct JobResult {
    /// The version of this form: 1.
    pub version: u32,
    /// The name of the job, if it has one.
    pub job: Option<String>,
    /// How the script ended; `None` if it never began.
    pub outcome: Option<Outcome>,
    /// Who ended the job.
    pub ended_by: EndedBy,
    /// Which limit, where one ended the job.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<Limit>,
    /// Who cancelled, where a cancel ended the job.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cancelled_by: Option<CancelCause>,
    /// The script's own exit code; `None` unless it exited by itself.
    pub exit_code: Option<i32>,
    /// Whether anything in the instance ran out of memory.
    pub oom_seen: bool,
    /// Bytes delivered to the sink.
    pub output_bytes: u64,
    /// SHA-256 of the bytes delivered, in hexadecimal.
    pub output_sha256: String,
    /// Whether everything that the script wrote came across. A limit that cut
    /// the output is `output_truncated`, not this.
    pub output_complete: bool,
    /// Whether the output limit cut the output.
    pub output_truncated: bool,
    /// Why the sink took no more of the output, if it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_error: Option<String>,
    /// What was still running when the run ended.
    pub leftovers: Vec<String>,
    /// How often a lost connection was re-made.
    pub reconnects: u32,
    /// How long each step took.
    pub durations: Durations,
    /// The instance, if there was one.
    pub instance: Option<String>,
    /// Its image, with the digest where it is known.
    pub image: Option<String>,
    /// Why the script never began, if a step failed; where the startup limit
    /// ended a start that was tried again and again, why its last try failed.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "chain")]
    pub error: Option<Error>,
    /// The step that `error` or an early end is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step: Option<Step>,
    /// Why the instance could not be removed, and what may be left of it.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "chain")]
    pub stop_error: Option<Error>,
    /// That the instance was left on purpose, and until when.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kept: Option<Kept>,
}

/// Who ended a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum EndedBy {
    /// The script, by exiting.
    Script,
    /// A signal that was not ours.
    Signal,
    /// The memory limit.
    OutOfMemory,
    /// A limit on time: [`JobResult::limit`] says which.
    Timeout,
    /// A cancel: [`JobResult::cancelled_by`] says whose.
    Cancel,
    /// The limit on output.
    OutputLimit,
    /// The engine or machine, as it was itself shut down.
    Engine,
    /// Nobody knows: the end of the script was not seen.
    Lost,
    /// Nobody: the script never began.
    NeverStarted,
}

/// The limits that can end a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Limit {
    /// On the start.
    Startup,
    /// On the upload.
    Upload,
    /// On the whole run.
    Hard,
    /// On a time without output.
    Silence,
    /// On the length of the output.
    Output,
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Startup => "startup",
            Self::Upload => "upload",
            Self::Hard => "hard",
            Self::Silence => "silence",
            Self::Output => "output",
        })
    }
}

/// The steps of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// Starting the instance.
    Start,
    /// Uploading the script.
    Upload,
    /// Running it.
    Run,
    /// Stopping the instance.
    Stop,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Start => "start",
            Self::Upload => "upload",
            Self::Run => "run",
            Self::Stop => "stop",
        })
    }
}

/// How long each step took, in whole milliseconds; zero if it never began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Durations {
    /// The start.
    #[serde(rename = "start_ms", serialize_with = "milliseconds")]
    pub start: Duration,
    /// The upload.
    #[serde(rename = "upload_ms", serialize_with = "milliseconds")]
    pub upload: Duration,
    /// The run.
    #[serde(rename = "run_ms", serialize_with = "milliseconds")]
    pub run: Duration,
    /// The stop.
    #[serde(rename = "stop_ms", serialize_with = "milliseconds")]
    pub stop: Duration,
    /// All of it.
    #[serde(rename = "total_ms", serialize_with = "milliseconds")]
    pub total: Duration,
}

impl JobResult {
    /// The result of a job to which nothing has happened yet.
    pub(crate) fn of(job: &Job) -> Self {
        Self::never_started(job.name.clone(), None)
    }

    /// The result of a job that was given up before there was anything to run
    /// it with: of a program whose users expect a result in every case.
    pub fn never_started(job: Option<String>, error: Option<Error>) -> Self {
        Self {
            version: FORMAT_VERSION,
            job,
            outcome: None,
            ended_by: EndedBy::NeverStarted,
            limit: None,
            cancelled_by: None,
            exit_code: None,
            oom_seen: false,
            output_bytes: 0,
            output_sha256: EMPTY_SHA256.to_owned(),
            output_complete: true,
            output_truncated: false,
            output_error: None,
            leftovers: Vec::new(),
            reconnects: 0,
            durations: Durations::default(),
            instance: None,
            image: None,
            error,
            step: None,
            stop_error: None,
            kept: None,
        }
    }

    /// Masks every text that did not come from us.
    pub(crate) fn mask(&mut self, secrets: &Secrets) {
        if secrets.is_empty() {
            return;
        }
        if let Some(Outcome::Lost(loss)) = &mut self.outcome {
            loss.detail = secrets.mask_text(&loss.detail);
        }
        let texts = [&mut self.job, &mut self.image, &mut self.output_error];
        for text in self.leftovers.iter_mut().chain(texts.into_iter().flatten()) {
            *text = secrets.mask_text(text);
        }
        for error in [&mut self.error, &mut self.stop_error]
            .into_iter()
            .flatten()
        {
            *error = error.map_texts(|text| secrets.mask_text(text));
        }
    }

    /// Whether the script exited by itself with code 0, was not ended by
    /// anyone, and all of its output came across.
    pub fn success(&self) -> bool {
        self.ended_by == EndedBy::Script && self.exit_code == Some(0) && self.output_complete
    }
}

fn milliseconds<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}

#[expect(
    clippy::ref_option,
    reason = "serde hands over a reference to the field"
)]
fn chain<S: Serializer>(error: &Option<Error>, serializer: S) -> Result<S::Ok, S::Error> {
    match error {
        Some(error) => serializer.collect_str(&backend_core::Chain(error)),
        None => serializer.serialize_none(),
    }
}
