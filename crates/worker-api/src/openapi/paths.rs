//! The paths, one after another.

use serde_json::{Value, json};

use super::Paths;
use super::operation::{Operation, id_schema, request_id};
use crate::{
    Code, CreateInstance, CreateRun, Discovery, InstanceDocument, InstanceList, LeaseDocument,
    LeaseRequest, MAX_CHUNK, OCTETS, ProcessesDocument, RunDocument, ScriptDocument, SignalRequest,
    header,
};

/// What a backend can answer.
const BACKEND: &[Code] = &[
    Code::Unsupported,
    Code::Invalid,
    Code::Internal,
    Code::Backend,
    Code::Exhausted,
    Code::Unreachable,
    Code::BackendTimeout,
];

impl Paths {
    pub(super) fn discovery(&mut self) {
        let schema = self.schema::<Discovery>();
        self.add(
            Operation::new(
                "get",
                "/v1",
                "discover",
                "What the server is, has, and allows.",
            )
            .answer(200, "The server.", Some(schema)),
        );
    }

    pub(super) fn instances(&mut self) {
        let schema = self.schema::<InstanceList>();
        let query = |name: &str, description: &str, schema: Value| json!({"name": name, "in": "query", "description": description, "schema": schema});
        let texts = json!({"type": "array", "items": {"type": "string", "pattern": "^[^=]*=.*$"}});
        let states =
            json!({"type": "array", "items": {"enum": ["starting", "ready", "stopping", "gone"]}});
        self.add(
            Operation::new(
                "get",
                "/v1/instances",
                "listInstances",
                "The caller's instances, by id.",
            )
            .parameter(query(
                "label",
                "`KEY=VALUE`: only those with this label; may be repeated.",
                texts,
            ))
            .parameter(query("state", "Only those in one of these states.", states))
            .parameter(query(
                "cursor",
                "Where to go on: `next` of the page before.",
                id_schema(),
            ))
            .answer(200, "A page of them.", Some(schema)),
        );
    }

    pub(super) fn instance(&mut self) {
        let (shown, body) = (
            self.schema::<InstanceDocument>(),
            self.schema::<CreateInstance>(),
        );
        let path = "/v1/instances/{iid}";
        self.add(
            Operation::new(
                "put",
                path,
                "createInstance",
                "Creates an instance. Idempotent: the same body again is no second one.",
            )
            .takes(&body)
            .answer(201, "It is being started.", Some(shown.clone()))
            .answer(
                200,
                "It was asked for before, with the same body.",
                Some(shown.clone()),
            )
            .refuses(&[
                Code::Conflict,
                Code::Gone,
                Code::Requirement,
                Code::Unavailable,
            ])
            // A start that failed is told again as it was.
            .refuses(&[
                Code::Internal,
                Code::Backend,
                Code::Exhausted,
                Code::Unreachable,
                Code::BackendTimeout,
                Code::UnknownImage,
                Code::Unsupported,
                Code::StaleInstance,
            ]),
        );
        self.add(
            Operation::new("get", path, "showInstance", "What is known of an instance.")
                .parameter(json!({
                    "name": "since", "in": "query",
                    "description": "Wait, as `Prefer` says, until `rev` is greater than this.",
                    "schema": {"type": "integer", "minimum": 0, "maximum": u64::MAX},
                }))
                .waits("a change after `since`")
                .answer(200, "The instance.", Some(shown.clone()))
                .refuses(&[Code::NotFound]),
        );
        self.add(
            Operation::new(
                "delete",
                path,
                "deleteInstance",
                "Removes an instance, and answers when it is gone.",
            )
            .answer(204, "It is gone, or never was.", None)
            .answer(202, "It is still being removed: ask again.", Some(shown))
            .refuses(&[Code::Forbidden, Code::Leftover]),
        );
        let (lease, body) = (
            self.schema::<LeaseDocument>(),
            self.schema::<LeaseRequest>(),
        );
        self.add(
            Operation::new(
                "put",
                "/v1/instances/{iid}/lease",
                "renewLease",
                "Lets an instance live on.",
            )
            .takes(&body)
            .answer(200, "It does.", Some(lease))
            .refuses(&[Code::NotFound, Code::LeaseExpired]),
        );
        let processes = self.schema::<ProcessesDocument>();
        self.add(
            Operation::new(
                "get",
                "/v1/instances/{iid}/processes",
                "listProcesses",
                "What runs in an instance, for a person.",
            )
            .answer(200, "What runs.", Some(processes))
            .refuses(&[
                Code::NotFound,
                Code::InvalidState,
                Code::Gone,
                Code::LeaseExpired,
            ])
            .refuses(BACKEND),
        );
    }

    pub(super) fn scripts(&mut self) {
        let schema = self.schema::<ScriptDocument>();
        let header = |name: &str, description: &str| json!({"name": name, "in": "header", "description": description, "schema": {"type": "string"}});
        let mut operation = Operation::new(
            "put",
            "/v1/instances/{iid}/script",
            "uploadScript",
            "Puts the script there: atomically, once.",
        )
        .parameter(header(
            "Content-Digest",
            "The SHA-256 of the body (RFC 9530), to be checked.",
        ))
        .parameter(header(
            "Idempotency-Key",
            "Names this upload: the same one may be repeated after its answer was lost.",
        ))
        .answer(201, "It is there.", Some(schema.clone()))
        .answer(200, "It was there, by the same upload.", Some(schema))
        .refuses(&[
            Code::Forbidden,
            Code::NotFound,
            Code::StaleInstance,
            Code::InvalidState,
            Code::Gone,
            Code::LeaseExpired,
            Code::TooLarge,
            Code::Timeout,
            Code::DigestMismatch,
        ])
        .refuses(BACKEND);
        operation.body = Some(json!({"required": true, "content": {OCTETS: {"schema": {}}}}));
        self.add(operation);
    }

    pub(super) fn runs(&mut self) {
        let (shown, body) = (self.schema::<RunDocument>(), self.schema::<CreateRun>());
        let path = "/v1/instances/{iid}/runs/{rid}";
        self.add(
            Operation::new(
                "put",
                path,
                "createRun",
                "Runs the script. The same id never starts a second process.",
            )
            .takes(&body)
            .answer(201, "It runs.", Some(shown.clone()))
            .answer(
                200,
                "It was asked for before, with the same body.",
                Some(shown.clone()),
            )
            .refuses(&[
                Code::NotFound,
                Code::Conflict,
                Code::InvalidState,
                Code::Gone,
                Code::LeaseExpired,
                Code::Exhausted,
                Code::Internal,
            ]),
        );
        self.add(
            Operation::new("get", path, "showRun", "Whether a run has ended, and how. Ended only when the length of its output is final.")
                .waits("its end")
                .answer(200, "The run.", Some(shown))
                .refuses(&[Code::NotFound]),
        );
        self.output();
        let body = self.schema::<SignalRequest>();
        self.add(
            Operation::new(
                "post",
                "/v1/instances/{iid}/runs/{rid}/signal",
                "signalRun",
                "Sends a signal to the whole process group; to a run that has ended, nothing.",
            )
            .takes(&body)
            .answer(202, "It was sent.", None)
            .refuses(&[
                Code::NotFound,
                Code::InvalidState,
                Code::Gone,
                Code::LeaseExpired,
            ])
            .refuses(BACKEND),
        );
    }

    pub(super) fn output(&mut self) {
        let number = |name: &str, description: &str, minimum: u64| {
            json!({"name": name, "in": "query", "description": description,
                   "schema": {"type": "integer", "minimum": minimum, "maximum": u64::MAX}})
        };
        let mut operation = Operation::new(
            "get",
            "/v1/instances/{iid}/runs/{rid}/output",
            "readOutput",
            "The output from an offset on, as soon as there is a byte.",
        )
        .parameter(number(
            "offset",
            "The first byte wanted; 0 if not given.",
            0,
        ))
        .parameter(number(
            "limit",
            &format!("The most bytes wanted; the server gives {MAX_CHUNK} at the most."),
            1,
        ))
        .waits("a byte")
        .refuses(&[Code::NotFound, Code::Invalid, Code::Internal]);
        let header = |description: &str, kind: &str| json!({"description": description, "required": true, "schema": {"type": kind}});
        let mut headers = request_id();
        headers[header::OFFSET] = header("The offset of the first byte.", "integer");
        headers[header::NEXT_OFFSET] = header("The offset to ask for next.", "integer");
        headers[header::COMPLETE] = json!({"description": "Whether no byte will come at the next offset any more.", "required": true, "schema": {"enum": ["true", "false"]}});
        headers[header::CONTENT_DIGEST] =
            header("The SHA-256 of these bytes (RFC 9530).", "string");
        operation.answers.insert(
            "200".into(),
            json!({
                "description": "Bytes; none if there were none in time.",
                "headers": headers,
                "content": {OCTETS: {"schema": {}}},
            }),
        );
        self.add(operation);
    }

    pub(super) fn health(&mut self) {
        self.add(
            Operation::new(
                "get",
                "/healthz",
                "isAlive",
                "The process answers. Open on loopback.",
            )
            .answer(204, "It does.", None),
        );
        self.add(
            Operation::new(
                "get",
                "/readyz",
                "isReady",
                "It takes new instances. Open on loopback.",
            )
            .answer(204, "It does.", None)
            .refuses(&[Code::Unavailable]),
        );
        self.add(
            Operation::new(
                "get",
                "/openapi.json",
                "describe",
                "This document. Open on loopback.",
            )
            .answer(200, "It.", Some(json!({"type": "object"}))),
        );
    }
}
