//! The noise floor of a study: the gain that further trials can still bring, compared with the noise of the best
//! configuration's measurements.
//!
//! Makarova et al. (2022, "Automatic termination for hyperparameter optimization") end a search when a bound of the
//! regret is below the standard error of the best result. Here the bound comes from samples of the process that judges
//! [`Study::best`], with sampled hyperparameters. If a stop rule needs the judgement, it is recorded as an event, so
//! that a replayed study ends at the same place.

use super::Study;
use super::best::as_judged;
use crate::rules::searcher::Gp;
use crate::words::event::Event;
use crate::words::trial::NoiseFloor;

/// The fewest runs before the first judgement, in all and for each parameter. Before that a process is too sure: judged
/// from the 10th trial on with a factor of 1, 19 of 20 studies of a bowl with noise of 15 and 30 % ended before the
/// 20th, 0.4 noises worse than after 100.
const FEWEST: u64 = 20;
const FEWEST_EACH: u64 = 5;
/// The next judgement comes after one run more for each so many there were.
const EVERY: u64 = 5;

impl Study {
    /// The gain over [`Study::best`] that further trials can still bring, compared with the noise of its measurements.
    /// `None` if there is no judgement:
    /// - without noise, with several objectives, and with fewer than three measured configurations;
    /// - with [`Setup::max_resource`](crate::Setup::max_resource), as long as no trial has come to it: the values until
    ///   then say too little about full runs. Under `pasha`, which stops below it if it can, that may last for ever;
    /// - if no configuration probably meets the constraints.
    ///
    /// The process that judges [`Study::best`] is sampled at the best configuration, at 512 quasi-random configurations
    /// and at 120 near the best ones, each once, if they probably meet the constraints. In each sample the gain is the
    /// difference between the best configuration's value and the lowest of all values; the result is the 95 % quantile
    /// of these gains. It costs little more than [`Study::best`].
    ///
    /// ```
    /// use tunekit::{Domain, Metric, Setup, Space, Study};
    /// let space = Space::new().with("x", Domain::float(0.0, 1.0)?)?;
    /// let mut study = Study::new(Setup::new(space, Metric::minimize("loss").with_noise(0.1)))?;
    /// assert_eq!(study.noise_floor(), None);
    /// for _ in 0..12 {
    ///     let job = study.ask()?.assignment().ok_or("no trial")?;
    ///     study.tell(job.trial, job.config.float("x").unwrap_or(0.0))?;
    /// }
    /// let floor = study.noise_floor().ok_or("no judgement")?;
    /// assert!(floor.gain >= 0.0 && floor.noise > 0.0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn noise_floor(&self) -> Option<NoiseFloor> {
        if !self.header().objectives.is_empty() {
            return None;
        }
        let (best, judge) = self.judged_best()?;
        let (level, plain) = as_judged(&self.compared());
        let is_of_full_runs = match level {
            Some(level) => level + 1 >= plain.levels().len(),
            None => {
                let mut own = plain.trials().iter().filter(|trial| trial.config == best.config);
                self.header().max_resource.is_none() || own.any(|trial| plain.reach(trial) == u64::MAX)
            }
        };
        if !is_of_full_runs {
            return None;
        }
        let judge = judge.or_else(|| Gp::judge_at(level, &plain))?;
        let (gain, noise) = judge.gain(&plain, &best.config)?;
        Some(NoiseFloor { trial: best.trial, gain, noise: noise / (best.n as f64).sqrt() })
    }

    /// The last [`Study::noise_floor`] in the events. A stop rule that needs the judgement records it.
    pub fn judged_floor(&self) -> Option<NoiseFloor> {
        self.state.floor.map(|(floor, _)| floor)
    }

    /// Whether enough runs ended since the noise floor was last judged.
    pub(crate) fn is_floor_due(&self) -> bool {
        let first = FEWEST.max(FEWEST_EACH * self.header().space.len() as u64);
        let judged = self.state.floor.map(|(_, runs)| runs).max(self.tried_floor);
        self.state.runs >= judged.map_or(first, |runs| runs + (runs / EVERY).max(1))
    }

    /// Judges the noise floor, and records it with the smallest of these factors that it meets.
    pub(crate) fn judge_floor(&mut self, factors: impl IntoIterator<Item = f64>) {
        self.tried_floor = Some(self.state.runs);
        let Some(floor) = self.noise_floor() else { return };
        let factor = factors.into_iter().filter(|factor| floor.is_reached(*factor)).reduce(f64::min);
        let NoiseFloor { trial, gain, noise } = floor;
        self.record(Event::Floor { trial, gain, noise, factor, at_s: self.at_s });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::searcher::SearcherKind;
    use crate::rules::stream::Stream;
    use crate::rules::study::{Setup, VerifyError};
    use crate::words::domain::Domain;
    use crate::words::metric::{Goal, Metric};
    use crate::words::schedule::SchedulerKind;
    use crate::words::space::Space;
    use crate::words::trial::{Assignment, Measured, TrialId};
    use crate::words::value::Config;

    fn study(metric: Metric) -> Study {
        let space = Space::new().with("x", Domain::float(0.0, 1.0).unwrap()).unwrap();
        Study::new(Setup::new(space, metric).seed(3).searcher(SearcherKind::Sobol)).unwrap()
    }

    /// One more trial of a bowl with noise, whose losses are `unit` times as large.
    fn run(study: &mut Study, unit: f64, noise: f64) {
        let job = study.ask().unwrap().assignment().unwrap();
        let x = job.config.float("x").unwrap();
        let z = Stream::keyed(9, job.trial, "noise").normal();
        let loss = unit * (1.0 + (x - 0.4).powi(2) + noise * z);
        study.tell(job.trial, study.header().metric.goal.loss(loss)).unwrap();
    }

    #[test]
    fn the_floor_is_judged_ever_more_seldom_and_the_judgements_are_derived_again() {
        let mut study = study(Metric::minimize("loss"));
        let (mut events, mut at) = (study.take_events(), Vec::new());
        for trial in 1..=60 {
            run(&mut study, 1.0, 0.1);
            if study.is_floor_due() {
                study.judge_floor([0.5, 10.0, 9.0]);
                assert!(!study.is_floor_due());
                at.push(trial);
            }
            events.extend(study.take_events());
        }
        assert_eq!(at, [20, 24, 28, 33, 39, 46, 55]);
        let floors = |event: &&Event| matches!(event, Event::Floor { .. });
        assert_eq!(events.iter().filter(floors).count(), at.len());
        let again = Study::replay(events.clone()).unwrap();
        assert_eq!((again.judged_floor(), again.is_floor_due()), (study.judged_floor(), false));
        let floor = again.judged_floor().unwrap();
        assert_eq!(Some(floor.trial), study.trials().get(floor.trial.0 as usize).map(|t| t.id));

        // Sixty trials, and seven judgements.
        assert_eq!(Study::verify(events.clone(), None), Ok(67));
        let place = events.iter().position(|event| floors(&event)).unwrap();
        let Event::Floor { gain, factor, .. } = &mut events[place] else { unreachable!() };
        assert!(factor.is_some_and(|factor| factor < 10.0), "the smallest factor that is met");
        *gain /= 2.0;
        assert!(matches!(Study::verify(events, None), Err(VerifyError::Differs { event, .. }) if event == place));
    }

    #[test]
    fn a_floor_is_in_units_of_the_metric_in_either_direction() {
        let floor = |goal: Goal, unit: f64| {
            let mut study = study(Metric { goal, ..Metric::default() });
            (0..20).for_each(|_| run(&mut study, unit, 0.05));
            study.noise_floor().unwrap()
        };
        let (one, large, largest) = (floor(Goal::Min, 1.0), floor(Goal::Min, 1000.0), floor(Goal::Max, 1000.0));
        assert!((0.02..0.12).contains(&one.noise), "{one:?}");
        assert!(one.gain >= 0.0 && one.gain < 0.3, "{one:?}");
        // Draws differ, and the best of neighbours may be another one.
        for other in [large, largest] {
            assert!((500.0..2000.0).contains(&(other.noise / one.noise)), "{one:?} {other:?}");
            assert!((300.0..3000.0).contains(&(other.gain / one.gain)), "{one:?} {other:?}");
        }
    }

    #[test]
    fn a_known_noise_is_taken_as_given_and_repeats_make_the_mean_more_certain() {
        let mut study = study(Metric::minimize("loss").with_noise(0.25).replicated());
        for _ in 0..8 {
            let job = study.ask().unwrap().assignment().unwrap();
            let x = job.config.float("x").unwrap();
            for step in 1..=4 {
                study.report(job.trial, step, x + 0.01 * step as f64).unwrap();
            }
            study.tell(job.trial, crate::words::trial::Outcome::Done).unwrap();
        }
        assert_eq!(study.noise_floor().unwrap().noise, 0.125);
    }

    #[test]
    fn without_noise_or_with_several_objectives_there_is_no_floor() {
        let mut exact = study(Metric::minimize("loss").deterministic());
        (0..9).for_each(|_| run(&mut exact, 1.0, 0.0));
        assert_eq!(exact.noise_floor(), None);
        let space = Space::new().with("x", Domain::float(0.0, 1.0).unwrap()).unwrap();
        let setup = Setup { objectives: vec![Metric::minimize("size")], ..Setup::new(space, Metric::minimize("loss")) };
        let mut several = Study::new(setup).unwrap();
        for i in 0..9 {
            let job = several.ask().unwrap().assignment().unwrap();
            several.tell(job.trial, Measured { more: vec![1.0], ..Measured::new(f64::from(i)) }).unwrap();
        }
        assert_eq!(several.noise_floor(), None);
    }

    /// In a space of a few choices most candidates are the same configuration.
    #[test]
    fn what_another_of_a_few_choices_may_gain_counts() {
        let space = Space::new().with("x", Domain::categorical(["a", "b", "c", "d"]).unwrap()).unwrap();
        let setup = Setup::new(space, Metric::minimize("loss")).seed(3).searcher(SearcherKind::Random);
        let mut study = Study::new(setup).unwrap();
        for i in 0..20 {
            let job = study.ask().unwrap().assignment().unwrap();
            let place = ["a", "b", "c", "d"].iter().position(|x| job.config.text("x") == Some(x)).unwrap();
            let loss = 1.0 + 0.05 * place as f64 + 0.3 * Stream::keyed(9, TrialId(i), "noise").normal();
            study.tell(job.trial, loss).unwrap();
        }
        let floor = study.noise_floor().unwrap();
        assert!(floor.gain > 0.02, "{floor:?}");
    }

    #[test]
    fn before_a_trial_comes_to_the_end_of_the_resource_there_is_no_floor() {
        let space = Space::new().with("x", Domain::float(0.0, 1.0).unwrap()).unwrap();
        let setup = Setup::new(space, Metric::minimize("loss")).seed(3).searcher(SearcherKind::Sobol);
        let mut study = Study::new(setup.scheduler(SchedulerKind::Hyperband).max_resource(27)).unwrap();
        // They run at once, so that none is promoted.
        let jobs: Vec<Assignment> = (0..20).map(|_| study.ask().unwrap().assignment().unwrap()).collect();
        for job in &jobs {
            let value = job.config.float("x").unwrap() + 0.1 * Stream::keyed(9, job.trial, "noise").normal();
            study.report(job.trial, job.resource.unwrap(), value).unwrap();
        }
        assert!(study.best().is_some());
        assert_eq!(study.noise_floor(), None);
        for x in [0.2, 0.5, 0.8] {
            study.add(&Config::new().with("x", x), Measured::new(x)).unwrap();
        }
        assert!(study.noise_floor().is_some());
    }

    #[test]
    fn where_nothing_else_probably_meets_the_constraints_there_is_no_floor() {
        let space = Space::new().with("x", Domain::float(0.0, 1.0).unwrap()).unwrap();
        let setup = Setup::new(space, Metric::minimize("loss")).constraint("memory");
        let mut study = Study::new(setup.seed(3).searcher(SearcherKind::Sobol)).unwrap();
        for trial in 0..20 {
            let job = study.ask().unwrap().assignment().unwrap();
            let loss = 1.0 + 0.1 * Stream::keyed(9, job.trial, "noise").normal();
            let memory = if trial == 7 { -0.01 } else { 0.1 + 2.0 * Stream::keyed(9, job.trial, "memory").uniform() };
            study.tell(job.trial, Measured::new(loss).constraints([memory])).unwrap();
        }
        assert_eq!(study.best().unwrap().trial, TrialId(7));
        assert_eq!(study.noise_floor(), None);
    }
}
