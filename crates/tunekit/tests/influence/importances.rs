//! Findings about parameters, against functions whose shares are known.

use serde_json::json;
use tunekit::results::{ImportanceError, Importances, PartialDependence, Surface};
use tunekit::scheduler::SchedulerSpec;
use tunekit::searcher::{History, Prediction, Random, Searcher, Stream, SuggestError};
use tunekit::{
    Config, Decision, Domain, Experiment, Metric, Outcome, SchedulerKind, SearcherKind, Setup, Space, Study, Value,
};

/// A model that knows the function, to so much on either side.
struct Oracle(fn(&Config) -> f64, f64);

impl Searcher for Oracle {
    fn name(&self) -> &str {
        "oracle"
    }

    fn suggest(&mut self, history: &History<'_>, stream: &mut Stream) -> Result<Config, SuggestError> {
        Random.suggest(history, stream)
    }

    fn predict(&mut self, _: &History<'_>, configs: &[&Config]) -> Option<Vec<Prediction>> {
        let of = |config: &&Config| {
            let mean = self.0(config);
            Prediction { mean, lower: mean - self.1, upper: mean + self.1 }
        };
        Some(configs.iter().map(of).collect())
    }
}

/// A study of `trials` results of a function.
fn study(space: &Space, searcher: Box<dyn Searcher>, trials: usize, f: fn(&Config) -> f64) -> Study {
    let setup = Setup::new(space.clone(), Metric::minimize("loss")).seed(7);
    let mut study = Study::with(setup, searcher, Box::new(tunekit::scheduler::Fifo)).unwrap();
    for _ in 0..trials {
        let job = study.ask().unwrap().assignment().unwrap();
        study.tell(job.trial, f(&job.config)).unwrap();
    }
    study
}

fn cube(names: &[&str], lo: f64, hi: f64) -> Space {
    names.iter().fold(Space::new(), |space, name| space.with(*name, Domain::float(lo, hi).unwrap()).unwrap())
}

fn main(importances: &Importances, name: &str) -> f64 {
    importances.main.iter().find(|i| i.parameters == [name]).unwrap().share
}

fn pair(importances: &Importances, a: &str, b: &str) -> f64 {
    importances.pairs.iter().find(|i| i.parameters == [a, b]).unwrap().share
}

/// Ishigami and Homma 1990 with a = 7, b = 0.1; x2 is z here, so that no name is a number.
fn ishigami(config: &Config) -> f64 {
    let at = |name| config.float(name).unwrap();
    at("x").sin() + 7.0 * at("y").sin().powi(2) + 0.1 * at("z").powi(4) * at("x").sin()
}

#[test]
fn a_known_functions_sobol_indices_are_found() {
    let space = cube(&["x", "y", "z"], -std::f64::consts::PI, std::f64::consts::PI);
    let importances = study(&space, Box::new(Oracle(ishigami, 1.0)), 6, ishigami).importances().unwrap();
    assert_eq!(importances.surface, Surface::Model);
    // Saltelli et al. 2008, "Global Sensitivity Analysis", 4.6.
    for (name, wanted) in [("x", 0.3139), ("y", 0.4424), ("z", 0.0)] {
        let got = main(&importances, name);
        assert!((got - wanted).abs() < 0.03, "{name}: {got}, wanted {wanted}");
    }
    for (a, b, wanted) in [("x", "z", 0.2437), ("x", "y", 0.0), ("y", "z", 0.0)] {
        let got = pair(&importances, a, b);
        assert!((got - wanted).abs() < 0.03, "{a} {b}: {got}, wanted {wanted}");
    }
    assert_eq!(importances.main[0].parameters, ["y"]);
    assert!(importances.main.iter().chain(&importances.pairs).all(|i| i.sd < 0.05), "{importances:?}");
}

#[test]
fn a_forest_of_random_trials_orders_ishigamis_parameters() {
    let space = cube(&["x", "y", "z"], -std::f64::consts::PI, std::f64::consts::PI);
    let study = study(&space, Box::new(Random), 600, ishigami);
    let importances = study.importances().unwrap();
    assert_eq!(importances.surface, Surface::Forest);
    assert!((main(&importances, "x") - 0.31).abs() < 0.1, "{importances:?}");
    assert!((main(&importances, "y") - 0.44).abs() < 0.1, "{importances:?}");
    assert!(main(&importances, "z") < 0.05 && pair(&importances, "x", "z") > 0.12, "{importances:?}");
    assert!(importances.known > 0.7, "{importances:?}");
    // A journal tells the same, without a searcher.
    assert_eq!(Experiment::of(&study).importances().unwrap(), importances);
}

#[test]
fn a_journal_of_trials_that_were_stopped_explains_what_the_study_does() {
    let space = cube(&["x", "y"], 0.0, 1.0);
    for kind in [SchedulerKind::Asha, SchedulerKind::AshaPromotion] {
        let setup = Setup::new(space.clone(), Metric::minimize("loss")).searcher(SearcherKind::Random).seed(7);
        let mut study = Study::new(setup.scheduler(kind).max_resource(3)).unwrap();
        for _ in 0..200 {
            let job = study.ask().unwrap().assignment().unwrap();
            let [x, y] = ["x", "y"].map(|name| job.config.float(name).unwrap());
            // The effects are not the same after one step and after three.
            let [after_one, after_three] = [3.0 * x + y, 30.0 + x + 3.0 * y];
            let mut step = job.from.map_or(0, |from| from.resource);
            let mut decision = Decision::Continue;
            while decision == Decision::Continue {
                step += 1;
                let value = if step < 3 { after_one } else { after_three };
                decision = study.report(job.trial, step, value).unwrap();
            }
            if decision == Decision::Stop {
                study.tell(job.trial, Outcome::Done).unwrap();
            }
        }
        let importances = study.importances().unwrap();
        assert_eq!(Experiment::of(&study).importances(), Ok(importances), "{kind}");
        let partial = study.partial_dependence("x", 5).unwrap();
        assert_eq!(Experiment::of(&study).partial_dependence("x", 5), Ok(partial), "{kind}");
        let read = Experiment::from_events(study.take_events()).unwrap();
        assert_eq!(read, Experiment::of(&study), "{kind}");
    }
}

fn additive(config: &Config) -> f64 {
    let kind = if config.text("kind") == Some("b") { 1.0 } else { 0.0 };
    4.0 * config.float("x").unwrap() + 2.0 * kind
}

#[test]
fn numbers_and_categories_share_as_their_variances() {
    let space = cube(&["x", "idle"], 0.0, 1.0)
        .with("kind", Domain::categorical(["a", "b", "c", "d"]).unwrap())
        .unwrap()
        .with("one", Domain::int(3, 3).unwrap())
        .unwrap();
    // 16 / 12 to 4 * 3 / 16.
    let (x, kind) = (4.0 / 3.0, 3.0 / 4.0);
    let wanted = x / (x + kind);
    for (searcher, trials, tolerance) in
        [(Box::new(Oracle(additive, 1.0)) as Box<dyn Searcher>, 8, 0.02), (Box::new(Random), 300, 0.08)]
    {
        let importances = study(&space, searcher, trials, additive).importances().unwrap();
        assert!((main(&importances, "x") - wanted).abs() < tolerance, "{importances:?}");
        assert!((main(&importances, "kind") - (1.0 - wanted)).abs() < tolerance, "{importances:?}");
        assert!(main(&importances, "idle") < tolerance / 2.0, "{importances:?}");
        assert_eq!(main(&importances, "one"), 0.0);
        assert!(importances.pairs.iter().all(|p| p.share < tolerance), "{importances:?}");
    }
}

#[test]
fn what_two_do_only_together_is_a_pairs() {
    let product = |config: &Config| (config.float("x").unwrap() - 0.5) * (config.float("y").unwrap() - 0.5);
    let space = cube(&["x", "y", "idle"], 0.0, 1.0);
    let importances = study(&space, Box::new(Oracle(product, 0.01)), 6, product).importances().unwrap();
    assert_eq!(importances.pairs[0].parameters, ["x", "y"]);
    assert!(importances.pairs[0].share > 0.97, "{importances:?}");
    assert!(importances.main.iter().all(|i| i.share < 0.02), "{importances:?}");
}

#[test]
fn a_constant_objective_and_a_huge_one_are_answered() {
    let space = cube(&["x", "y"], 0.0, 1.0);
    for searcher in [SearcherKind::Random, SearcherKind::Gp] {
        let importances = study(&space, searcher.build(), 8, |_| 3.0).importances().unwrap();
        assert!(importances.main.iter().all(|i| i.share == 0.0), "{importances:?}");
        assert_eq!(importances.main.len(), 2);
        let huge = |c: &Config| c.float("x").unwrap() * 1e300;
        let study = study(&space, searcher.build(), 30, huge);
        let importances = study.importances().unwrap();
        assert!(main(&importances, "x") > 0.8, "{importances:?}");
        let partial = study.partial_dependence("x", 5).unwrap();
        assert!(partial.points.iter().all(|p| p.mean.is_finite()), "{partial:?}");
    }
}

#[test]
fn two_parameters_at_once_are_averaged_over_the_others() {
    let space = cube(&["x", "y"], 0.0, 1.0)
        .with("kind", Domain::categorical(["a", "b"]).unwrap())
        .unwrap()
        .with_when("z", Domain::float(0.0, 1.0).unwrap(), "kind", ["b"])
        .unwrap()
        .require("x + y <= 1.5")
        .unwrap();
    let f = |c: &Config| {
        let at = |name| c.float(name).unwrap_or(0.0);
        at("x") * at("y") + 10.0 * at("z") + if c.text("kind") == Some("a") { 100.0 } else { 0.0 }
    };
    let of = |searcher: Box<dyn Searcher>, trials| study(&space, searcher, trials, f);
    let oracle = of(Box::new(Oracle(f, 0.1)), 6);
    let pair = oracle.pair_dependence(["x", "y"], 3).unwrap();
    assert_eq!((pair.surface, pair.values[0].len(), pair.means.len()), (Surface::Model, 3, 3));
    let mean = |row: usize, column: usize| pair.means[row][column];
    // Nothing is allowed where both are 1; elsewhere they differ by their product alone.
    assert_eq!(mean(2, 2), None);
    let zero = mean(0, 0).unwrap();
    for (row, column, product) in [(0, 2, 0.0), (1, 1, 0.25), (1, 2, 0.5), (2, 1, 0.5)] {
        assert!((mean(row, column).unwrap() - zero - product).abs() < 1e-9, "{row} {column}");
    }
    // A parameter that exists for one kind only says nothing of the other.
    let pair = oracle.pair_dependence(["kind", "z"], 5).unwrap();
    assert_eq!((pair.values[0].len(), pair.means.len()), (2, 5));
    assert!(pair.means.iter().all(|row| row[0].is_none() && row[1].is_some()));
    assert!((pair.means[4][1].unwrap() - pair.means[0][1].unwrap() - 10.0).abs() < 1e-9);
    // Without a model by a forest.
    let forest = of(Box::new(Random), 60).pair_dependence(["kind", "x"], 4).unwrap();
    assert_eq!(forest.surface, Surface::Forest);
    assert!(forest.means.iter().all(|row| row[0].unwrap() > row[1].unwrap() + 50.0), "{forest:?}");
    assert!(matches!(oracle.pair_dependence(["x", "x"], 4), Err(ImportanceError::Twice { .. })));
    assert!(matches!(oracle.pair_dependence(["x", "q"], 4), Err(ImportanceError::Unknown { .. })));
    assert!(matches!(oracle.pair_dependence(["x", "y"], 51), Err(ImportanceError::Points { points: 51, most: 50 })));
}

#[test]
fn too_little_and_wrong_names_are_errors() {
    let space = cube(&["x", "y"], 0.0, 1.0);
    let few = study(&space, Box::new(Random), 4, |_| 1.0);
    assert_eq!(few.importances().unwrap_err(), ImportanceError::TooFew { got: 4, needed: 5 });
    let enough = study(&space, Box::new(Random), 5, |c| c.float("x").unwrap());
    assert!(matches!(enough.partial_dependence("q", 5), Err(ImportanceError::Unknown { name, .. }) if name == "q"));
    assert!(matches!(enough.partial_dependence("x", 0), Err(ImportanceError::Points { points: 0, .. })));
    assert!(matches!(enough.partial_dependence("x", 1_000_000), Err(ImportanceError::Points { .. })));
    let empty = Study::new(Setup::new(space, Metric::minimize("loss"))).unwrap();
    assert!(matches!(Experiment::of(&empty).importances(), Err(ImportanceError::TooFew { got: 0, .. })));
}

#[test]
fn shares_are_withheld_where_too_little_is_known() {
    let space = cube(&["x", "y", "z", "w"], 0.0, 1.0);
    // Six configurations fit any four parameters.
    let f = |c: &Config| c.float("x").unwrap();
    for searcher in [SearcherKind::Gp, SearcherKind::Random] {
        let six = study(&space, searcher.build(), 6, f);
        assert_eq!(six.importances().unwrap_err(), ImportanceError::TooFew { got: 6, needed: 8 });
    }
    // A model that is unsure, and a forest of measurements that look like noise.
    let noise = |c: &Config| (1e4 * c.float("x").unwrap()).sin();
    let unsure: [(Box<dyn Searcher>, f64); 2] = [(Box::new(Oracle(f, 0.5)), 0.7), (Box::new(Random), 0.5)];
    for (searcher, least) in unsure {
        let error = study(&space, searcher, 30, noise).importances().unwrap_err();
        let ImportanceError::TooLittle { configurations: 30, known, needed } = error else { panic!("{error}") };
        assert!(known < needed && needed == least, "{error}");
        let text = format!("30 configurations tell {:.0} % of how the metric varies", 100.0 * known);
        assert!(error.to_string().starts_with(&text) && error.to_string().contains("measure more"), "{error}");
    }
    // The same model, surer, tells all.
    assert!(study(&space, Box::new(Oracle(f, 0.1)), 30, f).importances().is_ok());
}

#[test]
fn whoever_only_reads_a_study_may_ask_it() {
    let space = cube(&["x", "y"], 0.0, 1.0);
    let study = study(&space, SearcherKind::Gp.build(), 10, |c| c.float("x").unwrap());
    let read: &Study = &study;
    assert_eq!(read.best(), read.best());
    assert_eq!(read.pareto().first(), read.best().as_ref());
    assert!(read.importances().is_ok() && read.partial_dependence("x", 3).is_ok());
}

#[test]
fn a_partial_dependence_follows_its_parameter_from_end_to_end() {
    let f = |c: &Config| c.int("n").unwrap() as f64 / 10.0 + c.float("y").unwrap();
    let space = cube(&["y"], 0.0, 1.0).with("n", Domain::int(1, 1000).unwrap().log().unwrap()).unwrap();
    let partial = study(&space, Box::new(Oracle(f, 1.0)), 5, f).partial_dependence("n", 4).unwrap();
    let values: Vec<&Value> = partial.points.iter().map(|p| &p.value).collect();
    assert_eq!((values[0], values[3], values.len()), (&Value::Int(1), &Value::Int(1000), 4));
    for point in &partial.points {
        let wanted = point.value.as_i64().unwrap() as f64 / 10.0 + 0.5;
        assert!((point.mean - wanted).abs() < 0.01, "{point:?}");
        assert!((point.ci95[1] - point.ci95[0] - 2.0).abs() < 1e-9, "{point:?}");
    }
    // By a forest: the same up to its errors, in an interval.
    let partial = study(&space, Box::new(Random), 200, f).partial_dependence("n", 4).unwrap();
    assert_eq!(partial.surface, Surface::Forest);
    assert!(partial.points[3].mean > 60.0 && partial.points[0].mean < 5.0, "{partial:?}");
    assert!(partial.points.iter().all(|p| p.ci95[0] <= p.mean && p.mean <= p.ci95[1]), "{partial:?}");
}

#[test]
fn a_category_has_a_point_for_each_value() {
    let space = cube(&["x"], 0.0, 1.0).with("kind", Domain::categorical(["a", "b", "c", "d"]).unwrap()).unwrap();
    let partial = study(&space, Box::new(Random), 100, additive).partial_dependence("kind", 20).unwrap();
    let best: Vec<f64> = partial.points.iter().map(|p| p.mean).collect();
    assert_eq!(best.len(), 4);
    assert!(best[1] > best[0] + 1.0 && best[1] > best[3] + 1.0, "{best:?}");
}

#[test]
fn sixty_parameters_are_explained() {
    let names: Vec<String> = (0..60).map(|i| format!("x{i}")).collect();
    let space = cube(&names.iter().map(String::as_str).collect::<Vec<_>>(), 0.0, 1.0);
    let f = |c: &Config| 5.0 * c.float("x7").unwrap() + c.float("x33").unwrap();
    let importances = study(&space, Box::new(Random), 150, f).importances().unwrap();
    assert_eq!((importances.main.len(), importances.pairs.len()), (60, 120));
    assert_eq!(importances.main[0].parameters, ["x7"]);
}

#[test]
fn tables_hold_every_share_and_every_point() {
    let space = cube(&["x", "idle"], 0.0, 1.0).with("kind", Domain::categorical(["a", "b"]).unwrap()).unwrap();
    let study = study(&space, Box::new(Oracle(additive, 1.0)), 6, additive);
    let importances = study.importances().unwrap();
    let table = importances.table();
    let cell = |name: &str, row: usize| table.column(name).unwrap().text(row);
    assert_eq!(table.rows(), 3 + 3);
    assert_eq!((cell("parameter", 0), cell("with", 0)), (importances.main[0].parameters[0].clone(), String::new()));
    assert_eq!([cell("parameter", 3), cell("with", 3)], *importances.pairs[0].parameters);
    assert_eq!(cell("share", 0), format!("{:?}", importances.main[0].share));
    assert_eq!((cell("surface", 5), cell("configurations", 5)), ("model".to_owned(), "6".to_owned()));

    let curves = ["x", "kind"].map(|name| study.partial_dependence(name, 5).unwrap());
    let table = PartialDependence::table(&curves);
    let cell = |name: &str, row: usize| table.column(name).unwrap().text(row);
    assert_eq!(table.rows(), 5 + 2);
    assert_eq!((cell("parameter", 4), cell("value", 4)), ("x".to_owned(), "1.0".to_owned()));
    assert_eq!((cell("parameter", 6), cell("value", 6)), ("kind".to_owned(), "b".to_owned()));
    assert_eq!(cell("ci95_upper", 6), format!("{:?}", curves[1].points[1].ci95[1]));
}

#[test]
fn a_trial_that_was_stopped_early_is_not_explained_beside_full_runs() {
    let space = cube(&["x"], 0.0, 1.0);
    let median = SchedulerSpec::from_json("median", json!({"population": 1}).as_object().unwrap()).unwrap();
    let setup = Setup::new(space.clone(), Metric::minimize("loss")).seed(7).scheduler(median).max_resource(9);
    for searcher in [SearcherKind::Random, SearcherKind::Gp] {
        let setup = (0..20).fold(setup.clone().searcher(searcher), |setup, k| {
            // The good ones first, from the worse to the better, so that these run in full.
            let x = if k < 8 { 0.4 - 0.05 * f64::from(k) } else { 0.4 + 0.05 * f64::from(k - 8) };
            setup.point(Config::new().with("x", x))
        });
        let mut study = Study::new(setup).unwrap();
        let mut ran = Vec::new();
        for _ in 0..20 {
            let job = study.ask().unwrap().assignment().unwrap();
            let slope = 1.0 + job.config.float("x").unwrap();
            let mut step = 0;
            let mut decision = Decision::Continue;
            while decision == Decision::Continue {
                step += 1;
                decision = study.report(job.trial, step, slope * step as f64).unwrap();
            }
            study.tell(job.trial, Outcome::Done).unwrap();
            ran.push(step);
        }
        assert!(ran[..8].iter().all(|step| *step == 9) && ran[9..].iter().all(|step| *step < 5), "{ran:?}");
        let experiment = Experiment::of(&study);
        for dependence in [study.partial_dependence("x", 5), experiment.partial_dependence("x", 5)] {
            let means: Vec<f64> = dependence.unwrap().points.iter().map(|point| point.mean).collect();
            assert!(means[0] < means[4] && means.iter().all(|mean| *mean > 8.0), "{searcher}: {means:?}");
        }
        assert_eq!(study.effects().unwrap().configurations, ran.iter().filter(|step| **step == 9).count());
    }
}
