//! One operation of the document.

use serde_json::{Map, Value, json};

use crate::Code;

/// One operation under way of being described.
pub(super) struct Operation {
    pub(super) method: &'static str,
    pub(super) path: &'static str,
    pub(super) id: &'static str,
    pub(super) summary: &'static str,
    pub(super) parameters: Vec<Value>,
    pub(super) body: Option<Value>,
    pub(super) answers: Map<String, Value>,
    pub(super) refusals: Vec<Code>,
}

impl Operation {
    pub(super) fn new(
        method: &'static str,
        path: &'static str,
        id: &'static str,
        summary: &'static str,
    ) -> Self {
        let mut parameters = Vec::new();
        if path.contains("{iid}") {
            parameters.push(id_parameter(
                "iid",
                "The instance, by the id that the client chose.",
            ));
        }
        if path.contains("{rid}") {
            parameters.push(id_parameter(
                "rid",
                "The run, by the id that the client chose.",
            ));
        }
        Self {
            method,
            path,
            id,
            summary,
            parameters,
            body: None,
            answers: Map::new(),
            // What can happen to every request.
            refusals: vec![
                Code::Malformed,
                Code::Unauthorized,
                Code::Forbidden,
                Code::TooMany,
            ],
        }
    }

    pub(super) fn answer(mut self, status: u16, description: &str, schema: Option<Value>) -> Self {
        let mut answer = json!({"description": description, "headers": request_id()});
        if let Some(schema) = schema {
            answer["content"] = json!({"application/json": {"schema": schema}});
        }
        self.answers.insert(status.to_string(), answer);
        self
    }

    pub(super) fn refuses(mut self, codes: &[Code]) -> Self {
        self.refusals.extend(codes);
        self
    }

    /// Takes a body of JSON.
    pub(super) fn takes(mut self, schema: &Value) -> Self {
        self.body = Some(json!({
            "required": true,
            "content": {"application/json": {"schema": schema}},
        }));
        self.refuses(&[
            Code::Forbidden,
            Code::Timeout,
            Code::TooLarge,
            Code::MediaType,
            Code::Invalid,
        ])
    }

    pub(super) fn parameter(mut self, parameter: Value) -> Self {
        self.parameters.push(parameter);
        self
    }

    pub(super) fn waits(self, what: &str) -> Self {
        self.parameter(json!({
            "name": "Prefer",
            "in": "header",
            "description": format!("`wait=SECONDS`: how long to wait for {what} (RFC 7240)."),
            "schema": {"type": "string", "examples": ["wait=1"]},
        }))
    }
}

pub(super) fn id_schema() -> Value {
    json!({"type": "string", "pattern": "^[a-z0-9][a-z0-9-]{0,62}$"})
}

pub(super) fn id_parameter(name: &str, description: &str) -> Value {
    json!({"name": name, "in": "path", "required": true, "description": description, "schema": id_schema()})
}

pub(super) fn request_id() -> Value {
    json!({"X-Request-Id": {
        "description": "The request's name: the client's, if it sent one.",
        "schema": {"type": "string"},
    }})
}
