//! One pull.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Empty;

use super::create::{NotMade, create};
use super::credentials::{self, Found};
use super::failure::{ImageFailure, PullProblem};
use super::layers::{Amount, Layers};
use super::messages::Message;
use super::reference::Reference;
use super::shared::Teller;
use crate::engine::Engine;

/// Pulls an image, with the credentials that the docker client's files have for
/// its registry, and tells the progress; without any for `limit` it fails.
pub(super) async fn pull(
    engine: Engine,
    reference: Reference,
    platform: Option<String>,
    docker_files: Option<PathBuf>,
    limit: Duration,
    teller: Teller<Amount, Result<(), ImageFailure>>,
) -> Result<(), ImageFailure> {
    let name = reference.to_string();
    let registry = reference.repository().zip(docker_files);
    let Found { header, trouble } = match registry {
        Some(((domain, _), files)) => credentials::find(domain, files).await,
        None => Found::default(),
    };
    if let Some(trouble) = &trouble {
        tracing::warn!(image = name, "pulling without credentials: {trouble}");
    }
    // With its tag or digest in it: without one, all tags would be pulled.
    let mut query = vec![("fromImage", name.as_str())];
    if let Some(platform) = &platform {
        query.push(("platform", platform));
    }
    let mut layers = Layers::default();
    let moved = |message: Option<&Message>| {
        let moved = message.is_some_and(|message| layers.take(message));
        teller.tell(layers.amount());
        moved
    };
    let made = create(&engine, &query, header, Empty::<Bytes>::new(), limit, moved).await;
    made.map_err(|not_made| match not_made {
        NotMade::Stalled => ImageFailure::Stalled { name, limit },
        NotMade::Engine(source) => ImageFailure::Pull {
            name,
            problem: PullProblem::of(&source),
            credentials: trouble,
            source: Arc::new(source),
        },
    })
}
