//! `Space`: the parameters of a study, by name and in order, and the configurations that it contains.
//!
//! A parameter may exist only while others have certain values (`when`), and predicates may forbid values that single
//! domains allow. The number of configurations, and the n-th of them, are in `space/listing.rs`; the JSON form in
//! `space/json.rs`. The map to the unit cube, where searchers work, is a rule: `rules/encoding`.

mod json;
mod listing;

use std::sync::Arc;

use super::domain::Domain;
use super::predicate::{Predicate, PredicateError};
use super::value::{Config, Names, Value};

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
    /// A parameter's condition is invalid.
    #[error("parameter `{name}` cannot depend on `{parent}`: {what}")]
    Condition {
        /// The parameter.
        name: String,
        /// The parameter that it depends on.
        parent: String,
        /// The mistake, and the way to mend it.
        what: String,
    },
    /// A predicate cannot be read.
    #[error(transparent)]
    Predicate(#[from] PredicateError),
}

/// Why a configuration is not in the space.
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
    /// A value is not in its domain.
    #[error("parameter `{name}` is {value}, which is not {allows}")]
    Outside {
        /// The parameter.
        name: String,
        /// The value given.
        value: Value,
        /// The allowed values.
        allows: String,
    },
    /// A parameter has a value although it does not exist with these values of the others.
    #[error("parameter `{name}` has a value although it exists only while {when}; leave it out")]
    Inactive {
        /// The parameter.
        name: String,
        /// When it exists.
        when: String,
    },
    /// A predicate does not hold.
    #[error("the configuration is forbidden: `{predicate}` does not hold")]
    Forbidden {
        /// The predicate.
        predicate: String,
    },
}

/// One parameter but its name.
#[derive(Debug, Clone, PartialEq)]
struct Parameter {
    domain: Domain,
    when: Vec<Condition>,
}

/// A parent, by place, must have one of these values.
#[derive(Debug, Clone, PartialEq)]
struct Condition {
    parent: usize,
    values: Vec<Value>,
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
///
/// A parameter may depend on one before it, and predicates may forbid combinations. A configuration has no value for a
/// parameter that does not exist in it:
///
/// ```
/// use tunekit::{Config, Domain, Space};
/// use tunekit::space::ConfigError;
///
/// let space = Space::new()
///     .with("engine", Domain::categorical(["plain", "pooled"])?)?
///     .with_when("pool", Domain::int(1, 64)?, "engine", ["pooled"])?
///     .with("chunk", Domain::int(1, 64)?)?
///     .require("pool * chunk <= 1024")?;
/// assert_eq!(space.decode(&[0.0, 0.5, 0.0])?, Config::new().with("engine", "plain").with("chunk", 1));
/// let much = Config::new().with("engine", "pooled").with("pool", 64).with("chunk", 64);
/// assert!(matches!(space.validate(&much), Err(ConfigError::Forbidden { .. })));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Space {
    names: Arc<Names>,
    parameters: Vec<Parameter>,
    predicates: Vec<Predicate>,
}

impl Space {
    /// A space without parameters.
    pub fn new() -> Self {
        Self::default()
    }

    /// With one more parameter, after the present ones.
    ///
    /// # Errors
    /// The name is empty or used already.
    pub fn with(self, name: impl Into<String>, domain: Domain) -> Result<Self, SpaceError> {
        self.push(name.into(), domain, Vec::new())
    }

    /// With one more parameter that exists only while `parent`, a categorical, ordinal, boolean or whole-number
    /// parameter before it, exists and has one of `values`.
    ///
    /// # Errors
    /// The name is empty or used already, the parent is missing or of another kind, `values` is empty, or the parent
    /// never has one of them.
    pub fn with_when<V: Into<Value>>(
        self,
        name: impl Into<String>,
        domain: Domain,
        parent: &str,
        values: impl IntoIterator<Item = V>,
    ) -> Result<Self, SpaceError> {
        self.with_conditions(name, domain, [(parent, values.into_iter().map(Into::into).collect::<Vec<_>>())])
    }

    /// As [`Space::with_when`], with several parents; each must have one of its values.
    ///
    /// # Errors
    /// As [`Space::with_when`]; also if a parent is given twice.
    pub fn with_conditions<'p>(
        self,
        name: impl Into<String>,
        domain: Domain,
        when: impl IntoIterator<Item = (&'p str, Vec<Value>)>,
    ) -> Result<Self, SpaceError> {
        let name = name.into();
        let mut conditions: Vec<Condition> = Vec::new();
        for (parent, values) in when {
            let wrong = |what: &str| SpaceError::Condition {
                name: name.clone(),
                parent: parent.to_owned(),
                what: what.to_owned(),
            };
            let index = self.names.position(parent).ok_or_else(|| wrong("no parameter before it has that name"))?;
            let domain = &self.parameters[index].domain;
            if matches!(domain, Domain::Float(_)) {
                return Err(wrong("a parent is categorical, ordinal, a truth value or a whole number"));
            }
            if conditions.iter().any(|c| c.parent == index) {
                return Err(wrong("it is named twice; list all values at once"));
            }
            if values.is_empty() {
                return Err(wrong("no value is listed, so it would never exist"));
            }
            let mut own = Vec::with_capacity(values.len());
            for value in values {
                let conformed = domain
                    .conform(&value)
                    .ok_or_else(|| wrong(&format!("it is never {value}, but {}", domain.allows())))?;
                if own.contains(&conformed) {
                    return Err(wrong(&format!("value {value} is listed twice")));
                }
                own.push(conformed);
            }
            conditions.push(Condition { parent: index, values: own });
        }
        self.push(name, domain, conditions)
    }

    fn push(mut self, name: String, domain: Domain, when: Vec<Condition>) -> Result<Self, SpaceError> {
        if name.is_empty() {
            return Err(SpaceError::NoName);
        }
        if self.names.position(&name).is_some() {
            return Err(SpaceError::Twice { name });
        }
        Arc::make_mut(&mut self.names).push(&name);
        self.parameters.push(Parameter { domain, when });
        Ok(self)
    }

    /// With a predicate that every configuration must meet, over the existing parameters: `"threads * chunk <= 1024"`,
    /// `"not (kind == 'a' and on) or n < 8"`. It may use numbers, texts in quotes, parameters (in backticks where a
    /// name is no word), `+ - * /`, comparisons, `and`, `or`, `not`, parentheses, `min`, `max` and `log2`. It holds if
    /// one of its parameters does not exist.
    ///
    /// # Errors
    /// The text cannot be read; the error gives the place of the mistake.
    pub fn require(mut self, predicate: &str) -> Result<Self, SpaceError> {
        let find = |name: &str| self.names.position(name).map(|index| (index, &self.parameters[index].domain));
        let predicate = Predicate::parse(predicate, &find)?;
        self.predicates.push(predicate);
        Ok(self)
    }

    /// The same space with other domains where `narrower` gives one: conditions and predicates stay, and so does the
    /// domain of a parameter that others depend on, or whose values, where they are no numbers, a predicate may name.
    pub(crate) fn narrowed(mut self, narrower: impl Fn(usize, &Domain) -> Option<Domain>) -> Self {
        let is_parent = |index: usize| self.parameters.iter().any(|p| p.when.iter().any(|c| c.parent == index));
        let is_named = |index: usize| {
            !matches!(self.parameters[index].domain, Domain::Float(_) | Domain::Int(_))
                && self.predicates.iter().any(|p| p.is_about(index))
        };
        let fixed: Vec<bool> = (0..self.parameters.len()).map(|i| is_parent(i) || is_named(i)).collect();
        for (index, parameter) in self.parameters.iter_mut().enumerate().filter(|(index, _)| !fixed[*index]) {
            if let Some(domain) = narrower(index, &parameter.domain) {
                parameter.domain = domain;
            }
        }
        self
    }

    /// The predicates, as they were written.
    pub fn predicates(&self) -> impl Iterator<Item = &str> {
        self.predicates.iter().map(Predicate::text)
    }

    /// Names and domains, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Domain)> {
        self.names.iter().zip(&self.parameters).map(|(n, p)| (n, &p.domain))
    }

    /// The domain of a parameter.
    pub fn domain(&self, name: &str) -> Option<&Domain> {
        self.names.position(name).map(|index| &self.parameters[index].domain)
    }

    /// The conditions on a parameter: parents, and for each the values one of which it must have. Empty for a parameter
    /// that always exists, and for an unknown name.
    pub fn conditions(&self, name: &str) -> impl Iterator<Item = (&str, &[Value])> {
        let when = self.names.position(name).map_or(&[][..], |index| &self.parameters[index].when);
        when.iter().map(|c| (self.names.get(c.parent), &c.values[..]))
    }

    /// Whether any parameter depends on another.
    pub fn is_conditional(&self) -> bool {
        self.parameters.iter().any(|p| !p.when.is_empty())
    }

    /// Number of parameters: the dimension of the unit cube.
    pub fn len(&self) -> usize {
        self.parameters.len()
    }

    /// Whether there is no parameter.
    pub fn is_empty(&self) -> bool {
        self.parameters.is_empty()
    }

    /// Whether all predicates hold for `config`.
    pub fn allows(&self, config: &Config) -> bool {
        self.broken(config).is_none()
    }

    /// Checks that `config` has exactly the parameters that exist with its values, each with a value of its domain in
    /// the domain's type, and that all predicates hold.
    ///
    /// # Errors
    /// The first parameter that is missing, unknown, outside of its domain, or superfluous; or a predicate that does
    /// not hold.
    pub fn validate(&self, config: &Config) -> Result<(), ConfigError> {
        self.check_values(config)?;
        self.check_predicates(config)
    }

    /// [`Space::validate`] but for the predicates.
    pub(crate) fn check_values(&self, config: &Config) -> Result<(), ConfigError> {
        self.check_names(config)?;
        let value = |index| self.value(config, index);
        for (index, parameter) in self.parameters.iter().enumerate() {
            match (value(index), parameter.exists(value)) {
                (Some(v), true) if parameter.domain.contains(v) => {}
                (Some(v), true) => return Err(outside(self.names.get(index), v, &parameter.domain)),
                (Some(_), false) => return Err(self.inactive(index)),
                (None, true) => return Err(ConfigError::Missing { name: self.names.get(index).to_owned() }),
                (None, false) => {}
            }
        }
        Ok(())
    }

    fn check_predicates(&self, config: &Config) -> Result<(), ConfigError> {
        let forbidden = |p: &Predicate| ConfigError::Forbidden { predicate: p.text().to_owned() };
        self.broken(config).map_or(Ok(()), |p| Err(forbidden(p)))
    }

    /// The first predicate that does not hold.
    fn broken(&self, config: &Config) -> Option<&Predicate> {
        self.predicates.iter().find(|p| !p.holds(&|index| self.value(config, index)))
    }

    /// The value of the parameter in this place.
    pub(crate) fn value<'c>(&self, config: &'c Config, index: usize) -> Option<&'c Value> {
        if config.has_names(&self.names) { config.slots()[index].as_ref() } else { config.value(self.names.get(index)) }
    }

    /// `config` with its values in the domains' own types (see [`Domain::conform`]) and in the space's order.
    ///
    /// # Errors
    /// As [`Space::validate`].
    pub fn conform(&self, config: &Config) -> Result<Config, ConfigError> {
        // A configuration that a searcher decoded is right as it is.
        if config.has_names(&self.names) && self.validate(config).is_ok() {
            return Ok(config.clone());
        }
        self.fill(config, |name, _| Err(ConfigError::Missing { name: name.to_owned() }))
    }

    /// `config` itself, checked as by [`Space::validate`], in the space's order and sharing its names.
    pub(crate) fn adopt(&self, config: &Config) -> Result<Config, ConfigError> {
        self.validate(config)?;
        if config.has_names(&self.names) {
            return Ok(config.clone());
        }
        Ok(Config::of(&self.names, (0..self.len()).map(|index| self.value(config, index).cloned()).collect()))
    }

    /// As [`Space::conform`]; existing parameters without a value in `config` get the centre's value.
    ///
    /// # Errors
    /// The first parameter that is unknown, outside of its domain, or superfluous; or a predicate that does not hold.
    pub fn complete(&self, config: &Config) -> Result<Config, ConfigError> {
        self.fill(config, |_, domain| Ok(domain.centre()))
    }

    /// The configuration in the middle: of the bounds on their scale, of an ordinal's list; a categorical's first
    /// value, false. A predicate may forbid it.
    pub fn centre(&self) -> Config {
        self.build(|_, domain| domain.centre())
    }

    /// The configuration that has, where a parameter exists, the value that `value` gives.
    pub(crate) fn build(&self, mut value: impl FnMut(usize, &Domain) -> Value) -> Config {
        let mut values: Vec<Option<Value>> = Vec::with_capacity(self.len());
        for (index, parameter) in self.parameters.iter().enumerate() {
            let exists = parameter.exists(|parent| values[parent].as_ref());
            values.push(exists.then(|| value(index, &parameter.domain)));
        }
        Config::of(&self.names, values)
    }

    fn fill(
        &self,
        config: &Config,
        missing: impl Fn(&str, &Domain) -> Result<Value, ConfigError>,
    ) -> Result<Config, ConfigError> {
        self.check_names(config)?;
        let mut values: Vec<Option<Value>> = Vec::with_capacity(self.len());
        for (index, parameter) in self.parameters.iter().enumerate() {
            let (name, domain) = (self.names.get(index), &parameter.domain);
            values.push(match (self.value(config, index), parameter.exists(|parent| values[parent].as_ref())) {
                (Some(value), true) => Some(domain.conform(value).ok_or_else(|| outside(name, value, domain))?),
                (None, true) => Some(missing(name, domain)?),
                (Some(_), false) => return Err(self.inactive(index)),
                (None, false) => None,
            });
        }
        let own = Config::of(&self.names, values);
        self.check_predicates(&own)?;
        Ok(own)
    }

    fn check_names(&self, config: &Config) -> Result<(), ConfigError> {
        if config.has_names(&self.names) {
            return Ok(());
        }
        match config.iter().find(|(name, _)| self.domain(name).is_none()) {
            Some((name, _)) => Err(ConfigError::Unknown {
                name: name.to_owned(),
                known: self.iter().map(|(n, _)| n.to_owned()).collect(),
            }),
            None => Ok(()),
        }
    }

    fn inactive(&self, index: usize) -> ConfigError {
        let name = self.names.get(index);
        let condition = |(parent, values): (&str, &[Value])| {
            let values: Vec<String> = values.iter().map(Value::to_string).collect();
            format!("`{parent}` is {}", values.join(" or "))
        };
        let when = self.conditions(name).map(condition).collect::<Vec<_>>().join(" and ");
        ConfigError::Inactive { name: name.to_owned(), when }
    }
}

impl Parameter {
    /// Whether it exists where its parents have these values; a parent that does not exist has none.
    fn exists<'v>(&self, value: impl Fn(usize) -> Option<&'v Value>) -> bool {
        self.when.iter().all(|c| value(c.parent).is_some_and(|v| c.values.contains(v)))
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

    fn conditional() -> Space {
        Space::new()
            .with("kind", Domain::categorical(["a", "b", "c"]).unwrap())
            .unwrap()
            .with_when("on", Domain::Bool, "kind", ["b", "c"])
            .unwrap()
            .with_when("n", Domain::int(1, 9).unwrap(), "on", [true])
            .unwrap()
            .with_conditions(
                "x",
                Domain::float(0.0, 1.0).unwrap(),
                [("kind", vec![Value::from("c")]), ("n", vec![Value::Int(1), Value::Int(2)])],
            )
            .unwrap()
    }

    #[test]
    fn a_parameter_exists_only_where_all_its_parents_say_so() {
        let space = conditional();
        let a = Config::new().with("kind", "a");
        let b = Config::new().with("kind", "b").with("on", true).with("n", 2);
        let c = Config::new().with("kind", "c").with("on", true).with("n", 2).with("x", 0.5);
        for config in [&a, &b, &c] {
            assert_eq!(space.validate(config), Ok(()), "{config}");
            assert_eq!(space.conform(config).as_ref(), Ok(config));
        }
        let missing = space.validate(&Config::new().with("kind", "b")).unwrap_err();
        assert_eq!(missing, ConfigError::Missing { name: "on".to_owned() });
        let error = space.validate(&b.with("x", 0.5)).unwrap_err().to_string();
        assert!(error.contains("`x`") && error.contains("`kind` is c and `n` is 1 or 2"), "{error}");
        assert!(matches!(space.conform(&a.clone().with("n", 1)), Err(ConfigError::Inactive { .. })));
        // Only active parameters get a value, those that a given value activates included.
        assert_eq!(space.complete(&a), Ok(a));
        assert_eq!(space.centre(), Config::new().with("kind", "a"));
        let c = Config::new().with("kind", "c").with("on", true);
        assert_eq!(space.complete(&c), Ok(c.with("n", 5)));
    }

    #[test]
    fn a_condition_that_cannot_be_is_refused() {
        let with = |parent: &str, values: Vec<Value>| {
            let result = conditional().with_when("new", Domain::Bool, parent, values);
            result.unwrap_err().to_string()
        };
        assert!(with("later", vec![true.into()]).contains("no parameter before it"));
        assert!(with("x", vec![0.5.into()]).contains("a parent is categorical"));
        assert!(with("n", Vec::new()).contains("no value"));
        assert!(with("n", vec![10.into()]).contains("never 10"));
        assert!(with("n", vec![1.into(), 1.0.into()]).contains("listed twice"));
        let twice = [("n", vec![Value::Int(1)]), ("n", vec![Value::Int(2)])];
        assert!(conditional().with_conditions("new", Domain::Bool, twice).is_err());
    }

    #[test]
    fn a_forbidden_config_is_not_in_the_space() {
        let space = space().require("b or x < 1").unwrap().require("x > -4").unwrap();
        assert_eq!(space.predicates().collect::<Vec<_>>(), ["b or x < 1", "x > -4"]);
        let config = |b: bool, x: f64| Config::new().with("b", b).with("x", x);
        assert!(space.allows(&config(true, 2.0)) && space.validate(&config(false, 0.0)).is_ok());
        assert!(!space.allows(&config(false, 2.0)));
        let error = space.conform(&config(true, -4.5)).unwrap_err();
        assert_eq!(error, ConfigError::Forbidden { predicate: "x > -4".to_owned() });
        // A parameter that does not exist meets every predicate.
        assert!(conditional().require("n < 1").unwrap().allows(&Config::new().with("kind", "a")));
        let error = conditional().require("m < 1").unwrap_err().to_string();
        assert!(error.contains("character 1") && error.contains("`m`"), "{error}");
    }
}
