//! The value of one more level of a resource: the expected improvement on the best value at that level.

use super::model::Model;
use crate::rules::acquisition::{log_expected_improvement, log_probability_below};

/// The smallest standard deviation of a prediction, in units of the outputs' standard deviation; smaller ones count as
/// zero.
const LEAST: f64 = 1e-9;

/// For each of these encoded configurations, the logarithm of the expected improvement at this level, times the
/// probability that it meets the constraints and does not fail.
pub(super) fn improvements(model: &Model, steps: &[(Vec<f64>, usize)]) -> Vec<f64> {
    let least = least(model);
    let placed: Vec<Vec<f64>> = steps.iter().map(|(x, level)| model.placed_at(x, *level)).collect();
    let predicted = model.objective.posterior.predict_many(&placed);
    let worth = |(_, level): &(Vec<f64>, usize), (mean, sd): (f64, f64)| {
        let best = least[(*level).min(least.len() - 1)];
        log_expected_improvement(mean, sd.max(LEAST).powi(2), best).0
    };
    let mut worths: Vec<f64> = steps.iter().zip(predicted).map(|(step, predicted)| worth(step, predicted)).collect();
    let points: Vec<Vec<f64>> = steps.iter().map(|(x, _)| x.clone()).collect();
    for (surrogate, power) in model.limited() {
        let limit = surrogate.output.output(0.0);
        for (worth, (mean, sd)) in worths.iter_mut().zip(surrogate.posterior.predict_many(&points)) {
            *worth += power * log_probability_below(mean, sd * sd, limit).0;
        }
    }
    worths
}

/// The least output of each level. A level without results takes the value of the highest lower level with results;
/// levels below the first one with results take the least output of all.
fn least(model: &Model) -> Vec<f64> {
    let outputs = &model.objective.data.y;
    let of = |rows: &[usize]| rows.iter().map(|i| outputs[*i]).reduce(f64::min);
    let mut last = outputs.iter().copied().fold(f64::INFINITY, f64::min);
    let Some(by_level) = model.by_level() else { return vec![last] };
    let each = by_level.iter().map(|rows| {
        last = of(rows).unwrap_or(last);
        last
    });
    each.collect()
}

#[cfg(test)]
mod tests {
    use super::super::Gp;
    use super::*;
    use crate::rules::advice::Advice;
    use crate::rules::study::{Setup, Study};
    use crate::words::domain::Domain;
    use crate::words::metric::Metric;
    use crate::words::space::Space;

    /// Curves at levels 1 to 4, of which nobody has come to the last: the least value of each level.
    #[test]
    fn an_improvement_is_on_the_best_value_of_the_highest_level_reached_below() {
        let space = Space::new().with("x", Domain::float(0.0, 1.0).unwrap()).unwrap();
        let setup = Setup::new(space, Metric::minimize("loss"));
        let mut study = Study::new(setup.max_resource(9)).unwrap();
        let curves: [&[f64]; 5] = [&[5.0], &[4.0, 3.5], &[3.0, 2.8, 2.9], &[6.0, 2.5], &[7.0]];
        for curve in curves {
            let job = study.ask().unwrap().assignment().expect("a trial");
            for (step, value) in (1..).zip(curve) {
                study.report(job.trial, step, *value).unwrap();
            }
        }
        let history = study.history().under(Advice { levels: vec![1, 2, 3, 4], ..Advice::default() });
        let mut gp = Gp::new();
        let model = gp.model(&history).expect("there are enough results");
        let wanted = [3.0, 2.5, 2.9, 2.9].map(|value| model.objective.output.output(value));
        assert_eq!(least(model), wanted);

        // Measured low at a level, a configuration is expected to come lower at the next one than one that was high.
        let x = |trial: usize| history.space().encode(&history.trials()[trial].config).unwrap();
        let worths = improvements(model, &[(x(2), 3), (x(0), 1), (x(4), 1)]);
        assert!(worths.iter().all(|worth| worth.is_finite()), "{worths:?}");
    }
}
