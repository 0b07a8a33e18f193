//! The Gaussian process with constraints, several objectives, costs, failures and predicates: over many seeds, against
//! random search on the same problem.

use tunekit::results::pareto;
use tunekit::{Config, Decision, Domain, Measured, Metric, Outcome, SchedulerKind, SearcherKind, Setup, Space, Study};

fn square() -> Space {
    Space::new()
        .with("x", Domain::float(0.0, 1.0).unwrap())
        .unwrap()
        .with("y", Domain::float(0.0, 1.0).unwrap())
        .unwrap()
}

fn xy(config: &Config) -> (f64, f64) {
    (config.float("x").unwrap(), config.float("y").unwrap())
}

fn drive(setup: Setup, trials: usize, outcome: impl Fn(&Config) -> Outcome) -> Study {
    let mut study = Study::new(setup).unwrap();
    for _ in 0..trials {
        let job = study.ask().unwrap().assignment().expect("a trial");
        study.tell(job.trial, outcome(&job.config)).unwrap();
    }
    study
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Smaller is better: the median of a figure over seeds, for the process and for random search.
fn compare(seeds: u64, figure: impl Fn(SearcherKind, u64) -> f64) -> (f64, f64) {
    let of = |kind| median((1000..1000 + seeds).map(|seed| figure(kind, seed)).collect());
    (of(SearcherKind::Gp), of(SearcherKind::Random))
}

#[test]
fn an_unknown_constraint_is_learned_and_its_border_found() {
    // The optimum without the constraint, (0.2, 0.2), is far inside of the forbidden region; with it, it lies on the
    // border.
    let value = |c: &Config| (xy(c).0 - 0.2).powi(2) + (xy(c).1 - 0.2).powi(2);
    let limit = |c: &Config| 1.0 - xy(c).0 - xy(c).1;
    let (gp, random) = compare(7, |kind, seed| {
        let setup = Setup::new(square(), Metric::minimize("m")).searcher(kind).seed(seed).constraint("room");
        let study = drive(setup, 25, |c| Measured::new(value(c)).constraints([limit(c)]).into());
        let best = study.best().unwrap();
        assert!(limit(&best.config) <= 0.0, "{}", best.config);
        value(&best.config) - 0.18
    });
    assert!(gp < 0.01 && gp < random / 5.0, "gp {gp}, random {random}");
}

#[test]
fn constraints_that_were_never_measured_change_no_suggestion() {
    let suggested = |constraints: usize| -> Vec<Config> {
        let setup = Setup::new(square(), Metric::minimize("m")).seed(5);
        let setup = setup.scheduler(SchedulerKind::AshaPromotion).max_resource(81);
        let names = ["memory", "disk", "power"].into_iter().take(constraints);
        let mut study = Study::new(names.fold(setup, |setup, name| setup.constraint(name))).unwrap();
        let mut run = |_| {
            let job = study.ask().unwrap().assignment().unwrap();
            let value = (xy(&job.config).0 - 0.2).powi(2) + (xy(&job.config).1 - 0.7).powi(2);
            assert_eq!(study.report(job.trial, job.resource.unwrap(), value), Ok(Decision::Pause));
            job.config
        };
        (0..16).map(&mut run).collect()
    };
    let unconstrained = suggested(0);
    assert_eq!(suggested(1), unconstrained);
    assert_eq!(suggested(3), unconstrained);
}

#[test]
fn what_is_allowed_is_found_where_everything_is_forbidden_at_first() {
    // A fiftieth of the square is allowed, and how much is exceeded spans orders of magnitude, all of them above 0.
    let excess = |c: &Config| ((xy(c).0 - 0.87).powi(2) + (xy(c).1 - 0.13).powi(2)) / 0.0064 - 1.0;
    for workers in [1, 4] {
        let (gp, random) = compare(7, |kind, seed| {
            let setup = Setup::new(square(), Metric::minimize("m")).searcher(kind).seed(seed).constraint("room");
            let mut study = Study::new(setup).unwrap();
            let mut open = Vec::new();
            for i in 0..24 {
                open.push(study.ask().unwrap().assignment().unwrap());
                if open.len() == workers {
                    let job = open.remove(i % workers);
                    study.tell(job.trial, Measured::new(xy(&job.config).0).constraints([excess(&job.config)])).unwrap();
                }
            }
            let trials = study.trials().iter();
            -(trials.filter(|t| excess(&t.config) <= 0.0).count() as f64)
        });
        assert!(gp <= -4.0 && random >= -2.0, "{workers} workers: gp {gp}, random {random}");
    }
}

#[test]
fn where_trials_fail_is_learned() {
    // Everything right of the middle fails, and values fall towards it.
    let (gp, random) = compare(7, |kind, seed| {
        let setup = Setup::new(square(), Metric::minimize("m")).searcher(kind).seed(seed);
        let study = drive(setup, 30, |c| match xy(c) {
            (x, _) if x > 0.5 => Outcome::Failed("out of memory".to_owned()),
            (x, y) => Outcome::Value((x - 0.8).powi(2) + (y - 0.3).powi(2)),
        });
        // Failures beyond the border after it had seen some.
        study.trials()[10..].iter().filter(|t| xy(&t.config).0 > 0.55).count() as f64
    });
    // The optimum lies at the border: some of the trials there fail.
    assert!(gp <= 6.0 && random >= 8.0, "failed: gp {gp}, random {random}");
}

#[test]
fn an_optimum_beside_failures_is_found() {
    // Values fall to the border, beyond which every trial fails.
    let value = |c: &Config| (xy(c).0 - 0.8).powi(2) + (xy(c).1 - 0.3).powi(2);
    let fails = |c: &Config| xy(c).0 + 0.3 * xy(c).1 > 0.5;
    // The border's nearest point to (0.8, 0.3).
    let least = 0.39_f64.powi(2) / 1.09;
    let (gp, random) = compare(7, |kind, seed| {
        let setup = Setup::new(square(), Metric::minimize("m")).searcher(kind).seed(seed);
        let study = drive(setup, 40, |c| match fails(c) {
            true => Outcome::Failed("out of memory".to_owned()),
            false => Outcome::Value(value(c)),
        });
        value(&study.best().unwrap().config) - least
    });
    assert!(gp < 0.003 && gp < random / 5.0, "above the optimum: gp {gp}, random {random}");
}

#[test]
fn two_and_three_objectives_have_their_front_covered() {
    for three in [false, true] {
        let values = |c: &Config| {
            let (x, y) = xy(c);
            let to = |a: f64, b: f64| (x - a).powi(2) + (y - b).powi(2);
            if three { vec![to(0.1, 0.1), to(0.9, 0.1), to(0.5, 0.9)] } else { vec![to(0.1, 0.1), to(0.9, 0.8)] }
        };
        let reference = vec![0.8; if three { 3 } else { 2 }];
        let (gp, random) = compare(5, |kind, seed| {
            let mut setup = Setup::new(square(), Metric::minimize("a")).searcher(kind).seed(seed);
            for name in &["b", "c"][..reference.len() - 1] {
                setup = setup.objective(Metric::minimize(*name));
            }
            let study = drive(setup, 30, |c| {
                let all = values(c);
                Measured::new(all[0]).more(all[1..].to_vec()).into()
            });
            let front: Vec<Vec<f64>> = study.pareto().iter().map(|b| values(&b.config)).collect();
            -pareto::hypervolume(&front, &reference)
        });
        assert!(gp < 1.04 * random, "volumes: gp {}, random {}", -gp, -random);
    }
}

#[test]
fn a_first_front_of_one_point_is_left_for_the_rest_of_the_front() {
    // The cheapest configuration is always on the front; the front goes from n = 1 to 40.
    let space = Space::new()
        .with("x", Domain::float(-5.0, 10.0).unwrap())
        .unwrap()
        .with("n", Domain::int(1, 512).unwrap().log().unwrap())
        .unwrap()
        .with("k", Domain::categorical(["a", "b", "c"]).unwrap())
        .unwrap();
    let values = |c: &Config| {
        let n = c.float("n").unwrap();
        let kind = if c.text("k") == Some("a") { 1.0 } else { 0.0 };
        [(c.float("x").unwrap() - 2.0).powi(2) + (n / 40.0 - 1.0).abs() + kind, n]
    };
    let truth: Vec<Vec<f64>> = (1..=40).map(|n| vec![(f64::from(n) / 40.0 - 1.0).abs(), f64::from(n)]).collect();
    let reference = [1.1, 45.0];
    let missed = |kind, seed| {
        let setup = Setup::new(space.clone(), Metric::minimize("loss")).objective(Metric::minimize("n"));
        let mut noise = tunekit::searcher::Stream::of_study(seed, "noise of the function");
        let mut study = Study::new(setup.searcher(kind).seed(seed)).unwrap();
        for _ in 0..40 {
            let job = study.ask().unwrap().assignment().unwrap();
            let [loss, n] = values(&job.config);
            study.tell(job.trial, Measured::new(loss + 0.05 * noise.normal()).more([n])).unwrap();
        }
        let tried: Vec<Vec<f64>> = study.trials().iter().map(|t| values(&t.config).to_vec()).collect();
        1.0 - pareto::hypervolume(&tried, &reference) / pareto::hypervolume(&truth, &reference)
    };
    let of = |kind| median((0..7).map(|seed| missed(kind, seed)).collect());
    let (gp, tpe) = (of(SearcherKind::Gp), of(SearcherKind::Tpe));
    assert!(gp < 0.3 && gp < tpe, "volume missed: gp {gp}, tpe {tpe}");
}

#[test]
fn with_four_objectives_the_front_is_covered_too() {
    let values = |c: &Config| {
        let (x, y) = xy(c);
        [(0.1, 0.1), (0.9, 0.1), (0.5, 0.9), (0.2, 0.7)].map(|(a, b)| (x - a).powi(2) + (y - b).powi(2))
    };
    let (gp, random) = compare(5, |kind, seed| {
        let mut setup = Setup::new(square(), Metric::minimize("a")).searcher(kind).seed(seed);
        for name in ["b", "c", "d"] {
            setup = setup.objective(Metric::minimize(name));
        }
        let study = drive(setup, 24, |c| {
            let [first, more @ ..] = values(c);
            Measured::new(first).more(more).into()
        });
        let front: Vec<Vec<f64>> = study.pareto().iter().map(|b| values(&b.config).to_vec()).collect();
        -pareto::hypervolume(&front, &[0.8; 4])
    });
    assert!(gp < 1.02 * random, "volumes: gp {}, random {}", -gp, -random);
}

#[test]
fn what_costs_less_is_preferred_where_cost_counts() {
    // Equally good along x, but a hundred times as dear at its end.
    let cost = |c: &Config| 100_f64.powf(xy(c).0);
    let (aware, unaware) = {
        let spent = |aware: bool| {
            median(
                (1000..1007)
                    .map(|seed| {
                        let setup = Setup::new(square(), Metric::minimize("m")).seed(seed);
                        let setup = if aware { setup.cost_aware() } else { setup };
                        let value = |c: &Config| (xy(c).1 - 0.3).powi(2);
                        let study = drive(setup, 25, |c| Measured::new(value(c)).cost(cost(c)).into());
                        study.trials().iter().map(|t| cost(&t.config)).sum()
                    })
                    .collect(),
            )
        };
        (spent(true), spent(false))
    };
    assert!(aware < 0.7 * unaware, "aware {aware}, unaware {unaware}");
}

#[test]
fn only_what_a_predicate_allows_is_suggested_and_the_border_is_reached() {
    let space = square().require("x + y <= 0.5").unwrap();
    let setup = Setup::new(space.clone(), Metric::maximize("m")).seed(1001);
    let study = drive(setup, 25, |c| Outcome::Value(xy(c).0 + 2.0 * xy(c).1));
    assert!(study.trials().iter().all(|t| space.allows(&t.config)));
    assert!(study.best().unwrap().value > 0.97, "{:?}", study.best());
}

#[test]
fn the_first_modelled_trials_stay_near_what_is_known() {
    // A plane falls towards a corner far from the first points, and a model of them would go there at once.
    let cube = (0..6).fold(Space::new(), |s, i| s.with(format!("x{i}"), Domain::float(0.0, 1.0).unwrap()).unwrap());
    let place = |c: &Config| -> Vec<f64> { (0..6).map(|i| c.float(&format!("x{i}")).unwrap()).collect() };
    for seed in 1000..1010 {
        let setup = Setup::new(cube.clone(), Metric::minimize("m")).seed(seed);
        let study = drive(setup, 9, |c| Outcome::Value(place(c).iter().sum()));
        let places: Vec<Vec<f64>> = study.trials().iter().map(|t| place(&t.config)).collect();
        let distance = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        let nearest = places[..8].iter().map(|p| distance(p, &places[8])).fold(f64::INFINITY, f64::min);
        // 0.3 of the cube, and a share more for each of eight trials in six parameters.
        assert!(nearest <= 0.3 * (1.0 + 8.0 / 35.0) + 1e-9, "seed {seed}: {nearest}");
    }
}

#[test]
fn a_known_noise_is_taken_as_it_is() {
    // The same measurements: the larger the noise they are said to have, the less the luckiest is believed.
    let interval = |metric: Metric| {
        let mut study = Study::new(Setup::new(square(), metric)).unwrap();
        let mut stream = tunekit::searcher::Stream::of_study(1, "test");
        for _ in 0..20 {
            let config = Config::new().with("x", stream.uniform()).with("y", stream.uniform());
            study.add(&config, (xy(&config).0 - 0.4).abs() + 0.1 * stream.uniform()).unwrap();
        }
        let [low, high] = study.best().unwrap().ci95.unwrap();
        high - low
    };
    let (small, large) =
        (interval(Metric::minimize("m").with_noise(0.01)), interval(Metric::minimize("m").with_noise(0.2)));
    assert!(small < 0.5 * large, "{small} {large}");
    let wrong = Setup::new(square(), Metric::minimize("m").with_noise(-1.0));
    assert!(Study::new(wrong).unwrap_err().to_string().contains("positive"));
}

#[test]
fn a_value_that_is_next_to_nothing_does_not_bend_the_others() {
    // A plane that is 0 in a corner, where trials come out as 1e-16: their logarithms would be all that counts.
    for seed in 1000..1005 {
        let mut study = Study::new(Setup::new(square(), Metric::minimize("m")).seed(seed)).unwrap();
        for value in [5e-16, 3e-16, 1e-15] {
            study.add(&Config::new().with("x", value).with("y", 0.0), 3.0 * value).unwrap();
        }
        for _ in 0..12 {
            let job = study.ask().unwrap().assignment().unwrap();
            let (x, y) = xy(&job.config);
            study.tell(job.trial, 3.0 * x + y + 1e-16).unwrap();
        }
        let partial = study.partial_dependence("x", 3).unwrap();
        for (point, wanted) in partial.points.iter().zip([0.5, 2.0, 3.5]) {
            assert!((point.mean - wanted).abs() < 0.2, "seed {seed}: {partial:?}");
        }
    }
}
