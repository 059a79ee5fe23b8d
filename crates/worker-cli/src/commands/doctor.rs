//! `worker doctor`: tries each step of a backend for real, and explains.

mod patient;

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use backend_core::{Backend, Error, ErrorKind, Provider, Result, StartAttributes};
use worker_core::Canceller;

use super::backends::explain;
use crate::args::{BackendsSelection, DoctorArguments};
use crate::exit::{ExitStatus, FAILURE, SUCCESS};
use crate::findings::{Finding, Findings, WIDTH, hanging};
use crate::report::rounded;
use crate::{providers, signals, stderr};
use patient::Patient;

/// How long all of it may take, and then the clean-up of what was given up: a
/// minute together.
const PATIENCE: Duration = Duration::from_secs(50);
const CLEAN_UP: Duration = Duration::from_secs(8);

/// Runs the command.
pub(super) async fn doctor(arguments: &DoctorArguments) -> anyhow::Result<ExitStatus> {
    let canceller = Canceller::new();
    signals::cancel_on_signals(&canceller).context("cannot listen for signals")?;
    let attributes = StartAttributes {
        image_name: arguments.image.clone().unwrap_or_default(),
        ..StartAttributes::default()
    };
    let began = Instant::now();
    let mut examinations = Vec::new();
    for (backend, provider) in providers::selected(&arguments.backends)? {
        let patient = Patient {
            backend,
            attributes: attributes.clone(),
            canceller: canceller.clone(),
            findings: Findings::default(),
        };
        examinations.push((backend, tokio::spawn(examined(patient, provider))));
    }
    let mut ill = Vec::new();
    let mut text = format!(
        "worker {} on {} {}\n",
        env!("CARGO_PKG_VERSION"),
        std::env::consts::OS,
        std::env::consts::ARCH
    );
    for (backend, examination) in examinations {
        let findings = examination.await?;
        if !findings.healthy() {
            ill.push(backend.alias);
        }
        let name = format!("{} ({})", backend.alias, backend.human_readable_name);
        writeln!(text, "\n{name}")?;
        text.push_str(&configured(backend, &arguments.backends)?);
        text.push_str(&findings.text());
    }
    let took = rounded(began.elapsed());
    match &ill[..] {
        [] => writeln!(text, "\nAll would work (looked at in {took})")?,
        ill => writeln!(
            text,
            "\nWould not work: {} (looked at in {took})",
            ill.join(", ")
        )?,
    }
    super::print(&stderr::secrets().mask_text(&text))?;
    Ok(if ill.is_empty() { SUCCESS } else { FAILURE })
}

/// All steps of one backend, within the time that there is.
async fn examined(mut patient: Patient, provider: Result<Arc<dyn Provider>>) -> Findings {
    let examination = patient.examine(provider.as_ref());
    if tokio::time::timeout(PATIENCE, examination).await.is_err() {
        let what = format!("the steps took longer than {PATIENCE:?} in all");
        let finding = Finding::failed(&Error::new(ErrorKind::TimedOut, what));
        patient.findings.add("time", finding);
    }
    if let Ok(provider) = &provider
        && tokio::time::timeout(CLEAN_UP, provider.settle())
            .await
            .is_err()
    {
        let hint = format!("`worker reap -b {}` removes it", patient.backend.alias);
        let what = "the clean-up takes too long: something may be left behind";
        let finding = Finding::failed(&Error::new(ErrorKind::Leftover, what).with_hint(hint));
        patient.findings.add("clean-up", finding);
    }
    patient.findings
}

/// What is configured, and by what.
fn configured(backend: &Backend, selection: &BackendsSelection) -> anyhow::Result<String> {
    let specs = (backend.options)();
    let config = providers::configuration(backend.alias, &selection.options)?;
    let set = explain::set(specs, &config);
    let mut text = "  Configuration:\n".to_owned();
    for row in &set {
        if let [key, value, origin] = &row[..] {
            let line = format!("{key} = {value} ({origin})");
            text.push_str(&hanging("    ", &line, WIDTH));
        }
    }
    let rest = specs.iter().filter(|spec| {
        let is_set = !spec.keys_in(specs, &config).is_empty();
        !is_set && !spec.family
    });
    let line = format!(
        "defaults for {} more (`worker backends {} --explain`)",
        rest.count(),
        backend.alias
    );
    text.push_str(&hanging("    ", &line, WIDTH));
    Ok(text)
}
