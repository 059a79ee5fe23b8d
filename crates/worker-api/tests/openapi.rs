//! The `OpenAPI` document that is checked in is what the types say. With
//! `WORKER_UPDATE_OPENAPI` set, it is written anew.

#[test]
fn the_document_is_what_the_types_say() {
    let text = format!(
        "{}\n",
        serde_json::to_string_pretty(&worker_api::document()).unwrap()
    );
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/openapi.json");
    if std::env::var_os("WORKER_UPDATE_OPENAPI").is_some() {
        std::fs::write(path, &text).unwrap();
    }
    assert_eq!(
        std::fs::read_to_string(path).unwrap(),
        text,
        "run `WORKER_UPDATE_OPENAPI=1 cargo test -p worker-api --test openapi`, and read what changed"
    );
}
