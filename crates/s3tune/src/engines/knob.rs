//! [`Knob`]: the description of an engine's parameter for searches, reports and exports.

use serde::{Deserialize, Serialize};
use tunekit::Value;

/// A parameter of an engine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Knob {
    /// Its name, as the engine's placeholders and spaces spell it.
    pub name: String,
    /// The engine's default; `None` if the engine has no limit by default.
    pub default: Option<Value>,
    /// A sentence on its effect.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub meaning: String,
    /// The parameter of boto3's `TransferConfig` that means the same, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boto3: Option<String>,
    /// The unit of its values in bytes, if they are amounts of data: 1 for bytes, 1048576 for MiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit_bytes: Option<u64>,
}

/// The columns of the table of downloads that hold no parameter. A parameter with such a name would repeat a column.
pub(crate) const COLUMNS: [&str; 6] = ["trial", "arm", "order", "at_s", "seconds", "cut_off"];
