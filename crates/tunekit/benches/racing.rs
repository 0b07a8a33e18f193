//! Measures the recommendation of a study of noisy repeats, after so many measurements: racing beside asha over repeats
//! and beside three repeats always, with the same searcher. `cargo bench -p tunekit --bench racing -- METHOD FUNCTION
//! NOISE DRIFT SEEDS`: METHOD racing, asha, fifo3 or fifo1, FUNCTION bowl or valley, NOISE such as 0.1
//! (relative), DRIFT such as 0.3 (relative, up and down within 80 measurements), SEEDS such as 30. One line a mark: the
//! median of how much slower than the best possible the recommendation truly is, in percent, its quartiles and a 95 %
//! interval of the median. In the environment: DROP, ACCEPT, REPLICATES and RECHECK, the options of racing, and
//! SEARCHER.

use std::error::Error;

use tunekit::scheduler::{RacingOptions, SchedulerSpec};
use tunekit::searcher::Stream;
use tunekit::{Config, Decision, Domain, Metric, Outcome, SchedulerKind, SearcherKind, Setup, Space, Study};

const MARKS: [u64; 8] = [20, 30, 45, 60, 90, 120, 180, 240];
const MOST: u64 = 9;

struct Bench {
    valley: bool,
    centre: [f64; 4],
    noise: f64,
    drift: f64,
}

impl Bench {
    /// The true time of a measurement; 1 at best.
    fn truth(&self, config: &Config) -> Result<f64, &'static str> {
        let mut x = [0.0; 4];
        for (i, x) in x.iter_mut().enumerate() {
            *x = config.float(&format!("x{i}")).ok_or("a parameter is missing")?;
        }
        if self.valley {
            let z: Vec<f64> = x.iter().zip(self.centre).map(|(x, c)| 1.0 + 3.0 * (x - c)).collect();
            let sum: f64 = z.windows(2).map(|w| 20.0 * (w[1] - w[0] * w[0]).powi(2) + (1.0 - w[0]).powi(2)).sum();
            return Ok(1.0 + (1.0 + sum).ln() / 3.0);
        }
        let weights = [3.0, 1.5, 0.8, 0.4];
        let bowl: f64 = x.iter().zip(self.centre).zip(weights).map(|((x, c), w)| w * (x - c).powi(2)).sum();
        Ok(1.0 + bowl + 2.0 * (x[0] - self.centre[0]) * (x[1] - self.centre[1]))
    }

    fn measure(&self, config: &Config, stream: &mut Stream, k: u64) -> Result<f64, &'static str> {
        let level = self.drift * (std::f64::consts::TAU * k as f64 / 80.0).sin();
        Ok(self.truth(config)? * (self.noise * stream.normal() + level).exp())
    }
}

fn run(method: &str, bench: &Bench, seed: u64) -> Result<Vec<f64>, Box<dyn Error>> {
    let mut space = Space::new();
    for i in 0..4 {
        space = space.with(format!("x{i}"), Domain::float(0.0, 1.0)?)?;
    }
    let metric = Metric::time("seconds");
    let metric = if method == "asha" { metric } else { metric.replicated() };
    let number = |name: &str, or: f64| std::env::var(name).ok().and_then(|v| v.parse().ok()).unwrap_or(or);
    let default = RacingOptions::default();
    let options = RacingOptions {
        drop: number("DROP", default.drop),
        accept: number("ACCEPT", default.accept),
        replicates: number("REPLICATES", default.replicates as f64) as u64,
        recheck: number("RECHECK", default.recheck as f64) as u64,
    };
    let scheduler = match method {
        "racing" => SchedulerSpec::Racing(options),
        "asha" => SchedulerKind::AshaPromotion.into(),
        _ => SchedulerSpec::Fifo,
    };
    let searcher = std::env::var("SEARCHER").map_or(Ok(SearcherKind::Gp), |s| s.parse())?;
    let setup = Setup::new(space, metric).seed(seed).searcher(searcher).scheduler(scheduler);
    let mut study = Study::new(setup.max_resource(MOST))?;
    let mut stream = Stream::of_study(seed, "noise");
    let repeats = match method {
        "fifo3" => 3,
        "fifo1" => 1,
        _ => MOST,
    };
    let (mut k, mut found) = (0, Vec::new());
    let mut sums: std::collections::BTreeMap<u64, f64> = std::collections::BTreeMap::new();
    while found.len() < MARKS.len() {
        let job = study.ask()?.assignment().ok_or("nothing to do")?;
        loop {
            let step = study.trial(job.trial).and_then(|t| t.measurements.last()).map_or(1, |m| m.step + 1);
            let mut value = bench.measure(&job.config, &mut stream, k)?;
            k += 1;
            if method == "asha" {
                let sum = sums.entry(job.trial.0).or_default();
                *sum += value;
                value = *sum / step as f64;
            }
            let decision = study.report(job.trial, step, value)?;
            let ends = decision == Decision::Stop || (decision == Decision::Continue && step == repeats);
            if ends {
                study.tell(job.trial, Outcome::Done)?;
            }
            if MARKS.contains(&k) {
                found.push(100.0 * (bench.truth(&recommended(method, &mut study)?)? - 1.0));
            }
            if ends || decision == Decision::Pause || found.len() == MARKS.len() {
                break;
            }
        }
    }
    Ok(found)
}

/// Asha's is the best of those that came furthest, which is better than the best of all.
fn recommended(method: &str, study: &mut Study) -> Result<Config, Box<dyn Error>> {
    if method == "asha" {
        let reached = study.trials().iter().filter_map(|t| t.measurements.last().map(|m| (t, m)));
        let best = reached.min_by(|(_, a), (_, b)| b.step.cmp(&a.step).then(a.value.total_cmp(&b.value)));
        return Ok(best.ok_or("nothing was measured")?.0.config.clone());
    }
    // At the first mark nothing may have ended.
    let config = study.best().map(|b| b.config).or_else(|| Some(study.trials().first()?.config.clone()));
    Ok(config.ok_or("nothing was measured")?)
}

fn main() -> Result<(), Box<dyn Error>> {
    // The last word is cargo's.
    let args: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let [method, function, noise, drift, seeds] = args.as_slice() else {
        return Err("give METHOD FUNCTION NOISE DRIFT SEEDS".into());
    };
    let (noise, drift, seeds): (f64, f64, u64) = (noise.parse()?, drift.parse()?, seeds.parse()?);
    let mut all: Vec<Vec<f64>> = Vec::new();
    for seed in 1000..1000 + seeds {
        let mut stream = Stream::of_study(seed, "place");
        let centre = std::array::from_fn(|_| 0.15 + 0.7 * stream.uniform());
        let bench = Bench { valley: function == "valley", centre, noise, drift };
        all.push(run(method, &bench, seed)?);
    }
    for (i, mark) in MARKS.iter().enumerate() {
        let mut values: Vec<f64> = all.iter().map(|v| v[i]).collect();
        values.sort_by(f64::total_cmp);
        let at = |share: f64| values[((values.len() - 1) as f64 * share).round() as usize];
        // The order statistics that hold the median 95 times in 100.
        let half = 0.98 / (values.len() as f64).sqrt();
        println!(
            "{method} {function} {noise} {drift} {mark}: {:.2} quartiles [{:.2} {:.2}] median in [{:.2} {:.2}]",
            at(0.5),
            at(0.25),
            at(0.75),
            at((0.5 - half).max(0.0)),
            at((0.5 + half).min(1.0))
        );
    }
    Ok(())
}
