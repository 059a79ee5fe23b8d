//! Completions: the shell asks the program, and the program its backends.

use std::ffi::{OsStr, OsString};

use backend_core::{Kind, OptionSpec, backend, backends};
use clap::CommandFactory as _;
use clap_complete::{CompleteEnv, CompletionCandidate};

use crate::args::Arguments;
use crate::{kept, providers};

/// The variable by which a shell asks.
pub(crate) const VARIABLE: &str = "WORKER_COMPLETE";

/// Answers a shell and ends the process, if it is a shell that asks.
pub(crate) fn answer() {
    CompleteEnv::with_factory(Arguments::command)
        .var(VARIABLE)
        .bin("worker")
        .complete();
}

/// The aliases of the backends.
pub(crate) fn aliases() -> Vec<CompletionCandidate> {
    let backends = backends().unwrap_or_default();
    backends
        .iter()
        .map(|backend| {
            CompletionCandidate::new(backend.alias).help(Some(backend.human_readable_name.into()))
        })
        .collect()
}

/// The instances that were kept from here.
pub(crate) fn kept() -> Vec<CompletionCandidate> {
    let kept = kept::instances();
    kept.into_iter()
        .map(|(alias, id)| CompletionCandidate::new(id).help(Some(format!("on {alias}").into())))
        .collect()
}

/// The options of the backend that the line names, as `KEY=`; and behind it, the
/// words that it takes. A secret is not for the command line.
pub(crate) fn options(current: &OsStr) -> Vec<CompletionCandidate> {
    let Some(current) = current.to_str() else {
        return Vec::new();
    };
    let line: Vec<_> = std::env::args_os()
        .skip_while(|word| word != "--")
        .skip(1)
        .collect();
    let alias = named(&line).or_else(|| providers::default_alias().ok());
    let Some(Ok(backend)) = alias.map(|alias| backend(&alias)) else {
        return Vec::new();
    };
    let specs = (backend.options)().iter();
    let specs = specs.filter(|spec| spec.kind != Kind::Secret);
    let candidates: Vec<_> = match current.split_once('=') {
        Some((key, _)) => specs
            .filter(|spec| spec.key == key)
            .flat_map(|spec| {
                words(spec)
                    .iter()
                    .map(|word| (format!("{key}={word}"), None))
            })
            .collect(),
        None => specs
            .map(|spec| (assignment(spec), Some(spec.help.clone())))
            .collect(),
    };
    candidates
        .into_iter()
        .filter(|(text, _)| text.starts_with(current))
        .map(|(text, help)| CompletionCandidate::new(text).help(help.map(Into::into)))
        .collect()
}

fn assignment(spec: &OptionSpec) -> String {
    let end = if spec.family { '-' } else { '=' };
    format!("{}{end}", spec.key)
}

fn words(spec: &OptionSpec) -> &'static [&'static str] {
    match spec.kind {
        Kind::Choice(words) => words,
        Kind::Bool => &["true", "false"],
        _ => &[],
    }
}

/// The backend that the words of a command line name.
fn named(line: &[OsString]) -> Option<String> {
    let texts: Vec<_> = line.iter().map(|word| word.to_string_lossy()).collect();
    let mut named = None;
    for (at, text) in texts.iter().enumerate() {
        let next = || texts.get(at + 1).map(ToString::to_string);
        let here = match text.as_ref() {
            "-b" | "--backend" => next(),
            // `worker backends ALIAS`
            "backends" if at == 1 => next().filter(|word| !word.starts_with('-')),
            other => other
                .strip_prefix("--backend=")
                .or_else(|| other.strip_prefix("-b").filter(|rest| !rest.is_empty()))
                .map(str::to_owned),
        };
        named = here.or(named);
    }
    named
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_backend_is_found_on_the_line() {
        let named = |line: &str| {
            let words: Vec<_> = line.split(' ').map(OsString::from).collect();
            named(&words)
        };
        for line in [
            "worker run -b docker -o",
            "worker run -bdocker -o",
            "worker run --backend=docker x",
            "worker run -b local --backend docker",
            "worker backends docker -o",
        ] {
            assert_eq!(named(line).as_deref(), Some("docker"), "{line}");
        }
        assert_eq!(named("worker run -o"), None);
        assert_eq!(named("worker backends --json"), None);
    }
}
