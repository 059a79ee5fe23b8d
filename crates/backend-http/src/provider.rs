//! Starts, lists and removes instances behind servers.

use std::sync::Arc;

use async_trait::async_trait;
use backend_core::{
    Capabilities, Examination, Found, FoundState, Instance, Janitor, Listing, Marks, Operation,
    Options as _, Provider, ProviderConfig, Result, StartAttributes, StartContext,
};
use futures_util::future::join_all;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use worker_api::{API, Connect, Discovery, InstanceDocument, InstanceList, InstanceState};

use crate::call::Call;
use crate::error::Failure;
use crate::examine;
use crate::instance::HttpInstance;
use crate::options::HttpOptions;
use crate::plane;
use crate::pool::Pool;
use crate::remote::{Remote, Reply};
use crate::start;

/// A provider of instances behind one server, or a pool of them.
#[derive(Debug)]
pub struct HttpProvider {
    shared: Arc<Shared>,
}

/// What starts under way share with their provider.
#[derive(Debug)]
struct Shared {
    options: HttpOptions,
    pool: Pool,
    janitor: Janitor,
}

impl HttpProvider {
    /// A provider with these options. Reads the files that they name; connects
    /// to nothing yet.
    ///
    /// # Errors
    ///
    /// `InvalidOption` for options that contradict each other, and for a file or
    /// token that cannot be used; `Io` where no HTTP client can be made.
    pub fn new(options: HttpOptions) -> Result<Self> {
        let pool = Pool::new(&options);
        Ok(Self {
            shared: Arc::new(Shared {
                pool: pool.map_err(|error| error.during(Operation::Configure))?,
                options,
                janitor: Janitor::new(),
            }),
        })
    }

    pub(crate) fn from_config(config: &ProviderConfig) -> Result<Arc<dyn Provider>> {
        let options = HttpOptions::parse("http", config)?;
        Ok(Arc::new(Self::new(options)?))
    }
}

#[async_trait]
impl Provider for HttpProvider {
    fn capabilities(&self) -> Capabilities {
        self.shared.capabilities()
    }

    async fn setup(&self) -> Result<()> {
        let mut usable = 0;
        let mut failure = None;
        for remote in self.shared.pool.all() {
            match self.shared.discover(remote).await {
                Ok(()) => usable += 1,
                Err(error) => {
                    failure = Some(examine::failure(remote, error));
                }
            }
        }
        match failure {
            // One that is down is what a pool is for; one that refuses us is not.
            Some(error) if usable > 0 && error.is_retryable() => {
                tracing::warn!(error = %backend_core::Chain(&error), "a server of the pool cannot be used");
                Ok(())
            }
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    async fn examine(&self, examination: &mut Examination) {
        examine::begin(&self.shared.options, examination);
        let several = self.shared.pool.all().len() > 1;
        for remote in self.shared.pool.all() {
            let discovered = |reply: &Reply| self.shared.discovered(reply);
            let failed = |error| examine::failure(remote, error);
            let found = examine::examine(remote, discovered, failed).await;
            let endpoint = remote.endpoint.to_string();
            examination.absorb(found, several.then_some(endpoint.as_str()));
        }
    }

    async fn start(
        &self,
        attributes: &StartAttributes,
        context: &StartContext,
    ) -> Result<Box<dyn Instance>> {
        let (shared, attributes, context) =
            (self.shared.clone(), attributes.clone(), context.clone());
        let instance = self
            .shared
            .janitor
            .own(|token| async move {
                let made = shared.make(&attributes, &context, &token).await;
                made.map_err(|error| error.on(&context.id, Operation::Start))
            })
            .await?;
        Ok(instance)
    }

    async fn list(&self) -> Result<Vec<Found>> {
        self.list_reachable().await.complete()
    }

    async fn list_reachable(&self) -> Listing {
        let remotes = self.shared.pool.all().iter();
        let asked = remotes.map(|remote| async {
            let failed = |error: Failure| error.of_server(&remote.endpoint);
            list(remote).await.map_err(failed)
        });
        let mut listing = Listing::default();
        for answer in join_all(asked).await {
            listing.add(answer.map_err(|error| error.during(Operation::List)));
        }
        listing
    }

    async fn remove(&self, found: &Found) -> Result<()> {
        let removed = self.shared.remove(found).await;
        removed.map_err(|error| error.on(&found.marks.instance, Operation::Remove))
    }

    async fn settle(&self) {
        self.shared.janitor.settle().await;
    }
}

impl Shared {
    fn capabilities(&self) -> Capabilities {
        self.options.claimed()
    }

    async fn discover(&self, remote: &Remote) -> Result<(), Failure> {
        self.discovered(&remote.call(&Call::discover()).await?)
    }

    /// Looks at what a server says of itself.
    fn discovered(&self, reply: &Reply) -> Result<(), Failure> {
        let discovery: Discovery = reply.json()?;
        if discovery.api != API {
            let said: String = discovery.api.chars().take(40).collect();
            return Err(Failure::OtherApi(said));
        }
        // A service that does not say is taken at the word of the options.
        let Some(has) = &discovery.capabilities else {
            return Ok(());
        };
        for capability in self.capabilities().iter() {
            if !has.iter().any(|name| name == capability.name()) {
                return Err(Failure::Lacks {
                    missing: capability.name().to_owned(),
                    has: has.join(", "),
                });
            }
        }
        Ok(())
    }

    /// Makes an instance, or removes what there is of it.
    async fn make(
        &self,
        attributes: &StartAttributes,
        context: &StartContext,
        token: &CancellationToken,
    ) -> Result<Box<dyn Instance>, Failure> {
        let began = Instant::now();
        let body = start::request(&self.options, attributes, context);
        let (remote, document) = start::create(
            &self.pool,
            &self.janitor,
            &context.id,
            &body,
            context,
            token,
        )
        .await?;
        // From here on it is removed by being dropped.
        let mut instance = HttpInstance::new(
            context.id.clone(),
            remote.clone(),
            self.capabilities(),
            self.options.lease,
            self.janitor.clone(),
        );
        let ready = async {
            let document = start::ready(&remote, document, context).await?;
            let plane = match &document.connect {
                Connect::Http => None,
                Connect::Ssh(machine) => {
                    Some(plane::start(machine, &self.options, attributes, context).await?)
                }
            };
            Ok::<_, Failure>((document, plane))
        };
        let (document, plane) = tokio::select! {
            () = token.cancelled() => return Err(Failure::StartCancelled),
            ready = ready => ready?,
        };
        if let Some(plane) = plane {
            instance.goes_over(plane);
        }
        instance.is_ready(document, began.elapsed(), context.keep);
        Ok(Box::new(instance))
    }

    async fn remove(&self, found: &Found) -> Result<(), Failure> {
        let id = &found.marks.instance;
        let at = |remote: &&Arc<Remote>| found.location == location(remote, id);
        let Some(remote) = self.pool.all().iter().find(at) else {
            return Err(Failure::Elsewhere(found.location.clone()));
        };
        let document: InstanceDocument = match remote.document(&Call::show(id)).await {
            Ok(document) => document,
            Err(error) if error.is_gone() => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        // Another one of the same name is none of ours.
        if marks(&document).is_none_or(|marks| marks != found.marks) {
            return Ok(());
        }
        start::remove(remote, id).await?;
        Ok(())
    }
}

async fn list(remote: &Remote) -> Result<Vec<Found>, Failure> {
    let mut found = Vec::new();
    let mut cursor: Option<String> = None;
    loop {
        let page: InstanceList = remote.look(&Call::list(cursor.as_deref())).await?;
        for document in &page.items {
            let Some(marks) = marks(document) else {
                continue;
            };
            let state = match document.state {
                InstanceState::Starting | InstanceState::Ready => FoundState::Running,
                InstanceState::Stopping => FoundState::Unknown,
                InstanceState::Gone => continue,
            };
            let mut one = Found::new(marks, state, location(remote, &document.id));
            one.image.clone_from(&document.image);
            found.push(one);
        }
        // Each page has a cursor of its own, or the server is playing games.
        match page.next {
            Some(next) if Some(&next) != cursor.as_ref() && !page.items.is_empty() => {
                cursor = Some(next);
            }
            _ => return Ok(found),
        }
    }
}

fn marks(document: &InstanceDocument) -> Option<Marks> {
    let marks = Marks::from_labels(|key| document.labels.get(key).map(String::as_str))?;
    (marks.instance == document.id).then_some(marks)
}

fn location(remote: &Remote, id: &backend_core::InstanceId) -> String {
    remote.endpoint.url(&format!("/v1/instances/{id}"))
}
