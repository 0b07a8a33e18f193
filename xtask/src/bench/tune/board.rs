//! The board: functions with their spaces, noise, optima and groups. The formulae are in `formulae`.
//!
//! Optima at the centre of the box are moved away from it, because some searchers begin there.

use serde_json::{Map, Value, json};

use super::chance::Chance;
use super::formulae::{
    GIB, KIB, MIB, ackley, branin, camel, goldstein_price, griewank, hartmann3, hartmann6, levy, michalewicz,
    rastrigin, rosenbrock, sphere, styblinski_tang, transfer,
};

/// Functions that are ranked together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Group {
    /// Real parameters, no noise.
    Continuous,
    /// Real parameters, noise.
    Noisy,
    /// Integers, choices, truth values; some with noise.
    Mixed,
}

impl Group {
    pub(super) const ALL: [Self; 3] = [Self::Continuous, Self::Noisy, Self::Mixed];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Continuous => "continuous",
            Self::Noisy => "noisy",
            Self::Mixed => "mixed",
        }
    }
}

/// One parameter; a formula sees a choice as its place in the list, false as 0 and true as 1.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Parameter {
    Float { lo: f64, hi: f64, log: bool },
    Int { lo: f64, hi: f64, log: bool },
    Choice(&'static [&'static str]),
    Bool,
}

/// The difference of an observation from the value.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Noise {
    None,
    /// By a factor exp(s N(0, 1)).
    Factor(f64),
    /// By a summand s N(0, 1).
    Summand(f64),
}

/// A function to be minimised.
#[derive(Debug, Clone)]
pub(super) struct Function {
    pub(super) name: &'static str,
    pub(super) group: Group,
    space: Vec<(String, Parameter)>,
    value: fn(&[f64]) -> f64,
    noise: Noise,
    /// The place of the least value, one such place.
    at: Vec<f64>,
    /// The least value.
    pub(super) best: f64,
    /// One of those a quick run takes.
    pub(super) quick: bool,
}

impl Function {
    /// The space as `create` takes it.
    pub(super) fn space(&self) -> Value {
        let one = |parameter: &Parameter| match parameter {
            Parameter::Float { lo, hi, log } => json!({"type": "float", "lo": lo, "hi": hi, "log": log}),
            Parameter::Int { lo, hi, log } => {
                json!({"type": "int", "lo": *lo as i64, "hi": *hi as i64, "log": log})
            }
            Parameter::Choice(values) => json!({"type": "categorical", "values": values}),
            Parameter::Bool => json!({"type": "bool"}),
        };
        Value::Object(self.space.iter().map(|(name, parameter)| (name.clone(), one(parameter))).collect())
    }

    /// The numbers a formula sees in a configuration.
    ///
    /// # Errors
    /// A parameter that is missing, of another type, or outside: the searcher's mistake.
    pub(super) fn point(&self, config: &Value) -> Result<Vec<f64>, String> {
        let number = |(name, parameter): &(String, Parameter)| {
            let value = &config[name.as_str()];
            let number = match parameter {
                Parameter::Float { lo, hi, .. } => value.as_f64().filter(|v| (*lo..=*hi).contains(v)),
                Parameter::Int { lo, hi, .. } => value.as_i64().map(|v| v as f64).filter(|v| (*lo..=*hi).contains(v)),
                Parameter::Choice(values) => {
                    value.as_str().and_then(|v| values.iter().position(|known| *known == v)).map(|i| i as f64)
                }
                Parameter::Bool => value.as_bool().map(|v| f64::from(u8::from(v))),
            };
            number.ok_or_else(|| format!("{name} is {value}, which is not in the space of {}", self.name))
        };
        self.space.iter().map(number).collect()
    }

    /// A uniform draw, on the logarithmic scale where there is one.
    pub(super) fn draw(&self, chance: &mut Chance) -> Value {
        let on_scale = |u: f64, lo: f64, hi: f64, log: bool| {
            let v = if log { (lo.ln() + u * (hi.ln() - lo.ln())).exp() } else { lo + u * (hi - lo) };
            v.clamp(lo, hi)
        };
        let one = |parameter: &Parameter, chance: &mut Chance| match parameter {
            Parameter::Float { lo, hi, log } => json!(on_scale(chance.uniform(), *lo, *hi, *log)),
            Parameter::Int { lo, hi, log } => {
                json!(on_scale(chance.uniform(), lo - 0.5, hi + 0.5, *log).round().clamp(*lo, *hi) as i64)
            }
            Parameter::Choice(values) => json!(values[chance.below(values.len())]),
            Parameter::Bool => json!(chance.below(2) == 1),
        };
        let config: Map<String, Value> =
            self.space.iter().map(|(name, parameter)| (name.clone(), one(parameter, chance))).collect();
        Value::Object(config)
    }

    /// Without noise.
    pub(super) fn value(&self, point: &[f64]) -> f64 {
        (self.value)(point)
    }

    /// As it would be measured.
    pub(super) fn observe(&self, point: &[f64], chance: &mut Chance) -> f64 {
        let value = self.value(point);
        match self.noise {
            Noise::None => value,
            Noise::Factor(s) => value * (s * chance.normal()).exp(),
            Noise::Summand(s) => value + s * chance.normal(),
        }
    }

    /// The value above the least, at least 1e-12.
    ///
    /// # Errors
    /// A value below the supposed least one: the board is wrong.
    pub(super) fn regret(&self, point: &[f64]) -> Result<f64, String> {
        let value = self.value(point);
        if value < self.best - 1e-6 * self.best.abs().max(1.0) {
            let Self { name, best, at, .. } = self;
            return Err(format!("{name} is {value} at {point:?}, below its least, {best} at {at:?}; mend the board"));
        }
        Ok((value - self.best).max(1e-12))
    }

    fn quick(self) -> Self {
        Self { quick: true, ..self }
    }

    fn noise(self, noise: Noise) -> Self {
        Self { noise, ..self }
    }
}

fn floats(ranges: &[(f64, f64)], log: bool) -> Vec<(String, Parameter)> {
    let one = |(i, (lo, hi)): (usize, &(f64, f64))| (format!("x{i}"), Parameter::Float { lo: *lo, hi: *hi, log });
    ranges.iter().enumerate().map(one).collect()
}

fn function(
    name: &'static str,
    group: Group,
    space: Vec<(String, Parameter)>,
    value: fn(&[f64]) -> f64,
    (best, at): (f64, &[f64]),
) -> Function {
    Function { name, group, space, value, noise: Noise::None, at: at.to_vec(), best, quick: false }
}

fn moved<const D: usize>(x: &[f64], shift: &[f64; D]) -> [f64; D] {
    std::array::from_fn(|i| x[i] - shift[i])
}

const ACKLEY_SHIFT: [f64; 4] = [7.1, -11.3, 4.9, -9.7];
const RASTRIGIN_SHIFT: [f64; 4] = [1.27, -2.13, 0.71, -1.69];
const GRIEWANK_SHIFT: [f64; 4] = [113.0, -207.0, 61.0, -155.0];
const SPHERE_SHIFT: [f64; 6] = [1.3, -2.4, 3.1, 0.7, -0.9, 2.2];

fn ackley_shifted(x: &[f64]) -> f64 {
    ackley(&moved(x, &ACKLEY_SHIFT))
}

/// Ackley in 8.192 log10 x: the space must be warped.
fn ackley_log(x: &[f64]) -> f64 {
    let x: Vec<f64> = x.iter().map(|v| 8.192 * v.log10()).collect();
    ackley_shifted(&x)
}

fn rastrigin_shifted(x: &[f64]) -> f64 {
    rastrigin(&moved(x, &RASTRIGIN_SHIFT))
}

fn griewank_shifted(x: &[f64]) -> f64 {
    griewank(&moved(x, &GRIEWANK_SHIFT))
}

fn sphere_shifted(x: &[f64]) -> f64 {
    sphere(&moved(x, &SPHERE_SHIFT))
}

/// Truth values that should be true, false and true, an integer that should be 3, and two numbers: 0 when all are.
fn ackley_mixed(x: &[f64]) -> f64 {
    ackley(&[x[0] - 1.0, x[1], x[2] - 1.0, x[3] - 3.0, x[4] - 0.37, x[5] + 0.61])
}

/// Levy over two numbers and two integers; of the four kinds, the third adds nothing.
fn levy_mixed(x: &[f64]) -> f64 {
    let (extra, factor) = [(0.8, 1.0), (0.4, 1.5), (0.0, 1.0), (1.6, 0.5)][x[4] as usize];
    extra + factor * levy(&x[..4])
}

/// A distance to one logarithmic integer and one logarithmic number, whose place moves with a choice.
fn valley_mixed(x: &[f64]) -> f64 {
    let (batch, rate) = (x[0].log2(), x[1].log10());
    let (a, b, extra) = [(9.0, -1.0, 0.15), (6.0, -2.5, 0.0), (4.0, -4.0, 0.1)][x[2] as usize];
    let warm = if x[3] > 0.5 { 0.0 } else { 0.2 };
    extra + warm + 0.02 * (batch - a).powi(2) + 0.3 * (rate - b).powi(2) + 0.1 * (batch - a) * (rate - b)
}

fn transfer_space(engine: bool) -> Vec<(String, Parameter)> {
    let mut space = vec![
        ("max_concurrency".to_owned(), Parameter::Int { lo: 1.0, hi: 512.0, log: true }),
        ("multipart_chunksize".to_owned(), Parameter::Int { lo: MIB, hi: GIB, log: true }),
        ("io_chunksize".to_owned(), Parameter::Int { lo: 16.0 * KIB, hi: 64.0 * MIB, log: true }),
        ("max_io_queue".to_owned(), Parameter::Int { lo: 1.0, hi: 1000.0, log: true }),
    ];
    if engine {
        space.push(("engine".to_owned(), Parameter::Choice(&["classic", "crt", "async", "mmap"])));
    }
    space
}

/// 112 parts, four waves of 28 connections.
const TRANSFER_AT: [f64; 5] = [28.0, 191_739_612.0, 8_388_608.0, 13.0, 1.0];
const TRANSFER_BEST: f64 = 8.852_654_6;
const HARTMANN6_BEST: (f64, &[f64]) =
    (-3.322_368_011_415_514_7, &[0.201_690, 0.150_011, 0.476_874, 0.275_332, 0.311_652, 0.657_301]);
const BRANIN_BEST: (f64, &[f64]) = (0.397_887_357_729_738_16, &[std::f64::consts::PI, 2.275]);
const CAMEL_BEST: (f64, &[f64]) = (-1.031_628_453_489_877_4, &[0.089_842, -0.712_656]);
const STYBLINSKI_AT: f64 = -2.903_534;
const STYBLINSKI_BEST: f64 = -39.166_165_703_771_42;

/// All of it.
pub(super) fn all() -> Vec<Function> {
    let choice = |name: &str, values| (name.to_owned(), Parameter::Choice(values));
    let int = |name: &str, lo, hi, log| (name.to_owned(), Parameter::Int { lo, hi, log });
    let float = |name: &str, lo, hi, log| (name.to_owned(), Parameter::Float { lo, hi, log });
    let bool = |name: &str| (name.to_owned(), Parameter::Bool);
    let unit = |d: usize| floats(&vec![(0.0, 1.0); d], false);
    let cube = |d: usize, lo: f64, hi: f64| floats(&vec![(lo, hi); d], false);
    let branin_space = || floats(&[(-5.0, 10.0), (0.0, 15.0)], false);
    let camel_space = || floats(&[(-3.0, 3.0), (-2.0, 2.0)], false);
    let tens: [f64; 4] = ACKLEY_SHIFT.map(|s| 10_f64.powf(s / 8.192));
    let levy_mixed_space = || {
        let mut space = vec![float("x0", -14.0, 8.0, false), float("x1", -14.0, 8.0, false)];
        space.extend([int("n0", -6.0, 16.0, false), int("n1", -6.0, 16.0, false)]);
        space.push(choice("kind", &["a", "b", "c", "d"]));
        space
    };
    let mut ackley_mixed_space = vec![bool("b0"), bool("b1"), bool("b2"), int("n", 0.0, 6.0, false)];
    ackley_mixed_space.extend([float("x0", -1.0, 1.0, false), float("x1", -1.0, 1.0, false)]);
    let mut valley_space = vec![int("batch", 1.0, 4096.0, true), float("rate", 1e-6, 1.0, true)];
    valley_space.extend([choice("kind", &["sgd", "adam", "lamb"]), bool("warm")]);

    use Group::{Continuous, Mixed, Noisy};
    vec![
        function("branin2", Continuous, branin_space(), branin, BRANIN_BEST).quick(),
        function(
            "hartmann3",
            Continuous,
            unit(3),
            hartmann3,
            (-3.862_779_787_332_66, &[0.114_589, 0.555_649, 0.852_547]),
        ),
        function("hartmann6", Continuous, unit(6), hartmann6, HARTMANN6_BEST).quick(),
        function("ackley4", Continuous, cube(4, -32.768, 32.768), ackley_shifted, (0.0, &ACKLEY_SHIFT)),
        function("ackley4log", Continuous, floats(&[(1e-4, 1e4); 4], true), ackley_log, (0.0, &tens)),
        function("levy4", Continuous, cube(4, -10.0, 10.0), levy, (0.0, &[1.0; 4])).quick(),
        function("rosenbrock4", Continuous, cube(4, -5.0, 10.0), rosenbrock, (0.0, &[1.0; 4])),
        function("rastrigin4", Continuous, cube(4, -5.12, 5.12), rastrigin_shifted, (0.0, &RASTRIGIN_SHIFT)),
        function(
            "styblinski4",
            Continuous,
            cube(4, -5.0, 5.0),
            styblinski_tang,
            (4.0 * STYBLINSKI_BEST, &[STYBLINSKI_AT; 4]),
        ),
        function("camel2", Continuous, camel_space(), camel, CAMEL_BEST),
        function(
            "michalewicz5",
            Continuous,
            cube(5, 0.0, std::f64::consts::PI),
            michalewicz,
            (-4.687_658_179_088_15, &[2.202_906, std::f64::consts::FRAC_PI_2, 1.284_992, 1.923_058, 1.720_470]),
        ),
        function("griewank4", Continuous, cube(4, -600.0, 600.0), griewank_shifted, (0.0, &GRIEWANK_SHIFT)),
        function("sphere6", Continuous, cube(6, -5.0, 5.0), sphere_shifted, (0.0, &SPHERE_SHIFT)),
        function("goldstein2", Continuous, cube(2, -2.0, 2.0), goldstein_price, (3.0, &[0.0, -1.0])),
        function("branin2n", Noisy, branin_space(), branin, BRANIN_BEST).noise(Noise::Factor(0.05)).quick(),
        function("hartmann6n", Noisy, unit(6), hartmann6, HARTMANN6_BEST).noise(Noise::Factor(0.05)).quick(),
        function("camel2n", Noisy, camel_space(), camel, CAMEL_BEST).noise(Noise::Summand(0.2)),
        function("levy4n", Noisy, cube(4, -10.0, 10.0), levy, (0.0, &[1.0; 4])).noise(Noise::Summand(1.0)),
        function("sphere6n", Noisy, cube(6, -5.0, 5.0), sphere_shifted, (0.0, &SPHERE_SHIFT))
            .noise(Noise::Summand(3.0)),
        function("transfer4", Mixed, transfer_space(false), transfer, (TRANSFER_BEST, &TRANSFER_AT[..4]))
            .noise(Noise::Factor(0.05)),
        function("transfer5cat", Mixed, transfer_space(true), transfer, (TRANSFER_BEST, &TRANSFER_AT))
            .noise(Noise::Factor(0.05))
            .quick(),
        function("ackley6mix", Mixed, ackley_mixed_space, ackley_mixed, (0.0, &[1.0, 0.0, 1.0, 3.0, 0.37, -0.61])),
        function("levy5mix", Mixed, levy_mixed_space(), levy_mixed, (0.0, &[1.0, 1.0, 1.0, 1.0, 2.0])).quick(),
        function("levy5mixn", Mixed, levy_mixed_space(), levy_mixed, (0.0, &[1.0, 1.0, 1.0, 1.0, 2.0]))
            .noise(Noise::Summand(1.0)),
        function("valley4mix", Mixed, valley_space, valley_mixed, (0.0, &[64.0, 10_f64.powf(-2.5), 1.0, 1.0])),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_pattern_search_finds_less_than_the_optimum_which_is_where_it_is_said_to_be() {
        for f in all() {
            assert!((f.value(&f.at) - f.best).abs() < 1e-6 * f.best.abs().max(1.0), "{}: {}", f.name, f.value(&f.at));
            for start in 0..10 {
                let (least, at) = descend(&f, start);
                assert!(f.regret(&at).is_ok(), "{}: {least} at {at:?}, optimum {}", f.name, f.best);
            }
            // From the optimum nothing gets lower, and the search sees that it is one.
            assert!(f.regret(&f.at).unwrap() < 1e-5, "{}", f.name);
        }
    }

    /// Random steps in the unit cube that shrink where none helps.
    fn descend(f: &Function, start: u64) -> (f64, Vec<f64>) {
        let mut chance = Chance::new(f.name, start);
        let draws: Vec<Vec<f64>> = (0..30).map(|_| f.point(&f.draw(&mut chance)).unwrap()).collect();
        let mut at = draws.into_iter().min_by(|a, b| f.value(a).total_cmp(&f.value(b))).unwrap();
        let mut step = 0.3;
        while step > 1e-7 {
            let better = (0..40).find_map(|_| {
                let next: Vec<f64> =
                    f.space.iter().zip(&at).map(|((_, p), v)| neighbour(p, *v, step, &mut chance)).collect();
                (f.value(&next) < f.value(&at)).then_some(next)
            });
            match better {
                Some(next) => at = next,
                None => step *= 0.5,
            }
        }
        (f.value(&at), at)
    }

    fn neighbour(parameter: &Parameter, v: f64, step: f64, chance: &mut Chance) -> f64 {
        if chance.below(2) == 0 {
            return v;
        }
        let shift = step * chance.normal();
        let moved = |lo: f64, hi: f64, log: bool| {
            let moved = if log { (v.ln() + shift * (hi / lo).ln()).exp() } else { v + shift * (hi - lo) };
            moved.clamp(lo, hi)
        };
        match parameter {
            Parameter::Float { lo, hi, log } => moved(*lo, *hi, *log),
            Parameter::Int { lo, hi, log } => moved(*lo, *hi, *log).round(),
            Parameter::Choice(values) => chance.below(values.len()) as f64,
            Parameter::Bool => chance.below(2) as f64,
        }
    }

    #[test]
    fn the_transfers_optimum_is_the_least_over_connections_waves_and_engines() {
        let mut least = f64::INFINITY;
        for engine in 0..4 {
            for connections in 1..=512_u32 {
                for waves in 1..=200_u32 {
                    let part = (20.0 * GIB / f64::from(connections * waves)).ceil().clamp(MIB, GIB);
                    let value = |io, queue| transfer(&[connections.into(), part, io, queue, f64::from(engine)]);
                    least = least.min(value(8.0 * MIB, 12.0)).min(value(16.0 * MIB, 6.0));
                }
            }
        }
        assert!((least - TRANSFER_BEST).abs() < 1e-6, "{least}");
    }

    #[test]
    fn the_formulae_give_the_values_an_independent_program_gives() {
        let cases: [(&str, &[f64], f64); 8] = [
            ("branin2", &[4.343_525_423_345_529, 11.126_804_838_910_94], 98.746_251_549_506_2),
            (
                "hartmann3",
                &[0.622_901_694_889_701_9, 0.741_786_989_260_729_4, 0.795_193_565_566_569_6],
                -2.427_828_864_186_597_7,
            ),
            (
                "hartmann6",
                &[
                    0.622_901_694_889_701_9,
                    0.741_786_989_260_729_4,
                    0.795_193_565_566_569_6,
                    0.942_450_283_777_050_3,
                    0.739_898_574_739_930_7,
                    0.922_324_996_665_417,
                ],
                -0.013_803_113_042_103_502,
            ),
            (
                "ackley4",
                &[8.054_485_476_291_504, 15.845_752_128_191_158, 19.345_805_512_913_493, 28.996_421_797_612_77],
                21.498_988_334_173_188,
            ),
            (
                "levy4",
                &[2.458_033_897_794_038_6, 4.835_739_785_214_589, 5.903_871_311_313_933, 8.849_005_675_541_008],
                28.506_453_881_978_793,
            ),
            (
                "rosenbrock4",
                &[4.343_525_423_345_529, 6.126_804_838_910_941, 6.927_903_483_485_45, 9.136_754_256_655_754],
                261_000.956_052_322_87,
            ),
            ("transfer4", &[38.0, 179_308_634.0, 12_216_382.0, 646.0], 19.821_670_320_160_585),
            ("transfer5cat", &[38.0, 179_308_634.0, 12_216_382.0, 646.0, 0.0], 24.662_703_343_618_347),
        ];
        for (name, at, wanted) in cases {
            let f = all().into_iter().find(|f| f.name == name).unwrap();
            assert!((f.value(at) - wanted).abs() < 1e-9 * wanted.abs(), "{name}: {}", f.value(at));
        }
    }

    #[test]
    fn names_differ_and_every_draw_is_in_its_space() {
        let all = all();
        let mut chance = Chance::new("draws", 0);
        for (i, f) in all.iter().enumerate() {
            assert!(all[..i].iter().all(|other| other.name != f.name));
            assert!((0..50).all(|_| f.point(&f.draw(&mut chance)).is_ok()));
        }
        assert!(all[0].point(&json!({"x0": 11.0, "x1": 0.0})).unwrap_err().contains("not in the space of branin2"));
    }
}
