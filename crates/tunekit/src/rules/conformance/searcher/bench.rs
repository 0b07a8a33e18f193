//! `Bench`: a study of the searcher under test, and the spaces that it is tried on.

use super::{Breach, Make, at};
use crate::rules::scheduler::{Fifo, Scheduler};
use crate::rules::study::{Setup, Study};
use crate::words::domain::Domain;
use crate::words::event::Event;
use crate::words::metric::Metric;
use crate::words::space::Space;
use crate::words::trial::{Ask, Assignment, Outcome};
use crate::words::value::Config;

/// A study of a new searcher, and its journal.
pub(super) struct Bench<'a> {
    make: Make<'a>,
    scheduler: &'a dyn Fn() -> Box<dyn Scheduler>,
    pub(super) study: Study,
    events: Vec<Event>,
}

impl<'a> Bench<'a> {
    pub(super) fn new(make: Make<'a>, setup: Setup) -> Result<Self, Breach> {
        Self::under(make, setup, &|| Box::new(Fifo))
    }

    pub(super) fn under(
        make: Make<'a>,
        setup: Setup,
        scheduler: &'a dyn Fn() -> Box<dyn Scheduler>,
    ) -> Result<Self, Breach> {
        let study = Study::with(setup, make(), scheduler()).map_err(|e| at("a new study")(&e))?;
        Ok(Self { make, scheduler, study, events: Vec::new() })
    }

    /// The journal.
    pub(super) fn into_events(mut self) -> Vec<Event> {
        self.collect();
        self.events
    }

    fn collect(&mut self) {
        self.events.extend(self.study.take_events());
    }

    /// The same study from its journal, with a new searcher.
    pub(super) fn again(&mut self) -> Result<Study, Breach> {
        self.collect();
        Study::replay_with(self.events.clone(), (self.make)(), (self.scheduler)()).map_err(|e| at("a replay")(&e))
    }

    /// The next trial, whose configuration is in the space.
    pub(super) fn ask(&mut self) -> Result<Assignment, Breach> {
        let next = self.study.history().next_trial();
        let ask = self.study.ask().map_err(|e| at(format!("suggestion for trial {next}"))(&e))?;
        match ask {
            Ask::Trial(job) => Ok(job),
            other => {
                Err(format!("there are configurations left, and for trial {next} the answer is {}", in_words(&other)))
            }
        }
    }

    pub(super) fn tell(&mut self, job: &Assignment, outcome: Outcome) -> Result<(), Breach> {
        self.study.tell(job.trial, outcome).map_err(|e| at(format!("the result of trial {}", job.trial))(&e))
    }

    /// Runs trials one after the other.
    pub(super) fn run(&mut self, trials: usize, outcome: impl Fn(&Assignment, usize) -> Outcome) -> Result<(), Breach> {
        for i in 0..trials {
            let job = self.ask()?;
            self.tell(&job, outcome(&job, i))?;
        }
        Ok(())
    }
}

pub(super) fn in_words(ask: &Ask) -> String {
    match ask {
        Ask::Trial(job) => job.config.to_string(),
        Ask::Wait => "to wait".to_owned(),
        Ask::Done(_) => "that the space is used up".to_owned(),
    }
}

pub(super) fn setup(space: Space, seed: u64) -> Setup {
    Setup::new(space, Metric::minimize("loss")).seed(seed)
}

pub(super) fn deterministic() -> Metric {
    Metric::minimize("loss").deterministic()
}

pub(super) fn unit() -> Domain {
    Domain::float(0.0, 1.0).expect("a range")
}

pub(super) fn int(lo: i64, hi: i64) -> Domain {
    Domain::int(lo, hi).expect("a range")
}

pub(super) fn choice<const N: usize>(values: [&str; N]) -> Domain {
    Domain::categorical(values).expect("different values")
}

pub(super) fn cube(dimension: usize) -> Space {
    (0..dimension).fold(Space::new(), |s, i| s.with(format!("x{i}"), unit()).expect("a new name"))
}

pub(super) fn cube_point(x: f64) -> Config {
    Config::new().with("x0", x).with("x1", 1.0 - x)
}

/// A parameter of each kind.
pub(super) fn mixed() -> Space {
    Space::new()
        .with("x", Domain::float(-5.0, 10.0).expect("a range"))
        .and_then(|s| s.with("n", int(1, 512).log().expect("positive")))
        .and_then(|s| s.with("step", unit().step(0.1).expect("it divides the range")))
        .and_then(|s| s.with("kind", choice(["a", "b", "c"])))
        .and_then(|s| s.with("level", Domain::ordinal([1, 4, 16, 64]).expect("different values")))
        .and_then(|s| s.with("on", Domain::Bool))
        .expect("the names are new")
}

/// A space where `depth` exists for one kind only, and not everything is allowed.
pub(super) fn conditional() -> Space {
    Space::new()
        .with("kind", choice(["flat", "deep"]))
        .and_then(|s| s.with_when("depth", int(1, 64).log().expect("positive"), "kind", ["deep"]))
        .and_then(|s| s.with("x", unit()))
        .and_then(|s| s.with("n", int(1, 64)))
        .and_then(|s| s.require("depth * n <= 256"))
        .and_then(|s| s.require("x < 0.9 or n > 8"))
        .expect("the names are new, and the predicates are of them")
}

/// A loss for any of these spaces.
pub(super) fn score(config: &Config) -> f64 {
    let kind = if config.text("kind") == Some("b") { 0.0 } else { 3.0 };
    let of = |name: &str| config.float(name).unwrap_or(1.0);
    (of("x") - 2.0).powi(2) + (of("n").ln() - 3.0).abs() + kind + of("depth").recip()
}
