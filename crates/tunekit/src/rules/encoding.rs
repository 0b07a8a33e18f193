//! The map from a space to the unit cube, where searchers work.
//!
//! A float maps by g(x) = x or ln x to (g(x) - g(lo)) / (g(hi) - g(lo)). Values on a grid (ints, stepped floats,
//! ordinals, categoricals, truth values) each own a cell: an int i maps from the interval [lo - 1/2, hi + 1/2], so that
//! the first and last value are as likely as the others, and decoding rounds (Garrido-Merchan and Hernandez-Lobato 2020
//! for why a model should see the decoded value encoded again). On a logarithmic scale the cells' edges are logged.

use crate::words::domain::{Choices, Domain, FloatDomain, IntDomain};
use crate::words::space::{ConfigError, Space};
use crate::words::value::{Config, Value};

/// Why a point is not in the unit cube.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The number of coordinates is not the number of parameters.
    #[error("the point has {got} coordinates, the space {wanted} parameters")]
    Dimension {
        /// Coordinates given.
        got: usize,
        /// Parameters there are.
        wanted: usize,
    },
    /// A coordinate is not in [0, 1].
    #[error("coordinate {index} is {value}, outside of [0, 1]")]
    Outside {
        /// The coordinate.
        index: usize,
        /// Its value.
        value: f64,
    },
}

impl Space {
    /// The point of the unit cube for `config`, with one coordinate per parameter, in the space's order. A parameter
    /// that does not exist in `config` has 0.5; its parents' coordinates show that it does not exist. Predicates are
    /// ignored.
    ///
    /// # Errors
    /// The configuration is not in the space.
    pub fn encode(&self, config: &Config) -> Result<Vec<f64>, ConfigError> {
        self.check_values(config)?;
        let coordinate = |(index, (_, domain)): (usize, (&str, &Domain))| {
            self.value(config, index).map_or(0.5, |value| domain.encode(value))
        };
        Ok(self.iter().enumerate().map(coordinate).collect())
    }

    /// The configuration of a point of the unit cube; a parameter that does not exist there is left out, whatever its
    /// coordinate. `decode(encode(c))` is `c` for every parameter on a grid; a float without step comes back within
    /// rounding, 4e-15 of its range (of its value, on a logarithmic scale). Predicates are not checked.
    ///
    /// # Errors
    /// The point has another dimension, or is outside of the unit cube.
    pub fn decode(&self, point: &[f64]) -> Result<Config, DecodeError> {
        if point.len() != self.len() {
            return Err(DecodeError::Dimension { got: point.len(), wanted: self.len() });
        }
        if let Some((index, &value)) = point.iter().enumerate().find(|(_, u)| !(0.0..=1.0).contains(*u)) {
            return Err(DecodeError::Outside { index, value });
        }
        Ok(self.build(|index, domain| domain.decode(point[index])))
    }
}

impl Domain {
    /// `value`, which the domain contains, in [0, 1].
    fn encode(&self, value: &Value) -> f64 {
        match (self, value) {
            (Self::Float(d), Value::Float(v)) => match d.count() {
                Some(_) if d.is_log() => Scale::of_float(d).to_unit(*v),
                Some(count) => cell(((v - d.lo()) / d.step_size().unwrap_or(1.0)).round() as u64, count),
                None if d.is_log() => unit(v.ln(), d.lo().ln(), d.hi().ln()),
                None => unit(*v, d.lo(), d.hi()),
            },
            (Self::Int(d), Value::Int(v)) if d.is_log() => Scale::of_int(d).to_unit(*v as f64),
            (Self::Int(d), Value::Int(v)) => cell(((v - d.lo()) / d.step_size()) as u64, d.count()),
            (Self::Bool, Value::Bool(v)) => cell(u64::from(*v), 2),
            (Self::Categorical(c) | Self::Ordinal(c), v) => cell(position(c, v), c.values().len() as u64),
            _ => 0.5,
        }
    }

    /// The coordinate of the `k`-th value of a domain that has more than `k`.
    pub(super) fn encoded_nth(&self, k: u64) -> f64 {
        self.encode(&self.nth(k))
    }

    /// The index of the value of a finite domain that `u` in [0, 1] stands for; 0 for an infinite one.
    pub(super) fn index_of(&self, u: f64) -> u64 {
        match (self, self.count()) {
            (Self::Float(d), Some(count)) if d.is_log() => Scale::of_float(d).index(u, count),
            (Self::Int(d), Some(count)) if d.is_log() => Scale::of_int(d).index(u, count),
            (_, Some(count)) => index(u, count),
            (_, None) => 0,
        }
    }

    /// The value `u` in [0, 1] stands for.
    pub(super) fn decode(&self, u: f64) -> Value {
        match self {
            Self::Float(d) => Value::Float(match d.count() {
                Some(count) if d.is_log() => d.at(Scale::of_float(d).index(u, count)),
                Some(count) => d.at(index(u, count)),
                None if d.is_log() => between(u, d.lo().ln(), d.hi().ln()).exp().clamp(d.lo(), d.hi()),
                None => between(u, d.lo(), d.hi()).clamp(d.lo(), d.hi()) + 0.0,
            }),
            Self::Int(d) if d.is_log() => Value::Int(d.at(Scale::of_int(d).index(u, d.count()))),
            Self::Int(d) => Value::Int(d.at(index(u, d.count()))),
            Self::Bool => Value::Bool(index(u, 2) == 1),
            Self::Categorical(c) | Self::Ordinal(c) => c.values()[index(u, c.values().len() as u64) as usize].clone(),
        }
    }
}

/// The index of a value in a list that holds it.
fn position(choices: &Choices, value: &Value) -> u64 {
    choices.position(value).unwrap_or(0) as u64
}

/// The middle of the `k`-th of `count` equal cells of [0, 1].
fn cell(k: u64, count: u64) -> f64 {
    (k as f64 + 0.5) / count as f64
}

/// The one of `count` equal cells that `u` is in.
fn index(u: f64, count: u64) -> u64 {
    ((u * count as f64) as u64).min(count - 1)
}

/// The place of `x` between `lo` and `hi`; the middle if they are equal, as the logarithms of different numbers can be.
fn unit(x: f64, lo: f64, hi: f64) -> f64 {
    if hi > lo { ((x - lo) / (hi - lo)).clamp(0.0, 1.0) } else { 0.5 }
}

/// Exact at both ends.
fn between(u: f64, lo: f64, hi: f64) -> f64 {
    if u < 0.5 { lo + u * (hi - lo) } else { hi - (1.0 - u) * (hi - lo) }
}

/// A grid on a logarithmic scale: the logarithms of its outer edges, half a step beyond its first and last value (half
/// the first value where that is less, so that the edge stays positive).
struct Scale {
    first: f64,
    step: f64,
    lo: f64,
    hi: f64,
}

impl Scale {
    fn of_int(d: &IntDomain) -> Self {
        Self::new(d.lo() as f64, d.at(d.count() - 1) as f64, d.step_size() as f64)
    }

    fn of_float(d: &FloatDomain) -> Self {
        let last = d.at(d.count().unwrap_or(1) - 1);
        Self::new(d.lo(), last, d.step_size().unwrap_or(d.lo()))
    }

    fn new(first: f64, last: f64, step: f64) -> Self {
        Self { first, step, lo: (first - step.min(first) / 2.0).ln(), hi: (last + step / 2.0).ln() }
    }

    fn to_unit(&self, v: f64) -> f64 {
        unit(v.ln(), self.lo, self.hi)
    }

    fn index(&self, u: f64, count: u64) -> u64 {
        let v = between(u, self.lo, self.hi).exp();
        (((v - self.first) / self.step).round().max(0.0) as u64).min(count - 1)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_int_owns_an_equal_cell() {
        let space = Space::new().with("n", Domain::int(3, 6).unwrap()).unwrap();
        let of = |u: f64| space.decode(&[u]).unwrap().int("n").unwrap();
        assert_eq!([of(0.0), of(0.24), of(0.26), of(0.74), of(0.76), of(1.0)], [3, 3, 4, 5, 6, 6]);
        assert_eq!(space.encode(&Config::new().with("n", 3)).unwrap(), [0.125]);
    }

    #[test]
    fn a_log_int_has_its_edges_half_a_step_out() {
        let space = Space::new().with("n", Domain::int(1, 512).unwrap().log().unwrap()).unwrap();
        let u = space.encode(&Config::new().with("n", 23)).unwrap()[0];
        let wanted = (23_f64.ln() - 0.5_f64.ln()) / (512.5_f64.ln() - 0.5_f64.ln());
        assert!((u - wanted).abs() < 1e-15);
    }

    #[test]
    fn points_outside_the_cube_are_refused() {
        let space = Space::new().with("b", Domain::Bool).unwrap();
        assert!(matches!(space.decode(&[]), Err(DecodeError::Dimension { .. })));
        for u in [-0.1, 1.1, f64::NAN] {
            assert!(matches!(space.decode(&[u]), Err(DecodeError::Outside { index: 0, .. })));
        }
    }

    /// Any domain the constructors accept.
    fn domains() -> impl Strategy<Value = Domain> {
        let magnitude = (-300..300_i32, 1.0..10.0_f64).prop_map(|(e, m)| m * 10_f64.powi(e));
        let float = (-1e300..1e300_f64, magnitude.clone(), any::<bool>(), prop::option::of(1e-6..1.0_f64))
            .prop_filter_map("no such float domain", |(lo, width, log, step)| {
                let lo = if log { lo.abs() } else { lo };
                let d = Domain::float(lo, lo + width).ok()?;
                let d = if log { d.log().ok()? } else { d };
                step.map_or(Some(d.clone()), |s| d.step(s * width).ok())
            });
        let near = (-1e3..1e3_f64, 0.0..1e3_f64, prop::option::of(1e-9..100.0_f64)).prop_filter_map(
            "no such float domain",
            |(lo, width, step)| {
                let d = Domain::float(lo, lo + width).ok()?;
                step.map_or(Some(d.clone()), |s| d.step(s).ok())
            },
        );
        let int = (any::<i64>(), 0..53_u32, any::<bool>(), 1..1000_i64, 0..54_u32).prop_filter_map(
            "no such int domain",
            |(lo, bits, log, step, keep)| {
                let lo = if log { (lo >> keep).saturating_abs().max(1) } else { lo >> keep };
                let d =
                    Domain::int(lo, lo.checked_add((1 << bits) - 1)?).or_else(|_| Domain::int(1, 1 << bits)).ok()?;
                let d = if log { d.log().ok()? } else { d };
                d.step(step as f64).ok()
            },
        );
        prop_oneof![
            float,
            near,
            int,
            Just(Domain::Bool),
            Just(Domain::int(7, 7).unwrap()),
            Just(Domain::int(7, 7).unwrap().log().unwrap()),
            Just(Domain::float(-2.5, -2.5).unwrap()),
            Just(Domain::float(2.5, 2.5).unwrap().log().unwrap()),
            Just(Domain::int(1, 1 << 44).unwrap().log().unwrap()),
            Just(Domain::int(-(1 << 49), (1 << 49) - 1).unwrap()),
            (1..40_i64).prop_map(|n| Domain::categorical(0..n).unwrap()),
            (1..40_i64).prop_map(|n| Domain::ordinal(0..n).unwrap()),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn what_is_decoded_is_in_the_space_and_comes_back(domain in domains(), u in 0.0..=1.0_f64) {
            let space = Space::new().with("p", domain.clone()).unwrap();
            let config = space.decode(&[u]).unwrap();
            prop_assert_eq!(space.validate(&config), Ok(()));
            let point = space.encode(&config).unwrap();
            prop_assert!((0.0..=1.0).contains(&point[0]));
            let back = space.decode(&point).unwrap();
            match (&domain, domain.count()) {
                (Domain::Float(d), None) => {
                    let (a, b) = (config.float("p").unwrap(), back.float("p").unwrap());
                    // On a logarithmic scale the loss is the logarithm's own rounding, times its magnitude.
                    let scale = if d.is_log() { a * (1.0 + a.ln().abs()) } else { d.hi() - d.lo() + a.abs() };
                    prop_assert!((a - b).abs() <= 4e-15 * scale, "{} came back as {}", a, b);
                }
                _ => prop_assert_eq!(config, back),
            }
        }

        #[test]
        fn a_space_survives_json(domain in domains()) {
            let space = Space::new().with("p", domain).unwrap();
            let text = serde_json::to_string(&space).unwrap();
            prop_assert_eq!(&serde_json::from_str::<Space>(&text).unwrap(), &space);
            prop_assert_eq!(space.validate(&space.centre()), Ok(()));
        }

        #[test]
        fn a_conditional_space_decodes_to_what_it_holds_and_back((space, points) in conditional()) {
            for point in &points {
                let config = space.decode(point).unwrap();
                prop_assert_eq!(space.validate(&config), Ok(()), "{}", config);
                let encoded = space.encode(&config).unwrap();
                prop_assert_eq!(&space.decode(&encoded).unwrap(), &config);
                for ((name, _), u) in space.iter().zip(&encoded) {
                    prop_assert!(config.value(name).is_some() || *u == 0.5);
                    // It exists exactly where its parents exist and have one of their values.
                    let holds = |(parent, values): (&str, &[Value])| config.value(parent).is_some_and(|v| values.contains(v));
                    prop_assert_eq!(space.conditions(name).all(holds), config.value(name).is_some());
                }
                // Parameters on which nothing depends, so that the rest can be filled in.
                let partial = config.iter().next().map_or(Config::new(), |(n, v)| Config::new().with(n, v.clone()));
                prop_assert_eq!(space.validate(&space.complete(&partial).unwrap()), Ok(()));
                let read: Config = serde_json::from_str(&serde_json::to_string(&config).unwrap()).unwrap();
                prop_assert_eq!(space.conform(&read).unwrap(), config);
            }
            let text = serde_json::to_string(&space).unwrap();
            prop_assert_eq!(&serde_json::from_str::<Space>(&text).unwrap(), &space);
            let count = space.count().unwrap();
            let listed: Vec<Config> = (0..count.min(300)).map(|i| space.nth(i).unwrap()).collect();
            for (i, config) in listed.iter().enumerate() {
                prop_assert_eq!(space.validate(config), Ok(()));
                prop_assert!(!listed[..i].contains(config), "{} twice", config);
            }
            prop_assert_eq!(space.nth(count), None);
            if count <= 300 {
                prop_assert!(points.iter().all(|p| listed.contains(&space.decode(p).unwrap())));
            }
        }
    }

    /// Finite spaces of up to eight parameters, most of which depend on one or two before them, and points of their
    /// cubes.
    fn conditional() -> impl Strategy<Value = (Space, Vec<Vec<f64>>)> {
        let parameter = (0..5_u8, prop::collection::vec((0..8_usize, 1..15_u64), 0..3));
        prop::collection::vec(parameter, 1..8).prop_flat_map(|parameters| {
            let mut space = Space::new();
            let mut finite: Vec<(String, Domain)> = Vec::new();
            for (i, (kind, parents)) in parameters.into_iter().enumerate() {
                let domain = match kind {
                    0 => Domain::Bool,
                    1 => Domain::int(2, 5).unwrap(),
                    2 => Domain::categorical(["a", "b", "c"]).unwrap(),
                    3 => Domain::ordinal([1, 4, 16]).unwrap(),
                    _ => Domain::int(1, 4).unwrap().log().unwrap(),
                };
                let mut when: Vec<(String, Vec<Value>)> = Vec::new();
                for (parent, bits) in parents {
                    let Some((name, domain)) = finite.get(parent) else { continue };
                    let listed = (0..domain.count().unwrap()).filter(|k| bits >> k & 1 == 1).map(|k| domain.nth(k));
                    let values: Vec<Value> = listed.collect();
                    if !values.is_empty() && when.iter().all(|(n, _)| n != name) {
                        when.push((name.clone(), values));
                    }
                }
                let name = format!("p{i}");
                let when = when.iter().map(|(n, v)| (n.as_str(), v.clone()));
                space = space.with_conditions(name.clone(), domain.clone(), when).unwrap();
                finite.push((name, domain));
            }
            let point = prop::collection::vec(0.0..=1.0_f64, space.len());
            (Just(space), prop::collection::vec(point, 1..20))
        })
    }
}
