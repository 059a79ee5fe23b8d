//! One case of the suite, as data.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use super::fixture::Fixture;
use super::script::ScriptCheck;
use crate::{Capability, Chain, Error};

/// One case of the suite: an id, what it checks, and what it needs.
pub struct Case {
    pub(super) id: &'static str,
    pub(super) title: &'static str,
    pub(super) needs: &'static [Capability],
    /// Options under which a provider that does not execute scripts behaves as
    /// the script of this case would; without them such a provider skips it.
    pub(super) simulate: Option<&'static [(&'static str, &'static str)]>,
    /// Options that the case itself is about, such as a limit on memory.
    pub(super) configure: &'static [(&'static str, &'static str)],
    pub(super) basic: bool,
    /// Whether it measures this process, and so must run alone.
    pub(super) exclusive: bool,
    pub(super) within: Duration,
    pub(super) check: Check,
}

/// How a case is checked.
pub(super) enum Check {
    /// A script, and what must come of it.
    Script(ScriptCheck),
    /// Whatever else.
    Function(fn(Fixture) -> Pin<Box<dyn Future<Output = Checked> + Send>>),
}

/// What a check comes to.
pub(super) type Checked<T = ()> = Result<T, Unmet>;

/// Why a check did not pass.
#[derive(Debug)]
pub(super) enum Unmet {
    /// The backend did otherwise than it must.
    Failed(String),
    /// It cannot be checked here, for lack of this.
    Skipped(String),
}

impl Unmet {
    pub(super) fn failed(text: impl Into<String>) -> Self {
        Self::Failed(text.into())
    }
}

impl From<Error> for Unmet {
    fn from(error: Error) -> Self {
        Self::Failed(format!("{:?}: {}", error.kind(), Chain(&error)))
    }
}

/// Leaves the check as failed, with a text, unless the condition holds.
macro_rules! ensure {
    ($condition:expr, $($text:tt)+) => {
        if !$condition {
            return Err($crate::testkit::case::Unmet::Failed(format!($($text)+)));
        }
    };
}
pub(super) use ensure;

impl Case {
    /// How long a case may take unless it says otherwise: far more than it needs.
    const WITHIN: Duration = Duration::from_mins(1);

    /// A case that is a script and what must come of it.
    pub(super) const fn script(id: &'static str, title: &'static str, check: ScriptCheck) -> Self {
        Self::new(id, title, Check::Script(check))
    }

    /// A case that is a function.
    pub(super) const fn function(
        id: &'static str,
        title: &'static str,
        check: fn(Fixture) -> Pin<Box<dyn Future<Output = Checked> + Send>>,
    ) -> Self {
        Self::new(id, title, Check::Function(check))
    }

    const fn new(id: &'static str, title: &'static str, check: Check) -> Self {
        Self {
            id,
            title,
            needs: &[],
            simulate: None,
            configure: &[],
            basic: false,
            exclusive: false,
            within: Self::WITHIN,
            check,
        }
    }

    pub(super) const fn needs(mut self, capabilities: &'static [Capability]) -> Self {
        self.needs = capabilities;
        self
    }

    pub(super) const fn simulate(
        mut self,
        options: &'static [(&'static str, &'static str)],
    ) -> Self {
        self.simulate = Some(options);
        self
    }

    pub(super) const fn configure(
        mut self,
        options: &'static [(&'static str, &'static str)],
    ) -> Self {
        self.configure = options;
        self
    }

    pub(super) const fn basic(mut self) -> Self {
        self.basic = true;
        self
    }

    pub(super) const fn exclusive(mut self) -> Self {
        self.exclusive = true;
        self
    }

    pub(super) const fn within(mut self, seconds: u64) -> Self {
        self.within = Duration::from_secs(seconds);
        self
    }

    /// The id: the line of the behaviour list that it belongs to, and a name.
    pub fn id(&self) -> &'static str {
        self.id
    }

    /// What it checks: one sentence that reads after "it checks that".
    pub fn title(&self) -> &'static str {
        self.title
    }

    /// The capabilities without which it is skipped.
    pub fn needed(&self) -> &'static [Capability] {
        self.needs
    }

    /// Whether it is of the basic part.
    pub fn is_basic(&self) -> bool {
        self.basic
    }
}

impl fmt::Debug for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Case")
            .field("id", &self.id)
            .field("title", &self.title)
            .finish_non_exhaustive()
    }
}
