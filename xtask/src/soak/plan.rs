//! What each job of a soak is, made from the seed and the job's number: pure.

use std::time::Duration;

use backend_core::testkit::{Action, Direction};
use clap::ValueEnum;

use super::faults::{Ending, Interruption, Trouble, When};
use super::scripts::{OnTerm, Recipe, Script};

/// A backend that takes part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, ValueEnum)]
pub(crate) enum Backend {
    Fake,
    Local,
    Docker,
    Ssh,
    Http,
}

/// A job: the script, where it runs, and what befalls it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) number: u64,
    pub(crate) backend: Backend,
    pub(crate) recipe: Recipe,
    pub(crate) interruption: Interruption,
    pub(crate) trouble: Trouble,
}

impl Backend {
    /// All of them.
    pub(crate) const ALL: [Self; 5] =
        [Self::Fake, Self::Local, Self::Docker, Self::Ssh, Self::Http];

    /// Its alias.
    pub(crate) fn alias(self) -> &'static str {
        match self {
            Self::Fake => "fake",
            Self::Local => "local",
            Self::Docker => "docker",
            Self::Ssh => "ssh",
            Self::Http => "http",
        }
    }
}

impl Plan {
    /// The job of this number, on one of these backends.
    pub(crate) fn new(seed: u64, number: u64, backends: &[Backend]) -> Self {
        // Each number has its own sequence, so that one job can be replayed.
        let seed = seed ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut dice = Dice(fastrand::Rng::with_seed(seed));
        let backend = dice.one_of(backends).unwrap_or(Backend::Fake);
        let (recipe, interruption) = dice.disturbed(backend);
        let mut trouble = dice.trouble(backend);
        // A disk of a job's own is gone before anyone could reap there.
        if matches!(interruption, Interruption::Kill(_))
            && matches!(trouble, Trouble::FullDisk { .. })
        {
            trouble = Trouble::Nothing;
        }
        Self {
            number,
            backend,
            recipe,
            interruption,
            trouble,
        }
    }

    /// Whether the job may end so, where these troubles befell what it ran on.
    pub(crate) fn allows(&self, script: &Script, befell: &[Trouble], ending: Ending) -> bool {
        if ending == Ending::Own {
            // Of output with holes no limit may ever be reached.
            let holes = befell.iter().any(|it| it.costs_output(self.backend));
            return self.interruption.spares(script)
                || holes && self.interruption.spares_what_is_not_seen(script);
        }
        self.interruption.allows(script, ending)
            || befell.iter().any(|it| {
                it.allows(self.backend, ending)
                    || ending == Ending::Lost && it.stops_script(self.backend, script)
            })
    }
}

struct Dice(fastrand::Rng);

impl Dice {
    fn one_of<T: Copy>(&mut self, choices: &[T]) -> Option<T> {
        self.0.choice(choices).copied()
    }

    fn chance(&mut self, percent: u32) -> bool {
        self.0.u32(0..100) < percent
    }

    fn ms(&mut self, range: std::ops::Range<u64>) -> Duration {
        Duration::from_millis(self.0.u64(range))
    }

    fn when(&mut self, most_ms: u64) -> When {
        let after = self.ms(0..most_ms);
        if self.0.bool() {
            When::Begun(after)
        } else {
            When::Output(after)
        }
    }

    /// A code, often one that means something else to somebody.
    fn code(&mut self) -> u8 {
        const TELLING: [u8; 14] = [0, 0, 1, 2, 43, 75, 124, 125, 126, 127, 128, 137, 143, 255];
        if self.chance(70) {
            self.one_of(&TELLING).unwrap_or_default()
        } else {
            self.0.u8(..)
        }
    }

    /// A script, and what somebody does to its job. A script that never ends
    /// goes with what ends it.
    fn disturbed(&mut self, backend: Backend) -> (Recipe, Interruption) {
        if self.chance(20) {
            return self.endless();
        }
        let recipe = self.recipe(backend);
        let interruption = match self.0.u32(0..100) {
            0..8 => Interruption::Cancel {
                signal: self
                    .one_of(&[libc::SIGINT, libc::SIGTERM])
                    .unwrap_or(libc::SIGINT),
                when: self.when(3000),
                twice: self.0.bool(),
            },
            8..16 => Interruption::Kill(self.when(3000)),
            16..20 => Interruption::HardTimeout(self.ms(200..4000)),
            20..23 => Interruption::SilenceTimeout(self.ms(200..2000)),
            23..29 => Interruption::OutputLimit {
                bytes: self.0.usize(1..3000),
                truncate: self.0.bool(),
            },
            29..33 => Interruption::ReaderLeaves {
                after: self.0.usize(0..100_000),
            },
            _ => Interruption::Nothing,
        };
        (recipe, interruption)
    }

    fn endless(&mut self) -> (Recipe, Interruption) {
        let on_term = match self.0.u32(0..10) {
            0..6 => OnTerm::Dies,
            6..8 => OnTerm::Exits,
            _ => OnTerm::Ignores,
        };
        let quiet = Recipe::Hangs {
            talks: false,
            on_term,
        };
        let talking = Recipe::Hangs {
            talks: true,
            on_term,
        };
        let any = if self.0.bool() {
            quiet.clone()
        } else {
            talking.clone()
        };
        match self.0.u32(0..100) {
            0..30 => {
                let signal = self
                    .one_of(&[libc::SIGINT, libc::SIGTERM])
                    .unwrap_or(libc::SIGINT);
                let (when, twice) = (self.when(4000), self.0.bool());
                (
                    any,
                    Interruption::Cancel {
                        signal,
                        when,
                        twice,
                    },
                )
            }
            30..60 => (any, Interruption::Kill(self.when(4000))),
            60..75 => (any, Interruption::HardTimeout(self.ms(200..4000))),
            75..85 => (quiet, Interruption::SilenceTimeout(self.ms(500..3000))),
            85..92 => {
                let bytes = self.0.usize(1..100);
                (
                    talking,
                    Interruption::OutputLimit {
                        bytes,
                        truncate: false,
                    },
                )
            }
            _ => {
                let after = self.0.usize(0..100);
                (talking, Interruption::ReaderLeaves { after })
            }
        }
    }

    fn recipe(&mut self, backend: Backend) -> Recipe {
        let code = self.code();
        // What `fake` prints is in an argument, whose length has a limit.
        let small = backend == Backend::Fake;
        match self.0.u32(0..100) {
            0..10 => Recipe::Exits { code },
            10..17 => Recipe::Dies {
                // Not QUIT: the shell of busybox ignores that.
                signal: self.one_of(&[1, 2, 6, 9, 11, 13, 15]).unwrap_or(9),
            },
            17..27 => Recipe::Lines {
                count: self.0.u32(1..if small { 4000 } else { 20_000 }),
                code,
            },
            27..47 => Recipe::Blocks {
                count: self.0.u32(1..if small { 3 } else { 30 }),
                size: self.0.usize(1..if small { 15_000 } else { 400_000 }),
                seed: self.0.u64(..),
                code,
            },
            47..62 => Recipe::Ticks {
                count: self.0.u32(1..30),
                pause_ms: self.0.u64(20..300),
                code,
            },
            62..70 => Recipe::Silent {
                ms: self.0.u64(100..4000),
                code,
            },
            70..78 => Recipe::Children {
                apart: self.0.bool(),
                holding: self.chance(30),
                code,
            },
            78..84 => Recipe::Closes {
                ms: self.0.u64(100..2500),
                code,
            },
            84..90 => Recipe::Characters {
                count: self.0.u32(1..200),
                code,
            },
            90..96 => Recipe::Secret {
                pause_ms: self.0.u64(0..1200),
                code,
            },
            _ => Recipe::Reads { code },
        }
    }

    fn trouble(&mut self, backend: Backend) -> Trouble {
        match backend {
            Backend::Fake if self.chance(15) => Trouble::Scripted {
                after: self.0.usize(0..200),
            },
            Backend::Local if self.chance(15) => Trouble::FullDisk {
                room: self.0.u64(1..200) << 10,
            },
            Backend::Fake | Backend::Local => Trouble::Nothing,
            Backend::Docker | Backend::Ssh | Backend::Http => self.far_trouble(),
        }
    }

    fn far_trouble(&mut self) -> Trouble {
        match self.0.u32(0..100) {
            0..20 => Trouble::Cut {
                direction: if self.chance(75) {
                    Direction::FromTarget
                } else {
                    Direction::ToTarget
                },
                // Of every size of job.
                after: 1 << self.0.u32(4..23),
                action: self
                    .one_of(&[Action::Reset, Action::Close, Action::Freeze])
                    .unwrap_or(Action::Reset),
            },
            20..26 => Trouble::Stall {
                when: self.when(2000),
                lasts: self.ms(200..3000),
            },
            26..31 => Trouble::Delay(self.ms(1..20)),
            31..36 => Trouble::Refuse {
                when: self.when(2000),
                lasts: self.ms(100..2500),
            },
            36..41 => Trouble::Pause {
                when: self.when(2000),
                lasts: self.ms(200..3000),
            },
            41..43 => Trouble::Kill(self.when(2500)),
            43..45 => Trouble::Restart(self.when(2500)),
            _ => Trouble::Nothing,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::scripts::End;
    use super::*;

    fn plans() -> impl Iterator<Item = Plan> {
        (0..3000).map(|number| Plan::new(1, number, &Backend::ALL))
    }

    #[test]
    fn a_plan_depends_on_seed_and_number_alone() {
        for plan in plans() {
            assert_eq!(plan, Plan::new(1, plan.number, &Backend::ALL));
        }
        assert_ne!(
            Plan::new(1, 5, &Backend::ALL),
            Plan::new(2, 5, &Backend::ALL)
        );
    }

    #[test]
    fn every_job_has_an_end() {
        let every = [
            Ending::Own,
            Ending::Limit,
            Ending::OutputLimit,
            Ending::Cancelled,
            Ending::ReaderGone,
            Ending::WorkerKilled,
        ];
        for plan in plans().take(300) {
            let script = plan.recipe.script();
            let ends = every.into_iter().any(|end| plan.allows(&script, &[], end));
            assert!(ends, "{plan:?}");
            let endless = script.end == End::Never;
            assert!(
                !endless || !plan.allows(&script, &[], Ending::Own),
                "{plan:?}"
            );
        }
    }

    #[test]
    fn all_kinds_of_things_happen() {
        use std::collections::BTreeSet;
        let backends: BTreeSet<_> = plans().map(|plan| plan.backend).collect();
        let recipes: BTreeSet<_> = plans().map(|plan| plan.recipe.name()).collect();
        let interruptions: BTreeSet<_> = plans().map(|plan| plan.interruption.name()).collect();
        let troubles: BTreeSet<_> = plans().map(|plan| plan.trouble.name()).collect();
        let counts = (
            backends.len(),
            recipes.len(),
            interruptions.len(),
            troubles.len(),
        );
        assert_eq!(counts, (5, 12, 7, 11));
    }

    #[test]
    fn undisturbed_jobs_end_in_one_way_only() {
        for plan in plans().take(300) {
            let undisturbed = plan.interruption == Interruption::Nothing;
            if undisturbed {
                let script = plan.recipe.script();
                assert!(plan.allows(&script, &[], Ending::Own), "{plan:?}");
                assert!(!plan.allows(&script, &[], Ending::Lost), "{plan:?}");
            }
        }
    }
}
