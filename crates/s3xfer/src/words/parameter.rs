//! [`Parameter`]: the description of one parameter of a [`TransferConfig`](crate::TransferConfig), for programs that
//! list, search or translate them.

/// One parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Parameter {
    /// Its name in a file.
    pub name: &'static str,
    /// Its meaning, as a sentence.
    pub meaning: &'static str,
    /// The unit of its values.
    pub unit: Unit,
    /// The value of [`TransferConfig::default`](crate::TransferConfig::default); `None` where nothing is set.
    pub default: Option<ParameterValue>,
    /// The smallest number that is accepted.
    pub least: u64,
    /// True for boto3's eight.
    pub is_boto3s: bool,
}

/// The unit of a parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unit {
    /// Bytes.
    Bytes,
    /// Bytes per second.
    BytesPerSecond,
    /// Whole seconds.
    Seconds,
    /// A count.
    Count,
    /// True or false.
    Switch,
}

/// A parameter's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ParameterValue {
    /// In the parameter's unit.
    Number(u64),
    /// On or off.
    Switch(bool),
}
