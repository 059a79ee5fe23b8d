//! What there is to say about an option beside its help.

use backend_core::{Kind, OptionSpec};

/// Kind, default, example and the like, each a few words.
pub(crate) fn facts(spec: &OptionSpec) -> Vec<String> {
    let kind = match spec.kind {
        Kind::Choice(words) => words.join(" | "),
        kind => kind.name().to_owned(),
    };
    let default = spec.default.filter(|default| !default.is_empty());
    let more = [
        spec.list.then(|| "list".to_owned()),
        spec.required.then(|| "required".to_owned()),
        default.map(|default| format!("default: {default}")),
        spec.example.map(|example| format!("example: {example}")),
        spec.also.map(|also| format!("also: {also}")),
    ];
    std::iter::once(kind)
        .chain(more.into_iter().flatten())
        .collect()
}
