//! The median stopping rule (Golovin, Solnik, Moitra, Kochanski, Karro and Sculley 2017), for any share, around any
//! scheduler.
//!
//! A trial is stopped when the mean of its reports so far is worse than the mean that more than half of the others had
//! at the same step. Trials that report at other steps are compared by their reports up to then.

use std::collections::BTreeMap;

use super::split::{Key, Split};
use super::{Advice, History, Job, ScheduleError, Scheduler, Stream};
use crate::words::event::Event;
use crate::words::schedule::{MedianOptions, SchedulerSpec};
use crate::words::trial::{Decision, Measurement, Trial, TrialId};

/// Stops trials that fall behind, and leaves everything else to the scheduler it wraps.
pub struct Median {
    within: Box<dyn Scheduler>,
    options: MedianOptions,
    /// By cell: the running means of the trials that came as far.
    cells: Vec<Split>,
    /// Values of running trials since they were last given out.
    fresh: BTreeMap<TrialId, Vec<(usize, Key)>>,
    /// The means of trials that have not ended.
    running: BTreeMap<TrialId, Running>,
}

impl Median {
    pub(super) fn new(options: &MedianOptions, max: Option<u64>) -> Result<Self, ScheduleError> {
        let MedianOptions { within, share, population: _, grace } = options;
        if matches!(**within, SchedulerSpec::Median(_)) {
            return Err(ScheduleError::Within);
        }
        if !(*share > 0.0 && *share < 1.0) {
            return Err(ScheduleError::Share { share: *share });
        }
        if let Some(inner) = within.grace().filter(|inner| inner != grace) {
            return Err(ScheduleError::MedianGrace { grace: *grace, within: within.name().to_owned(), inner });
        }
        let within = within.build(max)?;
        Ok(Self {
            within,
            options: options.clone(),
            cells: Vec::new(),
            fresh: BTreeMap::new(),
            running: BTreeMap::new(),
        })
    }
}

/// Number of trials, of `n`, that may be better.
fn allowed(share: f64, n: usize) -> usize {
    (share * n as f64) as usize
}

/// The cell of a step: exact up to 64, then 64 to each doubling, so that a trial which skips steps crosses few.
fn cell(step: u64) -> usize {
    let doublings = 63_u32.saturating_sub(step.max(1).leading_zeros()).saturating_sub(6);
    (u64::from(doublings) * 64 + (step >> doublings)) as usize
}

/// The mean of a trial's losses so far, which a further report renews without a look at those before it.
#[derive(Debug, Clone, Copy, Default)]
struct Running {
    /// Number of measurements in it.
    taken: usize,
    mean: f64,
    /// The cell of the last one.
    cell: Option<usize>,
}

impl Running {
    /// Takes the measurements it has not seen. Gives the cells that the trial came to or through by them, each with the
    /// mean it had there first.
    fn take(&mut self, measurements: &[Measurement], loss: impl Fn(f64) -> f64) -> Vec<(usize, f64)> {
        let mut cells = Vec::new();
        for m in measurements.get(self.taken..).unwrap_or_default() {
            let here = cell(m.step);
            if let Some(last) = self.cell {
                cells.extend((last + 1..here).map(|c| (c, self.mean)));
            }
            self.taken += 1;
            self.mean += (loss(m.value) - self.mean) / self.taken as f64;
            if self.cell.is_none_or(|last| last < here) {
                cells.push((here, self.mean));
                self.cell = Some(here);
            }
        }
        cells
    }
}

// A method with a default must be passed on as well.
#[deny(clippy::missing_trait_methods)]
impl Scheduler for Median {
    fn name(&self) -> &str {
        "median"
    }

    fn spec(&self) -> SchedulerSpec {
        SchedulerSpec::Median(self.options.clone())
    }

    fn next(&mut self, history: &History<'_>, stream: &mut Stream) -> Job {
        self.within.next(history, stream)
    }

    fn on_report(&mut self, history: &History<'_>, trial: &Trial) -> Decision {
        let decision = self.within.on_report(history, trial);
        let Some(last) = trial.measurements.last() else { return decision };
        let may_stop = match decision {
            Decision::Continue => true,
            // A pause after every replicate is no comparison with the others.
            Decision::Pause => {
                let advice = self.within.advice(history);
                advice.replicates.is_some() && !advice.spared.contains(&trial.id)
            }
            Decision::Stop => false,
        };
        if !may_stop || last.step < self.options.grace {
            return decision;
        }
        let mut running = self.running.get(&trial.id).copied().unwrap_or_default();
        running.take(&trial.measurements, |v| history.goal().loss(v));
        let mean = running.mean;
        let Some(others) = self.cells.get(cell(last.step)) else { return decision };
        // Its own entry of an earlier report in this cell counts among them; it is one of many, and never hides the
        // others.
        let enough = others.len() as u64 >= self.options.population.max(1);
        let behind = others.next_best().is_some_and(|median| median.beats(Key::new(Some(mean), trial.id)));
        if enough && behind { Decision::Stop } else { decision }
    }

    fn observe(&mut self, history: &History<'_>, event: &Event) {
        self.within.observe(history, event);
        let share = self.options.share;
        let k = |n: usize| allowed(share, n);
        match event {
            Event::Report { trial, value: Some(_), decision, .. } => {
                let Some(t) = history.trial(*trial).filter(|t| t.failure.is_none()) else { return };
                let fresh = self.fresh.entry(*trial).or_default();
                let known = fresh.last().map(|(cell, _)| *cell);
                // Measurements before the present attempt are there already.
                let kept = t.kept.checked_sub(1).map(|last| cell(t.measurements[last].step));
                let running = self.running.entry(*trial).or_default();
                for (cell, mean) in running.take(&t.measurements, |v| history.goal().loss(v)) {
                    if Some(cell) > known.max(kept) {
                        let key = Key::new(Some(mean), *trial);
                        if self.cells.len() <= cell {
                            self.cells.resize_with(cell + 1, Split::default);
                        }
                        self.cells[cell].insert(key, k);
                        fresh.push((cell, key));
                    }
                }
                if *decision == Decision::Pause {
                    self.fresh.remove(trial);
                }
            }
            Event::Tell { trial, .. } => {
                self.fresh.remove(trial);
                self.running.remove(trial);
            }
            Event::Interrupt { trial, .. } => {
                if !history.keeps_interrupted() {
                    // Its reports are void: those that stand are taken in again.
                    self.running.remove(trial);
                }
                let fresh = self.fresh.remove(trial).unwrap_or_default();
                for (cell, key) in fresh.into_iter().filter(|_| !history.keeps_interrupted()) {
                    self.cells[cell].remove(key, k);
                }
            }
            _ => {}
        }
    }

    fn advice(&self, history: &History<'_>) -> Advice {
        self.within.advice(history)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_grow_with_the_step_and_skip_none() {
        assert_eq!([0, 1, 63, 64, 127, 128, 129, 130, 256].map(cell), [0, 1, 63, 64, 127, 128, 128, 129, 192]);
        let mut last = 0;
        for step in 0..100_000 {
            assert!((last..=last + 1).contains(&cell(step)), "{step}");
            last = cell(step);
        }
        assert!(cell(u64::MAX) < 4000);
    }

    #[test]
    fn means_run_and_reach_into_cells_that_were_skipped() {
        let at = |step, value| Measurement { step, value, beside: None, cost: None, at_s: None };
        let means = |measurements: &[Measurement]| Running::default().take(measurements, |v| v);
        assert_eq!(means(&[at(1, 4.0), at(4, 2.0)]), [(1, 4.0), (2, 4.0), (3, 4.0), (4, 3.0)]);
        assert_eq!(means(&[at(128, 4.0), at(129, 2.0)]), [(128, 4.0)]);
        // Report by report it is the same, and each is looked at once.
        let all: Vec<Measurement> = (1..300).map(|step| at(step * 3, 1.0 / step as f64)).collect();
        let mut running = Running::default();
        let bit_by_bit: Vec<(usize, f64)> = (1..=all.len()).flat_map(|n| running.take(&all[..n], |v| v)).collect();
        assert_eq!(bit_by_bit, means(&all));
        assert!(running.take(&all, |_| panic!("taken before")).is_empty());
    }
}
