//! `Domain`: the values one parameter may take. The map to the unit interval is a rule (`rules/encoding`).

use serde::{Deserialize, Serialize};

use super::value::Value;

/// Bound of the magnitude of whole numbers and grid indices, 2^53: a larger JSON number is not exact everywhere.
pub const MAX_INT: i64 = 1 << 53;
/// The largest number of values of a stepped or whole-number domain: 2^50, so that 53 bits of the unit interval still
/// distinguish neighbours.
pub const MAX_COUNT: u64 = 1 << 50;
/// The largest ratio of upper bound to step of a logarithmic stepped or whole-number domain, 2^44 (16 Ti): beyond it
/// the logarithm no longer tells neighbours apart.
pub const MAX_LOG_INT: i64 = 1 << 44;

/// Why a domain cannot be made.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum DomainError {
    /// A bound is NaN or infinite, or the two are too far apart for their difference to be a number.
    #[error("bounds {lo} and {hi} are not both finite with a finite difference")]
    NotFinite {
        /// The lower bound given.
        lo: f64,
        /// The upper bound given.
        hi: f64,
    },
    /// The lower bound lies above the upper bound.
    #[error("lower bound {lo} is above upper bound {hi}; swap them")]
    Empty {
        /// The lower bound given.
        lo: f64,
        /// The upper bound given.
        hi: f64,
    },
    /// A logarithmic domain needs a positive lower bound (at least 1 for whole numbers).
    #[error("a logarithmic domain needs a lower bound above 0 (whole numbers: at least 1), not {lo}")]
    LogNotPositive {
        /// The lower bound given.
        lo: f64,
    },
    /// The step is not a positive finite number.
    #[error("step {step} is not a positive finite number")]
    Step {
        /// The step given.
        step: f64,
    },
    /// Neighbouring values would be indistinguishable.
    #[error("the domain is too fine or too large ({what} beyond {max}); use a larger step or a float without step")]
    TooLarge {
        /// The number that is too large.
        what: &'static str,
        /// The bound.
        max: u64,
    },
    /// The domain has no scale or step to change.
    #[error("{what} applies to float and int domains only")]
    NotNumeric {
        /// `log` or `step`.
        what: &'static str,
    },
    /// A list of values is empty.
    #[error("a list of values needs at least one")]
    NoValues,
    /// A list holds a value twice.
    #[error("value `{value}` is listed twice")]
    Twice {
        /// The value.
        value: Value,
    },
    /// A listed value is NaN or infinite.
    #[error("listed value {value} is not finite")]
    ValueNotFinite {
        /// The value.
        value: Value,
    },
    /// An ordinal mixes numbers and texts, or has truth values.
    #[error("an ordinal's values are all numbers or all texts, `{value}` is not")]
    Mixed {
        /// The first value that is of another kind than those before it.
        value: Value,
    },
}

/// The values one parameter may take.
///
/// In JSON: `{"type":"float","lo":-5,"hi":10}`, `{"type":"int","lo":1,"hi":512,"log":true}` (both take `"step"`),
/// `{"type":"categorical","values":["a","b"]}`, `{"type":"ordinal","values":[1,4,16]}`, `{"type":"bool"}`.
///
/// ```
/// use tunekit::{Domain, Value};
/// let threads = Domain::int(1, 512)?.log()?;
/// assert!(threads.contains(&Value::Int(512)));
/// assert!(!threads.contains(&Value::Int(513)));
/// # Ok::<(), tunekit::space::DomainError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Raw", into = "Raw")]
#[non_exhaustive]
pub enum Domain {
    /// Real numbers between two bounds, both included.
    Float(FloatDomain),
    /// Whole numbers between two bounds, both included.
    Int(IntDomain),
    /// Values without an order.
    Categorical(Choices),
    /// False or true.
    Bool,
    /// Values with an order but no known distances; neighbours are taken to be equally far apart.
    Ordinal(Choices),
}

/// Bounds, scale and step of a float domain.
#[derive(Debug, Clone, PartialEq)]
pub struct FloatDomain {
    lo: f64,
    hi: f64,
    log: bool,
    step: Option<f64>,
}

/// Bounds, scale and step of an int domain.
#[derive(Debug, Clone, PartialEq)]
pub struct IntDomain {
    lo: i64,
    hi: i64,
    log: bool,
    step: i64,
}

/// The list of values of a categorical or ordinal domain: at least one, none twice.
#[derive(Debug, Clone, PartialEq)]
pub struct Choices {
    values: Vec<Value>,
}

impl Domain {
    /// Real numbers in [`lo`, `hi`].
    ///
    /// # Errors
    /// Bounds are not finite, their difference overflows, or the lower is above the upper.
    pub fn float(lo: f64, hi: f64) -> Result<Self, DomainError> {
        FloatDomain::new(lo, hi, false, None).map(Self::Float)
    }

    /// Whole numbers in [`lo`, `hi`].
    ///
    /// # Errors
    /// The lower bound is above the upper, a bound is beyond [`MAX_INT`], or there are more than [`MAX_COUNT`] values.
    pub fn int(lo: i64, hi: i64) -> Result<Self, DomainError> {
        IntDomain::new(lo, hi, false, 1).map(Self::Int)
    }

    /// One of several values without an order.
    ///
    /// # Errors
    /// There is no value, a value is listed twice, or a value is not finite.
    pub fn categorical<V: Into<Value>>(values: impl IntoIterator<Item = V>) -> Result<Self, DomainError> {
        Choices::new(values.into_iter().map(Into::into).collect()).map(Self::Categorical)
    }

    /// One of several values in order, all numbers or all texts.
    ///
    /// # Errors
    /// As [`Domain::categorical`], and values of different kinds.
    pub fn ordinal<V: Into<Value>>(values: impl IntoIterator<Item = V>) -> Result<Self, DomainError> {
        let choices = Choices::new(values.into_iter().map(Into::into).collect())?;
        let numeric = choices.values[0].as_f64().is_some();
        for value in &choices.values {
            if value.as_bool().is_some() || value.as_f64().is_some() != numeric {
                return Err(DomainError::Mixed { value: value.clone() });
            }
        }
        Ok(Self::Ordinal(choices))
    }

    /// The same bounds on a logarithmic scale: equal ratios are equally likely.
    ///
    /// # Errors
    /// A lower bound that is not positive, or a domain that is not numeric.
    pub fn log(self) -> Result<Self, DomainError> {
        match self {
            Self::Float(d) => FloatDomain::new(d.lo, d.hi, true, d.step).map(Self::Float),
            Self::Int(d) => IntDomain::new(d.lo, d.hi, true, d.step).map(Self::Int),
            _ => Err(DomainError::NotNumeric { what: "log" }),
        }
    }

    /// Restricts the domain to `lo`, `lo + step`, `lo + 2 step`, ... up to `hi` (`hi` is a value only if a step reaches
    /// it).
    ///
    /// # Errors
    /// A step that is not positive and finite (for an int domain: not whole), or a domain that is not numeric.
    pub fn step(self, step: f64) -> Result<Self, DomainError> {
        match self {
            Self::Float(d) => FloatDomain::new(d.lo, d.hi, d.log, Some(step)).map(Self::Float),
            Self::Int(d) => {
                if step.fract() != 0.0 || step.abs() > MAX_INT as f64 {
                    return Err(DomainError::Step { step });
                }
                IntDomain::new(d.lo, d.hi, d.log, step as i64).map(Self::Int)
            }
            _ => Err(DomainError::NotNumeric { what: "step" }),
        }
    }

    /// Number of values; `None` for a float without step that has more than one.
    pub fn count(&self) -> Option<u64> {
        match self {
            Self::Float(d) => d.count(),
            Self::Int(d) => Some(d.count()),
            Self::Categorical(c) | Self::Ordinal(c) => Some(c.values.len() as u64),
            Self::Bool => Some(2),
        }
    }

    /// The `k`-th value of a domain that has more than `k`.
    pub(crate) fn nth(&self, k: u64) -> Value {
        match self {
            Self::Float(d) => Value::Float(d.at(k)),
            Self::Int(d) => Value::Int(d.at(k)),
            Self::Categorical(c) | Self::Ordinal(c) => c.values[k as usize].clone(),
            Self::Bool => Value::Bool(k == 1),
        }
    }

    /// The index of a value among a finite domain's values; `None` for a value outside of the domain.
    pub(crate) fn place(&self, value: &Value) -> Option<u64> {
        if !self.contains(value) {
            return None;
        }
        match (self, value) {
            (Self::Float(d), Value::Float(v)) => {
                d.count().map(|_| d.step.map_or(0, |step| ((v - d.lo) / step).round() as u64))
            }
            (Self::Int(d), Value::Int(v)) => Some(((v - d.lo) / d.step) as u64),
            (Self::Bool, Value::Bool(v)) => Some(u64::from(*v)),
            (Self::Categorical(c) | Self::Ordinal(c), v) => c.position(v).map(|k| k as u64),
            _ => None,
        }
    }

    /// Whether `value` is one of the domain's values, in the domain's own type.
    pub fn contains(&self, value: &Value) -> bool {
        match (self, value) {
            (Self::Float(d), Value::Float(v)) => d.contains(*v),
            (Self::Int(d), Value::Int(v)) => d.contains(*v),
            (Self::Bool, Value::Bool(_)) => true,
            (Self::Categorical(c) | Self::Ordinal(c), v) => c.position(v).is_some(),
            _ => false,
        }
    }

    /// `value` in the domain's own type. An int domain accepts a whole `Float`, a float domain an `Int`, and a stepped
    /// float domain a number within a millionth of a step. `None` if it is not a value of the domain; no value is moved
    /// to a bound.
    pub fn conform(&self, value: &Value) -> Option<Value> {
        let own = match (self, value) {
            (Self::Float(d), Value::Int(_) | Value::Float(_)) => {
                let v = value.as_f64()?;
                let v = d.step.map_or(v, |step| {
                    let grid = d.at(((v - d.lo) / step).round().max(0.0) as u64);
                    if (grid - v).abs() <= 1e-6 * step { grid } else { v }
                });
                // Minus zero is zero: one value, one key.
                Value::Float(v + 0.0)
            }
            (Self::Int(_), Value::Float(v)) if v.fract() == 0.0 && v.abs() <= MAX_INT as f64 => Value::Int(*v as i64),
            (Self::Categorical(c) | Self::Ordinal(c), Value::Int(_) | Value::Float(_)) => {
                let v = value.as_f64()?;
                let exact = c.values.iter().find(|x| *x == value);
                exact.or_else(|| c.values.iter().find(|x| x.as_f64() == Some(v)))?.clone()
            }
            _ => value.clone(),
        };
        self.contains(&own).then_some(own)
    }

    /// The allowed values in a few words, for messages.
    pub fn allows(&self) -> String {
        match self {
            Self::Float(FloatDomain { lo, hi, step: None, .. }) => format!("a number from {lo} to {hi}"),
            Self::Float(FloatDomain { lo, hi, step: Some(s), .. }) => {
                format!("a number from {lo} to {hi} in steps of {s}")
            }
            Self::Int(IntDomain { lo, hi, step: 1, .. }) => format!("a whole number from {lo} to {hi}"),
            Self::Int(IntDomain { lo, hi, step, .. }) => format!("a whole number from {lo} to {hi} in steps of {step}"),
            Self::Categorical(c) | Self::Ordinal(c) => {
                let values: Vec<String> = c.values.iter().map(Value::to_string).collect();
                format!("one of {}", values.join(", "))
            }
            Self::Bool => "true or false".to_owned(),
        }
    }
}

impl FloatDomain {
    fn new(lo: f64, hi: f64, log: bool, step: Option<f64>) -> Result<Self, DomainError> {
        if !(hi - lo).is_finite() {
            return Err(DomainError::NotFinite { lo, hi });
        }
        if lo > hi {
            return Err(DomainError::Empty { lo, hi });
        }
        if log && lo <= 0.0 {
            return Err(DomainError::LogNotPositive { lo });
        }
        if let Some(step) = step {
            if !(step > 0.0 && step.is_finite()) {
                return Err(DomainError::Step { step });
            }
            if (hi - lo) / step >= MAX_COUNT as f64 {
                return Err(DomainError::TooLarge { what: "its number of values", max: MAX_COUNT });
            }
            // Below this the sum lo + k step no longer changes from one k to the next.
            if step < 8.0 * f64::EPSILON * lo.abs().max(hi.abs()) || (log && hi / step > MAX_LOG_INT as f64) {
                return Err(DomainError::TooLarge { what: "its bound in steps", max: MAX_LOG_INT as u64 });
            }
        }
        // Minus zero is zero: one value, one key.
        Ok(Self { lo: lo + 0.0, hi: hi + 0.0, log, step })
    }

    /// The lower bound.
    pub fn lo(&self) -> f64 {
        self.lo
    }

    /// The upper bound.
    pub fn hi(&self) -> f64 {
        self.hi
    }

    /// Whether the scale is logarithmic.
    pub fn is_log(&self) -> bool {
        self.log
    }

    /// The distance of neighbouring values, if there is one.
    pub fn step_size(&self) -> Option<f64> {
        self.step
    }

    /// The number of values, if it is finite.
    pub(crate) fn count(&self) -> Option<u64> {
        // The tolerance lets 0, 0.1, ..., 1 have eleven values although 1/0.1 may come out below 10.
        let steps = |step: f64| ((self.hi - self.lo) / step * (1.0 + 1e-12) + 1e-9).floor() as u64 + 1;
        if self.lo == self.hi { Some(1) } else { self.step.map(steps) }
    }

    /// The `k`-th value of a stepped domain.
    pub(crate) fn at(&self, k: u64) -> f64 {
        let step = self.step.unwrap_or(0.0);
        (self.lo + k as f64 * step).min(self.hi)
    }

    fn contains(&self, v: f64) -> bool {
        if !(self.lo..=self.hi).contains(&v) || (v == 0.0 && v.is_sign_negative()) {
            return false;
        }
        self.step.is_none_or(|step| {
            let k = ((v - self.lo) / step).round() as u64;
            self.count().is_some_and(|count| k < count) && self.at(k) == v
        })
    }
}

impl IntDomain {
    fn new(lo: i64, hi: i64, log: bool, step: i64) -> Result<Self, DomainError> {
        let (flo, fhi) = (lo as f64, hi as f64);
        if lo > hi {
            return Err(DomainError::Empty { lo: flo, hi: fhi });
        }
        if lo < -MAX_INT || hi > MAX_INT {
            return Err(DomainError::TooLarge { what: "its bounds", max: MAX_INT as u64 });
        }
        if step < 1 {
            return Err(DomainError::Step { step: step as f64 });
        }
        if log && lo < 1 {
            return Err(DomainError::LogNotPositive { lo: flo });
        }
        if (hi - lo) / step >= MAX_COUNT as i64 {
            return Err(DomainError::TooLarge { what: "its number of values", max: MAX_COUNT });
        }
        if log && hi / step > MAX_LOG_INT {
            return Err(DomainError::TooLarge { what: "its upper bound in steps", max: MAX_LOG_INT as u64 });
        }
        Ok(Self { lo, hi, log, step })
    }

    /// The lower bound.
    pub fn lo(&self) -> i64 {
        self.lo
    }

    /// The upper bound.
    pub fn hi(&self) -> i64 {
        self.hi
    }

    /// Whether the scale is logarithmic.
    pub fn is_log(&self) -> bool {
        self.log
    }

    /// The distance of neighbouring values.
    pub fn step_size(&self) -> i64 {
        self.step
    }

    pub(crate) fn count(&self) -> u64 {
        ((self.hi - self.lo) / self.step) as u64 + 1
    }

    pub(crate) fn at(&self, k: u64) -> i64 {
        self.lo + k as i64 * self.step
    }

    fn contains(&self, v: i64) -> bool {
        (self.lo..=self.hi).contains(&v) && (v - self.lo) % self.step == 0
    }
}

impl Choices {
    fn new(values: Vec<Value>) -> Result<Self, DomainError> {
        if values.is_empty() {
            return Err(DomainError::NoValues);
        }
        for (i, value) in values.iter().enumerate() {
            if value.as_f64().is_some_and(|v| !v.is_finite()) {
                return Err(DomainError::ValueNotFinite { value: value.clone() });
            }
            if values[..i].contains(value) {
                return Err(DomainError::Twice { value: value.clone() });
            }
        }
        Ok(Self { values })
    }

    /// The values, in the order given.
    pub fn values(&self) -> &[Value] {
        &self.values
    }

    /// The index of `value` in the list.
    pub fn position(&self, value: &Value) -> Option<usize> {
        self.values.iter().position(|v| v == value)
    }
}

/// The JSON form.
#[derive(Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase", deny_unknown_fields)]
enum Raw {
    Float {
        lo: f64,
        hi: f64,
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        log: bool,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        step: Option<f64>,
    },
    Int {
        lo: i64,
        hi: i64,
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        log: bool,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        step: Option<i64>,
    },
    Categorical {
        values: Vec<Value>,
    },
    Bool {},
    Ordinal {
        values: Vec<Value>,
    },
}

impl TryFrom<Raw> for Domain {
    type Error = DomainError;

    fn try_from(raw: Raw) -> Result<Self, DomainError> {
        match raw {
            Raw::Float { lo, hi, log, step } => FloatDomain::new(lo, hi, log, step).map(Self::Float),
            Raw::Int { lo, hi, log, step } => IntDomain::new(lo, hi, log, step.unwrap_or(1)).map(Self::Int),
            Raw::Categorical { values } => Self::categorical(values),
            Raw::Bool {} => Ok(Self::Bool),
            Raw::Ordinal { values } => Self::ordinal(values),
        }
    }
}

impl From<Domain> for Raw {
    fn from(domain: Domain) -> Self {
        match domain {
            Domain::Float(FloatDomain { lo, hi, log, step }) => Self::Float { lo, hi, log, step },
            Domain::Int(IntDomain { lo, hi, log, step }) => {
                Self::Int { lo, hi, log, step: Some(step).filter(|s| *s != 1) }
            }
            Domain::Categorical(c) => Self::Categorical { values: c.values },
            Domain::Bool => Self::Bool {},
            Domain::Ordinal(c) => Self::Ordinal { values: c.values },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn impossible_domains_are_refused() {
        assert!(matches!(Domain::float(f64::NAN, 1.0), Err(DomainError::NotFinite { .. })));
        assert!(matches!(Domain::float(-1.7e308, 1.7e308), Err(DomainError::NotFinite { .. })));
        assert!(matches!(Domain::float(2.0, 1.0), Err(DomainError::Empty { .. })));
        assert!(matches!(Domain::float(0.0, 1.0).unwrap().log(), Err(DomainError::LogNotPositive { .. })));
        assert!(matches!(Domain::int(0, 1).unwrap().log(), Err(DomainError::LogNotPositive { .. })));
        assert!(matches!(Domain::int(i64::MIN, i64::MAX), Err(DomainError::TooLarge { .. })));
        assert!(matches!(Domain::int(0, 9).unwrap().step(0.5), Err(DomainError::Step { .. })));
        assert!(matches!(Domain::float(0.0, 9.0).unwrap().step(0.0), Err(DomainError::Step { .. })));
        assert!(matches!(Domain::categorical(Vec::<Value>::new()), Err(DomainError::NoValues)));
        assert!(matches!(Domain::categorical(["a", "a"]), Err(DomainError::Twice { .. })));
        assert!(matches!(Domain::ordinal([Value::Int(1), Value::from("a")]), Err(DomainError::Mixed { .. })));
        assert!(matches!(Domain::Bool.log(), Err(DomainError::NotNumeric { .. })));
    }

    #[test]
    fn steps_count_what_they_reach() {
        let tenths = Domain::float(0.0, 1.0).unwrap().step(0.1).unwrap();
        assert_eq!(tenths.count(), Some(11));
        assert_eq!(tenths.conform(&Value::Float(0.3)), Some(Value::Float(3.0 * 0.1)));
        assert_eq!(tenths.conform(&Value::Float(0.35)), None);
        let threes = Domain::int(1, 10).unwrap().step(3.0).unwrap();
        assert_eq!(threes.count(), Some(4));
        assert!(threes.contains(&Value::Int(10)) && !threes.contains(&Value::Int(9)));
    }

    #[test]
    fn conforming_changes_the_type_and_never_the_value() {
        let int = Domain::int(1, 9).unwrap();
        assert_eq!(int.conform(&Value::Float(3.0)), Some(Value::Int(3)));
        assert_eq!(int.conform(&Value::Float(3.5)), None);
        assert_eq!(int.conform(&Value::Int(10)), None);
        let float = Domain::float(0.0, 9.0).unwrap();
        assert_eq!(float.conform(&Value::Int(3)), Some(Value::Float(3.0)));
        assert_eq!(float.conform(&Value::Float(-0.0)), Some(Value::Float(0.0)));
        let list = Domain::ordinal([1.0, 2.5]).unwrap();
        assert_eq!(list.conform(&Value::Int(1)), Some(Value::Float(1.0)));
    }
}
