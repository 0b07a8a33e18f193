//! Transfers whose repeats differ by 30 to 50 %: time by requests at a time, streams of each and requests ahead, over
//! grids of powers of two (even numbers) and over whole ranges (odd numbers).

use tunekit::searcher::Stream;
use tunekit::{Config, Domain, Metric, Space, Value};

use crate::problem::{Noise, Problem};

const NAMES: [&str; 3] = ["parallelism", "concurrency", "pipelining"];

/// One route and kind of files.
#[derive(Debug, Clone, Copy)]
struct Surface {
    /// Megabytes a second, of a stream and of the link.
    stream: f64,
    link: f64,
    /// From how many streams on more of them are in the way, and how much.
    crowd: f64,
    penalty: f64,
    /// Megabytes of a file, and seconds between files.
    file: f64,
    gap: f64,
    noise: f64,
    is_grid: bool,
}

impl Surface {
    fn of(number: u64) -> Self {
        let mut draw = Stream::of_study(number, "surface");
        let mut log = |low: f64, high: f64| low * (high / low).powf(draw.uniform());
        Self {
            stream: log(3.0, 60.0),
            link: log(100.0, 1_200.0),
            crowd: log(16.0, 300.0),
            penalty: log(0.1, 1.0),
            file: log(3.0, 3_000.0),
            gap: log(0.02, 0.3),
            noise: log(0.3, 0.5),
            is_grid: number.is_multiple_of(2),
        }
    }

    fn space(self) -> Space {
        NAMES.iter().fold(Space::new(), |space, name| {
            let domain = if self.is_grid {
                let values: Vec<Value> = (0..6).map(|k| Value::Int(1 << k)).collect();
                Domain::ordinal(values).expect("the values differ")
            } else {
                Domain::float(1.0, 32.0).and_then(Domain::log).expect("the range is positive")
            };
            space.with(*name, domain).expect("the names differ")
        })
    }

    /// Seconds for a gigabyte.
    fn value(self, [parallelism, concurrency, pipelining]: [f64; 3]) -> f64 {
        let streams = parallelism * concurrency;
        let crowded = 1.0 + self.penalty * (streams / self.crowd).powi(2);
        // Streams within a file share little ones badly.
        let useful = parallelism.min((self.file / 4.0).max(1.0)).powf(0.8) * concurrency;
        let rate = (self.stream * useful).min(self.link) / crowded;
        let waits = 1_000.0 / self.file * self.gap / (concurrency * pipelining.powf(0.9));
        1_000.0 / rate + waits + 0.02 * pipelining + 0.3
    }

    fn least(self) -> f64 {
        let steps = if self.is_grid { 5 } else { 60 };
        let at = |k: i32| 32_f64.powf(f64::from(k) / f64::from(steps));
        let all = (0..=steps).flat_map(|a| (0..=steps).flat_map(move |b| (0..=steps).map(move |c| [a, b, c])));
        all.map(|k| self.value(k.map(at))).fold(f64::INFINITY, f64::min)
    }
}

pub(crate) fn problem(number: u64) -> Problem {
    let surface = Surface::of(number);
    let least = surface.least();
    Problem {
        number,
        space: surface.space(),
        metrics: vec![Metric::time("seconds").replicated()],
        trials: 40,
        noise: Noise::Share(surface.noise),
        truth: Box::new(move |config: &Config| {
            Some(vec![surface.value(NAMES.map(|name| config.float(name).unwrap_or(1.0)))])
        }),
        loss: Box::new(move |points| points.first().map_or(9.0, |point| point[0] / least - 1.0)),
        measure: "above the optimum",
    }
}
