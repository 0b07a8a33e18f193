//! Published test functions, each a plain formula over numbers; spaces, optima and noise are `board`'s.
//!
//! Surjanovic and Bingham, "Virtual Library of Simulation Experiments" (sfu.ca/~ssurjano), has all of them except
//! `transfer`. `transfer` is an invented cost of moving one large object, with the properties of S3: latency, a link,
//! memory, contention.

use std::f64::consts::{E, PI};

pub(super) fn branin(x: &[f64]) -> f64 {
    let (a, b) = (x[0], x[1]);
    let t = b - 5.1 / (4.0 * PI * PI) * a * a + 5.0 / PI * a - 6.0;
    t * t + 10.0 * (1.0 - 1.0 / (8.0 * PI)) * a.cos() + 10.0
}

const HARTMANN_ALPHA: [f64; 4] = [1.0, 1.2, 3.0, 3.2];

fn hartmann<const D: usize>(a: &[[f64; D]; 4], p: &[[f64; D]; 4], x: &[f64]) -> f64 {
    let term = |i: usize| -> f64 {
        let square: f64 = (0..D).map(|j| a[i][j] * (x[j] - 1e-4 * p[i][j]).powi(2)).sum();
        HARTMANN_ALPHA[i] * (-square).exp()
    };
    -(0..4).map(term).sum::<f64>()
}

pub(super) fn hartmann3(x: &[f64]) -> f64 {
    const A: [[f64; 3]; 4] = [[3.0, 10.0, 30.0], [0.1, 10.0, 35.0], [3.0, 10.0, 30.0], [0.1, 10.0, 35.0]];
    const P: [[f64; 3]; 4] =
        [[3689.0, 1170.0, 2673.0], [4699.0, 4387.0, 7470.0], [1091.0, 8732.0, 5547.0], [381.0, 5743.0, 8828.0]];
    hartmann(&A, &P, x)
}

pub(super) fn hartmann6(x: &[f64]) -> f64 {
    const A: [[f64; 6]; 4] = [
        [10.0, 3.0, 17.0, 3.5, 1.7, 8.0],
        [0.05, 10.0, 17.0, 0.1, 8.0, 14.0],
        [3.0, 3.5, 1.7, 10.0, 17.0, 8.0],
        [17.0, 8.0, 0.05, 10.0, 0.1, 14.0],
    ];
    const P: [[f64; 6]; 4] = [
        [1312.0, 1696.0, 5569.0, 124.0, 8283.0, 5886.0],
        [2329.0, 4135.0, 8307.0, 3736.0, 1004.0, 9991.0],
        [2348.0, 1451.0, 3522.0, 2883.0, 3047.0, 6650.0],
        [4047.0, 8828.0, 8732.0, 5743.0, 1091.0, 381.0],
    ];
    hartmann(&A, &P, x)
}

/// Ackley 1987; 0 at the origin.
pub(super) fn ackley(z: &[f64]) -> f64 {
    let n = z.len() as f64;
    let root = (z.iter().map(|v| v * v).sum::<f64>() / n).sqrt();
    let mean = z.iter().map(|v| (2.0 * PI * v).cos()).sum::<f64>() / n;
    -20.0 * (-0.2 * root).exp() - mean.exp() + 20.0 + E
}

/// Levy's function; 0 at (1, ..., 1).
pub(super) fn levy(x: &[f64]) -> f64 {
    let w: Vec<f64> = x.iter().map(|v| 1.0 + (v - 1.0) / 4.0).collect();
    let (first, last) = (w[0], w[w.len() - 1]);
    let middle: f64 =
        w[..w.len() - 1].iter().map(|v| (v - 1.0).powi(2) * (1.0 + 10.0 * (PI * v + 1.0).sin().powi(2))).sum();
    (PI * first).sin().powi(2) + middle + (last - 1.0).powi(2) * (1.0 + (2.0 * PI * last).sin().powi(2))
}

/// Rosenbrock 1960; 0 at (1, ..., 1).
pub(super) fn rosenbrock(x: &[f64]) -> f64 {
    x.windows(2).map(|w| 100.0 * (w[1] - w[0] * w[0]).powi(2) + (1.0 - w[0]).powi(2)).sum()
}

/// Rastrigin 1974; 0 at the origin.
pub(super) fn rastrigin(z: &[f64]) -> f64 {
    z.iter().map(|v| v * v - 10.0 * (2.0 * PI * v).cos() + 10.0).sum()
}

/// Styblinski and Tang 1990; the same minimum in every coordinate.
pub(super) fn styblinski_tang(x: &[f64]) -> f64 {
    x.iter().map(|v| v.powi(4) - 16.0 * v * v + 5.0 * v).sum::<f64>() / 2.0
}

/// Dixon and Szego 1978: six humps, two of them lowest.
pub(super) fn camel(x: &[f64]) -> f64 {
    let (a, b) = (x[0] * x[0], x[1] * x[1]);
    (4.0 - 2.1 * a + a * a / 3.0) * a + x[0] * x[1] + (4.0 * b - 4.0) * b
}

/// Michalewicz 1992 with m = 10: steep valleys, flat between.
pub(super) fn michalewicz(x: &[f64]) -> f64 {
    let term = |(i, v): (usize, &f64)| v.sin() * ((i as f64 + 1.0) * v * v / PI).sin().powi(20);
    -x.iter().enumerate().map(term).sum::<f64>()
}

/// Griewank 1981; 0 at the origin.
pub(super) fn griewank(z: &[f64]) -> f64 {
    let product: f64 = z.iter().enumerate().map(|(i, v)| (v / (i as f64 + 1.0).sqrt()).cos()).product();
    z.iter().map(|v| v * v).sum::<f64>() / 4000.0 - product + 1.0
}

pub(super) fn sphere(z: &[f64]) -> f64 {
    z.iter().map(|v| v * v).sum()
}

/// Goldstein and Price 1971: values over six orders of magnitude; 3 at (0, -1).
pub(super) fn goldstein_price(x: &[f64]) -> f64 {
    let (a, b) = (x[0], x[1]);
    let left = 19.0 - 14.0 * a + 3.0 * a * a - 14.0 * b + 6.0 * a * b + 3.0 * b * b;
    let right = 18.0 - 32.0 * a + 12.0 * a * a + 48.0 * b - 36.0 * a * b + 27.0 * b * b;
    (1.0 + (a + b + 1.0).powi(2) * left) * (30.0 + (2.0 * a - 3.0 * b).powi(2) * right)
}

pub(super) const KIB: f64 = 1024.0;
pub(super) const MIB: f64 = 1024.0 * KIB;
pub(super) const GIB: f64 = 1024.0 * MIB;

/// The behaviour of one engine of `transfer`.
struct Engine {
    bytes_per_s: f64,
    latency_s: f64,
    io_s: f64,
    /// Connections before contention.
    knee: f64,
}

/// classic, crt, async, mmap.
const ENGINES: [Engine; 4] = [
    Engine { bytes_per_s: 60e6, latency_s: 0.045, io_s: 30e-6, knee: 24.0 },
    Engine { bytes_per_s: 90e6, latency_s: 0.030, io_s: 12e-6, knee: 96.0 },
    Engine { bytes_per_s: 75e6, latency_s: 0.035, io_s: 8e-6, knee: 48.0 },
    Engine { bytes_per_s: 90e6, latency_s: 0.060, io_s: 4e-6, knee: 16.0 },
];

/// Seconds to move 20 GiB over a link of 2.5 GB/s: (max_concurrency, part size, io chunk, io queue), and the engine
/// where there is a fifth.
pub(super) fn transfer(x: &[f64]) -> f64 {
    let engine = &ENGINES[x.get(4).map_or(1, |e| *e as usize)];
    let (concurrency, part, io, queue) = (x[0], x[1], x[2], x[3]);
    let (size, link) = (20.0 * GIB, 2.5e9);
    let parts = (size / part).ceil();
    let active = concurrency.min(parts);
    let share = engine.bytes_per_s.min(link / active);
    let rounds = parts / active;
    let waves = rounds.max(rounds.ceil() * 0.5 + rounds * 0.5);
    let mut time = waves * (engine.latency_s + part / share);
    time += size / io * engine.io_s + size * (io / (8.0 * MIB) - 1.0).max(0.0) * 2e-11;
    let buffered = queue * io;
    time *= 1.0 + 0.6 * (1.0 - buffered / (96.0 * MIB)).max(0.0);
    let memory = (0.5 * active * part + buffered.min(size)) / (3.0 * GIB);
    time *= 1.0 + 0.5 * (memory - 1.0).max(0.0).powf(0.7);
    time *= 1.0 + 0.25 * (concurrency / engine.knee - 1.0).max(0.0).powf(1.2);
    time + 0.004 * concurrency
}
