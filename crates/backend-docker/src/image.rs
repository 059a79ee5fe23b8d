//! The image of a start: which one it is, and that the engine has it.

use std::fmt;
use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use backend_core::{Candidate, Phase, Progress, ProgressReporter, StartAttributes, Verdict};
use bollard::models::ImageInspect;
use tokio::time::Instant;

use crate::docker_config::{self, DockerConfig};
use crate::engine::Engine;
use crate::error::Failure;
use crate::options::{DockerOptions, ImageSelector, PullPolicy};
pub(crate) use failure::ImageFailure;
use layers::Amount;
use reference::Reference;
use rootfs::Hashes;
use shared::{Shared, Teller};

mod create;
mod credentials;
mod failure;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod helper;
mod layers;
mod messages;
mod name;
mod platform;
mod pull;
mod reference;
mod rootfs;
mod selector;
mod shared;

#[cfg(test)]
mod on_engine;

/// How often the progress of a pull is told, at the most.
const TELLING: Duration = Duration::from_millis(100);

type Made = Result<(), ImageFailure>;

/// The images of one provider, shared by all of its starts.
pub(crate) struct Images {
    options: Arc<DockerOptions>,
    /// Where the docker client keeps its credentials.
    docker_files: Option<PathBuf>,
    hashes: Hashes,
    /// Pulls and imports under way, by the name of the image.
    making: Shared<String, Amount, Made>,
}

/// An image that the engine has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Image {
    /// What the engine is asked to make a container of: the image's id, so
    /// that it is this one whatever its tag has become meanwhile.
    pub(crate) reference: String,
    /// For people: the name with its digest, or with its id if no registry
    /// gave it a digest.
    pub(crate) name: String,
    /// Who runs in it unless told otherwise; empty for root.
    pub(crate) user: String,
}

/// What was chosen for a start.
enum Choice {
    /// To be pulled as the policy says.
    Named(Reference),
    /// Of the engine's own images.
    Local(Image),
    /// The tar file.
    Rootfs,
}

impl Images {
    pub(crate) fn new(options: Arc<DockerOptions>) -> Self {
        Self {
            options,
            docker_files: docker_config::directory(),
            hashes: Hashes::default(),
            making: Shared::new(),
        }
    }

    /// The file that the credentials for registries come from.
    pub(crate) async fn credentials(&self) -> Option<Candidate> {
        let files = self.docker_files.clone()?;
        let path = files.join("config.json");
        let reading = tokio::task::spawn_blocking(move || DockerConfig::read(&files).map(|_| ()));
        let verdict = match reading.await.ok()? {
            Ok(()) if path.exists() => Verdict::Used,
            Ok(()) => Verdict::PassedOver("there is none".into()),
            Err(bad) => Verdict::Unusable(bad.why),
        };
        Some(Candidate {
            what: "registry credentials",
            name: path.display().to_string(),
            origin: "the docker client".into(),
            verdict,
        })
    }

    /// Chooses the image for these attributes, and sees to it that the engine
    /// has it: pulled as the policy says, or imported. What the selector `tag`
    /// has chosen is local and never pulled.
    ///
    /// # Errors
    ///
    /// That none is chosen, that the name is none, that the engine cannot be
    /// asked, that it has no such image and cannot get it. Those that may pass
    /// are retryable.
    ///
    /// # Cancel safety
    ///
    /// Dropped, it leaves a pull to the others who wait for it, and ends one
    /// that nobody waits for.
    pub(crate) async fn ready(
        &self,
        engine: &Engine,
        attributes: &StartAttributes,
        progress: &ProgressReporter,
    ) -> Result<Image, Failure> {
        self.get(engine, attributes, progress)
            .await
            .map_err(Failure::Image)
    }

    async fn get(
        &self,
        engine: &Engine,
        attributes: &StartAttributes,
        progress: &ProgressReporter,
    ) -> Result<Image, ImageFailure> {
        if let Some(platform) = &self.options.platform {
            platform::check(platform)?;
        }
        match self.choose(engine, attributes).await? {
            Choice::Local(image) => Ok(image),
            Choice::Named(reference) => self.named(engine, reference, progress).await,
            Choice::Rootfs => self.rootfs(engine, progress).await,
        }
    }

    /// The name that the start gives, else what the selector finds, else the
    /// tar file, else the default image.
    async fn choose(
        &self,
        engine: &Engine,
        attributes: &StartAttributes,
    ) -> Result<Choice, ImageFailure> {
        if !attributes.image_name.is_empty() {
            return parsed(&attributes.image_name).map(Choice::Named);
        }
        match self.options.image_selector {
            ImageSelector::None => {}
            ImageSelector::Env => {
                if let Some(name) = selector::from_options(attributes, &self.options.image) {
                    return parsed(&name).map(Choice::Named);
                }
            }
            ImageSelector::Tag => {
                // A language that cannot be in a name has no image.
                let tags = selector::tags(attributes).into_iter();
                for reference in tags.filter_map(|tag| tag.parse::<Reference>().ok()) {
                    let name = reference.to_string();
                    if let Some(image) = self.local(engine, &name).await? {
                        let image = name::image(&name, Some(&reference), image)?;
                        return Ok(Choice::Local(image));
                    }
                }
            }
        }
        match (&self.options.rootfs, &self.options.default_image) {
            (Some(_), _) => Ok(Choice::Rootfs),
            (None, Some(name)) => parsed(name).map(Choice::Named),
            (None, None) => Err(ImageFailure::NotChosen),
        }
    }

    async fn named(
        &self,
        engine: &Engine,
        reference: Reference,
        progress: &ProgressReporter,
    ) -> Result<Image, ImageFailure> {
        let name = reference.to_string();
        let policy = self.options.pull_policy;
        let is_id = matches!(reference, Reference::Id(_));
        if policy != PullPolicy::Always || is_id {
            if let Some(image) = self.local(engine, &name).await? {
                return name::image(&name, Some(&reference), image);
            }
            let why = match (policy, is_id) {
                (_, true) => "an id is not the name of something to pull",
                (PullPolicy::Never, _) => "the option `pull-policy` is `never`",
                _ => "",
            };
            if !why.is_empty() {
                return Err(ImageFailure::NotThere { name, why });
            }
        }
        let begin = |teller| {
            pull::pull(
                engine.clone(),
                reference.clone(),
                self.options.platform.clone(),
                self.docker_files.clone(),
                self.options.pull_timeout,
                teller,
            )
        };
        self.made(name.clone(), &name, begin, progress).await?;
        match self.inspect(engine, &name).await? {
            Some(image) if self.is_right(&image) => name::image(&name, Some(&reference), image),
            Some(_) => Err(ImageFailure::OtherPlatform {
                name,
                platform: self.options.platform.clone().unwrap_or_default(),
            }),
            None => Err(ImageFailure::NotThere {
                name,
                why: "it was, and someone removed it just now",
            }),
        }
    }

    async fn rootfs(
        &self,
        engine: &Engine,
        progress: &ProgressReporter,
    ) -> Result<Image, ImageFailure> {
        let Some(path) = &self.options.rootfs else {
            return Err(ImageFailure::NotChosen);
        };
        let rootfs = self.hashes.hash(path).await?;
        let platform = self.options.platform.as_deref();
        let name = rootfs.name(platform);
        let shown = path.display().to_string();
        if let Some(image) = self.local(engine, &name).await? {
            return name::image(&shown, None, image);
        }
        let begin = |teller| {
            let platform = platform.map(str::to_owned);
            let limit = self.options.pull_timeout;
            rootfs::import(engine.clone(), rootfs, platform, limit, teller)
        };
        self.made(name.clone(), &shown, begin, progress).await?;
        match self.inspect(engine, &name).await? {
            Some(image) => name::image(&shown, None, image),
            None => Err(ImageFailure::NotThere {
                name,
                why: "it was imported, and someone removed it just now",
            }),
        }
    }

    /// Waits until the image is made, and tells the progress of that.
    async fn made<W>(
        &self,
        key: String,
        shown: &str,
        begin: impl FnOnce(Teller<Amount, Made>) -> W,
        progress: &ProgressReporter,
    ) -> Made
    where
        W: Future<Output = Made> + Send + 'static,
    {
        let report = |amount: Option<Amount>| {
            progress.report(Progress {
                done: amount.map(|amount| amount.done),
                total: amount.map(|amount| amount.total),
                ..Progress::new(Phase::Pulling, shown)
            });
        };
        report(None);
        let mut last: Option<Instant> = None;
        let tell = |amount: Amount| {
            let is_whole = amount.done == amount.total;
            if is_whole || last.is_none_or(|last| last.elapsed() >= TELLING) {
                last = Some(Instant::now());
                report(Some(amount));
            }
        };
        let made = self.making.join(key, begin, tell).await;
        made.unwrap_or(Err(ImageFailure::RuntimeEnded))
    }

    /// The engine's own image of this name, if it has one for the platform.
    async fn local(
        &self,
        engine: &Engine,
        name: &str,
    ) -> Result<Option<ImageInspect>, ImageFailure> {
        let image = self.inspect(engine, name).await?;
        Ok(image.filter(|image| self.is_right(image)))
    }

    fn is_right(&self, image: &ImageInspect) -> bool {
        let platform = self.options.platform.as_deref();
        platform.is_none_or(|platform| platform::is_of(image, platform))
    }

    async fn inspect(
        &self,
        engine: &Engine,
        name: &str,
    ) -> Result<Option<ImageInspect>, ImageFailure> {
        let asked = name.to_owned();
        let inspect = |docker: bollard::Docker| async move { docker.inspect_image(&asked).await };
        match engine.call(inspect).await {
            Ok(image) => Ok(Some(image)),
            Err(error) if error.is_gone() => Ok(None),
            Err(source) => Err(ImageFailure::Engine {
                step: "look for the image",
                name: name.into(),
                source: Arc::new(source),
            }),
        }
    }
}

impl fmt::Debug for Images {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Images").finish_non_exhaustive()
    }
}

fn parsed(name: &str) -> Result<Reference, ImageFailure> {
    name.parse().map_err(|why| ImageFailure::Malformed {
        name: name.into(),
        why,
    })
}
