//! The `OpenAPI` document, generated from the types.
//!
//! The file `openapi.json` beside this crate's manifest is what this gives; a
//! test holds the two together.

#![expect(
    clippy::indexing_slicing,
    reason = "a JSON value is made here: indexing it inserts"
)]

// Long because it is one document, path by path.

mod operation;
mod paths;

use schemars::{JsonSchema, SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value, json};

use crate::{API, PROBLEM_JSON, Problem};

use operation::{Operation, request_id};

/// The document.
pub fn document() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    let mut paths = Paths {
        schemas: settings.into_generator(),
        paths: Map::new(),
    };
    paths.discovery();
    paths.instances();
    paths.instance();
    paths.scripts();
    paths.runs();
    paths.health();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "worker/1",
            "version": API.trim_start_matches("worker/"),
            "description": "Starts a disposable compute instance, uploads a script, runs it while its output is read by offset, says how it ended, and leaves nothing behind.",
            "license": {"name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{"token": []}, {}],
        "paths": paths.paths,
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "schemas": paths.schemas.take_definitions(true),
        },
    })
}

struct Paths {
    schemas: SchemaGenerator,
    paths: Map<String, Value>,
}

impl Paths {
    fn schema<T: JsonSchema>(&mut self) -> Value {
        self.schemas.subschema_for::<T>().to_value()
    }

    fn add(&mut self, operation: Operation) {
        let problem = self.schema::<Problem>();
        let mut answers = operation.answers;
        let mut codes = operation.refusals;
        codes.sort_by_key(|code| (code.status(), code.word()));
        codes.dedup();
        for code in codes {
            let status = code.status().to_string();
            let text = format!("`{}`", code.word());
            if let Some(answer) = answers.get_mut(&status) {
                let known = answer["description"].as_str().unwrap_or_default();
                answer["description"] = format!("{known}, {text}").into();
                continue;
            }
            let mut answer = json!({
                "description": text,
                "headers": request_id(),
                "content": {PROBLEM_JSON: {"schema": problem}},
            });
            if matches!(code.status(), 429 | 503) {
                answer["headers"]["Retry-After"] = json!({
                    "description": "Seconds to wait, rounded up.",
                    "schema": {"type": "integer"},
                });
            }
            answers.insert(status, answer);
        }
        let mut described = json!({
            "operationId": operation.id,
            "summary": operation.summary,
            "responses": answers,
        });
        if !operation.parameters.is_empty() {
            described["parameters"] = operation.parameters.into();
        }
        if let Some(body) = operation.body {
            described["requestBody"] = body;
        }
        let path = self
            .paths
            .entry(operation.path)
            .or_insert_with(|| json!({}));
        path[operation.method] = described;
    }
}
