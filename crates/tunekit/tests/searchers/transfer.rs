//! Starting from earlier studies: the gain where they are alike, and the cost where they are not.

use tunekit::study::{Transfer, TransferError, TransferMethod};
use tunekit::{
    Config, Decision, Domain, Experiment, Measured, Metric, Outcome, SchedulerKind, SearcherKind, Setup, Space, Study,
};

fn space() -> Space {
    Space::new()
        .with("x", Domain::float(-5.0, 10.0).unwrap())
        .unwrap()
        .with("n", Domain::int(1, 1000).unwrap().log().unwrap())
        .unwrap()
        .with("kind", Domain::categorical(["a", "b", "c"]).unwrap())
        .unwrap()
}

/// A bowl around a place; tasks have their own scale and offset, so that only ranks compare.
#[derive(Debug, Clone, Copy)]
struct Task {
    x: f64,
    log_n: f64,
    kind: &'static str,
    scale: f64,
    offset: f64,
}

impl Task {
    /// A family: places near each other, `i` tells them apart.
    fn related(i: u64) -> Self {
        let wiggle = |k: u64| ((i * 7 + k * 3) % 5) as f64 / 5.0 - 0.4;
        let scale = 10_f64.powi((i % 4) as i32 - 1);
        Self { x: 6.0 + 2.0 * wiggle(1), log_n: 2.2 + 0.2 * wiggle(2), kind: "b", scale, offset: 100.0 * wiggle(3) }
    }

    /// As bad a guide as there can be.
    fn unrelated(i: u64) -> Self {
        Self { x: -3.0 + 0.3 * i as f64, log_n: 0.4, kind: "c", scale: 3.0, offset: -20.0 }
    }

    fn regret(&self, config: &Config) -> f64 {
        let x = (config.float("x").unwrap() - self.x) / 5.0;
        let n = config.float("n").unwrap().log10() - self.log_n;
        let kind = if config.text("kind") == Some(self.kind) { 0.0 } else { 0.7 };
        x * x + n * n + kind
    }

    fn value(&self, config: &Config) -> f64 {
        self.offset + self.scale * self.regret(config)
    }

    fn setup(seed: u64, searcher: SearcherKind) -> Setup {
        Setup::new(space(), Metric::minimize("loss")).seed(seed).searcher(searcher)
    }

    /// An earlier study, which came close to its best.
    fn studied(&self, seed: u64) -> Experiment {
        let mut study = Study::new(Self::setup(seed, SearcherKind::Gp)).unwrap();
        for _ in 0..25 {
            let job = study.ask().unwrap().assignment().unwrap();
            study.tell(job.trial, self.value(&job.config)).unwrap();
        }
        Experiment::of(&study)
    }

    /// Number of trials to come within a regret of 0.05; 40 for more.
    fn trials(&self, setup: Setup) -> f64 {
        let mut study = Study::new(setup).unwrap();
        for n in 1..40 {
            let job = study.ask().unwrap().assignment().unwrap();
            if self.regret(&job.config) < 0.05 {
                return f64::from(n);
            }
            study.tell(job.trial, self.value(&job.config)).unwrap();
        }
        40.0
    }
}

/// Mean trials over seeds: without, and with `method` from four earlier studies.
fn trials(method: TransferMethod, searcher: SearcherKind, earlier: fn(u64) -> Task) -> (f64, f64) {
    let seeds = 0..12;
    let mut sums = (0.0, 0.0);
    let experiments: Vec<Experiment> = (0..4).map(|i| earlier(i).studied(100 + i)).collect();
    for seed in seeds.clone() {
        let now = Task::related(4 + seed);
        let setup = Task::setup(seed, searcher);
        let transfer = Transfer::new(&setup, experiments.clone()).unwrap();
        sums.0 += now.trials(setup.clone());
        sums.1 += now.trials(transfer.apply(method, Transfer::POINTS, setup));
    }
    let n = seeds.count() as f64;
    (sums.0 / n, sums.1 / n)
}

#[test]
fn related_studies_save_most_of_the_trials() {
    use TransferMethod::{BoundingBox, Quantile, ZeroShot};
    for (method, searcher, at_most) in [
        (ZeroShot, SearcherKind::Gp, 0.6),
        (Quantile, SearcherKind::Gp, 0.6),
        (BoundingBox, SearcherKind::Gp, 0.8),
        (BoundingBox, SearcherKind::Random, 0.5),
    ] {
        let (without, with) = trials(method, searcher, Task::related);
        assert!(with < at_most * without, "{method:?} with {searcher}: {with} trials, {without} without");
    }
}

#[test]
fn unrelated_studies_cost_little_more_than_their_points() {
    for method in [TransferMethod::ZeroShot, TransferMethod::Quantile] {
        let (without, with) = trials(method, SearcherKind::Gp, Task::unrelated);
        assert!(with < without + 1.2 * Transfer::POINTS as f64, "{method:?}: {with} trials, {without} without");
    }
}

#[test]
fn a_portfolio_covers_two_kinds_of_studies_with_its_first_two_points() {
    let experiments: Vec<Experiment> =
        (0..6).map(|i| if i % 2 == 0 { Task::related(i) } else { Task::unrelated(i) }.studied(i)).collect();
    let setup = Task::setup(0, SearcherKind::Gp);
    let portfolio = Transfer::new(&setup, experiments).unwrap().zero_shot(4);
    assert_eq!(portfolio.len(), 4);
    for task in [Task::related(0), Task::unrelated(1)] {
        let regrets: Vec<f64> = portfolio.iter().map(|config| task.regret(config)).collect();
        assert!(regrets[0].min(regrets[1]) < 0.5, "{task:?}: {regrets:?}");
    }
    // One alone cannot.
    assert!(Task::related(0).regret(&portfolio[0]).max(Task::unrelated(1).regret(&portfolio[0])) > 0.5);
}

#[test]
fn a_box_holds_the_best_of_every_study_and_little_else() {
    let experiments: Vec<Experiment> = (0..4).map(|i| Task::related(i).studied(i)).collect();
    let best: Vec<Config> = experiments
        .iter()
        .map(|e| {
            let least = e.trials().iter().min_by(|a, b| a.told.unwrap().total_cmp(&b.told.unwrap()));
            least.unwrap().config.clone()
        })
        .collect();
    let setup = Task::setup(0, SearcherKind::Gp);
    let small = Transfer::new(&setup, experiments).unwrap().bounding_box();
    assert!(best.iter().all(|config| small.validate(config).is_ok()), "{best:?} {small:?}");
    // Every value of the box is one of the space's.
    for point in [[0.0; 3], [0.3; 3], [0.7; 3], [1.0; 3]] {
        assert!(space().validate(&small.decode(&point).unwrap()).is_ok());
    }
    let (Some(Domain::Float(x)), Some(Domain::Int(n))) = (small.domain("x"), small.domain("n")) else {
        panic!("{small:?}");
    };
    assert!(x.hi() - x.lo() < 9.0 && n.is_log() && n.lo() > 1, "{small:?}");
}

#[test]
fn a_box_keeps_conditions_predicates_and_what_others_depend_on() {
    let space = Space::new()
        .with("kind", Domain::categorical(["a", "b", "c"]).unwrap())
        .unwrap()
        .with("x", Domain::float(0.0, 1.0).unwrap())
        .unwrap()
        .with_when("depth", Domain::int(1, 100).unwrap(), "kind", ["a", "b"])
        .unwrap()
        .require("depth * x <= 50")
        .unwrap();
    let setup = Setup::new(space.clone(), Metric::minimize("loss"));
    let mut study = Study::new(setup.clone()).unwrap();
    for (x, depth) in [(0.4, 20), (0.5, 24)] {
        let config = Config::new().with("kind", "a").with("x", x).with("depth", depth);
        study.add(&config, x).unwrap();
    }
    let small = Transfer::new(&setup, vec![Experiment::of(&study)]).unwrap().bounding_box();
    assert_eq!(small.domain("kind"), space.domain("kind"));
    assert!(small.conditions("depth").eq(space.conditions("depth")) && small.predicates().eq(space.predicates()));
    let Some(Domain::Int(depth)) = small.domain("depth") else { panic!("{small:?}") };
    assert!(depth.lo() > 10 && depth.hi() < 40, "{small:?}");
}

#[test]
fn studies_that_cannot_be_used_are_named() {
    let setup = Task::setup(0, SearcherKind::Gp);
    assert_eq!(Transfer::new(&setup, Vec::new()).unwrap_err(), TransferError::None);
    let good = Task::related(0).studied(0);
    let other = Space::new().with("x", Domain::float(-5.0, 11.0).unwrap()).unwrap();
    let mut study = Study::new(Setup::new(other, Metric::minimize("loss"))).unwrap();
    let error = Transfer::new(&setup, vec![good.clone(), Experiment::of(&study)]).unwrap_err();
    assert_eq!(error, TransferError::Space { index: 1, parameter: "x".into() });
    study = Study::new(Task::setup(0, SearcherKind::Gp)).unwrap();
    let error = Transfer::new(&setup, vec![Experiment::of(&study)]).unwrap_err();
    assert_eq!(error, TransferError::Empty { index: 0 });
    let max = Setup::new(space(), Metric::maximize("score"));
    assert!(matches!(Transfer::new(&max, vec![good]), Err(TransferError::Goal { index: 0, .. })));
}

#[test]
fn points_come_after_the_users_and_only_once() {
    let setup = Task::setup(3, SearcherKind::Gp);
    let transfer = Transfer::new(&setup, vec![Task::related(0).studied(0)]).unwrap();
    let first = transfer.zero_shot(1).remove(0);
    let setup = setup.point(first.clone());
    for method in [TransferMethod::ZeroShot, TransferMethod::Quantile] {
        let applied = transfer.apply(method, 4, setup.clone());
        assert_eq!(applied, transfer.apply(method, 4, setup.clone()));
        let points = &applied.points_to_evaluate;
        assert_eq!(points[0], first);
        assert!(points.len() >= 4 && points[1..].iter().all(|p| *p != first), "{points:?}");
    }
}

#[test]
fn what_does_not_meet_a_constraint_is_not_transferred() {
    let space = Space::new().with("x", Domain::float(0.0, 1.0).unwrap()).unwrap();
    let setup = |seed| {
        let setup = Setup::new(space.clone(), Metric::minimize("loss")).constraint("over");
        setup.searcher(SearcherKind::Random).seed(seed)
    };
    // Better the larger x is, and allowed only up to 0.3.
    let measure = |study: &mut Study| {
        let job = study.ask().unwrap().assignment().unwrap();
        let x = job.config.float("x").unwrap();
        let measured = Measured { constraints: vec![x - 0.3], ..Measured::new(1.0 - x) };
        study.tell(job.trial, measured).unwrap();
        x
    };
    for seed in 0..10 {
        let mut earlier = Study::new(setup(seed)).unwrap();
        let allowed = (0..30).map(|_| measure(&mut earlier)).filter(|x| *x <= 0.3).fold(0.0, f64::max);
        let transfer = Transfer::new(&setup(seed + 100), vec![Experiment::of(&earlier)]).unwrap();
        // More are asked for than are allowed.
        let points = transfer.zero_shot(30);
        assert!(points.iter().all(|c| c.float("x").unwrap() <= 0.3), "{points:?}");
        assert_eq!(points[0].float("x"), Some(allowed));
        let boxed = Setup { space: transfer.bounding_box(), ..setup(seed + 100) };
        let mut study = Study::new(boxed).unwrap();
        assert!((0..20).any(|_| measure(&mut study) <= 0.3), "nothing is allowed in the box");
    }
    // The constraints of another study say nothing here.
    let earlier = Experiment::of(&Study::new(setup(0)).unwrap());
    let other = Setup::new(space.clone(), Metric::minimize("loss"));
    let refused = Transfer::new(&other, vec![earlier]).unwrap_err().to_string();
    assert!(refused.contains("constraints [over], this one []"), "{refused}");
}

#[test]
fn only_what_meets_the_constraints_is_proposed_or_bounds_the_box() {
    let space = Space::new().with("x", Domain::float(0.0, 1.0).unwrap()).unwrap();
    let setup = Setup::new(space, Metric::minimize("loss")).constraint("over");
    let earlier = |results: &[(f64, f64)]| {
        let mut study = Study::new(setup.clone()).unwrap();
        for (x, over) in results {
            let measured = Measured { constraints: vec![*over], ..Measured::new(1.0 - x) };
            study.add(&Config::new().with("x", *x), measured).unwrap();
        }
        Experiment::of(&study)
    };
    let little = earlier(&[(0.1, -1.0), (0.5, 1.0), (0.9, 1.0)]);
    let nothing = earlier(&[(0.6, 1.0), (0.8, 1.0)]);
    let transfer = Transfer::new(&setup, vec![little, nothing]).unwrap();
    assert_eq!(transfer.zero_shot(3), [Config::new().with("x", 0.1)]);
    let boxed = transfer.bounding_box();
    let Some(Domain::Float(range)) = boxed.domain("x") else { panic!("{boxed:?}") };
    assert!(range.hi() < 0.5, "the box reaches {}, where nothing is allowed", range.hi());
}

#[test]
fn what_ran_in_full_and_won_is_better_than_what_was_stopped() {
    for kind in [SchedulerKind::Asha, SchedulerKind::AshaPromotion, SchedulerKind::Median] {
        let space = Space::new().with("x", Domain::float(0.0, 1.0).unwrap()).unwrap();
        let setup = Setup::new(space, Metric::minimize("loss")).searcher(SearcherKind::Random).seed(3);
        let mut study = Study::new(setup.clone().scheduler(kind).max_resource(9)).unwrap();
        // Losses rise along the way, as large errors that take long to show do.
        while study.started() < 12 {
            let job = study.ask().unwrap().assignment().unwrap();
            let slope = 2.0 - 1.0 / (1.0 + job.trial.0 as f64);
            let mut step = job.from.map_or(0, |from| from.resource);
            let mut decision = Decision::Continue;
            while decision == Decision::Continue {
                step += 1;
                decision = study.report(job.trial, step, slope * step as f64).unwrap();
            }
            if decision == Decision::Stop {
                study.tell(job.trial, Outcome::Done).unwrap();
            }
        }
        let ends = |step| study.trials().iter().filter(|t| t.last_step() == Some(step)).count();
        assert!(ends(1) > 1 && ends(9) > 0, "{kind}: {} and {}", ends(1), ends(9));
        let transfer = Transfer::new(&setup, vec![Experiment::of(&study)]).unwrap();
        assert_eq!(transfer.zero_shot(1), [study.trials()[0].config.clone()], "{kind}");
    }
}

#[test]
fn nothing_is_proposed_that_a_predicate_forbids() {
    let space = Space::new().with("x", Domain::float(0.0, 1.0).unwrap()).unwrap();
    let space = space.with("y", Domain::float(0.0, 1.0).unwrap()).unwrap().require("x + y <= 0.5").unwrap();
    let setup = Setup::new(space.clone(), Metric::minimize("loss")).searcher(SearcherKind::Random);
    let mut study = Study::new(setup.clone()).unwrap();
    for _ in 0..30 {
        let job = study.ask().unwrap().assignment().unwrap();
        // Best where it is forbidden.
        let loss = -job.config.float("x").unwrap() - job.config.float("y").unwrap();
        study.tell(job.trial, loss).unwrap();
    }
    let transfer = Transfer::new(&setup, vec![Experiment::of(&study)]).unwrap();
    for seed in 0..10 {
        let points = transfer.quantile(5, seed);
        assert!(points.len() == 5 && points.iter().all(|config| space.allows(config)), "{points:?}");
    }
    assert!(Study::new(transfer.apply(TransferMethod::Quantile, 5, setup)).is_ok());
}

#[test]
fn spaces_that_differ_are_told_apart_by_what_differs() {
    let with = |names: [&str; 2], predicate: Option<&str>, pooled: &str| {
        let space = names.iter().fold(Space::new(), |s, name| s.with(*name, Domain::int(1, 9).unwrap()).unwrap());
        let space = space.with("kind", Domain::categorical(["plain", "pooled"]).unwrap()).unwrap();
        let space = space.with_when("pool", Domain::Bool, "kind", [pooled]).unwrap();
        predicate.map_or(space.clone(), |predicate| space.require(predicate).unwrap())
    };
    let setup = |space| Setup::new(space, Metric::minimize("loss"));
    let ours = setup(with(["a", "b"], Some("a <= b"), "pooled"));
    let refused = |theirs: Space| {
        let study = Study::new(setup(theirs)).unwrap();
        Transfer::new(&ours, vec![Experiment::of(&study)]).unwrap_err()
    };
    let of = |parameter: &str| TransferError::Space { index: 0, parameter: parameter.to_owned() };
    assert_eq!(refused(with(["a", "c"], None, "pooled")), of("b"));
    assert_eq!(refused(with(["b", "a"], Some("a <= b"), "pooled")), of("a"));
    assert_eq!(refused(with(["a", "b"], Some("a <= b"), "plain")), of("pool"));
    let predicates = refused(with(["a", "b"], Some("a < b"), "pooled"));
    assert_eq!(
        predicates.to_string(),
        "earlier study 0 has the predicates [a < b], this one [a <= b]; transfer needs equal ones"
    );
    assert!(matches!(refused(with(["a", "b"], None, "pooled")), TransferError::Predicates { index: 0, .. }));
    assert_eq!(refused(with(["a", "b"], Some("a <= b"), "pooled")), TransferError::Empty { index: 0 });
}
