//! `worker.toml`: what is configured in a file.
//!
//! A table `[job]` for the job, and one `[backends.ALIAS]` for each backend. One
//! file is read: the one that `--config` names, else `worker.toml` in the
//! working directory, else the one in the user's configuration directory.

use std::collections::BTreeMap;
use std::io::{self, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use backend_core::{
    Backend, Error, ErrorKind, Kind, OptionSpec, Options as _, Origin, Problem, ProviderConfig,
    Result, backends, nearest, unknown_keys,
};

use crate::config_text::{Document, Entry, Section};
use crate::job_settings::JobSettings;

/// The name of the file, wherever it is looked for.
const NAME: &str = "worker.toml";

/// No configuration of a person is longer, in bytes.
const LONGEST: u64 = 1 << 20;

static CHOSEN: OnceLock<Option<PathBuf>> = OnceLock::new();

/// What is configured in a file; empty where there is none.
#[derive(Debug, Clone, Default)]
pub(crate) struct ConfigFile {
    path: Option<PathBuf>,
    job: ProviderConfig,
    backends: BTreeMap<String, ProviderConfig>,
    /// By line.
    problems: Vec<(usize, String)>,
}

/// Names the file to read, in place of looking for one.
pub(crate) fn choose(path: Option<PathBuf>) {
    CHOSEN.set(path).ok();
}

/// The configuration file of this process: read once.
pub(crate) fn current() -> Result<&'static ConfigFile> {
    static FILE: OnceLock<Result<ConfigFile>> = OnceLock::new();
    FILE.get_or_init(|| ConfigFile::load(CHOSEN.get().and_then(Option::as_deref)))
        .as_ref()
        .map_err(Clone::clone)
}

impl ConfigFile {
    fn load(chosen: Option<&Path>) -> Result<Self> {
        let places = match chosen {
            Some(path) => vec![path.to_owned()],
            None => [Some(PathBuf::from(NAME)), in_user_directory()]
                .into_iter()
                .flatten()
                .collect(),
        };
        for path in places {
            match read(&path) {
                Ok((text, mode)) => return Self::understand(&path, &text, mode),
                Err(error) if error.kind() == io::ErrorKind::NotFound && chosen.is_none() => {}
                Err(error) => return Err(unreadable(&path, error)),
            }
        }
        Ok(Self::default())
    }

    /// The file at `path`, with this text and these permissions.
    pub(crate) fn understand(path: &Path, text: &[u8], mode: u32) -> Result<Self> {
        let document = Document::parse(text).map_err(|error| {
            let message = format!("cannot read the configuration file `{}`", path.display());
            Error::new(ErrorKind::InvalidOption, message)
                .with_hint("`worker backends --template` prints a file to begin with")
                .caused_by(error)
        })?;
        let mut file = Self {
            path: Some(path.to_owned()),
            ..Self::default()
        };
        let known = backends()?;
        let shown = path.display();
        for (line, what) in document.problems {
            let text = format!("{shown}, line {line}: {what}");
            file.problems.push((line, text));
        }
        for section in document.sections {
            file.take(path, section, mode, &known);
        }
        file.problems.sort();
        Ok(file)
    }

    fn take(&mut self, path: &Path, section: Section, mode: u32, known: &[&Backend]) {
        let mut config = ProviderConfig::new();
        for entry in &section.entries {
            let origin = Origin::File {
                path: path.to_owned(),
                line: entry.line,
            };
            for value in &entry.values {
                config.add(&entry.key, value, origin.clone());
            }
        }
        let Some(alias) = section.backend else {
            self.note_keys(JobSettings::specs(), &config);
            self.note_lists(JobSettings::specs(), &section.entries);
            self.job = config;
            return;
        };
        if let Some(backend) = known.iter().find(|backend| backend.alias == alias) {
            let specs = (backend.options)();
            self.note_keys(specs, &config);
            self.note_lists(specs, &section.entries);
            self.note_secrets(backend, specs, &section.entries, mode);
        } else {
            let place = format!("{}, line {}", path.display(), section.line);
            let text = unknown_backend(&place, &alias, known);
            self.problems.push((section.line, text));
        }
        self.backends.insert(alias, config);
    }

    fn note_keys(&mut self, specs: &[OptionSpec], config: &ProviderConfig) {
        for problem in unknown_keys(specs, config) {
            let line = match &problem {
                Problem::Unknown {
                    origin: Origin::File { line, .. },
                    ..
                } => *line,
                _ => 0,
            };
            self.problems.push((line, problem.to_string()));
        }
    }

    fn note_lists(&mut self, specs: &[OptionSpec], entries: &[Entry]) {
        let Some(path) = &self.path else { return };
        for entry in entries.iter().filter(|entry| entry.list) {
            let single = |spec: &&OptionSpec| !spec.list && spec.key == entry.key;
            if let Some(spec) = specs.iter().find(single) {
                let text = format!(
                    "option `{}` ({}, line {}): it takes one value, not a list",
                    spec.key,
                    path.display(),
                    entry.line
                );
                self.problems.push((entry.line, text));
            }
        }
    }

    /// A secret may stand in a file that nobody else can read.
    fn note_secrets(
        &mut self,
        backend: &Backend,
        specs: &[OptionSpec],
        entries: &[Entry],
        mode: u32,
    ) {
        let for_others = 0o077;
        if mode & for_others == 0 {
            return;
        }
        let Some(path) = &self.path else { return };
        let shown = path.display();
        for spec in specs.iter().filter(|spec| spec.kind == Kind::Secret) {
            for entry in entries.iter().filter(|entry| entry.key == spec.key) {
                let text = format!(
                    "option `{}` ({shown}, line {}) is a secret, and others can read the file (mode {:04o}): `chmod 600 {shown}`, or set {} instead",
                    spec.key,
                    entry.line,
                    mode & 0o7777,
                    spec.variable(backend.alias),
                );
                self.problems.push((entry.line, text));
            }
        }
    }

    /// Where it is, if there is one.
    pub(crate) fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// What is configured for the job.
    pub(crate) fn job(&self) -> &ProviderConfig {
        &self.job
    }

    /// What is configured for the backend `alias`.
    pub(crate) fn backend(&self, alias: &str) -> ProviderConfig {
        self.backends.get(alias).cloned().unwrap_or_default()
    }

    /// What is wrong with the file, whatever the command.
    pub(crate) fn problems(&self) -> Vec<String> {
        self.problems.iter().map(|(_, text)| text.clone()).collect()
    }
}

fn unknown_backend(place: &str, alias: &str, known: &[&Backend]) -> String {
    let aliases = || known.iter().map(|backend| backend.alias);
    let near = nearest(alias, aliases());
    let has: Vec<_> = aliases().map(|alias| format!("`{alias}`")).collect();
    let more = match near {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("this program has {}", has.join(", ")),
    };
    format!("unknown backend `{alias}` ({place}): {more}")
}

/// `$XDG_CONFIG_HOME/worker/worker.toml`, or the same under `~/.config`.
fn in_user_directory() -> Option<PathBuf> {
    let absolute = |name| {
        std::env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    let base = absolute("XDG_CONFIG_HOME").or_else(|| Some(absolute("HOME")?.join(".config")))?;
    Some(base.join("worker").join(NAME))
}

/// The bytes of the file, and its permissions.
fn read(path: &Path) -> io::Result<(Vec<u8>, u32)> {
    let file = std::fs::File::open(path)?;
    let mode = file.metadata()?.permissions().mode();
    let mut text = Vec::new();
    file.take(LONGEST + 1).read_to_end(&mut text)?;
    if text.len() as u64 > LONGEST {
        return Err(io::Error::other("it is larger than 1 MiB"));
    }
    Ok((text, mode))
}

fn unreadable(path: &Path, error: io::Error) -> Error {
    let message = format!("cannot read the configuration file `{}`", path.display());
    let mode = std::fs::metadata(path).map(|there| there.permissions().mode() & 0o7777);
    let hint = match (error.kind(), mode) {
        (io::ErrorKind::NotFound, _) => {
            "give --config the path of a file that exists; `worker backends --template` prints one to begin with".to_owned()
        }
        (io::ErrorKind::PermissionDenied, Ok(mode)) => {
            format!("its mode is {mode:04o}: make it readable for this user, or name another file with --config")
        }
        _ => "name another file with --config".to_owned(),
    };
    Error::new(ErrorKind::InvalidOption, message)
        .with_hint(hint)
        .caused_by(error)
}
