//! `Value`: the value of one parameter. Its `Domain` says which values are allowed; several with their names
//! are a `Config`.

mod config;

use std::fmt;

use serde::{Deserialize, Serialize};

use super::hash::{mix, of_text};

pub use config::Config;
pub(super) use config::Names;

/// One parameter's value. In JSON: `true`, `3`, `0.5` or `"text"`; a number without point or exponent is an `Int`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(untagged, expecting = "a value is true or false, a number or a text")]
pub enum Value {
    /// True or false.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A real number. Configurations of a space hold only finite numbers.
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

    /// A number that is the same for equal values, on every machine.
    fn fingerprint(&self) -> u64 {
        // The constant that is added tells the kinds apart: `Int(1)` and `Bool(true)` are no equals.
        match self {
            Self::Bool(v) => mix(u64::from(*v)),
            Self::Int(v) => mix(v.cast_unsigned() ^ (1 << 62)),
            Self::Float(v) => mix(v.to_bits().rotate_left(17)),
            Self::Text(v) => of_text(v),
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
