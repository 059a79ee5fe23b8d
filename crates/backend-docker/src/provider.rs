//! The provider: starts, finds and removes containers on one engine.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use async_trait::async_trait;
use backend_core::{
    Capabilities, Capability, Error, Examination, Found, FoundState, Instance, Janitor, Marks,
    Operation, Options, Outcome, Phase, Progress, Provider, ProviderConfig, Result, ShellOptions,
    ShellStreams, StartAttributes, StartContext,
};

use crate::admission::Admission;
use crate::attributes;
use crate::config;
use crate::container::Container;
use crate::discovery::discover;
use crate::engine::Engine;
use crate::error::Failure;
use crate::image::Images;
use crate::inspection::{Inspection, Listed};
use crate::instance::DockerInstance;
use crate::options::DockerOptions;
use crate::shell::shell;
use crate::shells::Shells;
use crate::start::{Order, start};

/// Starts containers on one engine.
#[derive(Debug)]
pub struct DockerProvider {
    options: Arc<DockerOptions>,
    images: Arc<Images>,
    shells: Shells,
    janitor: Janitor,
    /// The engine that answered last, and the places for starts on it.
    engine: Mutex<Option<(Engine, Admission)>>,
}

impl DockerProvider {
    /// A provider with these options. Nothing is looked at yet.
    pub fn new(options: DockerOptions) -> Self {
        let options = Arc::new(options);
        Self {
            images: Arc::new(Images::new(options.clone())),
            options,
            shells: Shells::default(),
            janitor: Janitor::new(),
            engine: Mutex::new(None),
        }
    }

    pub(crate) fn from_config(config: &ProviderConfig) -> Result<Arc<dyn Provider>> {
        let options = DockerOptions::parse("docker", config)?;
        Ok(Arc::new(Self::new(options)))
    }

    /// The engine: the one that is known, else the one that is found.
    async fn engine(&self) -> Result<Engine, Failure> {
        self.admitting_engine().await.map(|(engine, _)| engine)
    }

    async fn admitting_engine(&self) -> Result<(Engine, Admission), Failure> {
        let known = self.lock().clone();
        match known {
            Some(known) => Ok(known),
            None => self.find_engine(&mut Examination::default()).await,
        }
    }

    async fn find_engine(
        &self,
        examination: &mut Examination,
    ) -> Result<(Engine, Admission), Failure> {
        let found = discover(&self.options, examination).await?;
        let mut known = self.lock();
        // Starts that wait, wait for the places that there are.
        let admission = match known.take() {
            Some((_, admission)) => admission,
            None => Admission::new(&self.options, found.endpoint()),
        };
        *known = Some((found.clone(), admission.clone()));
        Ok((found, admission))
    }

    fn lock(&self) -> MutexGuard<'_, Option<(Engine, Admission)>> {
        self.engine.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Provider for DockerProvider {
    fn capabilities(&self) -> Capabilities {
        [
            Capability::ExecutesScripts,
            Capability::Signals,
            Capability::ContainsEscapees,
            Capability::ListsProcesses,
            Capability::EndsWithScript,
            Capability::FoundByOthers,
            Capability::MemoryLimit,
            Capability::ProcessLimit,
            Capability::Images,
            Capability::PrivateFiles,
            Capability::Keeps,
            Capability::Shell,
        ]
        .into()
    }

    async fn setup(&self) -> Result<()> {
        let found = self.find_engine(&mut Examination::default()).await;
        found.map(|_| ()).map_err(failed(Operation::Setup))
    }

    async fn examine(&self, examination: &mut Examination) {
        let fail = failed(Operation::Setup);
        let engine = match self.find_engine(examination).await {
            Ok((engine, _)) => engine,
            Err(failure) => return examination.end(Err(fail(failure))),
        };
        examination
            .candidates
            .extend(self.images.credentials().await);
        examination.begin("credentials");
        // An engine may let anyone ping it, and yet refuse what is of use.
        let asked = engine.get::<Vec<Listed>>("/containers/json?limit=1").await;
        examination.end(match asked {
            Ok(_) => Ok(()),
            Err(source) => {
                let step = "use the engine".into();
                Err(fail(Failure::Engine { step, source }))
            }
        });
    }

    async fn start(
        &self,
        attributes: &StartAttributes,
        context: &StartContext,
    ) -> Result<Box<dyn Instance>> {
        let began = Instant::now();
        let on = |failure: Failure| failure.on(&context.id, Operation::Start);
        attributes::check(attributes).map_err(on)?;
        let news = |phase, text: &str| context.progress.report(Progress::new(phase, text));
        news(Phase::Connecting, "the engine");
        let (engine, admission) = self.admitting_engine().await.map_err(on)?;
        let ready = self.images.ready(&engine, attributes, &context.progress);
        let image = ready.await.map_err(on)?;
        let place = admission.enter(&context.progress).await;
        news(Phase::Creating, &image.name);
        let marks = context.marks();
        let order = Order {
            container: Container::new(engine, config::name(&marks)),
            body: config::container(&self.options, &marks, &image),
            image,
            shells: self.shells.clone(),
            options: self.options.clone(),
            id: context.id.clone(),
            kept: context.keep,
            progress: context.progress.clone(),
            janitor: self.janitor.clone(),
            began,
        };
        let starting = self.janitor.own(move |cancelled| async move {
            // Until the container is there, or is gone again.
            let _place = place;
            let id = order.id.clone();
            let started = Box::pin(start(order, &cancelled)).await;
            started
                .map(DockerInstance::new)
                .map_err(|failure| failure.on(&id, Operation::Start))
        });
        let instance = starting.await?;
        news(Phase::Ready, context.id.as_str());
        Ok(Box::new(instance))
    }

    async fn list(&self) -> Result<Vec<Found>> {
        let fail = failed(Operation::List);
        let engine = self.engine().await.map_err(&fail)?;
        // Those that have every label but are not ours are left out below.
        let path = r#"/containers/json?all=1&filters={"label":["worker.instance"]}"#;
        let path = path
            .replace('{', "%7B")
            .replace('}', "%7D")
            .replace('"', "%22");
        let listed: Vec<Listed> = engine.get(&path).await.map_err(|source| {
            fail(Failure::Engine {
                step: "list the containers".into(),
                source,
            })
        })?;
        Ok(listed.into_iter().filter_map(found).collect())
    }

    async fn remove(&self, found: &Found) -> Result<()> {
        let on = |failure: Failure| failure.on(&found.marks.instance, Operation::Remove);
        let engine = self.engine().await.map_err(on)?;
        let container = Container::new(engine, &found.location);
        let leftover = |source| Failure::Leftover {
            name: found.location.clone(),
            endpoint: container.engine().endpoint().to_string(),
            source,
        };
        match container.inspect().await {
            Err(error) if error.is_gone() => return Ok(()),
            Err(source) => return Err(on(leftover(source))),
            Ok(inspection) => identify(&inspection, found).map_err(on)?,
        }
        container
            .remove()
            .await
            .map_err(|source| on(leftover(source)))
    }

    async fn shell(
        &self,
        found: &Found,
        options: &ShellOptions,
        streams: ShellStreams<'_>,
    ) -> Result<Outcome> {
        let id = &found.marks.instance;
        let on = |failure: Failure| failure.on(id, Operation::Shell);
        let engine = self.engine().await.map_err(on)?;
        let container = Container::new(engine, &found.location);
        let inspected = container.inspect().await.map_err(|source| {
            on(if source.is_gone() {
                Failure::Gone("before a shell was opened")
            } else {
                let step = format!("look at container {}", found.location);
                Failure::Engine { step, source }
            })
        })?;
        identify(&inspected, found).map_err(on)?;
        if !inspected.state.running {
            return Err(on(Failure::Ended(found.location.clone())));
        }
        shell(container, id, &self.janitor, options, streams)
            .await
            .map_err(on)
    }

    async fn settle(&self) {
        self.janitor.settle().await;
    }
}

/// Makes sure that a container is still the instance that was found.
fn identify(inspection: &Inspection, found: &Found) -> Result<(), Failure> {
    let labels = inspection.config.labels.as_ref();
    let label = |key: &str| labels?.get(key).map(String::as_str);
    if Marks::from_labels(label).as_ref() == Some(&found.marks) {
        return Ok(());
    }
    Err(Failure::OtherInstance(found.location.clone()))
}

/// The container as an instance that was found, if all marks are there.
fn found(listed: Listed) -> Option<Found> {
    let labels = listed.labels?;
    let marks = Marks::from_labels(|key| labels.get(key).map(String::as_str))?;
    let state = match listed.state.as_str() {
        "running" | "paused" | "restarting" => FoundState::Running,
        "exited" | "dead" | "removing" => FoundState::Stopped,
        // `created` is one that may be about to run: its gate speaks before the
        // engine notes that it has started it.
        _ => FoundState::Unknown,
    };
    let mut found = Found::new(marks, state, listed.id);
    found.image = Some(listed.image);
    Some(found)
}

fn failed(operation: Operation) -> impl Fn(Failure) -> Error {
    move |failure| failure.during(operation)
}
