//! `Config`: the configuration of a trial, names with their values. The `Space` defines which are allowed.
//!
//! A study holds as many configurations as trials and hands each out several times, so a clone shares its names with
//! the space it came from and its values with the original.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, LazyLock};

use serde::de::{MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Value;
use crate::words::hash::{mix, of_text};

/// Parameter names in order, none twice, with their hashes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::words) struct Names {
    names: Vec<Box<str>>,
    hashes: Vec<u64>,
}

impl Names {
    /// Adds a name that is not there.
    pub(in crate::words) fn push(&mut self, name: &str) {
        self.names.push(name.into());
        self.hashes.push(of_text(name));
    }

    pub(in crate::words) fn position(&self, name: &str) -> Option<usize> {
        self.names.iter().position(|n| **n == *name)
    }

    pub(in crate::words) fn get(&self, index: usize) -> &str {
        &self.names[index]
    }

    pub(in crate::words) fn len(&self) -> usize {
        self.names.len()
    }

    pub(in crate::words) fn iter(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(|n| &**n)
    }
}

/// A configuration: names with their values, in the order given; a JSON object.
///
/// Two configurations are equal when they hold the same names with the same values, in any order. A clone costs
/// next to nothing, and a hash is the same on every machine.
///
/// ```
/// use tunekit::Config;
/// let config = Config::new().with("threads", 8).with("ratio", 0.5);
/// assert_eq!(config.int("threads"), Some(8));
/// assert_eq!(config, Config::new().with("ratio", 0.5).with("threads", 8));
/// ```
#[derive(Clone)]
pub struct Config {
    names: Arc<Names>,
    /// As many as names; `None` for a name without a value: a parameter of the space that is not active.
    values: Arc<[Option<Value>]>,
}

impl Config {
    /// A configuration without parameters.
    pub fn new() -> Self {
        Self::default()
    }

    /// A configuration of these values, as many as names.
    pub(in crate::words) fn of(names: &Arc<Names>, values: Vec<Option<Value>>) -> Self {
        debug_assert_eq!(names.len(), values.len());
        Self { names: names.clone(), values: values.into() }
    }

    /// Whether its values stand in the order of these very names, which is cheap to see and enough to trust their
    /// places.
    pub(in crate::words) fn has_names(&self, names: &Arc<Names>) -> bool {
        Arc::ptr_eq(&self.names, names)
    }

    /// The values by place. [`Config::has_names`] checks to which names the places belong.
    pub(in crate::words) fn slots(&self) -> &[Option<Value>] {
        &self.values
    }

    /// With one more parameter; a name that is there already gets the new value.
    #[must_use]
    pub fn with(self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        let (name, value) = (name.into(), value.into());
        let mut values = self.values.to_vec();
        if let Some(index) = self.names.position(&name) {
            values[index] = Some(value);
            return Self { names: self.names, values: values.into() };
        }
        let mut names = (*self.names).clone();
        names.push(&name);
        values.push(Some(value));
        Self { names: Arc::new(names), values: values.into() }
    }

    /// The value of a parameter.
    pub fn value(&self, name: &str) -> Option<&Value> {
        self.values[self.names.position(name)?].as_ref()
    }

    /// The value of a parameter that is a number, whole or not.
    pub fn float(&self, name: &str) -> Option<f64> {
        self.value(name)?.as_f64()
    }

    /// The value of a parameter that is a whole number.
    pub fn int(&self, name: &str) -> Option<i64> {
        self.value(name)?.as_i64()
    }

    /// The value of a parameter that is text.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.value(name)?.as_str()
    }

    /// The value of a parameter that is true or false.
    pub fn bool(&self, name: &str) -> Option<bool> {
        self.value(name)?.as_bool()
    }

    /// Names and values, in the order given.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.names.iter().zip(self.values.iter()).filter_map(|(n, v)| Some((n, v.as_ref()?)))
    }

    /// Number of parameters that have a value.
    pub fn len(&self) -> usize {
        self.values.iter().flatten().count()
    }

    /// Whether no parameter has a value.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Text that is equal exactly when configurations are: the JSON object with its names sorted. A configuration is a
    /// cheaper key itself.
    pub fn key(&self) -> String {
        let sorted: std::collections::BTreeMap<&str, &Value> = self.iter().collect();
        serde_json::to_string(&sorted).expect("a map from text to plain values has a JSON form")
    }

    /// A hash that is the same for equal configurations, and hardly ever for others.
    pub(crate) fn fingerprint(&self) -> u64 {
        let entry = |(name, value): (&u64, &Option<Value>)| Some(mix(name ^ value.as_ref()?.fingerprint()));
        // A sum, because the order does not matter.
        mix(self.names.hashes.iter().zip(self.values.iter()).filter_map(entry).fold(0, u64::wrapping_add))
    }
}

impl Default for Config {
    fn default() -> Self {
        static NONE: LazyLock<Arc<Names>> = LazyLock::new(Arc::default);
        Self { names: NONE.clone(), values: Arc::default() }
    }
}

impl PartialEq for Config {
    fn eq(&self, other: &Self) -> bool {
        if Arc::ptr_eq(&self.names, &other.names) {
            return Arc::ptr_eq(&self.values, &other.values) || self.values == other.values;
        }
        self.len() == other.len() && self.iter().all(|(name, value)| other.value(name) == Some(value))
    }
}

impl Eq for Config {}

impl Hash for Config {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.fingerprint());
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Config ")?;
        f.debug_map().entries(self.iter()).finish()
    }
}

impl fmt::Display for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (name, value)) in self.iter().enumerate() {
            write!(f, "{}{name}={value}", if i == 0 { "" } else { " " })?;
        }
        Ok(())
    }
}

impl Serialize for Config {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.len()))?;
        for (name, value) in self.iter() {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Config {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = Config;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of parameter names and values")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Config, A::Error> {
                let (mut names, mut values) = (Names::default(), Vec::new());
                while let Some(name) = map.next_key::<String>()? {
                    let value: Value = map
                        .next_value()
                        .map_err(|error| serde::de::Error::custom(format!("parameter `{name}`: {error}")))?;
                    if names.position(&name).is_some() {
                        return Err(serde::de::Error::custom(format!("parameter `{name}` is given twice")));
                    }
                    names.push(&name);
                    values.push(Some(value));
                }
                Ok(Config::of(&Arc::new(names), values))
            }
        }
        deserializer.deserialize_map(Entries)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_config_survives_json_with_its_order_and_types() {
        let text = r#"{"z":1,"a":1.0,"b":true,"c":"x"}"#;
        let config: Config = serde_json::from_str(text).unwrap();
        assert_eq!(config.value("z"), Some(&Value::Int(1)));
        assert_eq!(config.value("a"), Some(&Value::Float(1.0)));
        assert_eq!(serde_json::to_string(&config).unwrap(), text);
        assert!(serde_json::from_str::<Config>(r#"{"a":1,"a":2}"#).is_err());
    }

    #[test]
    fn the_key_ignores_order_and_tells_int_from_float() {
        let config = Config::new().with("a", 1).with("b", 2);
        assert_eq!(config.key(), Config::new().with("b", 2).with("a", 1).key());
        assert_ne!(config.key(), Config::new().with("a", 1.0).with("b", 2).key());
    }

    #[test]
    fn equal_configs_have_one_fingerprint_and_others_another() {
        let config = Config::new().with("a", 1).with("b", true);
        let turned = Config::new().with("b", true).with("a", 1);
        assert_eq!((config.fingerprint(), &config), (turned.fingerprint(), &turned));
        let others = [
            Config::new(),
            Config::new().with("a", 1),
            Config::new().with("a", 1.0).with("b", true),
            Config::new().with("a", true).with("b", 1),
            Config::new().with("a", 1).with("b", 1),
            Config::new().with("a", 1).with("b", "true"),
            Config::new().with("a", 1).with("b", true).with("c", 0.0),
        ];
        for (i, other) in others.iter().enumerate() {
            assert!(*other != config && other.fingerprint() != config.fingerprint(), "{other}");
            assert!(others[..i].iter().all(|o| o.fingerprint() != other.fingerprint()), "{other}");
        }
    }
}
