//! `Space`: the parameters of a study, by name and in order, and which configurations are in it.
//!
//! The map to the unit cube, where searchers work, is a rule: `rules/encoding`.

use std::fmt;

use serde::de::{MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::domain::Domain;
use super::value::{Config, Value};

/// Why a space cannot be made.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SpaceError {
    /// A name is empty.
    #[error("a parameter's name is empty")]
    NoName,
    /// A name is given twice.
    #[error("parameter `{name}` is given twice")]
    Twice {
        /// The name.
        name: String,
    },
}

/// Why a configuration is not one of the space's.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A parameter of the space has no value.
    #[error("parameter `{name}` has no value")]
    Missing {
        /// The parameter.
        name: String,
    },
    /// A name is not in the space.
    #[error("parameter `{name}` is not in the space (it has {})", known.join(", "))]
    Unknown {
        /// The name given.
        name: String,
        /// The names there are.
        known: Vec<String>,
    },
    /// A value is not one of its domain's.
    #[error("parameter `{name}` is {value}, which is not {allows}")]
    Outside {
        /// The parameter.
        name: String,
        /// The value given.
        value: Value,
        /// What the domain allows.
        allows: String,
    },
}

/// The parameters of a study, in order: a JSON object from names to [`Domain`]s.
///
/// ```
/// use tunekit::{Config, Domain, Space};
///
/// let space = Space::new()
///     .with("x", Domain::float(-5.0, 10.0)?)?
///     .with("n", Domain::int(1, 512)?.log()?)?
///     .with("kind", Domain::categorical(["a", "b"])?)?;
///
/// let same: Space = serde_json::from_str(
///     r#"{"x":{"type":"float","lo":-5,"hi":10},"n":{"type":"int","lo":1,"hi":512,"log":true},
///         "kind":{"type":"categorical","values":["a","b"]}}"#,
/// )?;
/// assert_eq!(space, same);
///
/// // The middle of the space, and a point of the unit cube.
/// assert_eq!(space.centre(), Config::new().with("x", 2.5).with("n", 23).with("kind", "a"));
/// assert_eq!(space.decode(&[0.0, 1.0, 0.9])?, Config::new().with("x", -5.0).with("n", 512).with("kind", "b"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Space {
    parameters: Vec<(String, Domain)>,
}

impl Space {
    /// A space without parameters.
    pub fn new() -> Self {
        Self::default()
    }

    /// With one more parameter, after those there are.
    ///
    /// # Errors
    /// A name that is empty or there already.
    pub fn with(mut self, name: impl Into<String>, domain: Domain) -> Result<Self, SpaceError> {
        let name = name.into();
        if name.is_empty() {
            return Err(SpaceError::NoName);
        }
        if self.domain(&name).is_some() {
            return Err(SpaceError::Twice { name });
        }
        self.parameters.push((name, domain));
        Ok(self)
    }

    /// Names and domains, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Domain)> {
        self.parameters.iter().map(|(n, d)| (n.as_str(), d))
    }

    /// The domain of a parameter.
    pub fn domain(&self, name: &str) -> Option<&Domain> {
        self.iter().find(|(n, _)| *n == name).map(|(_, d)| d)
    }

    /// How many parameters there are: the dimension of the unit cube.
    pub fn len(&self) -> usize {
        self.parameters.len()
    }

    /// Whether there is no parameter.
    pub fn is_empty(&self) -> bool {
        self.parameters.is_empty()
    }

    /// How many configurations there are; `None` if a parameter is continuous, `u128::MAX` stands for more.
    pub fn count(&self) -> Option<u128> {
        self.iter().try_fold(1_u128, |n, (_, d)| Some(n.saturating_mul(d.count()?.into())))
    }

    /// The `index`-th configuration of a finite space, the last parameter changing fastest; `None` beyond the last, or if
    /// a parameter is continuous.
    pub fn nth(&self, index: u128) -> Option<Config> {
        if index >= self.count()? {
            return None;
        }
        let mut rest = index;
        let mut values = Vec::with_capacity(self.len());
        for (name, domain) in self.parameters.iter().rev() {
            let count = u128::from(domain.count()?);
            values.push((name, domain.nth((rest % count) as u64)));
            rest /= count;
        }
        Some(values.into_iter().rev().fold(Config::new(), |config, (name, value)| config.with(name, value)))
    }

    /// Checks that `config` has exactly the space's parameters, each with a value of its domain in the domain's type.
    ///
    /// # Errors
    /// The first parameter that is missing, unknown or outside.
    pub fn validate(&self, config: &Config) -> Result<(), ConfigError> {
        self.check_names(config)?;
        for (name, domain) in self.iter() {
            let value = config.value(name).ok_or_else(|| ConfigError::Missing { name: name.to_owned() })?;
            if !domain.contains(value) {
                return Err(outside(name, value, domain));
            }
        }
        Ok(())
    }

    /// `config` with its values in the domains' own types (see [`Domain::conform`]) and in the space's order.
    ///
    /// # Errors
    /// The first parameter that is missing, unknown or outside.
    pub fn conform(&self, config: &Config) -> Result<Config, ConfigError> {
        self.fill(config, |name, _| Err(ConfigError::Missing { name: name.to_owned() }))
    }

    /// As [`Space::conform`], with the centre's value where `config` has none.
    ///
    /// # Errors
    /// The first parameter that is unknown or outside.
    pub fn complete(&self, config: &Config) -> Result<Config, ConfigError> {
        self.fill(config, |_, domain| Ok(domain.centre()))
    }

    /// The configuration in the middle: of the bounds on their scale, of an ordinal's list; a categorical's first value,
    /// false.
    pub fn centre(&self) -> Config {
        self.iter().fold(Config::new(), |config, (name, domain)| config.with(name, domain.centre()))
    }

    fn fill(
        &self,
        config: &Config,
        missing: impl Fn(&str, &Domain) -> Result<Value, ConfigError>,
    ) -> Result<Config, ConfigError> {
        self.check_names(config)?;
        self.iter().try_fold(Config::new(), |own, (name, domain)| {
            let value = match config.value(name) {
                Some(value) => domain.conform(value).ok_or_else(|| outside(name, value, domain))?,
                None => missing(name, domain)?,
            };
            Ok(own.with(name, value))
        })
    }

    fn check_names(&self, config: &Config) -> Result<(), ConfigError> {
        match config.iter().find(|(name, _)| self.domain(name).is_none()) {
            Some((name, _)) => Err(ConfigError::Unknown {
                name: name.to_owned(),
                known: self.iter().map(|(n, _)| n.to_owned()).collect(),
            }),
            None => Ok(()),
        }
    }
}

impl Domain {
    /// The middle of the domain on its scale: see [`Space::centre`].
    pub fn centre(&self) -> Value {
        let grid = |x: f64, lo: f64, step: f64, count: u64| (((x - lo) / step).round() as u64).min(count - 1);
        match self {
            Self::Float(d) => {
                let (lo, hi) = (d.lo(), d.hi());
                let mid = if d.is_log() { (lo.ln() / 2.0 + hi.ln() / 2.0).exp() } else { lo / 2.0 + hi / 2.0 };
                let mid = mid.clamp(lo, hi) + 0.0;
                Value::Float(match (d.step_size(), d.count()) {
                    (Some(step), Some(count)) => d.at(grid(mid, lo, step, count)),
                    _ => mid,
                })
            }
            Self::Int(d) => {
                let (lo, hi) = (d.lo() as f64, d.hi() as f64);
                let mid = if d.is_log() { (lo.ln() / 2.0 + hi.ln() / 2.0).exp() } else { lo / 2.0 + hi / 2.0 };
                Value::Int(d.at(grid(mid, lo, d.step_size() as f64, d.count())))
            }
            Self::Categorical(c) => c.values()[0].clone(),
            Self::Bool => Value::Bool(false),
            Self::Ordinal(c) => c.values()[(c.values().len() - 1) / 2].clone(),
        }
    }
}

fn outside(name: &str, value: &Value, domain: &Domain) -> ConfigError {
    ConfigError::Outside { name: name.to_owned(), value: value.clone(), allows: domain.allows() }
}

impl Serialize for Space {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.len()))?;
        for (name, domain) in self.iter() {
            map.serialize_entry(name, domain)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Space {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Parameters;
        impl<'de> Visitor<'de> for Parameters {
            type Value = Space;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of parameter names and domains")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Space, A::Error> {
                use serde::de::Error;
                let mut space = Space::new();
                while let Some(name) = map.next_key::<String>()? {
                    let domain = map.next_value().map_err(|e| A::Error::custom(format!("parameter `{name}`: {e}")))?;
                    space = space.with(name, domain).map_err(A::Error::custom)?;
                }
                Ok(space)
            }
        }
        deserializer.deserialize_map(Parameters)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn space() -> Space {
        Space::new().with("x", Domain::float(-5.0, 10.0).unwrap()).unwrap().with("b", Domain::Bool).unwrap()
    }

    #[test]
    fn a_config_of_the_space_is_complete_known_and_inside() {
        let space = space();
        assert_eq!(space.validate(&Config::new().with("b", true).with("x", 0.0)), Ok(()));
        let missing = space.validate(&Config::new().with("b", true));
        assert!(matches!(missing, Err(ConfigError::Missing { name }) if name == "x"));
        let unknown = space.validate(&Config::new().with("y", 1));
        assert!(matches!(unknown, Err(ConfigError::Unknown { name, .. }) if name == "y"));
        let outside = space.validate(&Config::new().with("b", true).with("x", 11.0)).unwrap_err();
        assert_eq!(outside.to_string(), "parameter `x` is 11.0, which is not a number from -5 to 10");
    }

    #[test]
    fn a_partial_config_is_completed_with_the_centre() {
        let full = space().complete(&Config::new().with("x", 0)).unwrap();
        assert_eq!(full, Config::new().with("x", 0.0).with("b", false));
        assert!(space().conform(&Config::new().with("x", 0)).is_err());
    }

    #[test]
    fn a_finite_space_can_be_listed() {
        let space = Space::new()
            .with("n", Domain::int(1, 9).unwrap().log().unwrap().step(4.0).unwrap())
            .unwrap()
            .with("b", Domain::Bool)
            .unwrap();
        let all: Vec<Config> = (0..6).map(|i| space.nth(i).unwrap()).collect();
        assert_eq!(all[3], Config::new().with("n", 5).with("b", true));
        assert!(all.iter().all(|c| space.validate(c).is_ok()));
        assert_eq!(space.nth(6), None);
    }

    #[test]
    fn a_space_in_json_names_the_parameter_that_is_wrong() {
        let wrong = r#"{"x":{"type":"float","lo":3,"hi":1}}"#;
        let error = serde_json::from_str::<Space>(wrong).unwrap_err().to_string();
        assert!(error.contains("`x`") && error.contains("swap"), "{error}");
        assert!(serde_json::from_str::<Space>(r#"{"x":{"type":"bool"},"x":{"type":"bool"}}"#).is_err());
        assert!(serde_json::from_str::<Space>(r#"{"x":{"type":"int","lo":1,"hi":2,"stepp":1}}"#).is_err());
    }
}
