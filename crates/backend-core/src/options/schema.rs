//! The JSON schema of a backend's options.

use serde_json::{Map, Value, json};

use super::{Kind, OptionSpec};

/// The options of the backend `alias` as a JSON schema (draft 2020-12) of an
/// object with a text for each key, as in a configuration file.
pub fn schema(alias: &str, specs: &[OptionSpec]) -> Value {
    let mut properties = Map::new();
    let mut patterns = Map::new();
    for spec in specs {
        let property = property(spec);
        if spec.family {
            patterns.insert(format!("^{}-.+$", spec.key), property);
            continue;
        }
        if let Some(also) = spec.also {
            properties.insert(also.to_owned(), property.clone());
        }
        properties.insert(spec.key.clone(), property);
    }
    let required: Vec<_> = specs
        .iter()
        .filter(|s| s.required)
        .map(|s| s.key.as_str())
        .collect();
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": format!("Options of the backend `{alias}`"),
        "type": "object",
        "properties": properties,
        "patternProperties": patterns,
        "required": required,
        "additionalProperties": false,
    })
}

fn property(spec: &OptionSpec) -> Value {
    let mut property = match spec.kind {
        Kind::Integer { min, max } => {
            json!({"type": ["integer", "string"], "minimum": min, "maximum": max})
        }
        Kind::Number => json!({"type": ["number", "string"], "minimum": 0}),
        Kind::Bool => json!({"type": ["boolean", "string"]}),
        Kind::Choice(words) => json!({"enum": words}),
        Kind::Size => json!({"type": ["integer", "string"], "format": "size"}),
        Kind::Duration => json!({"type": "string", "format": "worker-duration"}),
        Kind::Text | Kind::Path => json!({"type": "string"}),
        Kind::Secret => json!({"type": "string", "writeOnly": true}),
    };
    if spec.list {
        property = json!({"anyOf": [property.clone(), {"type": "array", "items": property}]});
    }
    if let Some(object) = property.as_object_mut() {
        object.insert("description".into(), json!(spec.help));
        if let Some(default) = spec.default {
            object.insert("default".into(), json!(default));
        }
        if let Some(example) = spec.example {
            object.insert("examples".into(), json!([example]));
        }
    }
    property
}
