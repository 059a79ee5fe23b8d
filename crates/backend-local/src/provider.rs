//! The provider: makes, finds and removes instances below one directory.

use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use backend_core::{
    Candidate, Capabilities, Capability, Error, Examination, Found, Instance, Janitor, Operation,
    Options, Outcome, Phase, Progress, Provider, ProviderConfig, Result, ShellOptions,
    ShellStreams, StartAttributes, StartContext, Verdict, without_images,
};

use crate::attributes;
use crate::error::Failure;
use crate::instance::{LocalInstance, Parts};
use crate::job::blocking;
use crate::options::{ContainmentChoice, LocalOptions};
use crate::place::Place;
use crate::shell::shell;

/// Starts process groups on this machine.
#[derive(Debug)]
pub struct LocalProvider {
    janitor: Janitor,
    place: Arc<Place>,
}

impl LocalProvider {
    /// A provider with these options. Nothing is looked at yet.
    ///
    /// # Errors
    ///
    /// `InvalidOption` if the current directory, by which a relative
    /// `directory` is meant, is gone.
    pub fn new(options: LocalOptions) -> Result<Self> {
        Ok(Self {
            janitor: Janitor::new(),
            place: Arc::new(Place::new(options).map_err(failed(Operation::Configure))?),
        })
    }

    pub(crate) fn from_config(config: &ProviderConfig) -> Result<Arc<dyn Provider>> {
        let options = LocalOptions::parse("local", config)?;
        Ok(Arc::new(Self::new(options)?))
    }
}

#[async_trait]
impl Provider for LocalProvider {
    fn capabilities(&self) -> Capabilities {
        self.place.capabilities()
    }

    async fn setup(&self) -> Result<()> {
        let place = self.place.clone();
        blocking(move || place.check())
            .await
            .and_then(|result| result)
            .map_err(failed(Operation::Setup))
    }

    async fn examine(&self, examination: &mut Examination) {
        let contains = self.capabilities().has(Capability::ContainsEscapees);
        let held = if contains { "cgroup" } else { "marker" };
        let options = self.place.options();
        let directory = self.place.base().display().to_string();
        let is_chosen = options.containment != ContainmentChoice::Auto;
        let to_use = [
            ("directory", directory, options.directory.is_some()),
            ("containment", held.to_owned(), is_chosen),
        ];
        let to_use = to_use.map(|(what, name, is_option)| Candidate {
            what,
            name,
            origin: if is_option {
                format!("the option `{what}`")
            } else {
                "default".into()
            },
            verdict: Verdict::Used,
        });
        examination.candidates.extend(to_use);
        examination.begin("directory");
        let result = self.setup().await;
        examination.end(result);
    }

    async fn start(
        &self,
        attributes: &StartAttributes,
        context: &StartContext,
    ) -> Result<Box<dyn Instance>> {
        let began = Instant::now();
        attributes::check(attributes).map_err(failed(Operation::Start))?;
        without_images::report_unused(attributes, &context.progress);
        let news = |phase| Progress::new(phase, context.id.as_str());
        context.progress.report(news(Phase::Creating));
        let (place, janitor) = (self.place.clone(), self.janitor.clone());
        let (id, kept, marks) = (context.id.clone(), context.keep, context.marks());
        let starting = self.janitor.own(move |cancelled| async move {
            let made = blocking(move || {
                if cancelled.is_cancelled() {
                    return Err(Failure::Cancelled);
                }
                let remains = place.make(&marks)?;
                if cancelled.is_cancelled() {
                    // Nobody is there to hear of an error but the log.
                    if let Err(error) = remains.remove(None) {
                        tracing::warn!(%error, "a start that was cancelled left something");
                    }
                    return Err(Failure::Cancelled);
                }
                Ok((remains, place.options(), place.account()))
            });
            let (remains, options, account) = made
                .await
                .and_then(|result| result)
                .map_err(|failure| failure.on(&id, Operation::Start))?;
            Ok(LocalInstance::new(Parts {
                id,
                kept,
                began,
                janitor,
                options,
                account,
                remains,
            }))
        });
        let instance = starting.await?;
        context.progress.report(news(Phase::Ready));
        Ok(Box::new(instance))
    }

    async fn list(&self) -> Result<Vec<Found>> {
        let place = self.place.clone();
        blocking(move || place.find())
            .await
            .and_then(|result| result)
            .map_err(failed(Operation::List))
    }

    async fn remove(&self, found: &Found) -> Result<()> {
        let (place, found) = (self.place.clone(), found.clone());
        let id = found.marks.instance.clone();
        blocking(move || place.remove(&found))
            .await
            .and_then(|result| result)
            .map_err(|failure| failure.on(&id, Operation::Remove))
    }

    async fn shell(
        &self,
        found: &Found,
        options: &ShellOptions,
        streams: ShellStreams<'_>,
    ) -> Result<Outcome> {
        let on = |failure: Failure| failure.on(&found.marks.instance, Operation::Shell);
        let (place, wanted) = (self.place.clone(), found.clone());
        let entry = blocking(move || place.enter(&wanted)).await;
        let entry = entry.and_then(|result| result).map_err(on)?;
        let remains = entry.remains.clone();
        let failure = match shell(entry, &self.janitor, options, streams).await {
            Ok(outcome) => return Ok(outcome),
            Err(failure) => failure,
        };
        // Nothing works in an instance that is being removed.
        let explained = match blocking(move || remains.gone()).await {
            Ok(true) if failure.lacks_something() => Failure::Gone(Box::new(failure)),
            _ => failure,
        };
        Err(on(explained))
    }

    async fn settle(&self) {
        self.janitor.settle().await;
    }
}

fn failed(operation: Operation) -> impl Fn(Failure) -> Error {
    move |failure| failure.during(operation)
}
