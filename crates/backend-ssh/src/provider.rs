//! The provider: starts, finds and removes instances on its machines.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use backend_core::{
    Capabilities, Capability, Chain, Error, Examination, Found, Instance, Janitor, Listing,
    Operation, Options, Outcome, Phase, Progress, Provider, ProviderConfig, Result, ShellOptions,
    ShellStreams, StartAttributes, StartContext, without_images,
};
use futures_util::future::join_all;

use crate::attributes;
use crate::error::Failure;
use crate::examine;
use crate::found;
use crate::instance::SshInstance;
use crate::job::remove_at;
use crate::lease::Starter;
use crate::link::Site;
use crate::machine::{Machine, Resolver};
use crate::options::SshOptions;
use crate::pinned::PinnedMachine;
use crate::places::{Place, Places};
use crate::pool::Pool;
use crate::reply::Line;
use crate::shell::shell;

/// How long a machine may take to say what is there, or that all is well.
const LOOKS_WITHIN: Duration = Duration::from_mins(1);

/// Starts instances on machines that are reached over SSH.
#[derive(Debug)]
pub struct SshProvider {
    janitor: Janitor,
    options: Arc<SshOptions>,
    places: Arc<Places>,
    pool: Pool,
}

impl SshProvider {
    /// A provider with these options. Reads the `ssh-config`; connects to
    /// nothing yet.
    ///
    /// # Errors
    ///
    /// `MissingEndpoint` without a machine; `InvalidOption` for options that
    /// contradict each other, and for an `ssh-config` that cannot be followed.
    pub fn new(options: SshOptions) -> Result<Self> {
        let machines = resolve(&options).map_err(failed(Operation::Configure))?;
        Self::with(options, machines)
    }

    /// A provider with one machine whose host key is known beforehand. Of the
    /// options, `hosts`, `jump`, `ssh-config` and those of host keys do not
    /// count.
    ///
    /// # Errors
    ///
    /// `InvalidOption` if the host key is none, or options contradict each other.
    pub fn pinned(machine: &PinnedMachine, options: SshOptions) -> Result<Self> {
        let slots = options.slots.0;
        let resolved = machine
            .resolve(&options)
            .map_err(failed(Operation::Configure))?;
        let place = Place {
            machine: Arc::new(resolved),
            slots,
            weight: 1,
        };
        Self::with(options, vec![place])
    }

    pub(crate) fn from_config(config: &ProviderConfig) -> Result<Arc<dyn Provider>> {
        let options = SshOptions::parse("ssh", config)?;
        Ok(Arc::new(Self::new(options)?))
    }

    fn with(options: SshOptions, places: Vec<Place>) -> Result<Self> {
        if options
            .lease
            .is_some_and(|lease| lease.0 <= options.resume_window)
        {
            let text =
                "`lease` has to be longer than `resume-window`, in which nobody is connected";
            let failure = Failure::Options(text.into());
            return Err(failure.during(Operation::Configure));
        }
        Ok(Self {
            janitor: Janitor::new(),
            options: Arc::new(options),
            places: Arc::new(Places::new(places)),
            pool: Pool::default(),
        })
    }

    /// Where removals take place: nothing is followed there.
    fn site(&self, machine: &Arc<Machine>, slot: &str, id: &str) -> Site {
        Site {
            machine: machine.clone(),
            base: self.options.directory.0.clone(),
            slot: slot.to_owned(),
            id: id.to_owned(),
            resume_window: Duration::ZERO,
            beat: Duration::from_mins(1),
            pool: self.pool.clone(),
        }
    }

    /// The machine of what was found, and its slot there.
    fn locate<'a>(&'a self, found: &'a Found) -> Result<(&'a Place, &'a str), Failure> {
        let at = self.places.iter().find_map(|place| {
            let slot = found::slot(&place.machine.address, &found.location)?;
            Some((place, slot))
        });
        at.ok_or_else(|| Failure::OtherPlace(found.location.clone()))
    }

    /// Asks every machine, all at once, with the answer of each.
    async fn ask_all(&self, mode: &str, last: Line) -> Vec<(&Place, Result<Vec<Line>, Failure>)> {
        let last = &last;
        join_all(self.places.iter().map(|place| async move {
            let machine = &place.machine;
            let question = (mode, self.options.directory.0.as_str(), &[][..]);
            let asked = self.pool.ask(machine, question, LOOKS_WITHIN, last);
            (place, asked.await)
        }))
        .await
    }
}

#[async_trait]
impl Provider for SshProvider {
    fn capabilities(&self) -> Capabilities {
        let always = [
            Capability::ExecutesScripts,
            Capability::Signals,
            Capability::ListsProcesses,
            Capability::ReportsLeftovers,
            Capability::FoundByOthers,
            Capability::PrivateFiles,
            Capability::Keeps,
            Capability::Shell,
        ];
        let resumes = (!self.options.resume_window.is_zero()).then_some(Capability::Resumes);
        always.into_iter().chain(resumes).collect()
    }

    async fn setup(&self) -> Result<()> {
        let answers = self.ask_all("check", Line::Checked).await;
        let mut first = None;
        let mut good = 0;
        for (place, answer) in answers {
            match answer {
                Ok(_) => good += 1,
                Err(failure) => {
                    let address = &place.machine.address;
                    tracing::warn!(address, error = %Chain(&failure), "a machine cannot be used");
                    first.get_or_insert(failure);
                }
            }
        }
        match first {
            Some(failure) if good == 0 => Err(failure.during(Operation::Setup)),
            _ => Ok(()),
        }
    }

    async fn examine(&self, examination: &mut Examination) {
        let all = self.places.iter();
        let all = all.map(|place| async move {
            let found = examine::examine(place, &self.pool, &self.options).await;
            (place, found)
        });
        let all = join_all(all).await;
        let several = all.len() > 1;
        for (place, found) in all {
            let subject = several.then_some(place.machine.address.as_str());
            examination.absorb(found, subject);
        }
    }

    async fn start(
        &self,
        attributes: &StartAttributes,
        context: &StartContext,
    ) -> Result<Box<dyn Instance>> {
        let began = Instant::now();
        attributes::check(attributes).map_err(failed(Operation::Start))?;
        without_images::report_unused(attributes, &context.progress);
        let starter = Starter {
            options: self.options.clone(),
            places: self.places.clone(),
            pool: self.pool.clone(),
            context: context.clone(),
            machine_names: attributes::machine_names(&attributes.arch),
        };
        let (janitor, kept, id) = (self.janitor.clone(), context.keep, context.id.clone());
        let starting = self.janitor.own(move |cancelled| async move {
            let job = starter.start(&cancelled).await;
            let job = job.map_err(|failure| failure.on(&id, Operation::Start))?;
            Ok(SshInstance::new(job, kept, began, janitor))
        });
        let instance = starting.await?;
        let ready = Progress::new(Phase::Ready, context.id.as_str());
        context.progress.report(ready);
        Ok(Box::new(instance))
    }

    async fn list(&self) -> Result<Vec<Found>> {
        self.list_reachable().await.complete()
    }

    async fn list_reachable(&self) -> Listing {
        let mut listing = Listing::default();
        for (place, answer) in self.ask_all("list", Line::Listed).await {
            let found = answer.map(|lines| found::read(&place.machine.address, lines));
            listing.add(found.map_err(failed(Operation::List)));
        }
        listing
    }

    async fn remove(&self, found: &Found) -> Result<()> {
        let id = &found.marks.instance;
        let on = |failure: Failure| failure.on(id, Operation::Remove);
        let (place, slot) = self.locate(found).map_err(on)?;
        let site = self.site(&place.machine, slot, id.as_str());
        let removed = remove_at(&site, &[slot, id.as_str()], LOOKS_WITHIN).await;
        removed.map_err(on)
    }

    async fn shell(
        &self,
        found: &Found,
        options: &ShellOptions,
        streams: ShellStreams<'_>,
    ) -> Result<Outcome> {
        let id = &found.marks.instance;
        let on = |failure: Failure| failure.on(id, Operation::Shell);
        let (place, slot) = self.locate(found).map_err(on)?;
        let site = self.site(&place.machine, slot, id.as_str());
        let opened = shell(site, &self.janitor, options, streams);
        opened.await.map_err(on)
    }

    async fn settle(&self) {
        self.janitor.settle().await;
    }
}

fn resolve(options: &SshOptions) -> Result<Vec<Place>, Failure> {
    if options.hosts.is_empty() {
        return Err(Failure::NoHosts);
    }
    let resolver = Resolver::new(options);
    let mut places: Vec<Place> = Vec::new();
    for spec in &options.hosts {
        let machine = resolver.resolve(spec)?;
        if places
            .iter()
            .any(|place| place.machine.address == machine.address)
        {
            let text = format!("{} is among the hosts twice", machine.address);
            return Err(Failure::Options(text));
        }
        places.push(Place {
            machine: Arc::new(machine),
            slots: spec.slots.unwrap_or(options.slots.0),
            weight: spec.weight,
        });
    }
    Ok(places)
}

fn failed(operation: Operation) -> impl Fn(Failure) -> Error {
    move |failure| failure.during(operation)
}
