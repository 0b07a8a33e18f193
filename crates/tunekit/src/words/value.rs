//! `Value` and `Config`: what a trial is run with. What values are allowed is the `Space`'s business, not theirs.

use std::fmt;

use serde::de::{MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// One parameter's value. In JSON: `true`, `3`, `0.5` or `"text"`; a number without point or exponent is an `Int`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Value {
    /// True or false.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A real number. Configurations of a space hold finite ones only.
    Float(f64),
    /// A name.
    Text(String),
}

impl Value {
    /// The number in an `Int` or a `Float`.
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Self::Int(v) => Some(*v as f64),
            Self::Float(v) => Some(*v),
            Self::Bool(_) | Self::Text(_) => None,
        }
    }

    /// The whole number in an `Int`.
    pub fn as_i64(&self) -> Option<i64> {
        match self {
            Self::Int(v) => Some(*v),
            _ => None,
        }
    }

    /// The text in a `Text`.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::Text(v) => Some(v),
            _ => None,
        }
    }

    /// The truth in a `Bool`.
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(v) => Some(*v),
            _ => None,
        }
    }
}

/// Floats compare by `total_cmp`, so that equality is an equivalence and a key can be made of it;
/// an `Int` never equals a `Float`.
impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Bool(a), Self::Bool(b)) => a == b,
            (Self::Int(a), Self::Int(b)) => a == b,
            (Self::Float(a), Self::Float(b)) => a.total_cmp(b).is_eq(),
            (Self::Text(a), Self::Text(b)) => a == b,
            _ => false,
        }
    }
}

impl Eq for Value {}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(v) => write!(f, "{v}"),
            Self::Int(v) => write!(f, "{v}"),
            Self::Float(v) => write!(f, "{v:?}"),
            Self::Text(v) => f.write_str(v),
        }
    }
}

impl From<bool> for Value {
    fn from(v: bool) -> Self {
        Self::Bool(v)
    }
}

impl From<i64> for Value {
    fn from(v: i64) -> Self {
        Self::Int(v)
    }
}

impl From<i32> for Value {
    fn from(v: i32) -> Self {
        Self::Int(v.into())
    }
}

impl From<f64> for Value {
    fn from(v: f64) -> Self {
        Self::Float(v)
    }
}

impl From<&str> for Value {
    fn from(v: &str) -> Self {
        Self::Text(v.to_owned())
    }
}

impl From<String> for Value {
    fn from(v: String) -> Self {
        Self::Text(v)
    }
}

/// A configuration: names with their values, in the order given; a JSON object.
///
/// Two configurations are equal when they hold the same names with the same values, whatever the order.
///
/// ```
/// use tunekit::Config;
/// let config = Config::new().with("threads", 8).with("ratio", 0.5);
/// assert_eq!(config.int("threads"), Some(8));
/// assert_eq!(config, Config::new().with("ratio", 0.5).with("threads", 8));
/// ```
#[derive(Debug, Clone, Default)]
pub struct Config {
    entries: Vec<(String, Value)>,
}

impl Config {
    /// A configuration without parameters.
    pub fn new() -> Self {
        Self::default()
    }

    /// With one more parameter; a name that is there already gets the new value.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        let (name, value) = (name.into(), value.into());
        match self.entries.iter_mut().find(|(n, _)| *n == name) {
            Some(entry) => entry.1 = value,
            None => self.entries.push((name, value)),
        }
        self
    }

    /// The value of a parameter.
    pub fn value(&self, name: &str) -> Option<&Value> {
        self.entries.iter().find(|(n, _)| n == name).map(|(_, v)| v)
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
        self.entries.iter().map(|(n, v)| (n.as_str(), v))
    }

    /// How many parameters there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no parameter.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Text that is equal exactly when configurations are: the JSON object with its names sorted.
    pub fn key(&self) -> String {
        let sorted: std::collections::BTreeMap<&str, &Value> = self.iter().collect();
        serde_json::to_string(&sorted).expect("a map from text to plain values has a JSON form")
    }
}

impl PartialEq for Config {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.iter().all(|(name, value)| other.value(name) == Some(value))
    }
}

impl Eq for Config {}

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
                let mut config = Config::new();
                while let Some((name, value)) = map.next_entry::<String, Value>()? {
                    if config.value(&name).is_some() {
                        return Err(serde::de::Error::custom(format!("parameter `{name}` is given twice")));
                    }
                    config.entries.push((name, value));
                }
                Ok(config)
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
}
